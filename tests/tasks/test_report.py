"""The notebooks run from prediction files to score files; slow parts are shared."""

import subprocess
import sys

import nbformat
import numpy as np
import pandas as pd
import pytest
from scipy.stats import sem, t

from scprint2.baselines import BASELINES
from scprint2.baselines.training_cells import TrainingCells
from scprint2.metrics.journal import FOLDER
from scprint2.plots.controls import Band
from scprint2.tasks import report
from scprint2.tasks.examples import EXAMPLES, annotation_example
from scprint2.tasks.layout import read_truths
from scprint2.tasks.predict import MODEL_TASKS, Method, PredictionJob, predict
from scprint2.tasks.predictions import read_prediction, write_prediction
from scprint2.tasks.scores import read_scores
from tests.helpers import ROOT, make_genes, make_labels
from tests.tasks.example import ANNOTATE, DENOISE, make_cells, write_cells

SETTINGS = {
    "denoise": DENOISE.model_dump(),
    "embed": {"batch_size": 64, "cells": 120, "max_genes": 30, "kinds": ["cell_type", "all"]},
    "annotate": ANNOTATE,
    "networks": {
        "batch_size": 16, "genes": 20, "cells": 12, "minimum_cells": 5, "groups": "cell_type", "regulator": "query",
        "trees": 3, "methods": ["mean_queries_keys", "mean_attention"],
    },
}  # fmt: skip
NOTEBOOKS = ROOT / "workflow" / "notebooks"


def jobs(folder, tasks=tuple(SETTINGS)):
    make_cells(120).write_h5ad(folder / "cells.h5ad")
    pairs = [(i, j) for i in range(0, 50, 2) for j in range(50) if i != j and (7 * i + 13 * j) % 5 == 0]
    lines = ["regulator\ttarget", *(f"ENSG{i:05d}\tENSG{j:05d}" for i, j in pairs)]
    (folder / "truth.tsv").write_text("\n".join(lines) + "\n")
    cells, truth = str(folder / "cells.h5ad"), str(folder / "truth.tsv")
    return [
        PredictionJob(
            task, "role", "set", SETTINGS[task], cells, {"net": truth, "other": truth} if task == "networks" else {}
        )
        for task in tasks
    ]


