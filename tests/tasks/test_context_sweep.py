import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from scprint2.cli import app
from scprint2.config.sweeps import read_sweep
from scprint2.costs import read_sweep_cost
from scprint2.data import ontology
from scprint2.metrics.annotation import expected_accuracy
from scprint2.plots.context_sweep import find_control_range, plot_context_sweep, read_sweeps
from scprint2.tasks.annotate import AnnotateSettings, predict_cell_types
from scprint2.tasks.context_sweep import COLUMNS, ContextSweepSettings, sweep_context
from scprint2.tasks.refinement import SmoothConfig
from scprint2.tasks.scores import annotation_scores
from tests.helpers import CONFIG
from tests.tasks.example import ANNOTATE, make_cells

VALUES = {
    "batch_size": 16, "cells": 1000, "lengths": [10, 30, 200], "smoothing": ANNOTATE["refinements"]["smoothed"]
}  # fmt: skip
SETTINGS = ContextSweepSettings.model_validate(VALUES)
SCALES = sorted(path.stem for path in (CONFIG / "scales").glob("*.yaml"))


@pytest.fixture
def labeled(cells):
    """Cells with a second label that varies; the others are one value or unknown."""
    cells.obs["sex_ontology_term_id"] = np.where(np.arange(cells.n_obs) % 3, "PATO:0000383", "PATO:0000384")
    return cells


@pytest.fixture
def sweep(pretrained, labeled):
    return sweep_context(pretrained, labeled, settings=SETTINGS)


def test_every_label_that_the_cells_have_is_predicted_from_every_number_of_genes(sweep):
    assert tuple(sweep.columns) == COLUMNS
    usable = sweep[sweep["genes"] < 200]
    assert set(usable["label"]) == {"cell_type", "sex", "organism"}
    assert len(usable) == 3 * 2 * 2 * 2  # labels, numbers, groups, kinds of calls
    assert set(usable.loc[usable["group"] == "all", "cells"]) == {60}
    majority = usable.loc[usable["group"] == "all"].groupby("label")["majority"].first()
    assert majority.to_dict() == pytest.approx({"cell_type": 50, "sex": 200 / 3, "organism": 100})


def test_the_accuracy_is_that_of_the_task_annotate(sweep, pretrained, labeled):
    settings = AnnotateSettings.model_validate(ANNOTATE | {"max_genes": 30})
    scores = annotation_scores(predict_cell_types(pretrained, labeled, settings=settings, seed=0))
    own = sweep.query("label == 'cell_type' and genes == 30 and group == 'all'").set_index("calls")["accuracy"]
    assert own["single"] == scores["accuracy"].value
    assert own["smoothed"] == scores["accuracy_smoothed"].value


def test_the_controls_are_what_chance_and_dealt_calls_are_expected_to_get(sweep, pretrained, labeled):
    leaves, known = pretrained.labels["cell_type"].leaves, labeled.obs["cell_type_ontology_term_id"]
    lines = sweep.query("label == 'cell_type' and genes == 30 and group == 'all'").set_index("calls")
    right = [term in (leaf, *ontology.ancestors(leaf)) for term in known for leaf in leaves]
    assert lines.loc["single", "random"] == pytest.approx(100 * np.mean(right)) != 0
    truth, calls = np.array(list("aab")), np.array(list("abbb"))
    assert expected_accuracy(truth, calls, ancestors={}) == pytest.approx(100 * (2 / 3 * 1 / 4 + 1 / 3 * 3 / 4))
    assert expected_accuracy(truth, calls, ancestors={"b": {"a"}}) == pytest.approx(100 * (2 / 3 * 1 + 1 / 3 * 3 / 4))
    assert (lines["shuffled"] <= lines["majority"] + 1e-9).all(), (
        "calls that are dealt never beat the most frequent value"
    )


def test_a_control_row_is_in_the_band_and_has_no_line(sweep):
    base = sweep.assign(variant="base", seed=0, dataset="set", random=10.0, shuffled=20.0)
    untrained = base.assign(variant="no_training", accuracy=35.0)
    both = pd.concat([base, untrained])
    ends = find_control_range(both[both["label"] == "cell_type"].query("genes < 200"), {"no_training": "untrained"})
    assert ends.loc[30].to_dict() == {"low": 10, "high": 35}
    figure = plot_context_sweep(both, scale="mini", controls={"no_training": "untrained"})
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "no training" not in legend
    assert legend[-1] == "controls (random, shuffled, untrained)"
    without = plot_context_sweep(base, scale="mini")
    assert [text.get_text() for text in without.legends[0].get_texts()][-1] == "controls (random, shuffled)"


