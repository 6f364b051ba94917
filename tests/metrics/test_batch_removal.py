import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata import AnnData
from scipy.spatial.distance import cdist
from scipy.stats import chisquare
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.metrics.pairwise import cosine_distances

from scprint2.metrics import batch_removal
from scprint2.metrics.neighbors import connectivities, find_neighbors
from tests.metrics.example import make_example


def test_bras_is_its_definition():
    example = make_example(cells=150, separation=1)
    distances = cdist(example.embedding, example.embedding, metric="cosine")
    means = []
    for label in set(example.labels) - {"platelet"}:  # which is in one batch only
        values = []
        for cell in np.flatnonzero(example.labels == label):
            same = (example.labels == label) & (np.arange(150) != cell)
            within = distances[cell, same & (example.batches == example.batches[cell])].mean()
            between = distances[cell, same & (example.batches != example.batches[cell])].mean()
            values.append(1 - abs(between - within) / max(between, within))
        means.append(np.mean(values))
    ours = batch_removal.bras(example.embedding, labels=example.labels, batches=example.batches)
    assert ours == pytest.approx(np.mean(means), abs=1e-6)


@pytest.mark.parametrize("metric", [batch_removal.bras, batch_removal.silhouette_batch, batch_removal.cilisi])
def test_batches_that_lie_apart_score_lower_than_batches_that_mix(metric):
    def score(effect: float) -> float:
        example = make_example(separation=3, batch_effect=effect)
        return metric(example.embedding, labels=example.labels, batches=example.batches)

    assert 0 <= score(4) < score(1) < score(0) <= 1


def test_cilisi_does_not_rise_when_labels_collapse_into_one_another():
    rng = np.random.default_rng(0)
    labels = np.repeat(["a", "b"], 200)
    batches = np.where((labels == "a") ^ (rng.random(400) < 0.1), "x", "y")  # each label is nearly of one batch
    apart = rng.normal(size=(400, 5)) + 20 * (labels == "a")[:, None]
    collapsed = rng.normal(size=(400, 5))
    values = [batch_removal.cilisi(points, labels=labels, batches=batches) for points in (apart, collapsed)]
    assert values[0] == pytest.approx(values[1], abs=0.05)


def test_graph_connectivity_is_the_share_in_the_largest_piece():
    points = np.array([[0.0], [0.1], [0.2], [50.0], [50.1], [50.2], [99.0], [99.1], [99.2]])
    labels = np.array(list("aaaaaabbb"))  # a falls into two pieces of three, b is one piece
    graph = find_neighbors(points, number=3).graph
    assert batch_removal.graph_connectivity(graph, labels=labels) == pytest.approx((0.5 + 1) / 2)


def test_cells_that_are_equal_are_connected():
    graph = find_neighbors(np.zeros((4, 2)), number=4).graph
    assert batch_removal.graph_connectivity(graph, labels=np.array(list("aaaa"))) == 1


def test_the_acceptance_rate_is_that_of_the_chi_squared_test():
    rng = np.random.default_rng(0)
    batches = rng.integers(0, 3, 120)
    found = find_neighbors(rng.normal(size=(120, 4)) + 0.7 * batches[:, None], number=30)
    expected = np.bincount(batches) / 120 * 30
    passed = [chisquare(np.bincount(batches[near], minlength=3), expected).pvalue >= 0.05 for near in found.indices]
    assert 0.1 < np.mean(passed) < 0.9
    assert batch_removal.acceptance_rate(found, batches, alpha=0.05) == np.mean(passed)


def test_kbet_accepts_batches_that_mix_and_rejects_batches_that_lie_apart():
    rates = []
    for effect in (0, 5):
        example = make_example(separation=5, batch_effect=effect)
        weights = connectivities(find_neighbors(example.embedding, number=50))
        rates.append(batch_removal.kbet_per_label(weights, labels=example.labels, batches=example.batches))
    assert rates[0] > 0.8
    assert rates[1] < 0.1


