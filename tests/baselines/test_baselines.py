import sys

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.spatial.distance import cdist
from scipy.stats import spearmanr
from sklearn.decomposition import PCA

from scprint2.baselines import BASELINES
from scprint2.baselines.annotate import choose_reduction
from scprint2.baselines.smoothing import smooth_neighbors
from scprint2.baselines.training_cells import TrainingCells, labeled_cells, share_out
from scprint2.tasks.annotate import AnnotateSettings
from scprint2.tasks.embed import EmbedSettings
from scprint2.tasks.layout import lay_out_truths
from scprint2.tasks.networks import NetworkSettings
from scprint2.tasks.predict import Method, PredictionJob, predict
from scprint2.tasks.scores import (
    annotation_scores,
    denoising_scores,
    embedding_scores,
    network_scores,
    score_prediction,
)
from scprint2.tasks.selection import dense_counts, log_normalize
from tests.helpers import HUMAN, MOUSE
from tests.tasks import example
from tests.tasks.example import B_CELL, CD4, make_cells, write_cells

DENOISE = example.DENOISE.model_copy(update={"cells": 60, "genes": 40})
EMBED = EmbedSettings(batch_size=16, cells=50, max_genes=20, kinds=("cell_type",))
ANNOTATE = AnnotateSettings.model_validate(example.ANNOTATE)
NETWORKS = NetworkSettings(
    batch_size=16,
    genes=50,
    cells=60,
    minimum_cells=5,
    groups="none",
    regulator="query",
    methods=("mean_queries_keys",),
    trees=5,
)
SETTINGS = {"denoise": DENOISE, "embed": EMBED, "annotate": ANNOTATE, "networks": NETWORKS}
OPTIONAL = {"harmony": "harmonypy", "magic": "magic", "scvi_denoising": "scvi", "scvi_embedding": "scvi"}
ALL = [(task, name) for task, entries in BASELINES.items() for name in entries]


def need(name):
    """Skip where the library of an optional baseline is not installed."""
    if name in OPTIONAL:
        pytest.importorskip(OPTIONAL[name])


@pytest.mark.parametrize(("task", "name"), ALL)
def test_a_baseline_writes_what_its_task_scores(task, name, cells, train, tmp_path):
    need(name)
    if task == "embed":
        cells = make_cells(300, seed=0)
    cells.write_h5ad(tmp_path / "cells.h5ad")
    edges = [f"ENSG{i:05d}\tENSG{j:05d}" for i, j in [(0, 2), (10, 3), (10, 4), (20, 5), (0, 6)]]
    (tmp_path / "truth.tsv").write_text("\n".join(["regulator\ttarget", *edges]) + "\n")
    settings = SETTINGS[task].model_dump() | ({"cells": 300} if task == "embed" else {})
    job = PredictionJob(
        task, "role", "set", settings, str(tmp_path / "cells.h5ad"), {"net": str(tmp_path / "truth.tsv")}
    )
    (path,) = predict(Method(name, train, {task: BASELINES[task][name]}), [job], out=tmp_path, seed=0)
    _, scores = score_prediction(path)
    failed = {metric: score.reason for metric, score in scores.items() if score.status != "ok"}
    assert not failed


@pytest.mark.parametrize(("task", "name"), [pair for pair in ALL if not pair[1].startswith("random")])
def test_only_random_baselines_depend_on_the_seed(task, name, cells, train):
    need(name)
    first, second = (BASELINES[task][name](train, cells, settings=SETTINGS[task], seed=0) for _ in range(2))
    for slot in ("layers", "obsm", "varp"):
        for key in getattr(first, slot):
            values = [getattr(part, slot)[key] for part in (first, second)]
            values = [part.toarray() if hasattr(part, "toarray") else part for part in values]
            np.testing.assert_array_equal(*values)


def test_identity_gains_nothing(cells, train):
    scores = denoising_scores(BASELINES["denoise"]["identity"](train, cells, settings=DENOISE, seed=0))
    assert scores["spearman_gain"].value == 0


def test_the_mean_profile_is_the_same_for_every_cell_but_for_its_depth(cells, train):
    prediction = BASELINES["denoise"]["mean_profile"](train, cells, settings=DENOISE, seed=0)
    denoised = prediction.layers["denoised"]
    profiles = denoised / denoised.sum(1, keepdims=True)
    np.testing.assert_allclose(profiles, np.broadcast_to(profiles[0], profiles.shape), rtol=1e-4)
    noisy = dense_counts(prediction, "noisy").sum(1)
    assert np.corrcoef(denoised.sum(1), noisy)[0, 1] > 0.9


