"""Principal components, nearest neighbors and clusters of the cells of a dataset: deterministic, exact up to 50,000 cells."""

import random
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from jaxtyping import Float, Int
from scipy.sparse.csgraph import connected_components
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

NO_NEIGHBOR = -1
NORMALIZED_TOTAL = 10_000  # counts per cell before the logarithm
EXACT_CELLS = 50_000  # above, neighbors are approximate: the exact search would take an hour for a million cells
CANDIDATES = 30  # neighbors that the approximate search keeps for each cell while it looks for better ones
TREES = 10  # that it starts from
BLOCK = 8192  # cells whose shared neighbors are counted at a time
SMALL = 1500  # with fewer cells or genes than this, a dense square matrix of them is quicker than ARPACK
LARGEST_SCALED = 10  # scaled values are cut here, as scanpy's tutorials do, lest one rare gene is a principal component


@dataclass(frozen=True)
class Neighbors:
    """Nearest other cells, nearest first.

    Attributes
    ----------
    index
        Row of each neighbor, -1 where there are too few cells.
    distance
        Euclidean distance, 0 where there is no neighbor.
    """

    index: Int[np.ndarray, "cell neighbor"]
    distance: Float[np.ndarray, "cell neighbor"]


def principal_components(counts: sp.csr_matrix, components: int, *, seed: int) -> Float[np.ndarray, "cell component"]:
    """Principal components of log-normalized, scaled counts; fewer where there are few cells or genes. Stays sparse.

    Source: Methods, "preprocessing": log-normalize, scale, PCA.
    """
    expression = counts.astype(np.float32)
    totals = np.asarray(expression.sum(axis=1)).ravel()
    expression = sp.diags_array(NORMALIZED_TOTAL / np.maximum(totals, 1)) @ expression
    expression = sp.csr_matrix(expression, dtype=np.float32)
    expression.data = np.log1p(expression.data)
    mean = np.asarray(expression.mean(axis=0)).ravel()
    square = np.asarray(expression.multiply(expression).mean(axis=0)).ravel()
    deviation = np.sqrt(np.maximum(square - mean**2, 0))
    varying = deviation > 1e-6
    scaled = expression[:, varying] @ sp.diags_array(1 / deviation[varying])
    scaled = sp.csr_matrix(scaled, dtype=np.float32)
    scaled.data = np.minimum(scaled.data, LARGEST_SCALED)
    cells, genes = len(totals), int(varying.sum())
    rank = min(components, cells - 1, genes - 1)
    if rank < 1:
        return np.zeros((cells, 1), dtype=np.float32)
    if min(cells, genes) <= SMALL:
        return _project_small(scaled.toarray(), rank) if cells <= genes else _project_narrow(scaled, rank)
    return PCA(rank, svd_solver="arpack", random_state=seed).fit_transform(scaled).astype(np.float32)


def _project_small(expression: Float[np.ndarray, "cell gene"], rank: int) -> Float[np.ndarray, "cell component"]:
    """Principal components of few cells, from the inner products of cells (9 times as quick as ARPACK at 1,000 cells)."""
    centered = expression - expression.mean(axis=0)
    values, vectors = scipy.linalg.eigh((centered @ centered.T).astype(np.float64))
    scores = vectors[:, ::-1][:, :rank] * np.sqrt(np.maximum(values[::-1][:rank], 0))
    signs = np.sign(scores[np.abs(scores).argmax(axis=0), np.arange(rank)])
    return (scores * np.where(signs == 0, 1, signs)).astype(np.float32)


def _project_narrow(expression: sp.csr_matrix, rank: int) -> Float[np.ndarray, "cell component"]:
    """Principal components of few genes, from the covariance of genes."""
    return PCA(rank, svd_solver="covariance_eigh").fit_transform(expression.astype(np.float64)).astype(np.float32)


def nearest_neighbors(points: Float[np.ndarray, "cell component"], neighbors: int) -> Neighbors:
    """Nearest other cells: exact, computed block by block, for up to `EXACT_CELLS` cells, else by nearest-neighbor descent."""
    if len(points) > EXACT_CELLS:
        return approximate_neighbors(points, neighbors)
    cells = len(points)
    index = np.full((cells, neighbors), NO_NEIGHBOR, dtype=np.int32)
    distance = np.zeros((cells, neighbors), dtype=np.float32)
    found = min(neighbors, cells - 1)
    if found > 0:
        search = NearestNeighbors(n_neighbors=found, algorithm="brute").fit(points)
        distance[:, :found], index[:, :found] = search.kneighbors()
    return Neighbors(index, distance)


