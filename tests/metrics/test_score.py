import inspect
import time

import numpy as np
import pytest

from scprint2.metrics.attempt import attempt
from scprint2.metrics.limits import METRIC_SECONDS, time_budget, time_limit
from scprint2.metrics.score import Score, average_scores, combine, computed_once, failed, finite


def test_a_value_that_is_not_finite_is_a_failure():
    assert finite(float("nan")).status == "failed"
    assert finite(np.inf).reason == "the value is inf, not a finite number"
    assert finite(0.5) == Score(0.5)


def test_what_a_metric_raises_becomes_its_reason():
    score = attempt(lambda: 1 / 0)
    assert (score.value, score.status, score.reason) == (None, "failed", "ZeroDivisionError: division by zero")


def test_a_metric_that_hangs_fails_and_the_next_one_runs():
    score = attempt(lambda: [time.sleep(0.01) for _ in range(1000)][0] or 0.0, limit_seconds=0.1)
    assert score.reason == "TimeoutError: not done after 0.1 s"
    assert 0.1 <= score.seconds < 5
    assert attempt(lambda: 2.0, limit_seconds=0.1) == Score(2.0)
    time.sleep(0.15)  # the alarm of a metric that is done must not ring


def test_a_limit_around_another_goes_on_after_it():
    def run_metrics() -> None:
        assert attempt(lambda: [time.sleep(0.01) for _ in range(1000)][0] or 0.0, limit_seconds=0.05).status == "failed"
        for _ in range(1000):
            assert attempt(lambda: 1.0).status == "ok"  # an inner limit that is far off must not lift the outer one
            time.sleep(0.001)

    start = time.perf_counter()
    with pytest.raises(TimeoutError, match=r"not done after 0\.2 s"), time_limit(0.2):
        run_metrics()
    assert time.perf_counter() - start < 2


def test_metrics_that_share_a_budget_keep_what_they_had_when_it_was_over():
    with time_budget(0.2):
        first = attempt(lambda: 1.0)
        second = attempt(lambda: [time.sleep(0.01) for _ in range(1000)][0] or 0.0)
        third = attempt(lambda: 3.0)
    assert first == Score(1.0)
    assert second.reason.startswith("TimeoutError: not done after 0.")
    assert "the time that all metrics of this prediction share was over" in third.reason
    assert third.seconds < 0.1
    assert attempt(lambda: 4.0) == Score(4.0)


def test_every_metric_has_a_limit_unless_it_is_lifted():
    assert inspect.signature(attempt).parameters["limit_seconds"].default == METRIC_SECONDS


def test_a_value_made_of_others_fails_with_every_reason():
    parts = {"a": Score(1.0), "b": failed("no labels"), "c": failed("no batches")}
    assert combine(parts, max).reason == "b: no labels; c: no batches"
    assert combine({"a": Score(1.0), "b": Score(3.0)}, max).value == 3.0


def test_an_average_over_groups_names_the_group_that_fails():
    groups = {
        "T cell": {"auprc": Score(0.2), "or": Score(3.0)},
        "B cell": {"auprc": Score(0.4), "or": failed("no edges")},
    }
    averages = average_scores(groups)
    assert averages["auprc"].value == pytest.approx(0.3)
    assert averages["or"].reason == "B cell: no edges"


def test_a_metric_that_one_group_lacks_fails():
    assert (
        average_scores({"T cell": {"auprc": Score(0.2)}, "B cell": {}})["auprc"].reason
        == "B cell: the metric was not computed"
    )


def test_no_group_is_an_error():
    with pytest.raises(ValueError, match="no group to average over"):
        average_scores({})


def test_a_part_that_failed_is_not_computed_again_and_one_that_is_done_neither():
    class Parts:
        def __init__(self):
            self.calls = []

        @computed_once
        def fine(self):
            self.calls.append("fine")
            return None

        @computed_once
        def broken(self):
            self.calls.append("broken")
            raise ValueError("no start")

    parts = Parts()
    assert (parts.fine, parts.fine) == (None, None)
    for _ in range(3):
        with pytest.raises(ValueError, match="no start"):
            parts.broken  # noqa: B018
    assert parts.calls == ["fine", "broken"]
    assert Parts().calls == []
