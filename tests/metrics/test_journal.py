"""Scores outlive the process that makes them, and one that kills it becomes a failed row."""

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from scprint2.metrics import journal as journal_module
from scprint2.metrics.attempt import attempt
from scprint2.metrics.journal import FOLDER, count_deaths, keep_journal, read_journal
from scprint2.metrics.limits import time_budget
from scprint2.metrics.score import Score

RUNNER = Path(__file__).parents[2] / "workflow" / "scripts" / "run_notebook.py"
HANG = "collections.deque(itertools.repeat(0), maxlen=0)"  # never returns to Python, so that no signal of Python's reaches it
CRASH = "ctypes.string_at(0)"


def test_a_journal_gives_back_what_was_made_and_fails_what_its_process_died_of(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path))
    (tmp_path / "scores%2Fx").write_text('null\n{"value": 0.5, "status": "ok", "reason": "", "seconds": 9.0}\nnull\n')
    assert count_deaths(tmp_path) == 1
    called = []
    with keep_journal("scores/x"):
        first, second, third = (attempt(lambda value=value: called.append(value) or value) for value in (1.0, 2.0, 3.0))
    assert first == Score(0.5)
    assert first.seconds == 9.0
    assert (second.status, "its process died of it" in second.reason) == ("failed", True)
    assert third == Score(3.0)
    assert called == [3.0]
    assert read_journal(tmp_path / "scores%2Fx") == [Score(0.5), None, Score(3.0)]


def test_a_score_inside_a_score_is_no_line_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path))
    with keep_journal("x"):
        assert attempt(lambda: attempt(lambda: 1.0).value) == Score(1.0)
        assert attempt(lambda: 1 / 0).status == "failed"
    assert [score and score.status for score in read_journal(tmp_path / "x")] == ["ok", "failed"]


def test_a_score_for_which_no_time_is_left_is_a_line_too(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path))
    with keep_journal("x"), time_budget(-1000.0):
        assert "was over" in attempt(lambda: 1.0).reason
    assert [score and score.status for score in read_journal(tmp_path / "x")] == ["failed"]


def test_without_a_folder_nothing_is_kept_and_no_process_is_ended(tmp_path, monkeypatch):
    monkeypatch.delenv(FOLDER, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(journal_module.faulthandler, "dump_traceback_later", lambda *_, **__: pytest.fail("armed"))
    with keep_journal("x"):
        assert attempt(lambda: 1.0) == Score(1.0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("fatal", [HANG, CRASH])
def test_a_score_that_kills_the_kernel_is_a_failed_one_and_the_others_are_made(tmp_path, fatal):
    code = f"""
import collections, ctypes, itertools, json
from pathlib import Path
from scprint2.metrics import journal
from scprint2.metrics.attempt import attempt

journal.GRACE_SECONDS = 0.2
Path("starts").open("a").write("x")
with journal.keep_journal("scores"):
    scores = [
        attempt(lambda: Path("first").open("a").write("x")),
        attempt(lambda: {fatal}, limit_seconds=0.2),
        attempt(lambda: 3.0),
    ]
Path("scores.json").write_text(json.dumps([vars(score) for score in scores]))
"""
    run = run_notebook(tmp_path, code)
    assert run.returncode == 0, run.stderr
    first, killed, third = json.loads((tmp_path / "scores.json").read_text())
    assert (first["value"], third["value"]) == (1, 3)
    assert (killed["status"], killed["value"]) == ("failed", None)
    assert "its process died of it" in killed["reason"]
    assert ((tmp_path / "starts").read_text(), (tmp_path / "first").read_text()) == ("xx", "x")
    assert (tmp_path / "out.html").exists()


def test_a_row_that_kills_the_kernel_of_several_rows_is_run_again_and_no_other_is(tmp_path):
    code = """
import ctypes
from pathlib import Path
from scprint2.metrics import journal
from scprint2.metrics.attempt import attempt

Path("starts").open("a").write(row[-1])
with journal.keep_journal(row):
    attempt(lambda: ctypes.string_at(0) if row == "row_b" else 1.0)
"""
    run = run_notebook(tmp_path, code, "--parameters", "row=ROW", "--rows", "row_a", "row_b", "row_c", name="ROW")
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "starts").read_text() == "abbc"
    assert sorted(path.name for path in tmp_path.glob("row_?.html")) == ["row_a.html", "row_b.html", "row_c.html"]


def test_a_kernel_that_dies_outside_a_score_is_an_error(tmp_path):
    run = run_notebook(tmp_path, "import os\nopen('starts', 'a').write('x')\nos._exit(1)")
    assert run.returncode != 0
    assert "DeadKernelError" in run.stderr
    assert (tmp_path / "starts").read_text() == "x"
    assert not (tmp_path / "out.ipynb").exists()


def run_notebook(folder: Path, code: str, *options: str, name: str = "out") -> subprocess.CompletedProcess:
    """Run code as a notebook in a folder, as the workflow does."""
    parameters = new_code_cell("row = None", metadata={"tags": ["parameters"]})
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=[parameters, new_code_cell(code)], metadata=kernel), folder / "source.ipynb")
    command = [sys.executable, str(RUNNER), "source.ipynb", "--log", f"log_{name}.ipynb", "--out", f"{name}.ipynb"]
    return subprocess.run([*command, *options], cwd=folder, capture_output=True, text=True, check=False, timeout=300)
