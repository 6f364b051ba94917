"""The table of costs: from what jobs left behind to lines, sums, and the front of scores against seconds."""

import json

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from scprint2.accounting import JobCost
from scprint2.costs import (
    BY_ROW,
    BY_STUDY,
    EVALUATION,
    NOT_AVAILABLE,
    PREDICTION,
    SWEEP,
    TRAINING,
    collect_costs,
    collect_study_costs,
    read_costs,
    read_evaluation_cost,
    read_prediction_cost,
    read_study_costs,
    read_sweep_cost,
    read_training_cost,
    sum_costs,
    write_costs,
)
from scprint2.files import write_json
from scprint2.plots.controls import Band
from scprint2.plots.pareto import find_band, find_front, find_tasks, lay_out_pareto, plot_pareto
from scprint2.tasks.predictions import write_prediction

ROWS = [{"variant": name, "section": "Base", "name": name.title()} for name in ("base", "other")]
COST = JobCost("cpu A", 2.0, 1.5, 0.0, None, "not available: no GPU was used", 100, None, 8)


def job(variant, kind, *, seed=0, task="all", dataset="all", **changes):
    place = {"variant": variant, "seed": seed, "job": kind, "task": task, "dataset": dataset}
    return {**place, **COST.to_json(), **changes}


def test_costs_are_read_from_what_each_kind_of_job_leaves(tmp_path):
    model = tmp_path / "models/base/seed_1"
    write_json(model / "cost.json", {**COST.to_json(), "seconds": 30.0})
    prediction = tmp_path / "predictions/base/seed_1/embed/lung_a.h5ad"
    cells = AnnData(np.ones((2, 1)), obs=pd.DataFrame(index=["a", "b"]))
    write_prediction(prediction, cells, about={"cost": COST.to_json()})
    evaluation = tmp_path / "scores/base/seed_1/embed/lung_a.cost.json"
    write_json(evaluation, {**COST.to_json(), "cells": 2})
    lines = [read_training_cost(model), read_prediction_cost(prediction), read_evaluation_cost(evaluation)]
    assert [(line["variant"], line["seed"], line["job"], line["task"], line["dataset"]) for line in lines] == [
        ("base", 1, TRAINING, "all", "all"),
        ("base", 1, PREDICTION, "embed", "lung_a"),
        ("base", 1, EVALUATION, "embed", "lung_a"),
    ]
    assert [line["seconds"] for line in lines] == [30.0, 2.0, 2.0]


def test_a_prediction_of_a_version_that_measured_nothing_says_what_to_do(tmp_path):
    write_prediction(tmp_path / "a/seed_0/embed/x.h5ad", AnnData(np.ones((1, 1))), about={"seconds": 3})
    with pytest.raises(ValueError, match="remove it and predict again"):
        read_prediction_cost(tmp_path / "a/seed_0/embed/x.h5ad")


def test_lines_stand_in_the_order_of_table_1_and_what_is_not_known_says_so(tmp_path):
    jobs = [job("other", TRAINING), job("base", EVALUATION, task="embed"), job("base", TRAINING), job("gone", TRAINING)]
    costs = collect_costs(jobs, ROWS)
    assert costs[["variant", "job"]].to_numpy().tolist() == [
        ["base", TRAINING],
        ["base", EVALUATION],
        ["other", TRAINING],
    ]
    write_costs(costs, tmp_path / "costs.csv")
    text = pd.read_csv(tmp_path / "costs.csv", dtype=str, keep_default_na=False)
    assert set(text["energy_joules"]) == {NOT_AVAILABLE}
    assert (text != "").all(axis=None)
    pd.testing.assert_frame_equal(read_costs(tmp_path / "costs.csv"), costs, check_dtype=False)


def test_sums_keep_the_largest_memory_and_energy_only_where_every_job_tells_it():
    jobs = [
        job("base", PREDICTION, task="embed", energy_joules=5.0),
        job("base", PREDICTION, task="denoise", energy_joules=7.0, peak_memory_bytes=300),
        job("other", PREDICTION, task="embed", energy_joules=5.0),
        job("other", PREDICTION, task="denoise"),
    ]
    sums = sum_costs(collect_costs(jobs, ROWS), by=BY_ROW).set_index("variant")
    assert (sums.loc["base", "seconds"], sums.loc["base", "peak_memory_bytes"], sums.loc["base", "cells"]) == (
        4,
        300,
        16,
    )
    assert sums.loc["base", "energy_joules"] == 12
    assert np.isnan(sums.loc["other", "energy_joules"])


