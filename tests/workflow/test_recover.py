"""What `make recover` does before it unlocks: jobs that a killed Snakemake left behind are stopped, and only those."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.workflow.project import ROOT

SCRIPT = ROOT / "workflow/scripts/cancel_jobs.sh"
SLEEP = "import time; time.sleep(60)"


@pytest.fixture
def start(tmp_path):
    """Start processes that look like jobs; what is left of them ends with the test."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(name: str, *arguments: str, folder: Path = tmp_path) -> subprocess.Popen[bytes]:
        program = folder / "bin" / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(SLEEP)
        running.append(subprocess.Popen([sys.executable, str(program), *arguments, "end"], cwd=folder))
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.wait()


def cancel(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCRIPT, "no_such_prefix"], cwd=folder, capture_output=True, text=True, check=False)


def ended(process: subprocess.Popen[bytes]) -> bool:
    for _ in range(100):
        if process.poll() is not None:
            return True
        time.sleep(0.05)
    return False


def test_orphaned_jobs_of_this_folder_are_stopped(start, tmp_path):
    orphan, bystander = start("scprint2", "pretrain"), start("editor")
    elsewhere = start("scprint2", "pretrain", folder=tmp_path / "other")
    # A parent that has ended would have handed the orphan to init; here it must be waited for to be gone.
    waiting = subprocess.Popen([SCRIPT, "no_such_prefix"], cwd=tmp_path)
    assert ended(orphan)
    assert waiting.wait() == 0
    assert bystander.poll() is None
    assert elsewhere.poll() is None


def test_nothing_is_done_while_snakemake_runs(start, tmp_path):
    start("snakemake")
    job = start("scprint2", "pretrain")
    time.sleep(0.5)
    done = cancel(tmp_path)
    assert done.returncode == 1
    assert "stop it first" in done.stderr
    assert job.poll() is None


def test_with_nothing_left_behind_it_stops_nothing(start, tmp_path):
    bystander = start("editor")
    done = cancel(tmp_path)
    assert done.returncode == 0
    assert "stopping" not in done.stderr
    assert bystander.poll() is None
