import numpy as np
import pytest
from pydantic import TypeAdapter
from scipy.sparse.csgraph import laplacian

from scprint2.data.clusters import Neighbors, nearest_neighbors
from scprint2.tasks.refinement import (
    CellGraph,
    Refinement,
    graph_laplacian,
    pool_logits,
    smooth_logits,
    to_logits,
    vote_logits,
)

PATH = Neighbors(np.array([[1], [0], [1]]), np.array([[2.0], [2.0], [5.0]], dtype=np.float32))  # 0 = 1 - 2


def build(**values):
    return TypeAdapter(Refinement).validate_python(values)


@pytest.fixture
def points():
    return np.random.default_rng(0).normal(size=(80, 5)).astype(np.float32)


@pytest.fixture
def logits():
    return np.random.default_rng(1).normal(size=(80, 4)).astype(np.float32)


def test_the_laplacian_of_a_path_is_the_one_by_hand():
    mutual_counts_twice = [[2, -2, 0], [-2, 3, -1], [0, -1, 1]]
    np.testing.assert_array_equal(graph_laplacian(PATH, weights="equal").toarray(), mutual_counts_twice)
    by_distance = [[4, -4, 0], [-4, 9, -5], [0, -5, 5]]
    np.testing.assert_array_equal(graph_laplacian(PATH, weights="distance").toarray(), by_distance)


def test_the_laplacian_is_scipys_and_ignores_missing_neighbors(points):
    found = nearest_neighbors(points, 6)
    index = found.index.copy()
    index[:10, 3:] = -1
    edges = np.zeros((80, 80))
    for cell, row in enumerate(index):
        edges[cell, row[row >= 0]] = 1
    ours = graph_laplacian(Neighbors(index, found.distance), weights="equal").toarray()
    np.testing.assert_allclose(ours, laplacian(edges + edges.T))


def test_smoothing_two_cells_is_the_solution_by_hand():
    pair = Neighbors(np.array([[1], [0]]), np.ones((2, 1), dtype=np.float32))
    smooth = smooth_logits(np.array([[1.0], [0.0]]), graph_laplacian(pair, weights="equal"), strength=0.5)
    np.testing.assert_allclose(smooth, [[2 / 3], [1 / 3]], atol=1e-6)  # (I + 0.5 [[2, -2], [-2, 2]])^-1 [1, 0]


@pytest.mark.parametrize("weights", ["equal", "distance"])
def test_smoothing_is_the_dense_closed_form_and_keeps_the_mean(weights, points, logits):
    matrix = graph_laplacian(nearest_neighbors(points, 6), weights=weights)
    smooth = smooth_logits(logits, matrix, strength=0.1)
    exact = np.linalg.solve(np.eye(80) + 0.1 * matrix.toarray(), logits)
    np.testing.assert_allclose(smooth, exact, atol=1e-5)
    np.testing.assert_allclose(smooth.mean(axis=0), logits.mean(axis=0), atol=1e-5)


def test_the_solution_is_the_minimum_of_the_printed_objective(points, logits):
    matrix = graph_laplacian(nearest_neighbors(points, 6), weights="equal")

    def objective(values):
        return ((values - logits) ** 2).sum() + 0.1 * np.trace(values.T @ (matrix @ values))

    smooth = smooth_logits(logits.astype(np.float64), matrix, strength=0.1)
    rng = np.random.default_rng(2)
    assert all(objective(smooth) < objective(smooth + 0.01 * rng.normal(size=smooth.shape)) for _ in range(20))
    assert objective(smooth) < objective(logits)


def test_smoothing_with_no_strength_changes_nothing_and_with_much_makes_neighbors_alike(points, logits):
    matrix = graph_laplacian(nearest_neighbors(points, 6), weights="equal")
    np.testing.assert_allclose(smooth_logits(logits, matrix, strength=0.0), logits, atol=1e-6)
    assert smooth_logits(logits, matrix, strength=1e4).std(axis=0).max() < 0.01


def test_logits_that_are_not_finite_are_an_error(points, logits):
    logits[3, 1] = np.nan
    with pytest.raises(ValueError, match="type 1 of 4"):
        smooth_logits(logits, graph_laplacian(nearest_neighbors(points, 6), weights="equal"), strength=0.1)


def test_clusters_get_the_mean_or_the_maximum_of_their_cells():
    logits, clusters = np.array([[1.0, 4.0], [3.0, 0.0], [7.0, 7.0]]), np.array([1, 1, 0])
    np.testing.assert_array_equal(pool_logits(logits, clusters, statistic="mean"), [[2, 2], [2, 2], [7, 7]])
    np.testing.assert_array_equal(pool_logits(logits, clusters, statistic="max"), [[3, 4], [3, 4], [7, 7]])


def test_votes_are_counted_by_cluster():
    logits = np.array([[2.0, 1.0], [2.0, 1.0], [0.0, 9.0], [0.0, 1.0]])
    votes = vote_logits(logits, np.array([0, 0, 0, 1]))
    assert votes.argmax(axis=1).tolist() == [0, 0, 0, 1]
    np.testing.assert_allclose(votes[0], [np.log(2), -np.log(2)], atol=1e-6)
    assert np.isfinite(votes).all()


def test_log_odds_are_finite_also_of_certainty():
    np.testing.assert_allclose(to_logits(np.array([[0.5, 0.75]])), [[0, np.log(3)]])
    assert np.isfinite(to_logits(np.array([[0.0, 1.0]]))).all()


def test_what_two_refinements_share_is_computed_once_and_does_not_change(points, logits):
    graph = CellGraph(points)
    mean, maximum = (
        build(kind="pool", neighbors=10, resolution=1, statistic=statistic).refine(logits, graph)
        for statistic in ("mean", "max")
    )
    assert graph.clusters.cache_info().misses == graph.neighbors.cache_info().misses == 1
    assert (maximum >= mean).all()
    again = build(kind="pool", neighbors=10, resolution=1, statistic="mean").refine(logits, CellGraph(points))
    np.testing.assert_array_equal(mean, again)


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "smooth", "neighbors": 0, "strength": 0.1, "weights": "equal"},
        {"kind": "smooth", "neighbors": 6, "strength": -1, "weights": "equal"},
        {"kind": "pool", "neighbors": 6, "resolution": 1, "statistic": "median"},
        {"kind": "vote", "neighbors": 6},
        {"kind": "shake"},
    ],
)
def test_settings_that_make_no_sense_are_refused(values):
    with pytest.raises(ValueError, match="validation error"):
        build(**values)
