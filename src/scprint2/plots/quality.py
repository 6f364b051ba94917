"""Figures about cells before and after quality control, and about what a corpus is made of."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Shaped
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scprint2.plots.ticks import label_decades

READ, KEPT, DROPPED = "0.75", "#2a78b5", "#c2571a"
BINS = 60
MOST_BARS = 15
ORGANISM_COLORS = "tab20"
MAP_CAPTION = "A UMAP is a picture, not evidence: distances, sizes and gaps in it mean little."


def quality_histograms(read: pd.DataFrame, *, mitochondrial_known: bool) -> Figure:
    """Counts and genes per cell, and the mitochondrial share where it is known: all cells that were read, and those kept.

    `read` has the columns `genes`, `depth`, `mitochondrial` and `reason`, one row per cell.
    """
    kept = (read["reason"] == "kept").to_numpy()
    panels: dict[str, np.ndarray] = {
        "counts per cell": read["depth"].to_numpy(),
        "genes per cell": read["genes"].to_numpy(),
    }
    if mitochondrial_known:
        panels["mitochondrial share of the counts, %"] = (
            100 * (read["mitochondrial"] / read["depth"].clip(lower=1)).to_numpy()
        )
    figure, axes = plt.subplots(1, len(panels), figsize=(4.1 * len(panels), 2.9), layout="constrained")
    for axis, (name, values) in zip(axes, panels.items(), strict=True):
        log = not name.startswith("mito")
        edges = _edges(values, log=log)
        axis.hist(np.maximum(values, edges[0]), edges, color=READ, label=f"read ({len(values):,})")
        axis.hist(np.maximum(values[kept], edges[0]), edges, color=KEPT, alpha=0.85, label=f"kept ({kept.sum():,})")
        _finish(axis, name, log=log)
    axes[0].legend(frameon=False, fontsize=8)
    return figure


def reason_bars(counts: Mapping[str, int]) -> Figure:
    """Cells kept and dropped, by reason, each bar with its number."""
    return _bar_figure({"cells": (list(counts), list(counts.values()))}, highlight="kept")


def label_bars(labels: Mapping[str, pd.Series]) -> Figure:
    """Cells of each label, one panel per class; the rarest are summed up, unknown ones stand last."""
    return _bar_figure({name: _most(series) for name, series in labels.items()})


def depth_histograms(genes: Int[np.ndarray, " cell"], depth: Int[np.ndarray, " drawn"]) -> Figure:
    """Expressed genes of all cells, and counts of those that were drawn."""
    figure, axes = plt.subplots(1, 2, figsize=(8.4, 2.9), layout="constrained")
    panels = {f"genes per cell ({len(genes):,} cells)": genes, f"counts per cell ({len(depth):,} cells drawn)": depth}
    for axis, (name, values) in zip(axes, panels.items(), strict=True):
        axis.hist(values, _edges(values, log=True), color=KEPT)
        axis.axvline(float(np.median(values)), color="0.2", linewidth=1)
        axis.annotate(
            f" median {np.median(values):,.0f}", (float(np.median(values)), 1), xycoords=("data", "axes fraction"), va="top",
            fontsize=8,
        )  # fmt: skip
        _finish(axis, name, log=True)
    return figure


def organism_map(places: Float[np.ndarray, "cell 2"], organisms: Shaped[np.ndarray, " cell"], *, source: str) -> Figure:
    """Draw cells at their places, colored by organism, the most frequent first."""
    figure, axis = plt.subplots(figsize=(7.4, 5.4), layout="constrained")
    colors = plt.get_cmap(ORGANISM_COLORS if len(set(organisms)) > 10 else "tab10")
    order = np.random.default_rng(0).permutation(len(places))  # else the last organism would lie on top of the others
    names = [str(name) for name in pd.Series(organisms).value_counts().index]
    number = {name: place for place, name in enumerate(names)}
    axis.scatter(
        *places[order].T, s=4, linewidths=0, rasterized=True, c=[colors(number[str(name)]) for name in organisms[order]]
    )
    for name in names:
        axis.scatter([], [], color=colors(number[name]), label=f"{name} ({int((organisms == name).sum()):,})")
    axis.set(xticks=[], yticks=[], xlabel="UMAP 1", ylabel="UMAP 2")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=8)
    figure.supxlabel(f"{source}\n{MAP_CAPTION}", x=0.01, ha="left", fontsize=7.5, color="0.35")
    return figure


def _finish(axis: Axes, name: str, *, log: bool) -> None:
    axis.set(xlabel=name, ylabel="cells")
    axis.spines[["top", "right"]].set_visible(False)
    if log:
        label_decades(axis)
        axis.tick_params(axis="x", labelsize=8)


def _bar_figure(panels: Mapping[str, tuple[Sequence[str], Sequence[int]]], *, highlight: str = "") -> Figure:
    columns = min(len(panels), 2)
    rows = [list(panels.items())[start : start + columns] for start in range(0, len(panels), columns)]
    heights = [0.55 + 0.2 * max(len(bars[0]) for _, bars in row) for row in rows]
    figure, axes = plt.subplots(
        len(rows), columns, figsize=(6.2 * columns, sum(heights) + 0.2), squeeze=False, layout="constrained",
        height_ratios=heights,
    )  # fmt: skip
    for axis in axes.ravel()[len(panels) :]:
        axis.set_visible(False)
    for row, drawn in zip(rows, axes, strict=True):
        most = max(len(labels) for _, (labels, _) in row)  # so that bars side by side are equally thick
        for axis, (name, (labels, values)) in zip(drawn, row, strict=False):
            _draw_bars(axis, labels, values, highlight=highlight)
            axis.set_ylim(most - 0.4, -0.6)
            axis.set_title(name, loc="left", fontsize=9, fontweight="bold")
    return figure


def _draw_bars(axis: Axes, labels: Sequence[str], values: Sequence[int], *, highlight: str) -> None:
    colors = [KEPT if not highlight or label == highlight else DROPPED for label in labels]
    colors = [
        READ if label == "unknown" or label.endswith(" more") else color
        for label, color in zip(labels, colors, strict=True)
    ]
    axis.barh(range(len(labels)), values, color=colors, height=0.72)
    for place, value in enumerate(values):
        axis.annotate(f" {value:,}", (value, place), va="center", fontsize=7.5)
    axis.set(xticks=[], xlim=(0, 1.18 * max([*values, 1])))
    axis.set_yticks(
        range(len(labels)), [label if len(label) < 44 else label[:42] + "…" for label in labels], fontsize=8
    )
    axis.tick_params(length=0)
    axis.spines[["top", "right", "bottom"]].set_visible(False)


def _most(series: pd.Series) -> tuple[list[str], list[int]]:
    """The most frequent labels, then the rest, then the unknown."""
    known = sorted(((str(name), int(cells)) for name, cells in series.items() if cells), key=_falling)
    unknown = [pair for pair in known if pair[0] == "unknown"] or [("unknown", 0)] * (not known)
    known = [pair for pair in known if pair[0] != "unknown"]
    rest = known[MOST_BARS:]
    more = [(f"{len(rest)} more", sum(cells for _, cells in rest))] if rest else []
    shown = known[:MOST_BARS] + more + unknown
    return [name for name, _ in shown], [cells for _, cells in shown]


def _falling(pair: tuple[str, int]) -> tuple[int, str]:
    return -pair[1], pair[0]


def _edges(values: np.ndarray, *, log: bool) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    if log:
        low = max(low, 1.0)
        return np.geomspace(low, max(high, low * 1.1) * 1.001, BINS)
    return np.linspace(min(low, 0.0), max(high, 0.1), BINS)