def test_a_study_is_charged_its_predictions_and_evaluations_and_a_sweep_its_own(tmp_path):
    study = tmp_path / "studies/depth_full/base/seed_1"
    for dataset, seconds in (("lung", 2.0), ("blood", 3.0)):
        cells = AnnData(np.ones((2, 1)), obs=pd.DataFrame(index=["a", "b"]))
        about = {"cost": {**COST.to_json(), "seconds": seconds}}
        write_prediction(study / f"predictions/denoise/{dataset}.h5ad", cells, about=about)
    write_json(study / "scores/denoise/lung.cost.json", {**COST.to_json(), "seconds": 0.5})
    swept = tmp_path / "context_sweep/base/seed_0/smart.cost.json"
    write_json(swept, {**COST.to_json(), "seconds": 7.0})
    shorter = {"study": "score_curves", **job("base-epochs_2", TRAINING, seconds=9.0)}
    costs = collect_study_costs([shorter, *read_study_costs(study), read_sweep_cost(swept)])
    assert costs[["study", "variant", "seed", "job", "dataset", "seconds"]].to_numpy().tolist() == [
        ["context_sweep", "base", 0, SWEEP, "smart", 7.0],
        ["depth_full", "base", 1, PREDICTION, "blood", 3.0],
        ["depth_full", "base", 1, PREDICTION, "lung", 2.0],
        ["depth_full", "base", 1, EVALUATION, "lung", 0.5],
        ["score_curves", "base-epochs_2", 0, TRAINING, "all", 9.0],
    ]
    write_costs(costs, tmp_path / "study_costs.csv")
    sums = sum_costs(read_costs(tmp_path / "study_costs.csv"), by=BY_STUDY)
    assert sums["seconds"].tolist() == [7.0, 5.0, 0.5, 9.0]
    assert sums["cells"].tolist() == [8, 16, 8, 8]


def test_a_run_without_studies_has_a_table_of_their_costs_without_lines(tmp_path):
    write_costs(collect_study_costs([]), tmp_path / "study_costs.csv")
    assert sum_costs(read_costs(tmp_path / "study_costs.csv"), by=BY_STUDY).empty


def test_the_front_holds_just_the_rows_that_nothing_beats():
    rng = np.random.default_rng(0)
    cost, score = rng.integers(0, 30, 200).astype(float), rng.integers(0, 30, 200).astype(float)
    front = find_front(cost, score)
    for row in range(200):
        beaten = ((cost <= cost[row]) & (score > score[row])) | ((cost < cost[row]) & (score >= score[row]))
        same = (cost == cost[row]) & (score == score[row])
        assert front[same].sum() == (0 if beaten.any() else 1)  # of equal rows, one


def table() -> pd.DataFrame:
    rows = [("base", "Base", 3, 50.0, 2.0), ("other", "Loss", 1, 60.0, np.nan), ("negative_control", "Control", 1, 10.0, np.nan),
            ("pca", "baseline", 1, 40.0, np.nan)]  # fmt: skip
    names = ["variant", "section", "seeds", "scib_lung", "scib_lung_sd"]
    return pd.DataFrame(rows, columns=names).assign(name=lambda frame: frame["variant"])


