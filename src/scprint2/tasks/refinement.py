"""Logits of cells put right by those of similar cells: smoothing on a graph of neighbors, pooling and voting in clusters.

A refinement is a setting of the task `annotate`. It reads the logits of all cells and where the cells lie in an embedding, the
model's own one, and returns other logits. Imports no torch.
"""

from functools import cache, partial
from typing import Annotated, Literal

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int
from pydantic import Field
from scipy.sparse.linalg import cg

from scprint2.config.node import Node
from scprint2.data.clusters import Neighbors, leiden_clusters, nearest_neighbors
from scprint2.seeds import fixed_seed

RESIDUAL = 1e-6  # of the solution of the smoothing, relative to the logits: well under what a call can hang on
CLUSTER_SEED = 0  # of Leiden: a refinement is the same for all seeds of a row
SURE = 1e-6  # a probability is kept this far from 0 and 1, so that its logit is finite

Logits = Float[np.ndarray, "cell leaf"]
Clusters = Int[np.ndarray, " cell"]


class CellGraph:
    """Neighbors and clusters of cells in an embedding; what two refinements share is computed once."""

    def __init__(self, embedding: Float[np.ndarray, "cell dim"]) -> None:
        self.neighbors = cache(partial(nearest_neighbors, np.ascontiguousarray(embedding)))
        self.clusters = cache(self._clusters)

    def _clusters(self, neighbors: int, resolution: float) -> Clusters:
        return leiden_clusters(self.neighbors(neighbors).index, resolution=resolution, seed=fixed_seed(CLUSTER_SEED))


class SmoothConfig(Node):
    """Minimize ||P - P0||^2 + strength * tr(P^T L P): logits near those of the model and of the cell's neighbors.

    `weights` of the edges of the graph: `equal` counts each neighbor once, and one that is mutual twice; `distance` weighs a
    neighbor by its distance, as eq. 23 is printed, so that the farthest of them counts most.

    Source: Methods, "Logits refinement", eq. 23; Hu et al. 2025 (GRIT). Deviation D28.
    """

    kind: Literal["smooth"]
    neighbors: int = Field(ge=1)
    strength: float = Field(ge=0)
    weights: Literal["equal", "distance"]

    def refine(self, logits: Logits, graph: CellGraph) -> Logits:
        """Return the smoothed logits."""
        laplacian = graph_laplacian(graph.neighbors(self.neighbors), weights=self.weights)
        return smooth_logits(logits, laplacian, strength=self.strength)


class PoolConfig(Node):
    """Give all cells of a Leiden cluster the mean, or the maximum, of their logits.

    Source: Methods, "Cluster-aggregation", eq. 24 (maximum); Results, "cluster-based logits averaging" (mean). Deviation D23.
    """

    kind: Literal["pool"]
    neighbors: int = Field(ge=1)
    resolution: float = Field(gt=0)
    statistic: Literal["mean", "max"]

    def refine(self, logits: Logits, graph: CellGraph) -> Logits:
        """Return the logits of each cell's cluster."""
        return pool_logits(logits, graph.clusters(self.neighbors, self.resolution), statistic=self.statistic)


class VoteConfig(Node):
    """Give all cells of a Leiden cluster the type that most of them are called.

    Source: Dominguez Conde et al. 2022 (CellTypist), "majority voting".
    """

    kind: Literal["vote"]
    neighbors: int = Field(ge=1)
    resolution: float = Field(gt=0)

    def refine(self, logits: Logits, graph: CellGraph) -> Logits:
        """Return the logits of the shares of votes in each cell's cluster."""
        return vote_logits(logits, graph.clusters(self.neighbors, self.resolution))


Refinement = Annotated[SmoothConfig | PoolConfig | VoteConfig, Field(discriminator="kind")]


def graph_laplacian(neighbors: Neighbors, *, weights: Literal["equal", "distance"]) -> sp.csr_matrix:
    """Return C - (W + W^T), with W the weights of each cell's edges to its neighbors and C the diagonal of the row sums.

    The paper prints (D + D^T - C), the negative of it: with that sign eq. 23 has no minimum (D28).
    """
    cells = len(neighbors.index)
    rows, columns = np.nonzero(neighbors.index >= 0)
    found = neighbors.distance[rows, columns] if weights == "distance" else np.ones(len(rows))
    edges = sp.csr_matrix((found.astype(np.float64), (rows, neighbors.index[rows, columns])), shape=(cells, cells))
    both = sp.csr_matrix(edges + edges.T)
    return sp.csr_matrix(sp.diags_array(np.asarray(both.sum(axis=1)).ravel()) - both)


def smooth_logits(logits: Logits, laplacian: sp.csr_matrix, *, strength: float) -> Logits:
    """Solve (I + strength * laplacian) P = P0 for each type, by conjugate gradients with the diagonal as preconditioner.

    A factorization would be exact, but the factors of a graph of neighbors in many dimensions are far from sparse.

    Raises
    ------
    ValueError
        If the solution is not reached; the logits are not finite, then.

    Source: Methods, "Logits refinement", closed form of eq. 23.
    """
    system = sp.csr_matrix(sp.eye_array(len(logits)) + strength * laplacian)
    preconditioner = sp.diags_array(1 / system.diagonal())
    smooth = np.empty_like(logits)
    for leaf in range(logits.shape[1]):
        start = logits[:, leaf].astype(np.float64)
        solution, failure = cg(system, start, x0=start, rtol=RESIDUAL, M=preconditioner)
        if failure:
            raise ValueError(f"the smoothing of type {leaf} of {logits.shape[1]} did not converge; are logits finite?")
        smooth[:, leaf] = solution
    return smooth


def pool_logits(logits: Logits, clusters: Clusters, *, statistic: Literal["mean", "max"]) -> Logits:
    """Return for each cell the mean or the maximum of each logit over its cluster; clusters are 0, 1 and so on, none empty."""
    order = np.argsort(clusters, kind="stable")
    sizes = np.bincount(clusters)
    reduce = {"mean": np.add, "max": np.maximum}[statistic]
    pooled = reduce.reduceat(logits[order].astype(np.float64), np.cumsum(sizes) - sizes)
    return (pooled / (sizes[:, None] if statistic == "mean" else 1))[clusters].astype(logits.dtype)


def vote_logits(logits: Logits, clusters: Clusters) -> Logits:
    """Return for each cell the log odds of each type among the calls of the cells of its cluster."""
    votes = np.eye(logits.shape[1])[logits.argmax(axis=1)]
    return to_logits(pool_logits(votes, clusters, statistic="mean")).astype(logits.dtype)


def to_logits(probability: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Log odds of probabilities; none is infinite."""
    kept = np.clip(probability.astype(np.float64), SURE, 1 - SURE)
    return np.log(kept / (1 - kept))
