"""The tiny scale from end to end on this machine, undisturbed and killed on the way."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pandas as pd
import psutil
import pytest
import yaml

from scprint2.config.overlay import list_variants
from tests.workflow.project import ROOT, SETTINGS, TINY_BASELINE_ROWS, Project, add_tiny_scale, copy_project, kill_all

TARGET = "results/table1.csv"
MEASURED = "gpu_min_per_epoch"  # a time is never the same twice


def scores(project: Project) -> pd.DataFrame:
    """Table 1 without what was measured with a clock."""
    table = pd.read_csv(project / TARGET, dtype=str, keep_default_na=False)
    return table.loc[:, [name for name in table.columns if not name.startswith(MEASURED)]]


def test_table_has_a_line_for_every_row_and_no_blank(finished):
    table = scores(finished)
    assert set(table["variant"]) == {"base", "negative_control", *TINY_BASELINE_ROWS}
    assert (table != "").all(axis=None)
    assert list_variants(finished / "config")["base"].table_name == table.set_index("variant").loc["base", "name"]


def test_every_score_is_a_number_or_a_failure_with_its_reason(finished):
    long = pd.read_csv(finished / "results/tiny/table1_long.csv", keep_default_na=False)
    columns = yaml.safe_load((finished / "config/tasks.yaml").read_text())["columns"]
    models = long[long["variant"] == "base"]
    assert set(columns) <= set(" ".join(models["column"]).split())
    assert set(long["status"]) <= {"ok", "failed", "not applicable"}
    assert (long.loc[long["status"] != "ok", "reason"] != "").all()
    assert (pd.to_numeric(long.loc[long["status"] == "ok", "value"], errors="coerce").notna()).all()
    assert (models["status"] == "ok").mean() > 0.5


def test_every_form_of_the_table_is_published(finished):
    endings = (".html", ".pdf", "_long.csv", "_comparisons.csv")
    finished.run(*(f"results/table1{ending}" for ending in endings), "--config", *SETTINGS)
    for name in ("table1.csv", "table1.html", "table1.pdf", "table1_long.csv", "table1_comparisons.csv"):
        assert (finished / "results" / name).read_bytes() == (finished / "results/tiny" / name).read_bytes()


def test_claims_are_judged_from_the_run_and_none_is_a_verdict_on_the_paper(finished):
    finished.run("results/claims.csv", "results/claims.html", "--config", *SETTINGS)
    claims = pd.read_csv(finished / "results/claims.csv", keep_default_na=False)
    assert not set(claims["verdict"]) & {"reproduced", "contradicted", "undecided"}
    control = claims[(claims["claim"] == "negative_control") & (claims["measure"] == "denoise")]
    assert pd.to_numeric(control["ours"]).notna().all()
    assert (finished / "results/claims.html").read_text().count("<article") == claims["claim"].nunique()


def test_a_crate_says_what_made_every_file(finished):
    options = ("no-link-inverses", "no-evidence-graph", "no-linkml", "no-datasheet")
    finished.run(
        TARGET, "--reporter", "fairscape", *(f"--report-fairscape-{name}" for name in options), "--config", *SETTINGS
    )
    graph = json.loads((finished / "ro-crate-metadata.json").read_text())["@graph"]
    entities = {entity["@id"]: entity for entity in graph}
    files = {entity["contentUrl"]: entity for entity in graph if "contentUrl" in entity}
    (table,) = files["results/tiny/table1.csv"]["generatedBy"]
    scores = {entities[one["@id"]]["contentUrl"] for one in entities[table["@id"]]["usedDataset"]}
    assert "results/tiny/scores/base/seed_0/annotate/sim_lung.tsv" in scores
    (training,) = files["results/tiny/models/base/seed_0"]["generatedBy"]
    assert entities[training["@id"]]["command"].startswith("scprint2 pretrain")
    mentioned = {one["@id"] for entity in graph for key in ("generated", "usedDataset") for one in entity.get(key, ())}
    assert mentioned <= set(entities)


def test_figures_are_drawn_from_the_run_and_again_byte_for_byte(finished):
    names = [f"{figure}.{form}" for figure in ("heat_map", "learning_curves") for form in ("pdf", "png", "csv")]
    targets = [f"results/figures/{name}" for name in names]
    finished.run(*targets, "--config", *SETTINGS)
    first = {name: (finished / "results/figures" / name).read_bytes() for name in names}
    assert '"output_type": "error"' not in (finished / "reports/tiny/figures/heat_map.ipynb").read_text()
    cells = pd.read_csv(finished / "results/figures/heat_map.csv", keep_default_na=False)
    assert set(cells["variant"]) == {"negative_control", "controls_min", "controls_max"}
    curves = pd.read_csv(finished / "results/figures/learning_curves.csv")
    assert curves.query("split == 'validation' and loss == 'reconstruction'")["step"].tolist() == [8, 16]
    finished.run(*targets, "--forcerun", "draw_heat_map", "draw_learning_curves", "--config", *SETTINGS)
    assert {name: (finished / "results/figures" / name).read_bytes() for name in names} == first


def test_the_context_sweep_is_drawn_from_the_trained_models(finished):
    finished.run("results/figures/context_sweep.csv", "results/figures/context_sweep.png", "--config", *SETTINGS)
    sweep = pd.read_csv(finished / "results/figures/context_sweep.csv")
    assert set(sweep["variant"]) == {"base", "negative_control"}
    types = sweep.query("variant == 'base' and label == 'cell_type' and group == 'all' and calls == 'single'")
    assert types["genes"].tolist() == [16, 64]
    assert types["accuracy"].between(0, 100).all()
    notebook = (finished / "reports/tiny/figures/context_sweep.ipynb").read_text()
    assert '"output_type": "error"' not in notebook


def test_every_row_leaves_an_executed_notebook_without_errors(finished):
    for row in ("base", "negative_control"):
        page = finished / f"reports/tiny/{row}/seed_0/gymnasium.html"
        assert page.is_file()
        notebook = page.with_suffix(".ipynb").read_text()
        assert '"output_type": "error"' not in notebook
        assert '"execution_count": null' not in notebook


def test_a_model_folder_says_how_it_was_made(finished):
    folder = finished / "results/tiny/models/base/seed_0"
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert names >= {
        "model.safetensors",
        "experiment.json",
        "vocabulary.json",
        "history.csv",
        "cost.json",
        "record.json",
    }


def test_report_holds_table_and_notebooks(finished):
    finished.run(TARGET, "--report", "report.html", "--config", *SETTINGS)
    assert "gymnasium" in (finished / "report.html").read_text()


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    """A copy of the workflow that is killed again and again."""
    project = copy_project(tmp_path_factory.mktemp("killed") / "project")
    add_tiny_scale(project)
    return project


def start(project: Project, *options: str) -> subprocess.Popen[bytes]:
    """Start a run."""
    with (project / "printed.txt").open("w") as file:
        command = project.command(TARGET, *options, "--config", *SETTINGS)
        return subprocess.Popen(command, cwd=project.folder, env=project.environment, stdout=file, stderr=file)


def kill_when(project: Project, reached: Callable[[], bool]) -> bool:
    """Run until a point is reached and kill everything there; False when the run had ended before."""
    process = start(project)
    try:
        while not reached():
            if process.poll() is not None:
                return False
            time.sleep(0.05)
    finally:
        kill_all(process)
    return process.returncode == -signal.SIGKILL


def outputs(project: Project) -> int:
    """Number of files that jobs have made so far."""
    folders = (project / name for name in ("resources", "results", "work"))
    return sum(len(files) for folder in folders for _, _, files in os.walk(folder))


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_killed_at_many_points_and_started_again_the_table_is_the_same(project, finished):
    """Each time the next piece of work is hit: a new file is there, the process that makes the next one dies."""
    kills = 0
    for step in itertools.count(1):
        goal = outputs(project) + 2 + step % 7
        if not kill_when(project, lambda goal=goal: outputs(project) >= goal):
            break
        kills += 1
        for starts in (project / "work").rglob("starts.json"):
            starts.unlink()  # the guard against starts without progress would count these kills, rightly
        project.run("--unlock", "--config", *SETTINGS)
    assert kills >= 20
    pd.testing.assert_frame_equal(scores(project), scores(finished))
    first, second = (folder / "results/tiny/models/base/seed_0/model.safetensors" for folder in (project, finished))
    assert first.read_bytes() == second.read_bytes()


def test_a_killed_run_goes_on_by_the_command_of_the_readme(project, finished):
    """`make recover` stops what is left, unlocks, and ends with the same table; nothing half written is left by it."""
    process = start(project, "--forcerun", "predict_and_evaluate")
    while "workflow/scripts/run_notebook.py" not in running(process):
        assert process.poll() is None, (project / "printed.txt").read_text()[-3000:]
        time.sleep(0.05)
    process.kill()  # Snakemake alone: its jobs go on
    process.wait()
    before = leftovers(project)
    arguments = [f"VENV={sys.prefix}", "INSTALLED=", f"TARGETS={TARGET}", f"CONFIG={' '.join(SETTINGS)}"]
    done = subprocess.run(
        ["make", "-f", ROOT / "Makefile", "recover", *arguments],
        cwd=project.folder, env=project.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert "stopping processes: " in done.stderr
    assert leftovers(project) <= before
    pd.testing.assert_frame_equal(scores(project), scores(finished))


def running(process: subprocess.Popen[bytes]) -> list[str]:
    """Command lines of everything that a run has started."""
    words = []
    for child in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            words += child.cmdline()
    return words


def leftovers(project: Project) -> set[Path]:
    """Files that were being written when their job was killed."""
    return set((project / "results").rglob(".tmp-*"))
