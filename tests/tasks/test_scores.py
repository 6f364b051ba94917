import time

import numpy as np
import pandas as pd
import pytest
import yaml
from anndata import AnnData

from scprint2.cards import find_card
from scprint2.metrics.attempt import attempt
from scprint2.metrics.score import Score
from scprint2.tasks import scores as scores_module
from scprint2.tasks.annotate import annotation
from scprint2.tasks.denoise import prepare_denoising
from scprint2.tasks.examples import EXAMPLES
from scprint2.tasks.layout import Group, Network, lay_out, lay_out_truths, read_truths
from scprint2.tasks.predictions import write_prediction
from scprint2.tasks.scores import (
    MAIN_METRICS,
    SCORERS,
    annotation_scores,
    denoising_scores,
    embedding_scores,
    network_scores,
    read_scores,
    score_prediction,
    score_rows,
    write_scores,
)
from scprint2.tasks.selection import dense_counts
from tests.helpers import CONFIG
from tests.tasks.example import B_CELL, CD4, DENOISE, T_CELL, make_cells

COLUMNS = "scale variant seed task dataset metric value status reason seconds version versions".split()


def network(scores, **truths):
    cells = make_cells(genes=len(scores))
    prediction = lay_out(cells, [Network(Group("all", np.arange(3), np.arange(len(scores))), "first", scores)])
    tables = {name: pd.DataFrame(edges, columns=["regulator", "target"]) for name, edges in truths.items()}
    prediction.uns["truth"] = lay_out_truths(tables, genes=prediction.var_names)
    return prediction


def test_restoring_everything_gains_all_that_the_noise_took(cells):
    prediction = prepare_denoising(cells, DENOISE).prediction
    prediction.layers["denoised"] = dense_counts(prediction)
    perfect = denoising_scores(prediction)
    assert perfect["spearman_denoised"].value == pytest.approx(1)
    assert perfect["spearman_gain"].value == pytest.approx(100 * (1 - perfect["spearman_noisy"].value))
    prediction.layers["denoised"] = prediction.layers["noisy"]
    assert denoising_scores(prediction)["spearman_gain"].value == 0
    assert "spearman_gain_true_mean" in perfect


def test_cells_without_a_label_are_left_out_of_the_embedding_score():
    rng = np.random.default_rng(0)
    cells = make_cells(200, unknown=20)
    obs = pd.DataFrame({"label": cells.obs["cell_type_ontology_term_id"], "batch": cells.obs["batch"]})
    prediction = AnnData(obs=obs)
    prediction.obsm["X_scprint2"] = rng.normal(size=(200, 4)).astype(np.float32)
    labeled = AnnData(obs=obs[20:])
    labeled.obsm["X_scprint2"] = prediction.obsm["X_scprint2"][20:]
    assert embedding_scores(prediction)["scib_total"] == embedding_scores(labeled)["scib_total"]


def test_a_read_out_and_a_quarter_by_depth_are_scored_as_the_main_one_is(cells):
    prediction = prepare_denoising(cells, DENOISE).prediction
    full = dense_counts(prediction)
    prediction.layers["denoised"], prediction.layers["denoised_uninflated"] = full, dense_counts(prediction, "noisy")
    scores = denoising_scores(prediction)
    assert scores["spearman_gain:uninflated"].value == 0
    assert scores["spearman_gain_all:uninflated"].value == 0
    assert all(scores[f"spearman_gain:depth_{part}"].value > 0 for part in (1, 2, 3, 4))
    deepest = np.argsort(prediction.obs["noisy_depth"].to_numpy(), kind="stable")[-10:]
    assert scores["spearman_gain:depth_4"].value == denoising_scores(prediction[deepest])["spearman_gain"].value


def test_each_further_embedding_is_scored_under_its_kind():
    rng = np.random.default_rng(0)
    cells = make_cells(200, unknown=20)
    prediction = AnnData(
        obs=pd.DataFrame({"label": cells.obs["cell_type_ontology_term_id"], "batch": cells.obs["batch"]})
    )
    shift = 20 * (cells.obs["batch"] == "b1").to_numpy(dtype=float)[:, None]
    prediction.obsm["X_pca"] = cells.obsm["X_pca"] + shift
    prediction.obsm["X_scprint2"] = rng.normal(size=(200, 4))
    prediction.obsm["X_scprint2_all"] = cells.obsm["X_pca"] + shift
    scores = embedding_scores(prediction)
    prediction.obsm["X_scprint2"] = prediction.obsm["X_pca"]
    alone = embedding_scores(prediction)
    assert "scib_classic_total:all" not in scores
    for metric in ("scib_bio", "scib_batch", "scib_total", "bras", "cilisi", "knn_label_purity"):
        assert scores[f"{metric}:all"] == alone[metric]
    assert scores["scib_bio:all"].value > scores["scib_bio"].value
    assert alone["pcr_comparison"].value == 0
    assert scores["pcr_comparison"].value > 0.9


