import igraph
import numpy as np
import pytest
import scanpy
import scipy.sparse
from sklearn.metrics import adjusted_rand_score

from scprint2.data.clusters import leiden_clusters, merge_clusters, nearest_neighbors, principal_components
from tests.data.raw import raw_cells


def blobs(kinds=4, cells=80, dim=10, *, seed=0):
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(kinds, dim)) * 8
    kind = rng.integers(kinds, size=cells * kinds)
    return kind, (centers[kind] + rng.normal(size=(len(kind), dim))).astype(np.float32)


@pytest.mark.parametrize(("cells", "genes", "small"), [(60, 90, 1500), (90, 60, 1500), (90, 60, 0)])
def test_principal_components_are_those_of_scanpy_on_every_path(monkeypatch, cells, genes, small):
    monkeypatch.setattr("scprint2.data.clusters.SMALL", small)
    adata = raw_cells(cells, genes)
    mine = principal_components(scipy.sparse.csr_matrix(adata.X), 10, seed=0)
    scanpy.pp.normalize_total(adata, target_sum=10_000)
    scanpy.pp.log1p(adata)
    scanpy.pp.scale(adata, zero_center=False, max_value=None)
    scaled = adata.X.toarray() * np.sqrt(cells / (cells - 1))  # scanpy divides by the sample standard deviation
    expected = scanpy.pp.pca(np.minimum(scaled, 10), n_comps=10, svd_solver="full")
    assert mine.dtype == np.float32
    for column in range(10):
        assert abs(np.corrcoef(mine[:, column], expected[:, column])[0, 1]) > 0.999
    np.testing.assert_allclose(mine.std(axis=0), expected.std(axis=0), rtol=1e-3)


@pytest.mark.parametrize(("cells", "genes", "rank"), [(3, 50, 2), (50, 4, 3), (1, 9, 1), (5, 1, 1)])
def test_few_cells_or_genes_give_few_components(cells, genes, rank):
    counts = np.random.default_rng(0).poisson(3, size=(cells, genes)) + 1
    assert principal_components(scipy.sparse.csr_matrix(counts), 100, seed=0).shape == (cells, rank)


def test_genes_that_do_not_vary_do_not_matter():
    counts = np.random.default_rng(0).poisson(3, size=(30, 8))
    counts[:, 3] = 0
    found = principal_components(scipy.sparse.csr_matrix(counts), 5, seed=0)
    without = principal_components(scipy.sparse.csr_matrix(np.delete(counts, 3, axis=1)), 5, seed=0)
    np.testing.assert_allclose(np.abs(found), np.abs(without), atol=1e-3)


def test_neighbors_are_the_nearest_other_cells_by_plain_computation():
    points = blobs()[1]
    found = nearest_neighbors(points, 6)
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    assert np.array_equal(found.index, np.argsort(distance, axis=1)[:, :6])
    np.testing.assert_allclose(found.distance, np.sort(distance, axis=1)[:, :6], rtol=1e-3)
    assert found.index.dtype == np.int32


@pytest.mark.parametrize("cells", [1, 2, 4])
def test_where_there_are_too_few_cells_there_is_no_neighbor(cells):
    found = nearest_neighbors(np.arange(cells, dtype=np.float32)[:, None], 6)
    assert (found.index >= 0).sum(axis=1).tolist() == [cells - 1] * cells
    assert (found.distance[found.index < 0] == 0).all()
    assert (leiden_clusters(found.index, resolution=1.0, seed=0) >= 0).all()


def test_leiden_finds_separate_groups_and_numbers_them_by_size():
    kind, points = blobs()
    clusters = leiden_clusters(nearest_neighbors(points, 15).index, resolution=1.0, seed=0)
    assert adjusted_rand_score(kind, clusters) > 0.9
    sizes = np.bincount(clusters)
    assert (np.diff(sizes) <= 0).all()


def test_clusters_depend_on_nothing_but_graph_and_seed():
    graph = nearest_neighbors(np.random.default_rng(0).normal(size=(300, 5)).astype(np.float32), 15).index
    first = leiden_clusters(graph, resolution=1.0, seed=0)
    igraph.Graph.Erdos_Renyi(50, p=0.2).community_leiden()  # draws from the same generator
    assert np.array_equal(leiden_clusters(graph, resolution=1.0, seed=0), first)


def test_clusters_with_like_centroids_are_joined_through_a_third_and_others_are_not():
    points = np.array([[1, 2, 3, 4], [2, 4, 6, 8.1], [3, 6, 9.1, 12], [4, 3, 2, 1], [-1, 5, -1, 5]], dtype=np.float32)
    clusters = np.array([0, 1, 2, 3, 4])
    joined = merge_clusters(clusters, points, correlation=0.94)
    assert joined.tolist() == [0, 0, 0, 1, 2]
    assert merge_clusters(clusters, points, correlation=1.0).tolist() == clusters.tolist()


def test_one_cluster_stays_one():
    assert (
        merge_clusters(np.zeros(4, dtype=np.int64), np.ones((4, 5), dtype=np.float32), correlation=0.9).tolist()
        == [0] * 4
    )
