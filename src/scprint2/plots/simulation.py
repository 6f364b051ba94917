"""Simulated count matrices beside real ones."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

REAL, SIMULATED = "real", "simulated"
# Okabe and Ito's palette: told apart by color-blind readers. Real data is drawn with solid lines, simulated with dashed ones.
COLORS = ("#0072B2", "#56B4E9", "#D55E00", "#E69F00", "#009E73", "#CC79A7")
STYLES = {REAL: "-", SIMULATED: (0, (4, 1.5))}


def plot_simulation_vs_real(cells: pd.DataFrame, genes: pd.DataFrame) -> Figure:
    """Draw depth, expressed genes, zeros and variance over mean against mean, one line per dataset.

    Parameters
    ----------
    cells
        Columns `dataset`, `kind` (real or simulated), `percentile`, `depth`, `genes_share` (share of genes expressed).
    genes
        Columns `dataset`, `kind`, `mean`, `share` (of the dataset's genes in the bin), and `variance_10`, `_50`, `_90`,
        `zero_share_10`, `_50`, `_90`.
    """
    figure = Figure(figsize=(10.5, 8.4), layout="constrained")
    axes = figure.subplots(2, 2)
    names = cells[["dataset", "kind"]].drop_duplicates().itertuples(index=False)
    for color, (dataset, kind) in zip(COLORS, names, strict=False):
        style = {"color": color, "linestyle": STYLES[kind], "linewidth": 2, "label": f"{dataset} ({kind})"}
        own = cells[cells["dataset"] == dataset]
        median = own.loc[own["percentile"] == 50, "depth"].item()
        axes[0, 0].plot(own["depth"] / median, own["percentile"] / 100, **style)
        bins = genes.loc[genes["dataset"] == dataset].sort_values(by="mean")
        axes[0, 1].plot(bins["mean"], bins["share"].cumsum(), **style)
        draw_band(axes[1, 0], bins, "zero_share", style)
        ratios = {f"variance_{percent}": bins[f"variance_{percent}"] / bins["mean"] for percent in (10, 50, 90)}
        draw_band(axes[1, 1], bins.assign(**ratios), "variance", style)
    draw_references(axes[1, 0], axes[1, 1])
    label_axes(axes)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    return figure


def draw_band(axis: Axes, bins: pd.DataFrame, name: str, style: dict) -> None:
    """Draw the median of each bin of genes as a line, and its 10th to 90th percentile as a band."""
    axis.plot(bins["mean"], bins[f"{name}_50"], **style)
    axis.fill_between(
        bins["mean"], bins[f"{name}_10"], bins[f"{name}_90"], color=style["color"], alpha=0.13, linewidth=0
    )


def draw_references(zeros: Axes, variance: Axes) -> None:
    """Draw what a Poisson distribution, and a negative binomial of dispersion 1, would give."""
    mean = np.geomspace(1e-3, 1e2, 200)
    zeros.plot(mean, np.exp(-mean), color="0.35", linewidth=1, linestyle=":", label="Poisson")
    zeros.plot(mean, 1 / (1 + mean), color="0.35", linewidth=1, label="negative binomial, dispersion 1")
    variance.plot(mean, np.ones_like(mean), color="0.35", linewidth=1, linestyle=":")
    variance.plot(mean, 1 + mean, color="0.35", linewidth=1)
    handles, labels = zeros.get_legend_handles_labels()
    zeros.legend(handles[-2:], labels[-2:], loc="lower left", frameon=False, fontsize=9)


def label_axes(axes: np.ndarray) -> None:
    """Name the axes and set their scales."""
    texts = (
        (axes[0, 0], "counts of a cell / median of its dataset", "share of cells below", "Depth varies between cells"),
        (axes[0, 1], "mean count of a gene", "share of genes below", "Level of the genes"),
        (axes[1, 0], "mean count of a gene", "share of cells with zero", "Zeros against mean"),
        (axes[1, 1], "mean count of a gene", "variance / mean of a gene", "Overdispersion against mean"),
    )
    for letter, (axis, x, y, title) in zip("abcd", texts, strict=True):
        axis.set(xlabel=x, ylabel=y, xscale="log")
        axis.set_title(f"{letter}  {title}", loc="left", fontweight="bold")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set(xlim=(0.2, 5))
    axes[0, 0].set_xticks([0.2, 0.5, 1, 2, 5], ["0.2", "0.5", "1", "2", "5"])
    axes[0, 0].minorticks_off()
    for axis in (axes[0, 1], axes[1, 0], axes[1, 1]):
        axis.set_xlim(1e-3, 1e2)
    axes[1, 0].set_ylim(-0.02, 1.02)
    axes[1, 1].set(yscale="log", ylim=(0.5, 200))
