import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from scprint2.metrics.neighbors import STRIDE, connectivities, find_neighbors, neighbor_probabilities, smallest_columns
from tests.metrics.example import make_example


def test_the_neighbors_are_the_nearest_cells_itself_first():
    points = make_example(cells=3100, separation=1).embedding  # more than one block
    found = find_neighbors(points, number=20)
    distances, _ = NearestNeighbors(n_neighbors=20, algorithm="brute").fit(points.astype(float)).kneighbors(points)
    np.testing.assert_allclose(found.distances[:, 1:], distances[:, 1:], atol=1e-6)
    assert (found.indices[:, 0] == np.arange(3100)).all()
    assert found.indices[5, 1] == 6
    assert found.indices[6, 1] == 5
    assert found.distances[6, 1] == 0


def test_far_from_the_origin_equal_cells_still_have_distance_zero():
    points = np.array([[1e6, 0], [1e6, 0], [1e6, 1e-3], [1e6, 5]])
    distances = find_neighbors(points, number=3).distances
    assert (distances[:2, :2] == 0).all()
    np.testing.assert_allclose(distances[:2, 2], 1e-3)


def test_too_few_cells_for_the_neighbors_that_are_needed_is_an_error():
    found = find_neighbors(np.random.default_rng(0).random((20, 3)), number=90)
    assert found.indices.shape == (20, 20)
    with pytest.raises(ValueError, match="20 cells have 20 neighbors"):
        found.nearest(90)


@pytest.mark.slow  # numba compiles
def test_the_weights_between_neighbors_are_those_of_umap():
    umap = pytest.importorskip("umap.umap_")
    found = find_neighbors(make_example(separation=1).embedding, number=15)
    theirs, *_ = umap.fuzzy_simplicial_set(
        np.zeros((400, 1)), 15, None, None, knn_indices=found.indices, knn_dists=found.distances.astype(np.float32)
    )
    assert abs(connectivities(found) - theirs).max() < 1e-5


def test_neighbor_probabilities_have_the_perplexity_that_is_asked_for():
    found = find_neighbors(make_example(separation=1).embedding, number=60)
    weights = neighbor_probabilities(found, perplexity=20)
    assert (weights[:, 0] == 0).all()
    entropy = -np.where(weights > 0, weights * np.log(np.where(weights > 0, weights, 1)), 0).sum(axis=1)
    np.testing.assert_allclose(np.exp(entropy), 20, atol=1e-3)


@pytest.mark.parametrize("number", [1, 15, 90, 399])
@pytest.mark.parametrize("kind", ["random", "sorted", "tied", "low sample"])
def test_the_smallest_columns_are_those_of_a_whole_partition(kind, number):
    values = np.random.default_rng(0).normal(size=(30, 400))
    if kind == "sorted":
        values.sort(axis=1)
    if kind == "tied":
        values = np.round(values)
    if kind == "low sample":  # all that is small stands in the columns that give the bound: no row has enough below it
        values[:, ::STRIDE] -= 10
    found = smallest_columns(values, number=number)
    assert all(len(set(row)) == number for row in found.tolist())
    np.testing.assert_array_equal(
        np.sort(np.take_along_axis(values, found, axis=1), axis=1), np.sort(values, axis=1)[:, :number]
    )
