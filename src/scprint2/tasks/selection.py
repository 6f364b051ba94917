"""Which cells and genes a task looks at, and the noise that it adds: the same for every row of Table 1.

What is drawn here is keyed by `DRAW_SEED`, never by the seed of a run: all models and baselines answer one question (D35).
"""

from typing import Any, cast

import numpy as np
from anndata import AnnData
from jaxtyping import Float, Int, Num
from scipy import sparse

DRAW_SEED = 20
# Half of the counts to be dropped go one by one, half with their whole gene; 0.55 instead of 0.5 as in eq. 19.
REMOVED_SCALE = 0.55
SPANS = (0.3, 0.5, 0.7, 1.0)  # scanpy's default first


def dense(matrix: Any) -> np.ndarray:
    """Return a sparse or dense matrix as an array."""
    return matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)


def dense_counts(adata: AnnData, layer: str | None = None) -> Num[np.ndarray, "cell gene"]:
    """Counts as a dense array."""
    return dense(adata.X if layer is None else adata.layers[layer])


def draw_cells(adata: AnnData, most: int) -> Int[np.ndarray, " cell"]:
    """Rows of at most `most` cells, drawn without replacement, in file order."""
    if adata.n_obs <= most:
        return np.arange(adata.n_obs)
    return np.sort(np.random.default_rng(DRAW_SEED).choice(adata.n_obs, most, replace=False))


def deepest_cells(
    rows: Int[np.ndarray, " cell"], depth: Num[np.ndarray, " all"], most: int
) -> Int[np.ndarray, " chosen"]:
    """Return the `most` rows with the largest depth, in file order; ties go to the earlier row."""
    order = np.argsort(-depth[rows], kind="stable")[:most]
    return np.sort(rows[order])


def variable_genes(adata: AnnData, most: int) -> Int[np.ndarray, " gene"]:
    """Columns of the `most` most variable genes among those that occur (scanpy's seurat_v3 on raw counts), in file order."""
    counts = sparse.csr_matrix(adata.X)
    seen = np.flatnonzero(counts.getnnz(axis=0) > 0)
    if len(seen) <= most:
        return seen
    variance = standardized_variance(sparse.csr_matrix(counts[:, seen], dtype=np.float32))
    order = np.argsort(-variance, kind="stable")[:most]  # ties go to the gene that comes first in the table
    return np.sort(seen[order])


def standardized_variance(counts: sparse.csr_matrix) -> Float[np.ndarray, " gene"]:
    """Variance of each gene after the trend of variance over mean is taken out (seurat_v3).

    The trend is a local regression over 30 % of the genes. Where many genes have one mean, as in few shallow cells, so few are
    singular; then the least of `SPANS` that is not is taken.

    Raises
    ------
    ValueError
        If none is.
    """
    import scanpy as sc  # its import takes seconds, and scoring needs it not

    for span in SPANS:
        try:
            table: Any = sc.pp.highly_variable_genes(
                AnnData(counts), flavor="seurat_v3", inplace=False, span=span, n_top_genes=1
            )
        except ValueError as error:
            reason = error
        else:
            return np.asarray(table["variances_norm"], dtype=np.float64)
    cells, genes = cast(tuple[int, int], counts.shape)
    raise ValueError(
        f"the variable genes of {cells} cells and {genes} genes cannot be found ({reason}); use more cells"
    )


def log_normalize(counts: Num[np.ndarray, "cell gene"]) -> Num[np.ndarray, "cell gene"]:
    """log(1 + counts per 10,000); a cell without counts stays all zero."""
    depth = counts.sum(axis=1, keepdims=True)
    return np.log1p(counts * (1e4 / np.maximum(depth, 1))).astype(np.float32)


def downsample_counts(
    counts: Num[np.ndarray, "cell gene"], removed: float, *, rng: np.random.Generator
) -> Int[np.ndarray, "cell gene"]:
    """Take counts away by a zero-inflated Poisson: max((x - Poisson(0.55 r x)) * 1[u >= 0.55 r], 0).

    Source: Methods, "Denoising pre-training task", eq. 19.
    """
    share = REMOVED_SCALE * removed
    kept = counts - rng.poisson(share * counts)
    return np.maximum(kept * (rng.random(counts.shape) >= share), 0).astype(np.int32)
