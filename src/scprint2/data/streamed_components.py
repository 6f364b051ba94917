"""Principal components of more cells than fit into memory: three passes over their counts, a covariance of genes in between."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import scipy.linalg
import scipy.sparse as sp
from jaxtyping import Float, Int

from scprint2.data.clusters import LARGEST_SCALED, NORMALIZED_TOTAL
from scprint2.data.count_store import Counts, count_blocks

VARIABLE_GENES = 4000  # their covariance takes 128 MB; of all genes of a mammal it would take 4 GB and 25 times as long
MEAN_BINS = 20  # genes are compared with those of like mean, in so many bins
DENSE_CELLS = 4096  # cells that are dense at a time


def streamed_components(counts: Counts, components: int) -> Float[np.ndarray, "cell component"]:
    """Principal components of log-normalized, scaled counts, of the most variable genes where there are many.

    Exact for these genes: their covariance is summed over blocks of cells, its leading eigenvectors are found, and every cell is
    projected on them.

    Source: Methods, "preprocessing": log-normalize, scale, PCA.
    """
    cells = counts.shape[0]
    deviation, chosen = _scale(counts)
    rank = min(components, cells - 1, len(chosen) - 1)
    if rank < 1:
        return np.zeros((cells, 1), dtype=np.float32)
    total, product = np.zeros(len(chosen)), np.zeros((len(chosen), len(chosen)))
    for _, block in _scaled_blocks(counts, chosen, deviation):
        total += block.sum(axis=0, dtype=np.float64)
        product += block.T @ block
    mean = total / cells
    covariance = product / cells - np.outer(mean, mean)
    directions = _leading_eigenvectors(covariance, rank)
    scores = np.empty((cells, rank), dtype=np.float32)
    for rows, block in _scaled_blocks(counts, chosen, deviation):
        scores[rows] = block @ directions.astype(np.float32) - mean @ directions
    return scores


def variable_genes(
    mean: Float[np.ndarray, " gene"], variance: Float[np.ndarray, " gene"], number: int
) -> Int[np.ndarray, " chosen"]:
    """Genes whose dispersion stands out most among genes of like mean, in order; all that vary, if they are not more.

    Mean and variance are those of normalized counts.

    Source: Satija et al. 2015 (the flavor `seurat` of scanpy).
    """
    varying = np.flatnonzero(variance > 0)
    if len(varying) <= number:
        return varying
    level = np.log1p(mean[varying])
    dispersion = pd.Series(np.log(variance[varying] / mean[varying]))
    group = dispersion.groupby(pd.cut(level, bins=MEAN_BINS), observed=True)
    center, spread = group.transform("mean"), group.transform("std")
    alone = spread.isna()  # a gene that is alone in its bin gets 1, as in scanpy
    score = ((dispersion - center.where(~alone, 0)) / spread.where(~alone, center)).to_numpy()
    return np.sort(varying[np.argsort(-score, kind="stable")[:number]])


def _scale(counts: Counts) -> tuple[Float[np.ndarray, " chosen"], Int[np.ndarray, " chosen"]]:
    """First pass: the genes to use, and the standard deviations of their logarithms."""
    cells, genes = counts.shape
    sums = np.zeros((4, genes))  # of normalized counts, their squares, logarithms, their squares
    for _, block in count_blocks(counts):
        for kind, values in ((0, _normalize(block)), (2, _log_normalize(block))):
            sums[kind] += np.bincount(values.indices, weights=values.data, minlength=genes)
            sums[kind + 1] += np.bincount(values.indices, weights=values.data.astype(np.float64) ** 2, minlength=genes)
    mean, square, log_mean, log_square = sums / cells
    log_deviation = np.sqrt(np.maximum(log_square - log_mean**2, 0))
    variance = np.where(log_deviation > 1e-6, square - mean**2, 0) * cells / max(cells - 1, 1)
    chosen = variable_genes(mean, variance, VARIABLE_GENES)
    return log_deviation[chosen], chosen


def _normalize(block: sp.csr_matrix) -> sp.csr_matrix:
    expression = block.astype(np.float32)
    totals = np.asarray(expression.sum(axis=1)).ravel()
    return sp.csr_matrix(sp.diags_array(NORMALIZED_TOTAL / np.maximum(totals, 1)) @ expression, dtype=np.float32)


def _log_normalize(block: sp.csr_matrix) -> sp.csr_matrix:
    expression = _normalize(block)
    expression.data = np.log1p(expression.data)
    return expression


def _scaled_blocks(
    counts: Counts, chosen: np.ndarray, deviation: np.ndarray
) -> Iterator[tuple[Int[np.ndarray, " block"], Float[np.ndarray, "block chosen"]]]:
    """Scaled expression of the chosen genes, dense, some cells at a time."""
    for rows, block in count_blocks(counts):
        scaled = sp.csr_matrix(_log_normalize(block)[:, chosen] @ sp.diags_array(1 / deviation), dtype=np.float32)
        scaled.data = np.minimum(scaled.data, LARGEST_SCALED)
        for start in range(0, len(rows), DENSE_CELLS):
            yield rows[start : start + DENSE_CELLS], scaled[start : start + DENSE_CELLS].toarray()


def _leading_eigenvectors(covariance: Float[np.ndarray, "gene gene"], rank: int) -> Float[np.ndarray, "gene component"]:
    """Eigenvectors of the largest eigenvalues, largest first, the largest entry of each positive."""
    genes = len(covariance)
    _, vectors = scipy.linalg.eigh(covariance, subset_by_index=[genes - rank, genes - 1])
    vectors = vectors[:, ::-1]
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(rank)])
    return vectors * np.where(signs == 0, 1, signs)