def test_a_call_below_the_truth_is_right_and_one_above_is_not():
    cells = make_cells(types=(T_CELL, CD4))
    called = np.where(cells.obs["cell_type_ontology_term_id"] == T_CELL, CD4, T_CELL)
    prediction = annotation(cells, called, confidence=np.ones(60, dtype=np.float32), known=[CD4])
    scores = annotation_scores(prediction)
    assert scores["accuracy"].value == 50
    assert scores["accuracy_strict"].value == 0
    assert scores["answerable"].value == 100


def test_a_perfect_network_beats_a_random_one_and_its_transposed():
    truth = [("ENSG00000", "ENSG00003"), ("ENSG00001", "ENSG00004"), ("ENSG00000", "ENSG00005")]
    scores = np.random.default_rng(0).random((10, 10), dtype=np.float32) * 0.5
    random = network_scores(network(scores.copy(), net=truth))
    for row, column in ((0, 3), (1, 4), (0, 5)):
        scores[row, column] = 1
    perfect = network_scores(network(scores, net=truth))
    turned = network_scores(network(scores.T.copy(), net=truth))
    assert perfect["odds_ratio"].value > 5 * max(random["odds_ratio"].value, turned["odds_ratio"].value)
    assert perfect["auprc"].value == pytest.approx(1 - perfect["prevalence"].value)


def test_each_further_truth_and_method_has_rows_of_its_own_and_the_first_has_the_plain_names(tmp_path):
    rng = np.random.default_rng(0)
    truths = {
        "zeta": [(f"ENSG{i:05d}", f"ENSG{j:05d}") for i in range(4) for j in range(5, 9) if (i + j) % 2],
        "alpha": [("ENSG00002", "ENSG00001"), ("ENSG00005", "ENSG00003"), ("ENSG00002", "elsewhere")],
    }
    both = network(rng.random((10, 10), dtype=np.float32), **truths)
    write_prediction(tmp_path / "x.h5ad", both, about={"task": "networks", "dataset": "x"})
    prediction, scores = score_prediction(tmp_path / "x.h5ad")
    assert {name: len(edges) for name, edges in read_truths(prediction).items()} == {"zeta": 8, "alpha": 2}
    plain = [name for name in scores if ":" not in name]
    assert list(scores) == [*plain, *(f"{name}:alpha" for name in plain)]
    for name, edges in truths.items():
        alone = network_scores(network(both.varp["GRN"], **{name: edges}))
        suffix = "" if name == "zeta" else ":alpha"
        assert {metric: scores[f"{metric}{suffix}"] for metric in plain} == alone


def test_a_truth_that_no_gene_of_the_network_is_in_fails_alone():
    prediction = network(np.eye(10, dtype=np.float32), net=[("ENSG00000", "ENSG00003")], other=[("A", "B")])
    scores = network_scores(prediction)
    assert scores["auprc"].status == "ok"
    assert "no true edge" in scores["auprc:other"].reason
    assert "no true edge" in scores["shuffled_kept:other"].reason
    assert scores["odds_ratio_shuffled"].reason.endswith("no other network has the degrees of the true one")


def test_a_network_without_known_edges_fails_with_the_reason(tmp_path):
    prediction = network(np.eye(10, dtype=np.float32), net=[("A", "B")])
    del prediction.uns["truth"]
    write_prediction(tmp_path / "x.h5ad", prediction, about={"task": "networks", "dataset": "x"})
    _, scores = score_prediction(tmp_path / "x.h5ad")
    assert set(scores) == {"odds_ratio", "auprc"}
    assert "registry" in scores["auprc"].reason


@pytest.mark.parametrize("task", MAIN_METRICS)
def test_a_prediction_that_could_not_be_made_becomes_failed_rows(tmp_path, task):
    empty = AnnData(obs=pd.DataFrame(index=pd.Index([], dtype=str)))
    write_prediction(tmp_path / "x.h5ad", empty, about={"task": task, "dataset": "x", "failed": "no such\tthing\nhere"})
    prediction, scores = score_prediction(tmp_path / "x.h5ad")
    rows = score_rows(prediction, scores, scale="mini", variant="base", seed=3)
    write_scores(tmp_path / "x.tsv", rows)
    table = read_scores(tmp_path / "x.tsv")
    assert list(table) == COLUMNS
    assert list(table["metric"]) == list(MAIN_METRICS[task])
    assert (table["status"] == "failed").all()
    assert (table["reason"] == "no such thing here").all()
    assert table["value"].isna().all()
    assert (table["variant"] == "base").all()


def test_a_scorer_that_raises_fails_its_prediction_alone(tmp_path, monkeypatch):
    def crash(prediction):
        raise RuntimeError("boom")

    monkeypatch.setitem(SCORERS, "embed", crash)
    write_prediction(tmp_path / "x.h5ad", make_cells(), about={"task": "embed", "dataset": "x"})
    _, scores = score_prediction(tmp_path / "x.h5ad")
    assert scores["scib_total"].reason == "RuntimeError: boom"


def test_every_metric_of_table_1_is_among_the_main_ones():
    from scprint2.config.tasks import read_tasks

    for column in read_tasks(CONFIG, scale="mini")["columns"].values():
        assert column["metric"] in MAIN_METRICS[column["task"]]


