"""Figures of denoising."""

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float, Num
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

NOISY, DENOISED = "#999999", "#4477aa"
BINS = 6


def gain_by_depth(
    depth: Num[np.ndarray, " cell"],
    *,
    noisy: Float[np.ndarray, " cell"],
    denoised: Float[np.ndarray, " cell"],
    title: str,
) -> Figure:
    """Draw each cell's rank correlation with the truth, before and after, against its noisy depth.

    Lines join the medians of cells of like depth; a cell without a correlation (NaN) is left out.
    """
    usable = np.isfinite(noisy) & np.isfinite(denoised) & (depth > 0)
    depth, noisy, denoised = depth[usable], noisy[usable], denoised[usable]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.8), layout="constrained")
    for values, color, name in ((noisy, NOISY, "noisy"), (denoised, DENOISED, "denoised")):
        left.scatter(depth, values, s=7, color=color, alpha=0.45, linewidths=0, rasterized=True)
        left.plot(*_medians(depth, values), color=color, marker="o", linewidth=2, label=name)
    left.set(xscale="log", xlabel="counts left after the noise", ylabel="Spearman with the full counts")
    left.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    left.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    left.xaxis.set_minor_formatter(NullFormatter())
    left.legend(frameon=False, fontsize=8)
    gain = 100 * (denoised - noisy)
    right.axhline(0, color="0.5", linewidth=1)
    right.hist(gain, bins=30, orientation="horizontal", color=DENOISED, alpha=0.8)
    better = 100 * float(np.mean(gain > 0)) if len(gain) else float("nan")
    right.set(xlabel="cells", ylabel="gain per cell (100 × difference)")
    right.set_title(f"{better:.0f} % of {len(gain)} cells gain, median {np.median(gain):+.1f}", fontsize=9, loc="left")
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
