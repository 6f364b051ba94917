"""Figures of denoising."""

from collections.abc import Mapping
from types import MappingProxyType

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from jaxtyping import Float, Num
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from scprint2.plots.controls import BAND, EDGE, Band, draw_band, draw_strip, join_bands
from scprint2.plots.ticks import label_decades

NOISY, DENOISED = "#999999", "#4477aa"
BINS = 6
WAYS = {  # ways to count the gain, in the order they are drawn
    "spearman_gain": "non-zero truth (Table 1)",
    "spearman_gain:uninflated": "… without zero probability",
    "spearman_gain_per_cell": "within cells",
    "spearman_gain_all": "all entries",
    "spearman_gain_all:uninflated": "… without zero probability",
    "spearman_gain_true_mean": "noise-free means, all entries",
    "spearman_gain_true_mean:uninflated": "… without zero probability",
}


def gain_by_depth(
    depth: Num[np.ndarray, " cell"],
    *,
    noisy: Float[np.ndarray, " cell"],
    denoised: Float[np.ndarray, " cell"],
    title: str,
    band: Band | None = None,
) -> Figure:
    """Draw each cell's rank correlation with the truth, before and after, against its noisy depth.

    Lines join the medians of cells of like depth; a cell without a correlation (NaN) is left out. `band` is that of the controls'
    mean gain per cell.
    """
    usable = np.isfinite(noisy) & np.isfinite(denoised) & (depth > 0)
    depth, noisy, denoised = depth[usable], noisy[usable], denoised[usable]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.8), layout="constrained")
    for values, color, name in ((noisy, NOISY, "noisy"), (denoised, DENOISED, "denoised")):
        left.scatter(depth, values, s=7, color=color, alpha=0.45, linewidths=0, rasterized=True)
        left.plot(*_medians(depth, values), color=color, marker="o", linewidth=2, label=name)
    left.set(xlabel="counts left after the noise", ylabel="Spearman with the full counts", xscale="log")
    label_decades(left)
    left.legend(frameon=False, fontsize=8)
    gain = 100 * (denoised - noisy)
    right.axhline(0, color="0.5", linewidth=1)
    right.hist(gain, bins=30, orientation="horizontal", color=DENOISED, alpha=0.8)
    better = 100 * float(np.mean(gain > 0)) if len(gain) else float("nan")
    right.set(xlabel="cells", ylabel="gain per cell (100 × difference)")
    right.set_title(f"{better:.0f} % of {len(gain)} cells gain, median {np.median(gain):+.1f}", fontsize=9, loc="left")
    if band is not None:
        right.set_ylim(min(right.get_ylim()[0], band.low), max(right.get_ylim()[1], band.high))
        draw_band(right, band)
        right.legend(frameon=False, fontsize=7)
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=10)
    return figure


def gain_overview(scores: pd.DataFrame, *, title: str, bands: Mapping[str, Band] = MappingProxyType({})) -> Figure:
    """Draw the gain of each dataset by depth of the noisy cell, and what it is when it is counted otherwise.

    Parameters
    ----------
    scores
        Rows are datasets, columns metrics; NaN where a metric failed or was not computed.
    bands
        Metric to the band of its controls over all these datasets.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.6), layout="constrained", width_ratios=(1, 1.15))
    quarters = [metric for metric in scores.columns if metric.startswith("spearman_gain:depth_")]
    ways = {metric: name for metric, name in WAYS.items() if metric in scores.columns}
    for number, dataset in enumerate(scores.index):
        color, values = plt.get_cmap("tab10")(number % 10), scores.loc[dataset]
        places = np.arange(1, len(quarters) + 1)
        left.plot(places, values[quarters].to_numpy(dtype=float), marker="o", color=color, label=str(dataset))
        left.axhline(float(values["spearman_gain"]), color=color, linewidth=1, linestyle=":")
        right.scatter(values[list(ways)].to_numpy(dtype=float), np.arange(len(ways)), color=color, s=34, zorder=3)
    left.set(xlabel="quarter of the cells by counts left after the noise", ylabel="gain (dotted: all cells)")
    left.set_xticks(range(1, len(quarters) + 1), [str(part) for part in range(1, len(quarters) + 1)])
    left.set_xlim(0.5, len(quarters) + 0.5)
    handles, labels = left.get_legend_handles_labels()
    if spanned := join_bands(bands.get(metric) for metric in (*quarters, *ways)):
        handles.append(Patch(facecolor=BAND, edgecolor=EDGE, linewidth=0.6))
        labels.append(spanned.label)
    left.legend(handles, labels, frameon=False, fontsize=8)
    left.axhline(0, color="0.5", linewidth=1)
    right.axvline(0, color="0.5", linewidth=1)
    right.set(xlabel="gain", ylim=(len(ways) - 0.5, -0.5))
    right.set_yticks(range(len(ways)), list(ways.values()))
    right.grid(axis="y", color="0.9")
    for place, metric in enumerate(quarters, start=1):
        draw_strip(left, bands.get(metric), float(place), along="y")
    for place, metric in enumerate(ways):
        draw_strip(right, bands.get(metric), float(place))
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=10)
    return figure


def expression_figure(
    full: Num[np.ndarray, " entry"],
    *,
    noisy: Num[np.ndarray, " entry"],
    denoised: Num[np.ndarray, " entry"],
    title: str,
) -> Figure:
    """Draw noisy and denoised expression against the full counts of the scored entries (log scale, density of entries)."""
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.9), layout="constrained", sharex=True)
    for axis, values, name in ((axes[0], noisy, "noisy"), (axes[1], denoised, "denoised")):
        image = axis.hexbin(
            np.log1p(full), np.log1p(values), gridsize=45, bins="log", cmap="viridis", mincnt=1, linewidths=0
        )
        axis.set(xlabel="log(1 + full count)", ylabel=f"log(1 + {name})")
        figure.colorbar(image, ax=axis, label="entries")
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=10)
    return figure


def _medians(depth: Num[np.ndarray, " cell"], values: Float[np.ndarray, " cell"]) -> tuple[list[float], list[float]]:
    parts = np.array_split(np.argsort(depth, kind="stable"), min(BINS, len(depth)) or 1)
    parts = [part for part in parts if len(part)]
    return [float(np.median(depth[part])) for part in parts], [float(np.median(values[part])) for part in parts]
