"""What a count matrix looks like: its cells' depths, and its genes' variance and zeros against their mean."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp


@dataclass(frozen=True)
class CountStatistics:
    """Summary of a count matrix.

    Attributes
    ----------
    cells
        One row per percentile (1, 2 … 99): `depth` (counts) and `genes` (expressed genes) of a cell.
    genes
        One row per bin of genes of like mean: `mean`, and the median, 10th and 90th percentile of `variance` and
        of `zero_share`; `number` of genes.
    """

    cells: pd.DataFrame
    genes: pd.DataFrame


def summarize_counts(counts: sp.csr_matrix, *, bins: int = 24) -> CountStatistics:
    """Summarize raw counts [cell, gene]; genes without a count are left out.

    Raises
    ------
    ValueError
        If the matrix holds fewer than two cells or no count.
    """
    counts = sp.csr_matrix(counts, dtype=np.float64)
    number, total = counts.indptr.size - 1, counts.data.sum()
    if number < 2 or total == 0:
        raise ValueError(f"a matrix of {number} cells and {total:.0f} counts; give at least 2 cells and 1 count")
    percentile = np.arange(1, 100)
    depth = np.asarray(counts.sum(1)).ravel()
    expressed = np.diff(counts.indptr)
    cells = pd.DataFrame(
        {
            "percentile": percentile,
            "depth": np.percentile(depth, percentile),
            "genes": np.percentile(expressed, percentile),
        }
    )
    mean = np.asarray(counts.mean(0)).ravel()
    square = np.asarray(counts.multiply(counts).mean(0)).ravel()
    genes = pd.DataFrame(
        {
            "mean": mean,
            "variance": (square - mean**2) * number / (number - 1),
            "zero_share": 1 - np.bincount(counts.indices[counts.data > 0], minlength=len(mean)) / number,
        }
    )
    return CountStatistics(cells, bin_genes(genes.loc[mean > 0], bins=bins))


def bin_genes(genes: pd.DataFrame, *, bins: int) -> pd.DataFrame:
    """Summarize genes in bins of equal width in the log of the mean; bins of fewer than five genes are left out."""
    edges = np.linspace(np.log10(genes["mean"].min()), np.log10(genes["mean"].max()) + 1e-9, bins + 1)
    groups = genes.groupby(np.digitize(np.log10(genes["mean"]), edges))
    rows = []
    for _, group in groups:
        if len(group) < 5:
            continue
        row = {"number": len(group), "mean": group["mean"].median()}
        for name in ("variance", "zero_share"):
            row |= {f"{name}_{percent}": group[name].quantile(percent / 100) for percent in (10, 50, 90)}
        rows.append(row)
    return pd.DataFrame(rows)