def test_no_label_in_two_batches_is_an_error():
    labels, points = np.repeat(["a", "b"], 20), np.random.default_rng(0).normal(size=(40, 3))
    for metric in (batch_removal.bras, batch_removal.cilisi):
        with pytest.raises(ValueError, match="no label"):
            metric(points, labels=labels, batches=labels)


def test_an_all_zero_embedding_of_a_cell_is_at_cosine_distance_one_of_all_others():
    points = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 3.0], [1.0, 1.0]])
    distances = cosine_distances(points)
    batches = np.array(["x", "x", "y", "y"])
    expected = []
    for cell, twin, others in ((0, 1, [2, 3]), (1, 0, [2, 3]), (2, 3, [0, 1]), (3, 2, [0, 1])):
        within, between = distances[cell, twin], distances[cell, others].mean()
        expected.append(1 - abs(between - within) / max(between, within))
    ours = batch_removal.bras(points, labels=np.full(4, "a"), batches=batches)
    assert ours == pytest.approx(np.mean(expected))


def test_pcr_comparison_is_the_share_of_the_batches_variance_that_is_gone():
    batches = np.array(["a", "a", "b", "b"])
    before = np.array([[0.0, 1], [0, -1], [4, 1], [4, -1]])  # between batches 16 of 20
    assert batch_removal.variance_explained(before, batches) == pytest.approx(16 / 20)
    after = np.array([[0.0, 1], [0, -1], [2, 1], [2, -1]])  # 4 of 8
    assert batch_removal.pcr_comparison(before, after, batches=batches) == pytest.approx((0.8 - 0.5) / 0.8)


def test_variance_explained_is_the_regression_of_each_principal_component_on_the_batches():
    example = make_example(separation=1, batch_effect=2)
    components = PCA().fit(example.embedding)
    points, design = (
        components.transform(example.embedding),
        (example.batches[:, None] == np.array(["a", "b", "c"])) * 1,
    )
    fits = [LinearRegression().fit(design, point).score(design, point) for point in points.T]
    expected = np.average(fits, weights=components.explained_variance_)
    assert batch_removal.variance_explained(example.embedding, example.batches) == pytest.approx(expected, abs=1e-5)


def test_pcr_comparison_of_perfect_unchanged_worse_random_and_constant_embeddings():
    example = make_example(separation=1, batch_effect=1)
    before, batches = example.embedding, example.batches

    def score(after: np.ndarray) -> float:
        return batch_removal.pcr_comparison(before, after, batches=batches)

    removed = before.copy()
    for name in "abc":
        removed[batches == name] -= before[batches == name].mean(axis=0)
    assert score(removed) == pytest.approx(1, abs=1e-9)
    assert score(before) == 0
    assert score(before + 5 * (batches == "a")[:, None]) == 0  # more than before: not below 0
    assert score(np.random.default_rng(0).normal(size=before.shape)) > 0.9
    permuted = np.random.default_rng(1).permutation(400)
    assert score(before[permuted]) > 0.9
    with pytest.raises(ValueError, match="only one group"):
        batch_removal.pcr_comparison(before, before, batches=np.full(400, "a"))


def test_pcr_comparison_equals_scibs():
    library = pytest.importorskip("scib.metrics")
    example = make_example(separation=1, batch_effect=2)
    after = make_example(separation=1, batch_effect=1).embedding

    def wrap(points: np.ndarray) -> AnnData:
        return AnnData(points, obs=pd.DataFrame({"batch": pd.Categorical(example.batches)}).rename(index=str))

    before = wrap(example.embedding)
    sc.pp.pca(before, n_comps=11)
    corrected = wrap(example.embedding)
    corrected.obsm["X_emb"] = after
    theirs = library.pcr_comparison(before, corrected, "batch", embed="X_emb", n_comps=11, verbose=False)
    ours = batch_removal.pcr_comparison(example.embedding, after, batches=example.batches)
    assert ours == pytest.approx(theirs, abs=0.03)  # theirs takes 11 of the 12 components
