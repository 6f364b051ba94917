import csv
import io

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from scprint2.training import progress
from scprint2.training.progress import History, ProgressReport, published_history

COLUMNS = ["step", "epoch", "split", "loss", "zinb", "learning_rate", "seconds"]


def row(step, *, split="train", loss=1.0):
    return {
        "step": step,
        "epoch": 1,
        "split": split,
        "loss": loss,
        "zinb": loss / 2,
        "learning_rate": 1e-4,
        "seconds": 0.5 * step,
    }


def read(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_the_history_has_one_column_per_loss_term(tmp_path):
    history = History(tmp_path, terms=["zinb"], step=0)
    history.add(row(1))
    history.close()
    assert (tmp_path / "history.csv").read_text().splitlines() == [
        ",".join(COLUMNS),
        "1,1,train,1.0,0.5,0.0001,0.5",
    ]


def test_a_loss_comes_back_to_the_last_bit(tmp_path):
    history = History(tmp_path, terms=["zinb"], step=0)
    history.add(row(1, loss=0.1 + 0.2))
    history.close()
    assert float(read(published_history(history.path))[0]["loss"]) == 0.1 + 0.2


def test_published_history_keeps_the_last_of_repeated_steps_and_drops_cut_lines(tmp_path):
    first = History(tmp_path, terms=["zinb"], step=0)
    for step in (1, 2, 3):
        first.add(row(step))
    first.add(row(3, split="validation"))
    first.close()
    with first.path.open("a") as file:
        file.write("4,1,tra")  # killed while it wrote
    second = History(tmp_path, terms=["zinb"], step=1)
    for step in (2, 3):
        second.add(row(step, loss=7.0))
    second.close()
    rows = read(published_history(second.path))
    assert [(r["step"], r["split"], r["loss"]) for r in rows] == [
        ("1", "train", "1.0"),
        ("2", "train", "7.0"),
        ("3", "train", "7.0"),
        ("3", "validation", "1.0"),
    ]


def test_tensorboard_shows_the_losses(tmp_path):
    history = History(tmp_path, terms=["zinb"], step=0)
    history.add(row(5, loss=2.0))
    history.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(5, 2.0)]


def test_in_a_log_there_are_plain_lines_without_control_characters(capsys, monkeypatch):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0)
    report = ProgressReport(total_steps=1000)
    report.advance(10, loss=1.5, cells_per_second=1234.5)
    report.say("epoch 1: done")
    report.close()
    error = capsys.readouterr().err
    assert error == "step 10 of 1,000: 1,234 cells/s, loss 1.5\nepoch 1: done\n"


def test_plain_lines_are_rare(capsys):
    report = ProgressReport(total_steps=1000)
    for step in range(1000):
        report.advance(step, loss=1.5, cells_per_second=1.0)
    report.close()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("columns", [80, 20])
def test_on_a_terminal_there_is_a_bar(monkeypatch, capsys, columns):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    report = ProgressReport(total_steps=10)
    report.advance(10, loss=1.5, cells_per_second=1.0)
    report.close()
    assert "10/10" in capsys.readouterr().err or columns == 20