def approximate_neighbors(points: Float[np.ndarray, "cell component"], neighbors: int) -> Neighbors:
    """Most of the nearest other cells (docs/performance.md has the share), by nearest-neighbor descent on one thread.

    One thread: with several, which of them comes first decides which neighbors are found.
    """
    from pynndescent import NNDescent  # compiles for half a minute

    kept = max(CANDIDATES, neighbors + 1)
    search = NNDescent(points, "euclidean", n_neighbors=kept, n_trees=TREES, random_state=0, n_jobs=1)
    index, distance = search.neighbor_graph  # type: ignore[misc]
    itself = index == np.arange(len(points))[:, None]
    others = np.argsort(itself, axis=1, kind="stable")[:, :neighbors]  # the cell itself goes last
    index, distance = (np.take_along_axis(values, others, axis=1) for values in (index, distance))
    return Neighbors(index.astype(np.int32), distance.astype(np.float32))


def leiden_clusters(
    neighbors: Int[np.ndarray, "cell neighbor"], *, resolution: float, seed: int
) -> Int[np.ndarray, " cell"]:
    """Leiden clusters of the graph whose edges weigh the share of neighbors that two cells have in common; 0 is the largest."""
    import igraph  # takes a second, and most who need neighbors need no clusters

    cells = len(neighbors)
    rows, columns = np.nonzero(neighbors >= 0)
    if len(rows) == 0:
        return np.zeros(cells, dtype=np.int64)
    ones = np.ones(len(rows) + cells, dtype=np.float32)
    to = np.concatenate([neighbors[rows, columns], np.arange(cells)])
    near = sp.csr_matrix((ones, (np.concatenate([rows, np.arange(cells)]), to)), shape=(cells, cells))
    edges, weights = _weighted_edges(near)
    graph = igraph.Graph(n=cells, edges=edges)
    igraph.set_random_number_generator(random.Random(seed))
    found = graph.community_leiden("modularity", weights=weights.tolist(), resolution=resolution, n_iterations=2)
    igraph.set_random_number_generator(random)
    return _by_size(np.array(found.membership))


def _weighted_edges(near: sp.csr_matrix) -> tuple[Int[np.ndarray, "edge 2"], Float[np.ndarray, " edge"]]:
    """Pairs of near cells, and the share of their neighbors that they have in common (Jaccard); some cells at a time."""
    sizes, either, transposed = np.asarray(near.sum(axis=1)).ravel(), near + near.T > 0, sp.csr_matrix(near.T)
    edges, weights = [], []
    for start in range(0, len(sizes), BLOCK):
        rows = slice(start, start + BLOCK)
        shared = sp.triu((near[rows] @ transposed).multiply(either[rows]), k=start + 1).tocoo()
        edges.append(np.column_stack([shared.row + start, shared.col]))
        weights.append(shared.data / (sizes[shared.row + start] + sizes[shared.col] - shared.data))
    return np.concatenate(edges), np.concatenate(weights)


def merge_clusters(
    clusters: Int[np.ndarray, " cell"], points: Float[np.ndarray, "cell component"], *, correlation: float
) -> Int[np.ndarray, " cell"]:
    """Join clusters whose centroids correlate more than this, also through a third one.

    Source: Methods, "cluster-weighted sampling": clusters are merged above a centroid correlation of 94 %.
    """
    count = clusters.max() + 1
    if count < 2 or points.shape[1] < 3:
        return clusters
    centroids = np.stack([points[clusters == cluster].mean(axis=0) for cluster in range(count)])
    alike = np.nan_to_num(np.corrcoef(centroids)) > correlation
    return _by_size(connected_components(sp.csr_matrix(alike), directed=False)[1][clusters])


def _by_size(clusters: np.ndarray) -> np.ndarray:
    """Number clusters by falling size, ties by first cell."""
    _, first, inverse, sizes = np.unique(clusters, return_index=True, return_inverse=True, return_counts=True)
    order = np.lexsort((first, -sizes))
    return np.argsort(order)[inverse]
