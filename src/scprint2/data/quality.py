"""Which cells of a dataset are worth keeping."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Bool, Int, Num, Shaped, UInt

from scprint2.data.shard import hash_rows

TOP_GENES = 20  # the share of a cell's counts in so many genes is the third quantity that outliers are sought in
GENE_SHARE = 0.02  # in a small gene panel a cell needs this share of the genes, where that is less than `minimum_genes`
KEPT = "kept"
REASONS = ("not_primary", "few_genes", "duplicates", "outliers")
Secondary = Literal["drop", "keep"]  # cells first published in another dataset: copies in a corpus, not in a test set


@dataclass(frozen=True)
class Measures:
    """What quality control looks at; all that it needs to know of the counts of each cell.

    Attributes
    ----------
    genes, depth, top
        Expressed genes, counts, and counts in the cell's `TOP_GENES` largest genes.
    mitochondrial
        Counts in mitochondrial genes.
    hash
        Of the pairs of gene and count, in no order.
    """

    genes: Int[np.ndarray, " cell"]
    depth: Int[np.ndarray, " cell"]
    top: Int[np.ndarray, " cell"]
    mitochondrial: Int[np.ndarray, " cell"]
    hash: UInt[np.ndarray, " cell"]

    @classmethod
    def join(cls, parts: list["Measures"]) -> "Measures":
        """Put the cells of several blocks one after the other."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__dataclass_fields__))


@dataclass(frozen=True)
class Quality:
    """What quality control decided.

    Attributes
    ----------
    keep
        Cells that stay.
    reason
        `kept`, or the first of `REASONS` that applies.
    removed
        `minimum_genes`, the number of genes that was asked for, and how many cells were removed for which reason.
    """

    keep: Bool[np.ndarray, " cell"]
    reason: Shaped[np.ndarray, " cell"]
    removed: dict[str, int]


def measure_cells(counts: sp.csr_matrix, *, mitochondrial: Bool[np.ndarray, " gene"]) -> Measures:
    """Measure some cells; the columns of each must be sorted and unique, without stored zeros."""
    indptr = counts.indptr.astype(np.int64)
    return Measures(
        genes=np.diff(indptr),
        depth=_row_sums(counts.data, indptr),
        top=_top_sums(counts.data, indptr),
        mitochondrial=_row_sums(np.where(mitochondrial[counts.indices], counts.data, 0), indptr),
        hash=hash_rows(indptr, counts.indices, counts.data),
    )


def quality_filter(
    measures: Measures,
    obs: pd.DataFrame,
    *,
    genes: int,
    minimum_genes: int,
    deviations: float,
    secondary: Secondary = "drop",
) -> Quality:
    """Cells to keep, and how many were removed for which reason (each cell counts once, for the first that applies).

    Dropped are copies of cells in other datasets (`is_primary_data`; where `secondary` is "keep" they stay, D115), cells with few
    genes, exact duplicates, and cells whose depth, genes or share of the top genes is more than `deviations` median absolute
    deviations from the median. `genes` is the number of genes that were measured.

    Source: Methods, "preprocessing"; outliers as in the single-cell best practices.

    Raises
    ------
    ValueError
        If no cell is left.
    """
    cells = len(measures.genes)
    threshold = min(minimum_genes, int(np.ceil(GENE_SHARE * genes)))
    not_primary = np.zeros(cells, dtype=bool)
    if secondary == "drop" and "is_primary_data" in obs:
        not_primary = ~obs["is_primary_data"].astype(str).eq("True").to_numpy()
    tests = {
        "not_primary": lambda rows: not_primary[rows],
        "few_genes": lambda rows: measures.genes[rows] < threshold,
        "duplicates": lambda rows: pd.Series(measures.hash[rows]).duplicated().to_numpy(),
        "outliers": lambda rows: _is_outlier(measures, rows, deviations),
    }
    reason = np.full(cells, KEPT, dtype=object)
    for name in REASONS:
        rows = np.flatnonzero(reason == KEPT)
        if len(rows):
            reason[rows[tests[name](rows)]] = name
    removed = {"minimum_genes": threshold} | {f"removed_{name}": int((reason == name).sum()) for name in REASONS}
    if not (reason == KEPT).any():
        raise ValueError(
            f"quality control leaves no cell of {cells}: {removed}. Where cells are not primary (is_primary_data), give the "
            "dataset that they come from; else look at the counts, or lower minimum_genes."
        )
    return Quality(reason == KEPT, reason, removed)


def _is_outlier(measures: Measures, rows: np.ndarray, deviations: float) -> np.ndarray:
    depth, genes, top = (getattr(measures, name)[rows] for name in ("depth", "genes", "top"))
    bad = np.zeros(len(rows), dtype=bool)
    for values in (np.log1p(depth.astype(np.float64)), np.log1p(genes), top / np.maximum(depth, 1)):
        distance = np.abs(values - np.median(values))
        spread = np.median(distance)
        bad |= (distance > deviations * spread) & (spread > 0)
    return bad


def _row_sums(values: Num[np.ndarray, " entry"], indptr: Int[np.ndarray, " boundary"]) -> np.ndarray:
    total = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    return total[indptr[1:]] - total[indptr[:-1]]


def _top_sums(values: Num[np.ndarray, " entry"], indptr: Int[np.ndarray, " boundary"]) -> Int[np.ndarray, " cell"]:
    """Sum of the largest values of each row, all rows at once: entries sorted by row, the large ones first."""
    sizes = np.diff(indptr)
    row = np.repeat(np.arange(len(sizes)), sizes)
    order = np.lexsort((-values.astype(np.int64), row))
    rank = np.arange(len(values)) - np.repeat(indptr[:-1], sizes)
    return _row_sums(np.where(rank < TOP_GENES, values[order], 0), indptr)
