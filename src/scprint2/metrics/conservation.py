"""How much of the known biology an embedding keeps apart: the bio part of scIB, with scib-metrics' definitions."""

import random
from typing import Any

import igraph
import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Num, Shaped
from scipy.sparse import csr_matrix, triu
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from scprint2.metrics.neighbors import Neighbors, blocks_of, squared_distances
from scprint2.seeds import fixed_seed

RESOLUTIONS = tuple(step / 5 for step in range(1, 11))  # scIB's search for the best clustering: 0.2 to 2


def silhouette_samples(
    points: Num[np.ndarray, "cell dim"], groups: Shaped[np.ndarray, " cell"]
) -> Float[np.ndarray, " cell"]:
    """Silhouette of each cell: (b - a) / max(a, b), with a the mean distance in its group, b that to the nearest other one.

    A cell alone in its group gets 0.

    Raises
    ------
    ValueError
        If there is only one group.
    """
    codes, names = encode(groups, least=2)
    points = points.astype(np.float64) - points.mean(axis=0, dtype=np.float64)
    sizes = np.bincount(codes)
    sums = group_distance_sums(points, codes, groups=len(names))
    cells = np.arange(codes.size)
    within = sums[cells, codes] / np.maximum(sizes[codes] - 1, 1)
    sums[cells, codes] = np.inf
    nearest = (sums / sizes).min(axis=1)
    scale = np.maximum(within, nearest)
    result = np.divide(nearest - within, scale, out=np.zeros(codes.size), where=scale > 0)
    result[sizes[codes] == 1] = 0
    return result


def group_distance_sums(
    points: Float[np.ndarray, "cell dim"], codes: Int[np.ndarray, " cell"], *, groups: int
) -> Float[np.ndarray, "cell group"]:
    """Sum of the Euclidean distances of each cell to the cells of each group."""
    member = np.zeros((codes.size, groups))
    member[np.arange(codes.size), codes] = 1
    squares = np.einsum("ij,ij->i", points, points)
    result = np.empty((codes.size, groups))
    for block in blocks_of(codes.size):
        distances = squared_distances(points, squares, block)
        np.sqrt(np.maximum(distances, 0, out=distances), out=distances)
        distances[np.arange(block.stop - block.start), np.arange(block.start, block.stop)] = 0
        result[block] = distances @ member
    return result


def silhouette_label(silhouettes: Float[np.ndarray, " cell"]) -> float:
    """Mean silhouette of the labels, from [-1, 1] to [0, 1]."""
    return float((silhouettes.mean() + 1) / 2)


def isolated_labels(
    silhouettes: Float[np.ndarray, " cell"],
    *,
    labels: Shaped[np.ndarray, " cell"],
    batches: Shaped[np.ndarray, " cell"],
) -> float:
    """Mean silhouette, from [-1, 1] to [0, 1], of the labels that occur in the fewest batches."""
    means = [silhouettes[labels == label].mean() for label in find_isolated_labels(labels, batches)]
    return float((np.mean(means) + 1) / 2)


def find_isolated_labels(labels: Shaped[np.ndarray, " cell"], batches: Shaped[np.ndarray, " cell"]) -> list[str]:
    """The labels that occur in the fewest batches."""
    names, number = np.unique(np.unique(np.stack([labels, batches]).astype(str), axis=1)[0], return_counts=True)
    return names[number == number.min()].tolist()


def isolated_labels_f1(
    clusterings: list[Int[np.ndarray, " cell"]],
    *,
    labels: Shaped[np.ndarray, " cell"],
    batches: Shaped[np.ndarray, " cell"],
) -> float:
    """Mean over isolated labels of the F1 score of the cluster, in any of the clusterings, that matches the label best."""
    best = []
    for label in find_isolated_labels(labels, batches):
        inside = labels == label
        scores = []
        for clusters in clusterings:
            hits, sizes = np.bincount(clusters, weights=inside), np.bincount(clusters)
            scores.append((2 * hits / (sizes + inside.sum())).max())
        best.append(max(scores))
    return float(np.mean(best))


def cluster_kmeans(points: Num[np.ndarray, "cell dim"], *, clusters: int) -> Int[np.ndarray, " cell"]:
    """Cluster by k-means, the best of ten starts.

    scib-metrics takes a single random start, so that its value hangs on the draw; ten make it repeatable.
    """
    with threadpool_limits(1):  # with more threads the sums, and with them the clusters, vary from run to run
        starts: Any = 10  # scikit-learn's annotation allows only "auto"
        return (
            KMeans(clusters, n_init=starts, random_state=fixed_seed(0))
            .fit_predict(points.astype(np.float64))
            .astype(np.int64)
        )


def cluster_leiden(
    weights: csr_matrix, *, resolutions: tuple[float, ...] = RESOLUTIONS
) -> list[Int[np.ndarray, " cell"]]:
    """Cluster by Leiden's algorithm (modularity), once for each resolution, from the same seed."""
    upper = triu(weights, format="coo")
    graph = igraph.Graph(n=len(weights.indptr) - 1, edges=np.stack([upper.row, upper.col], axis=1).tolist())
    clusterings = []
    try:
        for resolution in resolutions:
            igraph.set_random_number_generator(random.Random(fixed_seed(42)))
            found = graph.community_leiden(
                objective_function="modularity", weights=upper.data.tolist(), resolution=resolution
            )
            clusterings.append(np.asarray(found.membership, dtype=np.int64))
    finally:
        igraph.set_random_number_generator(random)
    return clusterings


def inverse_simpson(
    probabilities: Float[np.ndarray, "cell neighbor"], neighbors: Neighbors, groups: Shaped[np.ndarray, " cell"]
) -> Float[np.ndarray, " cell"]:
    """Effective number of groups around each cell (LISI), between 1 and the number of groups."""
    codes, names = encode(groups, least=2)
    cells = len(codes)
    slots = np.arange(cells)[:, None] * len(names) + codes[neighbors.indices]
    shares = np.bincount(slots.ravel(), weights=probabilities.ravel(), minlength=cells * len(names)).reshape(cells, -1)
    return 1 / np.einsum("ij,ij->i", shares, shares)


def clisi(inverse: Float[np.ndarray, " cell"], *, groups: int) -> float:
    """Cell type LISI: 1 where neighborhoods hold one label, 0 where they hold all alike. The median over cells."""
    return float((groups - np.median(inverse)) / (groups - 1))


def knn_label_purity(neighbors: Neighbors, labels: Shaped[np.ndarray, " cell"]) -> float:
    """Share of a cell's neighbors that carry its label, averaged within each label, then over labels."""
    same = (labels[neighbors.indices[:, 1:]] == labels[:, None]).mean(axis=1)
    return float(pd.Series(same).groupby(labels).mean().mean())


def encode(groups: Shaped[np.ndarray, " cell"], *, least: int = 1) -> tuple[Int[np.ndarray, " cell"], np.ndarray]:
    """Number the groups from 0; refuse fewer than `least`."""
    names, codes = np.unique(groups, return_inverse=True)
    if len(names) < least:
        raise ValueError(f"only one group, {names.tolist()!r}, over {len(groups)} cells: at least {least} are needed")
    return codes.astype(np.int64), names