def run(folder, notebooks, predictions):
    command = [
        sys.executable,
        "workflow/scripts/run_notebook.py",
        *map(str, notebooks),
        "--log",
        str(folder / "log.ipynb"),
    ]
    command += ["--out", str(folder / "out" / "report.ipynb"), "--files", "predictions", *map(str, predictions)]
    command += ["--parameters", f"scores={folder / 'scores'}", "scale=mini", "variant=some", "seed=2"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_all_notebooks_run_as_one_on_the_predictions_of_a_model(pretrained, tmp_path):
    predictions = predict(Method("some", pretrained, MODEL_TASKS), jobs(tmp_path), out=tmp_path / "predictions", seed=2)
    done = run(tmp_path, [NOTEBOOKS / f"{task}.ipynb" for task in SETTINGS], predictions)
    assert done.returncode == 0, done.stderr
    for task in SETTINGS:
        table = read_scores(tmp_path / "scores" / task / "set.tsv")
        assert set(table["variant"]) == {"some"}
        assert set(table["seed"]) == {2}
        assert (table["status"] == "ok").all(), table[["metric", "reason"]].to_string()
    notebook = nbformat.read(tmp_path / "out" / "report.ipynb", as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 14
    assert sum(cell.source.startswith("# ") and cell.cell_type == "markdown" for cell in notebook.cells) == 4
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Gene networks" in page


def test_a_notebook_runs_on_a_baseline_and_a_failed_prediction(tmp_path):
    train = TrainingCells(make_genes(), make_labels(), (write_cells(make_cells(20, unknown=20), tmp_path / "train"),))
    method = Method("knn", train, {"annotate": BASELINES["annotate"]["knn"]})
    predictions = predict(method, jobs(tmp_path, ("annotate",)), out=tmp_path / "predictions", seed=0)
    done = run(tmp_path, [NOTEBOOKS / "annotate.ipynb"], predictions)
    assert done.returncode == 0, done.stderr
    table = read_scores(tmp_path / "scores" / "annotate" / "set.tsv")
    assert table["reason"].str.contains("no labeled cell").all()


def spoil(prediction):
    """Break a part of a prediction in a way that leaves other parts to score."""
    if "denoised" in prediction.layers:
        prediction.layers["denoised"][3, 5] = np.nan
    if "X_scprint2_all" in prediction.obsm:
        prediction.obsm["X_scprint2"][2, 0] = np.nan
    if "confidence" in prediction.obs:
        prediction.obs.loc[prediction.obs_names[4], "confidence"] = np.nan
    if "truth" in prediction.uns:
        truth, networks = prediction.uns["truth"], prediction.uns["networks"]
        prediction.uns["truth"] = truth[truth["truth"] != "net"]  # no known edge of the first lies among these genes
        for key in networks.loc[networks["method"] == "mean_attention", "key"]:
            prediction.varp[key][:] = np.nan


def test_content_that_cannot_be_drawn_costs_its_own_scores_and_no_others(pretrained, tmp_path):
    paths = predict(Method("some", pretrained, MODEL_TASKS), jobs(tmp_path), out=tmp_path / "predictions", seed=2)
    for path in paths:
        prediction = read_prediction(path)
        spoil(prediction)
        prediction.write_h5ad(path)
    done = run(tmp_path, [NOTEBOOKS / f"{task}.ipynb" for task in SETTINGS], paths)
    assert done.returncode == 0, done.stderr
    tables = {task: read_scores(tmp_path / "scores" / task / "set.tsv") for task in SETTINGS}
    for table in tables.values():
        assert (table["status"] == "ok").any()
        assert (table.loc[table["status"] != "ok", "reason"] != "").all()
    networks = tables["networks"].set_index("metric")["status"]
    assert networks["odds_ratio"] == networks["odds_ratio_mean_attention:other"] == "failed"
    assert networks["odds_ratio:other"] == "ok"


def test_rows_share_a_kernel_and_its_imports_and_no_name(tmp_path):
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": kernel})
    notebook.cells = [
        nbformat.v4.new_code_cell("row, table = None, None", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(
            "import os, sys\nprint(row, table, os.getpid(), 'colorsys' in sys.modules, 'left' in dir())"
        ),
        nbformat.v4.new_code_cell("import colorsys\nleft = 1"),
    ]
    nbformat.write(notebook, tmp_path / "source.ipynb")
    command = [sys.executable, "workflow/scripts/run_notebook.py", str(tmp_path / "source.ipynb")]
    command += ["--log", f"{tmp_path}/log/ROW.ipynb", "--out", f"{tmp_path}/ROW/page.ipynb", "--rows", "one", "two"]
    command += ["--parameters", "row=ROW", "--files", "table", "tables/ROW.tsv"]
    subprocess.run(command, cwd=ROOT, check=True)
    printed = [
        nbformat.read(tmp_path / row / "page.ipynb", as_version=4).cells[2].outputs[0]["text"].strip().rsplit(" ", 3)
        for row in ("one", "two")
    ]
    (one, first, *before), (two, second, *after) = printed
    assert (one, two, first) == ("one ['tables/one.tsv']", "two ['tables/two.tsv']", second)
    assert (before, after) == (["False", "False"], ["True", "False"])
    assert (tmp_path / "log/two.ipynb").is_file()
    assert (tmp_path / "two/page.html").is_file()


def test_a_cell_that_raises_fails_the_run_and_leaves_the_evidence(tmp_path):
    done = run(tmp_path, [NOTEBOOKS / "annotate.ipynb"], [tmp_path / "annotate" / "missing.h5ad"])
    assert done.returncode != 0
    assert (tmp_path / "log.ipynb").is_file()
    assert not (tmp_path / "out" / "report.ipynb").exists()


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_are_tracked_without_output_and_with_parameters(path):
    notebook = nbformat.read(path, as_version=4)
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in notebook.cells)
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in notebook.cells) == 1


def test_predictions_of_other_tasks_are_passed_over_and_none_is_an_error(pretrained, tmp_path):
    predict(Method("x", pretrained, MODEL_TASKS), jobs(tmp_path, ("denoise",)), out=tmp_path / "p", seed=0)
    values = {"scale": "mini", "variant": "x", "seed": 0}
    scored = report.score_task("denoise", str(tmp_path / "p"), str(tmp_path / "s"), **values)
    assert [one.dataset for one in scored] == ["set"]
    with pytest.raises(ValueError, match="scprint2 predict"):
        report.score_task("embed", str(tmp_path / "p"), str(tmp_path / "s"), **values)


def test_the_correlation_of_a_cell_is_over_its_non_zero_entries(pretrained, tmp_path):
    (path,) = predict(Method("x", pretrained, MODEL_TASKS), jobs(tmp_path, ("denoise",)), out=tmp_path, seed=0)
    prediction = report.score_task("denoise", [str(path)], str(tmp_path), scale="m", variant="x", seed=0)[0].prediction
    found = report.cell_correlations(prediction)
    full, noisy = prediction.X.toarray(), prediction.layers["noisy"].toarray()
    expected = pd.DataFrame({"a": noisy[3][full[3] > 0], "b": full[3][full[3] > 0]}).corr("spearman").iloc[0, 1]
    assert found["noisy"].iloc[3] == pytest.approx(expected)
    assert np.isfinite(found["denoised"]).all()


def test_the_strongest_edges_are_of_the_scored_universe(pretrained, tmp_path):
    (path,) = predict(Method("x", pretrained, MODEL_TASKS), jobs(tmp_path, ("networks",)), out=tmp_path, seed=0)
    prediction = report.score_task("networks", [str(path)], str(tmp_path), scale="m", variant="x", seed=0)[0].prediction
    name, edges, expected = report.strongest_edges(prediction, most=10)
    truth = read_truths(prediction)["net"]
    sources = {f"G{int(gene[4:])}" for gene in truth["regulator"]}
    known = {(f"G{int(a[4:])}", f"G{int(b[4:])}") for a, b in truth.to_numpy()}
    assert set(edges["regulator"]) <= sources
    assert (edges["regulator"] != edges["target"]).all()
    assert edges["score"].is_monotonic_decreasing
    assert list(edges["known"]) == [pair in known for pair in zip(edges["regulator"], edges["target"], strict=True)]
    assert 0 < expected < 10
    assert "mean queries keys" in name


def test_the_table_of_scores_has_the_mean_over_donors_with_its_interval(tmp_path):
    paths = []
    for name, dataset in (("many", annotation_example("ordinary")), ("none", annotation_example("ordinary"))):
        if name == "none":
            del dataset.obs["donor_id"]
        paths.append(tmp_path / "annotate" / f"{name}.h5ad")
        write_prediction(paths[-1], dataset, about={"task": "annotate", "dataset": name})
    scored = report.score_task("annotate", map(str, paths), str(tmp_path / "s"), scale="m", variant="x", seed=0)
    table = report.score_table(scored)
    values = [one.values for one in scored]
    donors = values[0][values[0].index.str.contains(":donor=")]
    assert len(donors) == 4
    assert not table.index.str.contains("=").any()
    low, high = table.loc["accuracy, mean over donors", "many"].split("(")[1].split(";")[0].split(" to ")
    theirs = t.interval(0.95, 3, loc=donors.mean(), scale=sem(donors))
    assert float(low) < donors.mean() < float(high)
    assert float(high) - float(low) == pytest.approx(theirs[1] - theirs[0], rel=0.2)
    assert table.loc["accuracy, mean over donors", "none"] == ""


def test_the_controls_of_an_answer_are_those_of_the_same_kind_of_answer():
    one = report.Scored("lung", annotation_example("ordinary"), pd.DataFrame(columns=["metric", "value", "status"]))
    smoothed, best = Band(1.0, 2.0, ("random",)), Band(3.0, 4.0, ("random",))
    bands = {
        ("annotate", "lung", "macro_f1_strict_smoothed"): smoothed,
        ("annotate", "lung", "accuracy_top_5"): best,
        ("annotate", "pancreas", "accuracy"): best,
    }
    found = report.answer_bands(one, bands)
    assert found == {("smoothed", "macro_f1_strict"): smoothed, ("best of 5", "accuracy"): best}


@pytest.mark.parametrize("task", list(EXAMPLES))
def test_scores_are_taken_from_the_journal_of_an_earlier_process(task, tmp_path, monkeypatch):
    (tmp_path / "journals").mkdir()
    monkeypatch.setenv(FOLDER, str(tmp_path / "journals"))
    path = tmp_path / "p" / task / "set.h5ad"
    write_prediction(path, EXAMPLES[task]("ordinary"), about={"task": task, "dataset": "set"})
    arguments = (task, str(tmp_path / "p"), str(tmp_path / "s"))
    values = {"scale": "mini", "variant": "x", "seed": 0}
    (first,) = report.score_task(*arguments, **values)
    (journal,) = (tmp_path / "journals").iterdir()
    lines = journal.read_text()
    (second,) = report.score_task(*arguments, **values)
    pd.testing.assert_frame_equal(second.rows, first.rows)  # with the seconds that the first one took
    assert lines.count("null") > 5
    assert journal.read_text() == lines