@pytest.mark.parametrize(("task", "name"), [pair for pair in ALL if pair[1] in OPTIONAL])
def test_a_missing_library_fails_the_row_and_says_what_to_install(task, name, cells, train, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, OPTIONAL[name], None)  # as if it were not installed
    cells.write_h5ad(tmp_path / "cells.h5ad")
    job = PredictionJob(task, "role", "set", SETTINGS[task].model_dump(), str(tmp_path / "cells.h5ad"))
    (path,) = predict(Method(name, train, {task: BASELINES[task][name]}), [job], out=tmp_path, seed=0)
    _, scores = score_prediction(path)
    assert scores
    assert all("pip install 'scprint2[peers]'" in score.reason for score in scores.values())


def test_knn_smoothing_adds_the_counts_of_the_nearest_cells_step_by_step():
    """Against a plain version of the published steps, cell by cell."""
    counts = dense_counts(make_cells(40)).astype(np.float64)
    expected = counts
    for number in (1, 3, 5):  # 2^step - 1, at most 5
        depth = expected.sum(1, keepdims=True)
        scaled = expected / depth * np.median(depth)
        points = PCA(10, svd_solver="full").fit_transform(np.sqrt(scaled) + np.sqrt(scaled + 1))
        distances = cdist(points, points).round(5) - np.eye(40)  # the cell itself first, of equals the first in order
        nearest = np.argsort(distances, axis=1, kind="stable")[:, : number + 1]
        expected = np.stack([counts[rows].sum(0) for rows in nearest])
    np.testing.assert_allclose(smooth_neighbors(counts, neighbors=5), expected, rtol=1e-6)
    np.testing.assert_array_equal(smooth_neighbors(counts, neighbors=0), counts)
    np.testing.assert_allclose(smooth_neighbors(counts, neighbors=99), np.tile(counts.sum(0), (40, 1)), rtol=1e-5)


@pytest.mark.parametrize("name", ["knn_smoothing", "scvi_denoising"])
def test_denoising_comes_closer_to_the_true_means_than_the_noisy_counts(name, train):
    need(name)
    settings = DENOISE.model_copy(update={"cells": 200})
    prediction = BASELINES["denoise"][name](train, make_cells(200), settings=settings, seed=0)
    assert denoising_scores(prediction)["spearman_gain_true_mean"].value > 5
    if name == "knn_smoothing":  # at the depth of the noisy cells
        depths = [prediction.layers["denoised"].sum(1), dense_counts(prediction, "noisy").sum(1)]
        assert np.corrcoef(depths)[0, 1] > 0.9


def test_harmony_mixes_batches_that_principal_components_keep_apart(train):
    need("harmony")
    cells = make_cells(300)
    shifted = dense_counts(cells) * np.where(cells.obs["batch"] == "b1", 1, 30)[:, None] ** (np.arange(50) % 2)
    cells.X = sparse.csr_matrix(shifted)
    settings = EMBED.model_copy(update={"cells": 300})
    mixing = {
        method: embedding_scores(BASELINES["embed"][method](train, cells, settings=settings, seed=0))["ilisi"].value
        for method in ("pca", "harmony")
    }
    assert mixing["harmony"] > mixing["pca"] + 0.2


def test_scvi_keeps_types_apart(train):
    need("scvi_embedding")
    settings = EMBED.model_copy(update={"cells": 150})
    prediction = BASELINES["embed"]["scvi_embedding"](train, make_cells(150), settings=settings, seed=0)
    assert prediction.obsm["X_scprint2"].shape == (150, 30)
    assert embedding_scores(prediction)["knn_label_purity"].value > 0.9


def test_magic_comes_closer_to_the_true_means_than_the_noisy_counts(train):
    prediction = BASELINES["denoise"]["magic"](
        train, make_cells(200), settings=DENOISE.model_copy(update={"cells": 200}), seed=0
    )
    assert denoising_scores(prediction)["spearman_gain_true_mean"].value > 5


def test_the_random_embedding_changes_with_the_seed_alone(cells, train):
    embed = BASELINES["embed"]["random_embedding"]
    zero, again, one = (embed(train, cells, settings=EMBED, seed=seed).obsm["X_scprint2"] for seed in (0, 0, 1))
    np.testing.assert_array_equal(zero, again)
    assert not np.allclose(zero, one)


