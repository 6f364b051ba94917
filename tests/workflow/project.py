"""A copy of the workflow that a test may change and run, and a scale so small that a run takes a minute."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("Snakefile", "rules", "config", "profiles", "workflow", "envs", "requirements")
SETTINGS = ("scale=tiny", "variants=base,negative_control", "seeds=1")
TINY_SIMULATION = {"seed": 3, "genes": 240, "noncoding_genes": 20, "transcription_factors": 40, "cell_share": 0.2}
TINY_PREPROCESSING = {"minimum_genes": 5, "principal_components": 10}
TINY_CONSTANTS = {
    "dim": 16,
    "layers": 1,
    "heads": 2,
    "context": 48,
    "batch_size": 8,
    "steps_per_epoch": 8,
    "epochs": 2,
    "validation_batches": 2,
    "warmup_steps": 2,
    "inference_context": 64,
    "denoise_cells": 40,
    "denoise_genes": 60,
    "network_cells": 40,
    "network_genes_perturbation": 60,
    "network_genes_curated": 60,
    "context_cells": 50,
    "context_lengths": [16, 64],
    "embed_cells": 100,  # local inverse Simpson's index needs 90
}
TINY_ROLES = {
    "denoise": ["sim_lung"],
    "lung": ["sim_lung"],
    "pancreas": ["sim_lung"],
    "gwps": ["sim_k562"],
    "omni": ["sim_kidney"],
    "context": ["sim_lung"],
}
TINY_BASELINES = {"denoise": ["identity"], "embed": ["pca"], "annotate": ["majority", "knn"], "networks": ["pearson"]}
TINY_BASELINE_ROWS = {name for names in TINY_BASELINES.values() for name in names}


@dataclass(frozen=True)
class Project:
    """A folder with a copy of the workflow."""

    folder: Path

    def __truediv__(self, path: str) -> Path:
        return self.folder / path

    def command(self, *arguments: str, profile: str = "profiles/local") -> list[str]:
        """Return the command line of Snakemake."""
        return [sys.executable, "-m", "snakemake", "--profile", profile, *arguments]

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of a run: this Python's programs first, one thread."""
        programs = str(Path(sys.executable).parent)
        return os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}

    def run(self, *arguments: str, profile: str = "profiles/local", succeeds: bool = True) -> str:
        """Run Snakemake to its end and return what it printed."""
        done = subprocess.run(
            self.command(*arguments, profile=profile),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert (done.returncode == 0) == succeeds, done.stdout[-6000:]
        return done.stdout

    def plan(self, *arguments: str, profile: str = "profiles/local") -> Counter[str]:
        """Return the number of jobs of each rule that would run."""
        printed = self.run(*arguments, "--dry-run", "--quiet", "rules", profile=profile)
        table = printed.split("Job stats:")[-1].split("Reasons:")[0] if "Job stats:" in printed else ""
        jobs = Counter({rule: int(number) for rule, number in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)})
        del jobs["total"]
        return jobs

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace one piece of a file's text."""
        text = (self / path).read_text()
        assert text.count(old) == 1, f"{path} holds {text.count(old)} times {old!r}"
        (self / path).write_text(text.replace(old, new))

    def edit_yaml(self, path: str, changes: dict[str, Any]) -> None:
        """Replace top-level values of a YAML file."""
        value = yaml.safe_load((self / path).read_text())
        (self / path).write_text(yaml.safe_dump(value | changes, sort_keys=False))


def copy_project(folder: Path) -> Project:
    """Copy the workflow; the package is taken from where it is installed."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    return Project(folder)


def add_tiny_scale(project: Project) -> None:
    """Write `config/scales/tiny.yaml` and what belongs to it: the code path of mini with smaller numbers."""
    mini = yaml.safe_load((project / "config/scales/mini.yaml").read_text())
    shutil.copytree(project / "config/mini", project / "config/tiny")
    (project / "config/tiny/simulation.yaml").write_text(yaml.safe_dump(TINY_SIMULATION))
    tiny = mini | {
        "registry": "config/tiny/datasets.tsv",
        "organisms": "config/tiny/organisms.tsv",
        "gene_embedding": "resources/tiny/gene_embedding.parquet",
        "preprocessing": mini["preprocessing"] | TINY_PREPROCESSING,
        "constants": mini["constants"] | TINY_CONSTANTS,
        "corpora": {"curated": ["sim_blood"]},
        "roles": TINY_ROLES,
    }
    (project / "config/scales/tiny.yaml").write_text(yaml.safe_dump(tiny, sort_keys=False))
    keep_tiny_baselines(project)


def keep_tiny_baselines(project: Project) -> None:
    """Leave a baseline or two of each task, and let a network be made from few cells."""
    tasks = yaml.safe_load((project / "config/tasks.yaml").read_text())
    for task, names in TINY_BASELINES.items():
        entry = tasks["tasks"][task]
        entry["baselines"] = {name: entry["baselines"][name] for name in names}
    tasks["tasks"]["networks"]["settings"]["minimum_cells"] = 5
    (project / "config/tasks.yaml").write_text(yaml.safe_dump(tasks, sort_keys=False))


def kill_all(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL a process and everything that it started."""
    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    process.kill()
    for child in family:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    process.wait()
    psutil.wait_procs(family, timeout=30)