def test_a_table_of_a_version_without_controls_says_what_to_do(sweep, tmp_path):
    (tmp_path / "base/seed_0").mkdir(parents=True)
    sweep.drop(columns=["random"]).to_csv(tmp_path / "base/seed_0/set.tsv", sep="\t", index=False)
    with pytest.raises(ValueError, match="remove it and sweep again"):
        read_sweeps([tmp_path / "base/seed_0/set.tsv"])


def test_deep_cells_are_those_that_express_as_many_genes(sweep, labeled):
    expressed = np.asarray((labeled.X > 0).sum(axis=1)).ravel()
    deep = sweep.query("label == 'cell_type' and group == 'deep' and calls == 'single'").set_index("genes")["cells"]
    assert deep[30] == (expressed >= 30).sum()
    assert deep[10] == (expressed >= 10).sum() > deep[30]


def test_more_genes_than_the_dataset_has_fail_with_the_reason(sweep):
    lines = sweep[sweep["genes"] == 200]
    assert set(lines["status"]) == {"failed"}
    assert set(lines["reason"]) == {"the dataset has 50 genes"}
    assert lines["accuracy"].isna().all()


def test_a_smoothing_that_fails_is_a_failed_line_and_single_calls_are_scored(pretrained, labeled, monkeypatch):
    def fail(*arguments):
        raise ValueError("did not converge")

    monkeypatch.setattr(SmoothConfig, "refine", fail)
    swept = sweep_context(pretrained, labeled, settings=SETTINGS).query("genes == 30")
    assert set(swept.loc[swept["calls"] == "smoothed", "reason"]) == {"ValueError: did not converge"}
    assert (swept.loc[swept["calls"] == "single", "status"] == "ok").all()


def test_the_command_writes_what_the_figure_reads(pretrained, labeled, tmp_path, monkeypatch):
    monkeypatch.setattr("scprint2.tasks.predict.load_pretrained", lambda folder, device: pretrained)
    labeled.write_h5ad(tmp_path / "cells.h5ad")
    (tmp_path / "model").mkdir()
    out = tmp_path / "base" / "seed_3" / "set.tsv"
    settings = SETTINGS.model_dump_json()
    arguments = [
        "--model",
        tmp_path / "model",
        "--cells",
        tmp_path / "cells.h5ad",
        "--settings",
        settings,
        "--out",
        out,
    ]
    done = CliRunner().invoke(app, ["sweep-context", *map(str, arguments), "--device", "cpu"])
    assert done.exit_code == 0, done.output
    spent = read_sweep_cost(out.with_name("set.cost.json"))
    assert (spent["variant"], spent["seed"], spent["dataset"]) == ("base", 3, "set")
    assert spent["seconds"] > 0
    assert spent["cells"] == min(labeled.n_obs, SETTINGS.cells)
    read = read_sweeps([out])
    assert (read["seed"] == 3).all()
    assert (read["variant"] == "base").all()
    assert read.query("genes == 200")["accuracy"].isna().all()


def test_the_figure_has_a_panel_per_label_and_draws_no_accuracy_of_few_cells(sweep):
    table = sweep.assign(variant="base", seed=0, dataset="set")
    table.loc[(table["group"] == "deep") & (table["genes"] == 30), "cells"] = 3
    figure = plot_context_sweep(table, scale="mini")
    titles = [axis.get_title(loc="left") for axis in figure.axes if axis.get_visible()]
    assert titles == ["cell type", "sex", "organism"]
    floor, deep, everything = figure.axes[0].lines[2:5]  # behind the two ends of the controls
    assert list(floor.get_ydata()) == [50, 50]
    assert list(deep.get_xdata()) == [10]
    assert list(everything.get_xdata()) == [10, 30]


def test_a_figure_of_nothing_says_why(sweep):
    table = sweep[sweep["genes"] == 200].assign(variant="base", seed=0, dataset="set")
    with pytest.raises(ValueError, match="the dataset has 50 genes"):
        plot_context_sweep(table, scale="mini")


@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_gives_the_sweep_settings_that_it_accepts(scale):
    sweep = read_sweep(CONFIG, "context", scale=scale)
    lengths = ContextSweepSettings.model_validate(sweep["settings"]).lengths
    assert list(lengths) == sorted(lengths)
    assert {path.stem for path in (CONFIG / "variants").glob("*.yaml")} >= set(sweep["variants"])


def test_a_sweep_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="no sweep 'depth'"):
        read_sweep(CONFIG, "depth", scale="mini")


def test_a_label_that_no_cell_has_is_left_out(pretrained):
    found = sweep_context(pretrained, make_cells(20, unknown=20), settings=SETTINGS)
    assert set(found["label"]) == {"organism"}