def test_principal_components_are_uncorrelated_and_sorted(cells, train):
    points = BASELINES["embed"]["pca"](train, cells, settings=EMBED, seed=0).obsm["X_scprint2"]
    covariance = np.cov(points.T)
    variances = np.diag(covariance)
    assert (np.diff(variances) <= 1e-4).all()
    assert np.abs(covariance - np.diag(variances)).max() < 1e-3 * variances[0]


def test_variable_genes_are_the_log_normalized_counts(cells, train):
    prediction = BASELINES["embed"]["highly_variable_genes"](train, cells, settings=EMBED, seed=0)
    expected = log_normalize(dense_counts(cells[prediction.obs_names]))
    np.testing.assert_allclose(prediction.obsm["X_scprint2"], expected[:, expected.any(axis=0)], rtol=1e-6)


def test_majority_calls_the_most_frequent_label_of_the_corpus(tmp_path, cells, train):
    shard = write_cells(make_cells(90, types=(CD4, B_CELL, B_CELL)), tmp_path / "a")
    corpus = TrainingCells(train.genes, train.labels, (shard,))
    prediction = BASELINES["annotate"]["majority"](corpus, cells, settings=ANNOTATE, seed=0)
    assert set(prediction.obs["predicted_cell_type_ontology_term_id"]) == {B_CELL}
    assert prediction.obs["confidence"].iloc[0] == pytest.approx(2 / 3)
    assert "smoothed_confidence" not in prediction.obs, "without an embedding nothing is refined"


TRAINED = ["knn", "logistic_regression", "celltypist_style"]


@pytest.mark.parametrize("name", TRAINED)
def test_a_trained_classifier_finds_types_that_the_corpus_has(name, cells, train):
    prediction = BASELINES["annotate"][name](train, cells, settings=ANNOTATE, seed=0)
    assert annotation_scores(prediction)["accuracy"].value > 90


@pytest.mark.parametrize("name", TRAINED)
def test_the_listed_types_are_those_of_the_corpus_and_refined_calls_are_made_too(name, cells, train):
    prediction = BASELINES["annotate"][name](train, cells, settings=ANNOTATE, seed=0)
    assert list(prediction.uns["leaves"]) == sorted([CD4, B_CELL])
    assert prediction.obsm["candidates"].shape == (cells.n_obs, 2)
    assert annotation_scores(prediction)["accuracy_smoothed"].value > 90


def test_votes_put_single_cells_right_that_the_classifier_calls_wrongly(train, tmp_path):
    test = make_cells(120, genes=20, seed=7)  # few genes, so that single calls go wrong
    prediction = BASELINES["annotate"]["celltypist_style"](train, test, settings=ANNOTATE, seed=0)
    leaves = np.array(prediction.uns["leaves"])
    alone = (leaves[prediction.obsm["candidates"][:, 0]] == test.obs["cell_type_ontology_term_id"]).mean()
    voted = annotation_scores(prediction)["accuracy"].value / 100
    assert alone < voted
    share = prediction.obs["confidence"]
    assert ((share > 0.5) & (share <= 1)).all(), "with two types the winner has more than half of the votes"


@pytest.mark.parametrize(("shape", "solver"), [((90, 60), "covariance_eigh"), ((60, 90), "arpack")])
def test_both_ways_to_the_components_of_the_corpus_agree_with_a_full_decomposition(shape, solver):
    expression = np.random.default_rng(0).normal(size=shape)
    reduction = choose_reduction(shape, seed=0)
    assert reduction.svd_solver == solver
    expected = PCA(reduction.n_components, svd_solver="full").fit_transform(expression)
    np.testing.assert_allclose(np.abs(reduction.fit_transform(expression)), np.abs(expected), atol=1e-8)


@pytest.mark.parametrize("name", TRAINED)
def test_a_classifier_without_labels_says_so(name, cells, tmp_path, train):
    blind = TrainingCells(train.genes, train.labels, (write_cells(make_cells(20, unknown=20), tmp_path / "blind"),))
    with pytest.raises(ValueError, match="no labeled cell"):
        BASELINES["annotate"][name](blind, cells, settings=ANNOTATE, seed=0)


