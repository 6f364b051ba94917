"""Exact nearest neighbors, and the two graphs that the embedding metrics read off them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Num
from scipy.sparse import csr_matrix

HELD = 1_000_000  # distances that are held at once, so that they stay in the cache
STRIDE = 8  # every so many columns are looked at to guess a bound of the smallest entries


@dataclass(frozen=True)
class Neighbors:
    """The nearest cells of each cell, itself first, then by growing distance."""

    indices: Int[np.ndarray, "cell neighbor"]
    distances: Float[np.ndarray, "cell neighbor"]

    def nearest(self, number: int) -> "Neighbors":
        """The first `number` neighbors, the cell itself among them.

        Raises
        ------
        ValueError
            If fewer are known, because there are fewer cells.
        """
        if number > self.indices.shape[1]:
            raise ValueError(
                f"{self.indices.shape[0]} cells have {self.indices.shape[1]} neighbors (each cell counts as its own first): "
                f"{number} are needed. Score more cells."
            )
        return Neighbors(self.indices[:, :number], self.distances[:, :number])

    @property
    def graph(self) -> csr_matrix:
        """Directed graph of distances, cell to neighbor; a stored 0 is an edge."""
        cells, neighbors = self.indices.shape
        rows = np.arange(0, cells * neighbors + 1, neighbors)
        return csr_matrix((self.distances.ravel(), self.indices.ravel(), rows), shape=(cells, cells))


def find_neighbors(points: Num[np.ndarray, "cell dim"], *, number: int) -> Neighbors:
    """Find the nearest cells by Euclidean distance, exactly; of cells equally far the one with the lower row comes first."""
    points = points.astype(np.float64) - points.mean(axis=0, dtype=np.float64)
    number = min(number, points.shape[0])
    squares = np.einsum("ij,ij->i", points, points)
    indices = np.empty((points.shape[0], number), dtype=np.int64)
    distances = np.empty((points.shape[0], number))
    for block in blocks_of(points.shape[0]):
        estimate = squared_distances(points, squares, block)
        own = np.arange(block.start, block.stop)
        estimate[np.arange(own.size), own] = -np.inf
        chosen = np.sort(smallest_columns(estimate, number=number), axis=1)
        exact = _distances(points, own, chosen)  # the estimate loses digits where two cells nearly agree
        exact[chosen == own[:, None]] = -1
        order = np.argsort(exact, axis=1, kind="stable")
        indices[block] = np.take_along_axis(chosen, order, axis=1)
        distances[block] = np.maximum(np.take_along_axis(exact, order, axis=1), 0)
    return Neighbors(indices, distances)


def squared_distances(
    points: Float[np.ndarray, "cell dim"], squares: Float[np.ndarray, " cell"], block: slice
) -> Float[np.ndarray, "row cell"]:
    """Squared distances of a block of cells to all cells, from their squared lengths; rounding may leave them below 0."""
    result = points[block] @ points.T
    result *= -2
    result += squares
    result += squares[block, None]
    return result


def smallest_columns(values: Float[np.ndarray, "row column"], *, number: int) -> Int[np.ndarray, "row number"]:
    """Columns of the `number` smallest entries of each row, in no order: those of a partition of all of them, sooner.

    A sample of the columns gives each row a bound that hardly ever has fewer than `number` entries below it, and only these
    entries are partitioned. A row that does have fewer has all its entries looked at.
    """
    expected = number / STRIDE
    rank = int(np.ceil(expected + 4 * np.sqrt(expected)))
    if rank >= values.shape[1] // STRIDE:
        return np.argpartition(values, number - 1, axis=1)[:, :number]
    bound = np.partition(values[:, ::STRIDE], rank, axis=1)[:, rank, None]
    sizes = (values <= bound).sum(axis=1)
    bound[sizes < number] = np.inf
    below = values <= bound
    sizes = below.sum(axis=1)
    inside = np.arange(sizes.max()) < sizes[:, None]
    columns = np.zeros(inside.shape, dtype=np.int64)
    columns[inside] = np.flatnonzero(below) % values.shape[1]
    found = np.where(inside, np.take_along_axis(values, columns, axis=1), np.inf)
    return np.take_along_axis(columns, np.argpartition(found, number - 1, axis=1)[:, :number], axis=1)


def blocks_of(cells: int) -> Iterator[slice]:
    """Cut the cells into blocks whose distances to all others may be held at once."""
    step = max(1, HELD // max(1, cells))
    for start in range(0, cells, step):
        yield slice(start, min(start + step, cells))


def connectivities(neighbors: Neighbors) -> csr_matrix:
    """Symmetric weights between neighboring cells, as UMAP's fuzzy simplicial set (local connectivity 1, union).

    Source: McInnes et al. 2018, algorithms 2 and 3.
    """
    distances = neighbors.distances.astype(np.float32).astype(np.float64)
    positive = np.where(distances > 0, distances, np.inf).min(axis=1)
    nearest = np.where(np.isfinite(positive), positive, 0.0)
    beyond = np.maximum(distances - nearest[:, None], 0)
    width = _bandwidth(beyond[:, 1:], target=np.log2(distances.shape[1]))
    least = 1e-3 * np.where(nearest > 0, distances.mean(axis=1), distances.mean())
    width = np.maximum(width, least)
    scaled = np.divide(beyond, width[:, None], out=np.zeros_like(beyond), where=width[:, None] > 0)
    weights = np.exp(-scaled)
    weights[neighbors.indices == np.arange(len(weights))[:, None]] = 0
    directed = csr_matrix(
        (weights.ravel(), neighbors.indices.ravel(), neighbors.graph.indptr), shape=neighbors.graph.shape
    )
    directed.eliminate_zeros()
    reverse = directed.T.tocsr()
    union = csr_matrix(directed + reverse - directed.multiply(reverse))
    union.eliminate_zeros()
    union.sort_indices()
    return union


def neighbor_probabilities(neighbors: Neighbors, *, perplexity: int) -> Float[np.ndarray, "cell neighbor"]:
    """Weights of a cell's neighbors, a Gaussian-like kernel exp(-beta * distance) of the given perplexity; itself weighs 0.

    Source: Korsunsky et al. 2019 (LISI).
    """
    distances = neighbors.distances.astype(np.float32).astype(np.float64)
    other = neighbors.indices != np.arange(len(distances))[:, None]
    beta = np.ones(len(distances))
    low, high = np.full(len(distances), -np.inf), np.full(len(distances), np.inf)
    result = np.empty_like(distances)
    active = np.arange(len(distances))
    for _ in range(51):
        entropy, result[active] = _entropy(distances[active], other[active], beta[active])
        excess = entropy - np.log(perplexity)
        active, excess = active[np.abs(excess) >= 1e-5], excess[np.abs(excess) >= 1e-5]
        if not active.size:
            break
        wide, narrow = active[excess > 0], active[excess <= 0]
        low[wide], high[narrow] = beta[wide], beta[narrow]
        beta[wide] = np.where(np.isinf(high[wide]), beta[wide] * 2, (beta[wide] + high[wide]) / 2)
        beta[narrow] = np.where(np.isinf(low[narrow]), beta[narrow] / 2, (beta[narrow] + low[narrow]) / 2)
    return result


def _distances(points: np.ndarray, own: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Distances of each cell in `own` to its chosen cells, a few rows at a time."""
    result = np.empty(chosen.shape)
    step = max(1, HELD // (chosen.shape[1] * points.shape[1] + 1))
    for start in range(0, own.size, step):
        rows = slice(start, start + step)
        difference = points[chosen[rows]] - points[own[rows], None, :]
        result[rows] = np.sqrt(np.einsum("ijk,ijk->ij", difference, difference))
    return result


def _bandwidth(beyond: np.ndarray, *, target: float) -> np.ndarray:
    """Width of each cell's kernel, such that its weights sum to `target` (binary search)."""
    width = np.ones(len(beyond))
    low, high = np.zeros(len(beyond)), np.full(len(beyond), np.inf)
    active = np.arange(len(beyond))
    for _ in range(64):
        total = np.exp(-beyond[active] / width[active, None]).sum(axis=1)
        off = np.abs(total - target) >= 1e-5
        active, total = active[off], total[off]
        if not active.size:
            break
        large, small = active[total > target], active[total <= target]
        high[large], low[small] = width[large], width[small]
        width[large] = (low[large] + high[large]) / 2
        width[small] = np.where(np.isinf(high[small]), width[small] * 2, (low[small] + high[small]) / 2)
    return width


def _entropy(distances: np.ndarray, other: np.ndarray, beta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Entropy and weights of each cell's kernel."""
    nearest = np.where(other, distances, np.inf).min(axis=1)
    weights = np.where(other, np.exp(-beta[:, None] * (distances - nearest[:, None])), 0)  # shifted: the sum is never 0
    total = weights.sum(axis=1)
    weights /= total[:, None]
    return np.log(total) + beta * ((distances - nearest[:, None]) * weights).sum(axis=1), weights