def test_cells_that_were_trained_on_are_scored_apart_beside_all(tmp_path):
    cells = make_cells(types=(T_CELL, CD4))
    truth = cells.obs["cell_type_ontology_term_id"].to_numpy()
    seen = np.arange(cells.n_obs) < 20
    called = np.where(seen, truth, np.where(truth == CD4, T_CELL, CD4))
    prediction = annotation(cells, called, confidence=np.ones(60, dtype=np.float32), known=[CD4])
    prediction.obs["seen"] = seen
    write_prediction(
        tmp_path / "x.h5ad", prediction, about={"task": "annotate", "dataset": "x", "seen_cells": int(seen.sum())}
    )
    _, scores = score_prediction(tmp_path / "x.h5ad")
    assert scores["accuracy:seen"].value == 100
    below = 100 * np.mean(truth[~seen] == T_CELL)  # the calls below the truth are right
    assert scores["accuracy:unseen"].value == pytest.approx(below)
    assert scores["accuracy"] == annotation_scores(prediction)["accuracy"]


def test_networks_cannot_be_split_into_seen_and_unseen_cells_and_say_so(tmp_path):
    scores = np.random.default_rng(0).random((10, 10), dtype=np.float32)
    prediction = network(scores, net=[("ENSG00000", "ENSG00003")])
    prediction.obs["seen"] = np.empty(0, bool)
    write_prediction(tmp_path / "x.h5ad", prediction, about={"task": "networks", "dataset": "x", "seen_cells": 3})
    _, found = score_prediction(tmp_path / "x.h5ad")
    assert found["auprc"].status == "ok"
    assert "not predicted cell by cell" in found["auprc:seen"].reason
    assert found["odds_ratio:unseen"].status == "failed"


def test_the_cells_of_each_donor_are_scored_apart_where_donors_are_known(tmp_path):
    cells = make_cells(types=(T_CELL, CD4))
    truth = cells.obs["cell_type_ontology_term_id"].to_numpy()
    donors = np.array(["d1"] * 30 + ["d2"] * 20 + ["few"] * 5 + ["unknown"] * 5)
    called = np.where(donors == "d1", truth, B_CELL)
    prediction = annotation(cells, called, confidence=np.ones(60, dtype=np.float32), known=[CD4, B_CELL])
    prediction.obs["donor_id"] = donors
    write_prediction(tmp_path / "x.h5ad", prediction, about={"task": "annotate", "dataset": "x"})
    _, scores = score_prediction(tmp_path / "x.h5ad")
    found = {metric: score.value for metric, score in scores.items() if "donor" in metric}
    assert found == {"accuracy:donor=d1": 100, "accuracy:donor=d2": 0}
    assert scores["accuracy"].value == 50


def test_every_score_that_a_scorer_writes_has_a_card(tmp_path):
    cards = yaml.safe_load((CONFIG / "metrics.yaml").read_text())
    for task, example in EXAMPLES.items():
        prediction = example("ordinary")
        prediction.obs["seen"] = np.arange(prediction.n_obs) % 2 == 0
        write_prediction(tmp_path / "x.h5ad", prediction, about={"task": task, "dataset": "x", "seen_cells": 9})
        _, scores = score_prediction(tmp_path / "x.h5ad")
        assert any(metric.endswith(":unseen") for metric in scores)
        for metric in scores:
            assert find_card(cards, task, metric)["meaning"]
    with pytest.raises(ValueError, match="has no card; add one"):
        find_card(cards, "embed", "charm")


def test_a_scorer_that_hangs_outside_its_metrics_fails_its_prediction_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(scores_module, "TASK_SECONDS", 0.1)
    monkeypatch.setattr(scores_module, "METRIC_SECONDS", 0.1)
    monkeypatch.setitem(SCORERS, "embed", lambda prediction: [time.sleep(0.01) for _ in range(1000)])
    write_prediction(tmp_path / "x.h5ad", make_cells(), about={"task": "embed", "dataset": "x"})
    _, scores = score_prediction(tmp_path / "x.h5ad")
    assert scores["scib_total"].reason == "TimeoutError: not done after 0.2 s"


def test_metrics_that_were_done_when_the_time_of_a_prediction_was_over_are_kept(tmp_path, monkeypatch):
    def hang() -> float:
        while True:
            time.sleep(0.01)

    def score(prediction: AnnData) -> dict[str, Score]:
        return {"bras": attempt(lambda: 0.5), "scib_total": attempt(hang), "scib_bio": attempt(lambda: 1.0)}

    monkeypatch.setattr(scores_module, "TASK_SECONDS", 0.2)
    monkeypatch.setitem(SCORERS, "embed", score)
    write_prediction(tmp_path / "x.h5ad", make_cells(), about={"task": "embed", "dataset": "x"})
    _, scores = score_prediction(tmp_path / "x.h5ad")
    assert scores["bras"].value == 0.5
    assert {name: score.status for name, score in scores.items()} == {
        "bras": "ok",
        "scib_total": "failed",
        "scib_bio": "failed",
    }
