import multiprocessing
import os
import signal

import pytest

from scprint2.training.work import BudgetOver, Interrupted, StopRequests, count_start, forget_starts, locked_folder


def _hold(folder, ready, release):
    with locked_folder(folder):
        ready.set()
        release.wait(30)


def _try(folder, results, everyone_tried):
    try:
        with locked_folder(folder):
            results.put("in")
            everyone_tried.wait(30)
    except RuntimeError:
        results.put("out")


def test_a_second_process_is_turned_away_and_told_who_is_in(tmp_path):
    context = multiprocessing.get_context("fork")
    ready, release = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, ready, release))
    holder.start()
    try:
        assert ready.wait(30)
        with (
            pytest.raises(RuntimeError, match=f"another training is running .*process {holder.pid} on"),
            locked_folder(tmp_path),
        ):
            pass
    finally:
        release.set()
        holder.join()
    with locked_folder(tmp_path):
        pass


def test_the_lock_ends_with_a_killed_process(tmp_path):
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, ready, context.Event()))
    holder.start()
    assert ready.wait(30)
    holder.kill()
    holder.join()
    with locked_folder(tmp_path):
        pass


def test_of_racing_processes_one_gets_in(tmp_path):
    context = multiprocessing.get_context("fork")
    for race in range(5):
        results, everyone_tried = context.Queue(), context.Event()
        racers = [context.Process(target=_try, args=(tmp_path / str(race), results, everyone_tried)) for _ in range(4)]
        for racer in racers:
            racer.start()
        outcomes = sorted(results.get(timeout=30) for _ in racers)
        everyone_tried.set()
        for racer in racers:
            racer.join()
        assert outcomes == ["in", "out", "out", "out"]


def test_a_fourth_start_without_progress_is_refused(tmp_path):
    for _ in range(3):
        count_start(tmp_path, key="a", step=10)
    with pytest.raises(RuntimeError, match="3 starts in a row did not get past step 10"):
        count_start(tmp_path, key="a", step=10)


def test_progress_another_run_or_an_end_resets_the_count(tmp_path):
    for step in (10, 10, 10, 20, 20, 20):
        count_start(tmp_path, key="a", step=step)
    for _ in range(3):
        count_start(tmp_path, key="b", step=20)
    forget_starts(tmp_path)
    count_start(tmp_path, key="b", step=20)


def test_a_spoiled_count_starts_again(tmp_path):
    (tmp_path / "starts.json").write_text('{"key": ')
    count_start(tmp_path, key="a", step=0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_asks_to_stop_and_handlers_are_restored(number):
    before = signal.getsignal(number)
    with StopRequests(None) as stop:
        assert stop.reason(reserve_seconds=0.0) is None
        os.kill(os.getpid(), number)
        assert isinstance(stop.reason(reserve_seconds=0.0), Interrupted)
    assert signal.getsignal(number) is before


def test_the_budget_ends_earlier_by_the_reserve():
    with StopRequests(100.0) as stop:
        assert stop.reason(reserve_seconds=50.0) is None
        assert isinstance(stop.reason(reserve_seconds=100.0), BudgetOver)
