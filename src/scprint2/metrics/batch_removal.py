"""How well batches mix in an embedding: the batch part of scIB, with scib-metrics' definitions."""

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Num, Shaped
from scipy.linalg import eigh
from scipy.sparse import csr_matrix, diags
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import eigsh
from scipy.stats import chi2

from scprint2.metrics.conservation import encode, inverse_simpson, silhouette_samples
from scprint2.metrics.neighbors import Neighbors, find_neighbors, neighbor_probabilities
from scprint2.seeds import fixed_seed

COMPONENTS = 100  # of the diffusion map in kBET, scib-metrics' default
LEAST_CELLS = 10  # a label with fewer is left out of kBET


def bras(
    points: Num[np.ndarray, "cell dim"], *, labels: Shaped[np.ndarray, " cell"], batches: Shaped[np.ndarray, " cell"]
) -> float:
    """Batch removal adapted silhouette: 1 - abs(s), averaged within each label, then over labels.

    s is the silhouette of the batches within a label by cosine distance, where b is the mean distance to all cells of all
    other batches. Labels in one batch only are left out.

    Source: Rautenstrauch and Ohler 2025.
    """
    return _average_over_labels(_cosine_silhouettes, points, labels=labels, batches=batches)


def silhouette_batch(
    points: Num[np.ndarray, "cell dim"], *, labels: Shaped[np.ndarray, " cell"], batches: Shaped[np.ndarray, " cell"]
) -> float:
    """The classic scIB batch silhouette, 1 - abs(s) with the distance to the nearest batch; rewards nested batch effects."""
    return _average_over_labels(silhouette_samples, points, labels=labels, batches=batches)


def ilisi(inverse: Float[np.ndarray, " cell"], *, groups: int) -> float:
    """Integration LISI: 1 where neighborhoods hold all batches alike, 0 where they hold one. The median over cells."""
    return float((np.median(inverse) - 1) / (groups - 1))


def cilisi(
    points: Num[np.ndarray, "cell dim"], *, labels: Shaped[np.ndarray, " cell"], batches: Shaped[np.ndarray, " cell"]
) -> float:
    """Integration LISI within each label, which mixing the labels cannot raise: the mean over cells.

    Neighbors are sought among cells of the same label, 90 or as many as there are. Labels in one batch only, or with fewer
    than 10 cells, are left out.

    Source: Andreatta et al. 2024 (CiLISI).
    """
    values = []
    for label in np.unique(labels):
        inside = labels == label
        names = np.unique(batches[inside])
        if len(names) < 2 or inside.sum() < LEAST_CELLS:
            continue
        neighbors = find_neighbors(points[inside], number=90)
        perplexity = neighbors.indices.shape[1] // 3
        inverse = inverse_simpson(neighbor_probabilities(neighbors, perplexity=perplexity), neighbors, batches[inside])
        values.append((inverse - 1) / (len(names) - 1))
    if not values:
        raise ValueError(f"no label has {LEAST_CELLS} cells and two batches")
    return float(np.concatenate(values).mean())


def graph_connectivity(graph: csr_matrix, *, labels: Shaped[np.ndarray, " cell"]) -> float:
    """Mean over labels of the share of a label's cells in its largest strongly connected component."""
    shares = []
    for label in np.unique(labels):
        inside = np.flatnonzero(labels == label)
        _, component = connected_components(graph[inside][:, inside], connection="strong")
        shares.append(np.bincount(component).max() / inside.size)
    return float(np.mean(shares))


def kbet_per_label(
    weights: csr_matrix,
    *,
    labels: Shaped[np.ndarray, " cell"],
    batches: Shaped[np.ndarray, " cell"],
    alpha: float = 0.05,
) -> float:
    """Share of neighborhoods whose batches could be drawn from those of the label (chi-squared test), averaged over labels.

    Neighborhoods are found in a diffusion map of each label's part of the graph `weights`. A label in one batch, or of ten
    cells or fewer, is left out; one whose graph falls into small pieces counts 0. As in scib-metrics, a label with fewer
    cells than components of the map limits the components of the labels after it.

    Source: Buettner et al. 2019; scib-metrics 0.5.10.
    """
    codes, _ = encode(batches, least=2)
    components, rates = COMPONENTS, []
    for label in np.unique(labels):
        inside = np.flatnonzero(labels == label)
        sizes = np.bincount(codes[inside])
        sizes = sizes[sizes > 0]
        if inside.size <= LEAST_CELLS or len(sizes) == 1:
            continue
        number = int(min(70, max(10, np.floor(sizes.mean() / 4))))
        inside = _largest_pieces(weights, inside, least=3 * number)
        if inside.size == 0:
            rates.append(0.0)
            continue
        components = min(components, inside.size - 1)
        space = diffusion_map(csr_matrix(weights[inside][:, inside]), components=components)
        neighbors = find_neighbors(space, number=number + 1)
        rates.append(acceptance_rate(neighbors, codes[inside], alpha=alpha))
    if not rates:
        raise ValueError(f"no label has more than {LEAST_CELLS} cells and two batches")
    return float(np.mean(rates))


def pcr_comparison(
    before: Num[np.ndarray, "cell component"],
    after: Num[np.ndarray, "cell dim"],
    *,
    batches: Shaped[np.ndarray, " cell"],
) -> float:
    """Which share of the variance that batches explain is gone: (before - after) / before, at least 0.

    Raises
    ------
    ValueError
        If there is one batch, or batches explain nothing before.

    Source: Luecken et al. 2022 (principal component regression).
    """
    there = variance_explained(before, batches)
    if there == 0:
        raise ValueError("batches explain no variance before integration: there is nothing to remove")
    return max(0.0, (there - variance_explained(after, batches)) / there)


