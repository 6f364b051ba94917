"""Which cells of a dataset are worth keeping."""

import hashlib

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Bool

TOP_GENES = 20  # the share of a cell's counts in so many genes is the third quantity that outliers are sought in
GENE_SHARE = 0.02  # in a small gene panel a cell needs this share of the genes, where that is less than `minimum_genes`


def quality_filter(
    counts: sp.csr_matrix, obs: pd.DataFrame, *, minimum_genes: int, deviations: float
) -> tuple[Bool[np.ndarray, " cell"], dict[str, int]]:
    """Cells to keep, and how many were removed for which reason (each cell counts once, for the first that applies).

    Dropped are copies of cells in other datasets (`is_primary_data`), cells with few genes, exact duplicates, and cells whose
    depth, genes or share of the top genes is more than `deviations` median absolute deviations from the median.

    Source: Methods, "preprocessing"; outliers as in the single-cell best practices.

    Raises
    ------
    ValueError
        If no cell is left.
    """
    cells, genes = counts.get_shape()
    threshold = min(minimum_genes, int(np.ceil(GENE_SHARE * genes)))
    keep = np.ones(cells, dtype=bool)
    removed = {"minimum_genes": threshold}
    not_primary = ~obs["is_primary_data"].astype(str).eq("True").to_numpy() if "is_primary_data" in obs else ~keep
    tests = {
        "removed_not_primary": lambda rows: not_primary[rows],
        "removed_few_genes": lambda rows: np.diff(counts.indptr)[rows] < threshold,
        "removed_duplicates": lambda rows: _is_repeated(counts[rows]),
        "removed_outliers": lambda rows: _is_outlier(counts[rows], deviations),
    }
    for name, test in tests.items():
        rows = np.flatnonzero(keep)
        bad = rows[test(rows)] if len(rows) else rows
        keep[bad] = False
        removed[name] = len(bad)
    if not keep.any():
        raise ValueError(
            f"quality control leaves no cell of {len(keep)}: {removed}. Where cells are not primary (is_primary_data), give the "
            "dataset that they come from; else look at the counts, or lower minimum_genes."
        )
    return keep, removed


def _is_repeated(counts: sp.csr_matrix) -> np.ndarray:
    """True for a cell whose counts are exactly those of an earlier one."""
    seen: set[bytes] = set()
    repeated = np.zeros(len(counts.indptr) - 1, dtype=bool)
    for row, (start, stop) in enumerate(zip(counts.indptr[:-1], counts.indptr[1:], strict=True)):
        key = hashlib.blake2b(counts.indices[start:stop].tobytes(), digest_size=16)
        key.update(counts.data[start:stop].tobytes())
        repeated[row] = key.digest() in seen
        seen.add(key.digest())
    return repeated


def _is_outlier(counts: sp.csr_matrix, deviations: float) -> np.ndarray:
    depth = np.asarray(counts.sum(axis=1)).ravel().astype(np.float64)
    top = np.array([_top_sum(counts.data[a:b]) for a, b in zip(counts.indptr[:-1], counts.indptr[1:], strict=True)])
    bad = np.zeros(len(depth), dtype=bool)
    for values in (np.log1p(depth), np.log1p(np.diff(counts.indptr)), top / np.maximum(depth, 1)):
        distance = np.abs(values - np.median(values))
        spread = np.median(distance)
        bad |= (distance > deviations * spread) & (spread > 0)
    return bad


def _top_sum(values: np.ndarray) -> float:
    return float(values.sum() if len(values) <= TOP_GENES else np.partition(values, -TOP_GENES)[-TOP_GENES:].sum())