def test_a_row_is_charged_its_training_and_the_predictions_of_the_columns_task():
    costs = pd.DataFrame(
        [
            job("base", TRAINING, seconds=10.0),
            job("base", TRAINING, seed=1, seconds=20.0),
            job("base", PREDICTION, task="embed", seconds=1.0),
            job("base", PREDICTION, task="embed", seed=1, seconds=3.0),
            job("base", PREDICTION, task="denoise", seconds=100.0),
            job("base", EVALUATION, task="embed", seconds=100.0),
            job("other", TRAINING, seconds=30.0),
            job("negative_control", TRAINING, seconds=0.0),
            job("negative_control", PREDICTION, task="embed", seconds=1.5),
            job("pca", PREDICTION, task="embed", seconds=0.5),
        ]
    )
    controls = {"negative_control": "untrained", "shuffled": "shuffled"}
    drawn = lay_out_pareto(table(), costs, {"scib_lung": "embed"}, controls=controls).set_index("variant")
    assert drawn["seconds"].to_dict() == {"base": 17.0, "other": 30.0, "negative_control": 1.5, "pca": 0.5}
    assert drawn["front"].to_dict() == {"base": True, "other": True, "negative_control": False, "pca": True}
    assert drawn["kind"].to_dict() == {
        "base": "base", "other": "trained row", "negative_control": "control", "pca": "baseline",
    }  # fmt: skip
    figure = plot_pareto(drawn.reset_index(), scale="mini", devices="cpu A")
    (band,) = figure.axes[0].patches
    assert (band.get_y(), band.get_height()) == (10, 0), "the only control has a score of 10"
    assert "controls (untrained)" in {text.get_text() for text in figure.legends[0].get_texts()}
    texts = {text.get_text() for text in figure.axes[0].texts}
    assert texts == {"base", "other", "pca"}


def test_a_row_is_a_control_by_its_property_and_not_by_its_name():
    costs = pd.DataFrame([job(name, PREDICTION, task="embed") for name in ("base", "negative_control", "pca")])
    drawn = lay_out_pareto(table(), costs, {"scib_lung": "embed"}, controls={"pca": "shuffled"}).set_index("variant")
    assert drawn["kind"].to_dict() == {"base": "base", "negative_control": "trained row", "pca": "control"}
    assert find_band(drawn) == Band(40.0, 40.0, ("shuffled",))
    assert find_band(drawn.loc[["base"]]) is None


def test_of_names_that_would_lie_on_each_other_the_best_is_written():
    costs = pd.DataFrame(
        [job(name, PREDICTION, task="embed", seconds=seconds) for name, seconds in (("base", 1.1), ("pca", 1.0))]
    )
    close = table().query("variant in ['base', 'pca']").assign(scib_lung=[50.0, 49.9])
    far = pd.DataFrame([job("other", PREDICTION, task="embed", seconds=90.0)])
    rows = pd.concat([close, table().query("variant == 'other'")])
    drawn = lay_out_pareto(rows, pd.concat([costs, far]), {"scib_lung": "embed"}, controls={})
    assert drawn["front"].all()
    texts = {text.get_text() for text in plot_pareto(drawn, scale="mini", devices="cpu A").axes[0].texts}
    assert texts == {"base", "other"}


def test_tasks_of_columns_are_found_in_the_long_table():
    lines = [("denoise", "denoise"), ("scib_lung scib_pancreas", "embed"), ("", "embed"), ("gpu_min_per_epoch", "cost")]
    assert find_tasks(pd.DataFrame(lines, columns=["column", "task"])) == {
        "denoise": "denoise",
        "scib_lung": "embed",
        "scib_pancreas": "embed",
    }


def test_every_prediction_and_evaluation_of_a_run_leaves_its_cost(tmp_path):
    from scprint2.baselines import BASELINES
    from scprint2.baselines.training_cells import TrainingCells
    from scprint2.tasks import report
    from scprint2.tasks.predict import Method, PredictionJob, predict
    from tests.helpers import make_genes, make_labels
    from tests.tasks.example import make_cells
    from tests.tasks.test_report import SETTINGS

    no_cells = TrainingCells(make_genes(), make_labels(), ())
    make_cells(60).write_h5ad(tmp_path / "cells.h5ad")
    settings = SETTINGS["denoise"]
    jobs = [PredictionJob("denoise", "denoise", "set", settings, str(tmp_path / "cells.h5ad"))]
    tasks = {task: entries["identity"] for task, entries in BASELINES.items() if "identity" in entries}
    folder = tmp_path / "predictions/identity/seed_0"
    (path,) = predict(Method("identity", no_cells, tasks), jobs, out=folder, seed=0)
    report.score_task(
        "denoise", str(folder), str(tmp_path / "scores/identity/seed_0"), scale="mini", variant="x", seed=0
    )
    predicted = read_prediction_cost(path)
    evaluated = read_evaluation_cost(tmp_path / "scores/identity/seed_0/denoise/set.cost.json")
    for line in (predicted, evaluated):
        assert line["seconds"] > 0
        assert line["cells"] == 40
        json.dumps(line, allow_nan=False)