def variance_explained(points: Num[np.ndarray, "cell dim"], groups: Shaped[np.ndarray, " cell"]) -> float:
    """Share of the variance that lies between groups.

    It equals the R2 of a regression of each principal component on the groups, weighted by the component's variance: both
    are the sum of squares between groups over the total one, which a rotation does not change.
    """
    codes, names = encode(groups, least=2)
    points = points.astype(np.float64) - points.mean(axis=0, dtype=np.float64)
    sums = np.zeros((len(names), points.shape[1]))
    np.add.at(sums, codes, points)
    between = (sums**2 / np.bincount(codes)[:, None]).sum()
    return float(between / (points**2).sum())


def acceptance_rate(neighbors: Neighbors, batches: Int[np.ndarray, " cell"], *, alpha: float) -> float:
    """Share of cells whose neighbors pass the chi-squared test for the batch composition of all cells.

    One batch alone counts 0: it is what is left of a label whose batches lie apart.
    """
    codes, names = encode(batches)
    if len(names) == 1:
        return 0.0
    cells, number = neighbors.indices.shape
    slots = np.arange(cells)[:, None] * len(names) + codes[neighbors.indices]
    observed = np.bincount(slots.ravel(), minlength=cells * len(names)).reshape(cells, -1)
    expected = np.bincount(codes) / cells * number
    statistic = ((observed - expected) ** 2 / expected).sum(axis=1)
    return float((chi2.sf(statistic, len(names) - 1) >= alpha).mean())


def diffusion_map(weights: csr_matrix, *, components: int) -> Float[np.ndarray, "cell component"]:
    """Diffusion map whose Euclidean distance sums over all numbers of steps (multiscale).

    Eigenvalues are rounded to single precision, as in scib-metrics: it decides which of them count as exactly 1.
    """
    density = np.asarray(weights.sum(axis=0)).ravel()
    kernel = diags(1 / density) @ weights @ diags(1 / density)
    scale = diags(1 / np.sqrt(np.asarray(kernel.sum(axis=0)).ravel()))
    values, vectors = _largest_eigenpairs(csr_matrix(scale @ kernel @ scale), number=components)
    values = values.astype(np.float32) + np.float32(1e-8)
    steps = np.where(values == 1, 1, values / np.where(values == 1, 1, 1 - values))
    return (vectors.astype(np.float32) * steps).astype(np.float64)


def _largest_eigenpairs(matrix: csr_matrix, *, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Eigenpairs of largest magnitude, ascending; the start vector is fixed, so that the result is."""
    cells = len(matrix.indptr) - 1
    if number > cells // 6:  # where a dense matrix is faster
        values, vectors = eigh(matrix.toarray())
        chosen = np.sort(np.argsort(np.abs(values), kind="stable")[-number:])
        return values[chosen], vectors[:, chosen]
    start = np.random.default_rng(fixed_seed(0)).uniform(-1, 1, cells)
    values, vectors = eigsh(matrix.astype(np.float64), k=number, which="LM", v0=start)
    return np.asarray(values), np.asarray(vectors)


def _largest_pieces(weights: csr_matrix, inside: np.ndarray, *, least: int) -> np.ndarray:
    """The cells of a label to test: all if connected, else those in pieces of `least` cells if they are 75 %, else none."""
    pieces, piece = connected_components(weights[inside][:, inside], connection="strong")
    if pieces == 1:
        return inside
    kept = inside[np.bincount(piece)[piece] >= least]
    return kept if kept.size >= 0.75 * inside.size else kept[:0]


def _average_over_labels(silhouettes, points: np.ndarray, *, labels: np.ndarray, batches: np.ndarray) -> float:
    """Mean over labels of the mean of 1 - abs(s), over labels with several batches and not one batch per cell."""
    values, groups = [], []
    for label in np.unique(labels):
        inside = labels == label
        names = np.unique(batches[inside])
        if 1 < len(names) < inside.sum():
            values.append(1 - np.abs(silhouettes(points[inside], batches[inside])))
            groups.append(label)
    if not values:
        raise ValueError("no label occurs in two batches: whether batches mix within a label cannot be seen")
    return float(pd.Series([value.mean() for value in values], index=groups).mean())


def _cosine_silhouettes(points: np.ndarray, batches: np.ndarray) -> np.ndarray:
    """Silhouettes by cosine distance, b over all cells of the other batches; sums of distances come from sums of vectors.

    An all-zero vector is at distance 1 of every other, as in scikit-learn (scib-metrics turns its whole label into zeros).
    """
    codes, names = encode(batches)
    norms = np.linalg.norm(points.astype(np.float64), axis=1)
    unit = points / np.where(norms > 0, norms, 1)[:, None]
    member = np.zeros((codes.size, len(names)))
    member[np.arange(codes.size), codes] = 1
    sizes = member.sum(axis=0)
    sums = sizes - unit @ (unit.T @ member)  # sum over a batch of 1 - cos
    cells = np.arange(codes.size)
    sums[cells, codes] -= norms == 0  # the distance to itself, which is 0 for every other vector
    own = sums[cells, codes].copy()
    within = own / np.maximum(sizes[codes] - 1, 1)
    between = (sums.sum(axis=1) - own) / (codes.size - sizes[codes])
    scale = np.maximum(within, between)
    result = np.divide(between - within, scale, out=np.zeros(codes.size), where=scale > 0)
    result[sizes[codes] == 1] = 0
    return result
