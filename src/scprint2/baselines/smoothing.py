"""kNN smoothing of counts."""

import numpy as np
from jaxtyping import Float
from scipy import sparse
from sklearn.decomposition import PCA

from scprint2.metrics.neighbors import find_neighbors

NEIGHBORS = 15  # besides the cell itself; a power of two less one, as the method's steps have it
COMPONENTS = 10  # the authors' default


def smooth_neighbors(
    counts: Float[np.ndarray, "cell gene"], *, neighbors: int = NEIGHBORS, components: int = COMPONENTS
) -> Float[np.ndarray, "cell gene"]:
    """Add the counts of each cell's nearest cells to its own, in steps of 1, 3, 7, ... neighbors up to `neighbors`.

    Each step seeks the neighbors among the sums of the step before, scaled to their median depth, Freeman-Tukey transformed
    and reduced to principal components; it adds up counts as they were given. The authors' jitter of the components is left
    out, so that the result is repeatable.

    Source: Wagner, Yan and Yanai 2018, doi:10.1101/217737 (kNN-smoothing 2).
    """
    neighbors = min(neighbors, len(counts) - 1)
    smoothed = counts
    for step in range(1, int(np.ceil(np.log2(neighbors + 1))) + 1):
        found = find_neighbors(_scores(smoothed, components), number=1 + min(2**step - 1, neighbors))
        graph = sparse.csr_matrix(found.graph)
        graph.data = np.ones_like(graph.data)
        smoothed = np.asarray(graph @ counts, dtype=np.float32)
    return smoothed


def _scores(counts: Float[np.ndarray, "cell gene"], components: int) -> Float[np.ndarray, "cell component"]:
    """Principal components of variance-stabilized, depth-normalized counts."""
    counts = counts.astype(np.float64)
    depth = counts.sum(axis=1, keepdims=True)
    scaled = counts * (np.median(depth) / np.maximum(depth, 1))
    number = min(components, min(counts.shape) - 1)
    scores = PCA(number, random_state=0).fit_transform(np.sqrt(scaled) + np.sqrt(scaled + 1))
    # Cells that add up the same neighbors have equal sums, and must be equally far to the last digit.
    return scores.round(6)