def test_training_cells_are_of_the_organism_and_labeled_and_aligned_by_gene(train, tmp_path):
    mouse = write_cells(make_cells(80, seed=1), tmp_path / "mouse", organism=MOUSE)
    both = TrainingCells(train.genes, train.labels, (train.shards[1], mouse))
    genes = list(reversed(make_cells().var_names))
    expression, types = labeled_cells(both, genes, organism=HUMAN)
    assert set(types) == {CD4, B_CELL}
    assert len(types) == 50
    labeled = make_cells(100, seed=2, unknown=50)[50:]
    assert types.tolist() == labeled.obs["cell_type_ontology_term_id"].tolist()
    expected = log_normalize(dense_counts(labeled[:, genes]).astype(np.float32))
    np.testing.assert_allclose(expression, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("sizes", "most", "expected"),
    [
        ([5, 100, 100], 60, [5, 28, 27]),
        ([3, 2], 60, [3, 2]),
        ([4, 4, 4, 4], 2, [1, 1, 0, 0]),  # fewer than datasets
        ([0, 10], 4, [0, 4]),
        ([], 4, []),
    ],
)
def test_cells_are_taken_as_evenly_as_sizes_allow(sizes, most, expected):
    assert share_out(np.array(sizes, dtype=np.int64), most=most).tolist() == expected


def test_pearson_is_numpys(cells, train):
    prediction = BASELINES["networks"]["pearson"](train, cells, settings=NETWORKS, seed=0)
    expression = log_normalize(dense_counts(cells[:, prediction.var_names]))
    np.testing.assert_allclose(prediction.varp["GRN"], np.abs(np.corrcoef(expression.T)), atol=1e-5)


def test_spearman_is_scipys(cells, train):
    prediction = BASELINES["networks"]["spearman"](train, cells, settings=NETWORKS, seed=0)
    expression = log_normalize(dense_counts(cells[:, prediction.var_names]))
    theirs = np.asarray(spearmanr(expression).statistic)
    np.testing.assert_allclose(prediction.varp["GRN"], np.abs(theirs), atol=1e-5)


def test_random_trees_find_the_one_gene_that_drives_another(train):
    cells = make_cells(60)
    counts = np.random.default_rng(0).poisson(200, size=cells.shape)
    driver = np.random.default_rng(1).permutation(60)
    counts[:, 3], counts[:, 7] = driver, 2 * driver
    counts[:, 11] = 0
    counts[0, 11] = 1
    cells.X = sparse.csr_matrix(counts.astype(np.int32))
    grn = BASELINES["networks"]["genie3"](train, cells, settings=NETWORKS, seed=0).varp["GRN"]
    assert grn[:, 7].argmax() == 3
    assert grn[:, 3].argmax() == 7
    assert (np.diag(grn) == 0).all()
    np.testing.assert_allclose(grn.sum(axis=0), 1, rtol=1e-5)


def test_priors_know_the_expression_or_the_kind_of_a_gene_and_nothing_else(cells, train):
    networks = {
        name: BASELINES["networks"][name](train, cells, settings=NETWORKS, seed=0)
        for name in ("expression_prior", "regulator_prior")
    }
    expression = networks["expression_prior"]
    level = log_normalize(dense_counts(cells[:, expression.var_names])).mean(axis=0)
    np.testing.assert_allclose(expression.varp["GRN"], level[:, None] * level, rtol=1e-5)
    regulators = networks["regulator_prior"]
    is_tf = train.genes.frame.set_index("gene_id")["is_tf"][regulators.var_names].to_numpy()
    np.testing.assert_array_equal(regulators.varp["GRN"], np.broadcast_to(is_tf[:, None], (50, 50)))


def test_random_regulators_are_transcription_factors(cells, train):
    prediction = BASELINES["networks"]["random_regulators"](train, cells, settings=NETWORKS, seed=0)
    regulates = prediction.varp["GRN"].any(axis=1)
    table = train.genes.frame.set_index("gene_id")["is_tf"]
    np.testing.assert_array_equal(regulates, table[prediction.var_names].to_numpy())


def test_random_regulators_score_like_chance(train):
    cells = make_cells(60)
    rng = np.random.default_rng(0)
    values = []
    for seed in range(30):
        prediction = BASELINES["networks"]["random_regulators"](train, cells, settings=NETWORKS, seed=seed)
        factors = prediction.var_names[prediction.varp["GRN"].any(axis=1)]
        pairs = [(f, t) for f in factors for t in rng.choice(prediction.var_names, 8, replace=False) if f != t]
        table = pd.DataFrame(pairs, columns=["regulator", "target"])
        prediction.uns["truth"] = lay_out_truths({"net": table}, genes=prediction.var_names)
        values.append(network_scores(prediction)["auprc"].value)
    assert abs(np.mean(values)) < 0.03
