"""The tiny scale through profiles/slurm and a real Slurm, with a cancelled job and a training cut by its time limit."""

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from tests.workflow.project import ROOT, SETTINGS, Project, add_tiny_scale, copy_project, kill_all
from tests.workflow.test_run import scores

TARGET = "results/table1.csv"
SLURM = ROOT / "tests/workflow/slurm_local.sh"
LIMIT_MINUTES = 2  # the shortest limit that leaves room for the start of a job on a busy machine
MODELS = "results/tiny/models"

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(2400)]


@pytest.fixture(scope="module")
def slurm() -> Iterator[dict[str, str]]:
    """The environment of a running Slurm; skipped where none can be had."""
    if not shutil.which("slurmctld", path=f"{os.environ['PATH']}:/usr/sbin") and not (
        os.getuid() == 0 and shutil.which("apt-get")
    ):
        pytest.skip("no Slurm on this machine, and it can only be installed as root with apt-get")
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    folder.chmod(
        0o755
    )  # munge demands that everybody may reach its socket, and socket paths have at most 107 characters
    settings = {"SLURM_LOCAL_DIR": str(folder), "SLURM_LOCAL_CPUS": "4", "SLURM_LOCAL_GPUS": "a100:1,h100:1"}
    environment = os.environ | settings
    done = subprocess.run([SLURM, "start"], env=environment, capture_output=True, text=True, check=False)
    if done.returncode and ("apt-get failed" in done.stderr or "missing packages" in done.stderr):
        pytest.skip(f"Slurm cannot be installed here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    try:
        path = f"{folder}/bin:{environment['PATH']}:/usr/sbin"
        yield {**settings, "SLURM_CONF": f"{folder}/etc/slurm.conf", "PATH": path}
    finally:
        subprocess.run([SLURM, "stop"], env=environment, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def shrink_profile(project: Project, *, budget_seconds: int) -> None:
    """Set the site (no accounting database, accounts or patience) and this machine's sizes; all else stays as it is shipped."""
    profile = yaml.safe_load((project / "profiles/slurm/profile.yaml").read_text())
    needs: dict[str, dict[str, Any]] = profile["set-resources"]
    for rule in needs.values():
        rule |= {"mem_mb": 1200, "runtime": 15}
    needs["pretrain"] |= {"runtime": LIMIT_MINUTES, "margin_seconds": LIMIT_MINUTES * 60 - budget_seconds}
    site = {
        "default-resources": {"mem_mb": 1000, "runtime": 15},
        "set-threads": dict.fromkeys(profile["set-threads"], 1),
        "slurm-no-account": True,
        "slurm-status-command": "squeue",
        "slurm-init-seconds-before-status-checks": 5,
        "seconds-between-status-checks": 3,
        "latency-wait": 10,
    }
    (project / "profiles/slurm/profile.yaml").write_text(yaml.safe_dump(profile | site, sort_keys=False))


def make_project(folder: Path) -> Project:
    """The tiny scale with predictions and scores as jobs of their own, as at the paper's size, two tasks, a longer training."""
    project = copy_project(folder)
    add_tiny_scale(project)
    tiny = yaml.safe_load((project / "config/scales/tiny.yaml").read_text())
    longer = {"steps_per_epoch": 60, "epochs": 12, "dim": 32, "layers": 2}
    project.edit_yaml("config/scales/tiny.yaml", {"merged": False, "constants": tiny["constants"] | longer})
    value = yaml.safe_load((project / "config/tasks.yaml").read_text())
    kept = {name: task for name, task in value["tasks"].items() if name in ("denoise", "annotate")}
    columns = {name: column for name, column in value["columns"].items() if column["task"] in kept}
    project.edit_yaml("config/tasks.yaml", {"tasks": kept, "columns": columns})
    project.edit_yaml("config/studies.yaml", {"studies": {}})  # of all tasks
    return project


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Project:
    """The same project, done in one go on this machine."""
    project = make_project(tmp_path_factory.mktemp("undisturbed") / "project")
    project.run(TARGET, "--config", *SETTINGS)
    return project


@contextmanager
def start(project: Project, environment: dict[str, str], printed: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the workflow through Slurm; nothing is left running when the block is left."""
    command = project.command(TARGET, "--config", *SETTINGS, profile="profiles/slurm")
    with printed.open("w") as file:
        process = subprocess.Popen(
            command, cwd=project.folder, env=project.environment | environment, stdout=file, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        kill_all(process)


def jobs(environment: dict[str, str], *states: str) -> dict[str, str]:
    """Return Slurm's jobs in these states, id to what the job is for."""
    command = ["squeue", "--noheader", "--states", ",".join(states), "--format", "%i|%j|%k"]
    printed = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True).stdout
    return {line.split("|")[0]: line.split("|", 1)[1] for line in printed.splitlines()}


def cancel_one(environment: dict[str, str], rule: str, process: subprocess.Popen[bytes]) -> str:
    """Cancel the first job of a rule that runs; return its id."""
    while process.poll() is None:
        for job, text in jobs(environment, "RUNNING").items():
            if rule in text:
                subprocess.run(["scancel", job], env=os.environ | environment, check=True)
                return job
        time.sleep(0.2)
    raise AssertionError(f"the run ended before a job of {rule} was seen")


def test_cancelled_jobs_and_time_limits_change_nothing(tmp_path, slurm, undisturbed):
    project = make_project(tmp_path / "project")
    cost = json.loads((undisturbed / f"{MODELS}/base/seed_0/cost.json").read_text())
    start_up = 6  # seconds until the first step, more or less
    shrink_profile(project, budget_seconds=max(14, min(60, start_up + int(0.4 * cost["seconds"]))))
    printed = tmp_path / "printed.txt"
    with start(project, slurm, printed) as process:
        cancelled = cancel_one(slurm, "preprocess_dataset", process)
        process.wait()
    text = printed.read_text()
    assert process.returncode == 0, text[-6000:]

    assert cancelled in jobs(slurm, "CANCELLED")
    assert "Trying to restart job" in text
    for variant in ("base", "negative_control"):
        path = f"{MODELS}/{variant}/seed_0/model.safetensors"
        assert (project / path).read_bytes() == (undisturbed / path).read_bytes()
    segments = json.loads((project / f"{MODELS}/base/seed_0/cost.json").read_text())["segments"]
    assert len(segments) >= 2
    assert len({segment["job"] for segment in segments}) == len(segments), "each part ran in a job of its own"
    assert [segment["first_step"] for segment in segments[1:]] == [segment["last_step"] for segment in segments[:-1]]
    pd.testing.assert_frame_equal(scores(project), scores(undisturbed))


def test_gpu_jobs_go_to_the_gpu_partition_and_groups_take_one_gpu(slurm):
    """Reads what Slurm kept of the run above; the comment holds the rule."""
    widths = {"Partition": 16, "tres-per-job": 32, "Comment": 400}
    layout = ",".join(f"{name}:{width}" for name, width in widths.items())
    command = ["squeue", "--noheader", "--states", "all", "--Format", layout]
    printed = subprocess.run(command, env=os.environ | slurm, capture_output=True, text=True, check=True).stdout
    rows = [(line[:16].strip(), line[16:48].strip(), line[48:].strip()) for line in printed.splitlines()]
    if not rows:
        pytest.skip("no jobs were run")
    on_gpu = [(resources, text) for partition, resources, text in rows if partition == "gpu"]
    on_cpu = [text for partition, _, text in rows if partition == "cpu"]
    assert all(any(rule in text for _, text in on_gpu) for rule in ("pretrain", "predict_"))
    assert all("pretrain" in text or "predict_" in text for _, text in on_gpu)
    assert all(resources.endswith(":1") for resources, _ in on_gpu), on_gpu
    assert all(any(rule in text for text in on_cpu) for rule in ("preprocess_dataset", "build_corpus", "evaluate_"))
    assert not any("pretrain" in text for text in on_cpu)
