"""Figures of cell type annotation."""

from collections.abc import Mapping, Sequence, Set
from types import MappingProxyType

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Shaped
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from scipy.cluster.hierarchy import leaves_list, linkage

from scprint2.plots.controls import BAND, EDGE, Band, draw_band, draw_strip, join_bands

FEWEST_CELLS = 10  # of a bin of the reliability curve
BLUE, ORANGE, GREY = "#4477aa", "#d55e00", "0.6"
MOST_PREDICTED = 30  # columns of a confusion matrix; rarer predictions are put together


def order_terms(terms: Sequence[str], *, ancestors: Mapping[str, Set[str]]) -> list[str]:
    """Order terms so that those which share more of the ontology stand closer (leaves of a tree on shared ancestors)."""
    terms = sorted(set(terms))
    if len(terms) < 3:
        return terms
    lines = [{term, *ancestors.get(term, ())} for term in terms]
    every = sorted(set().union(*lines))
    shared = np.array([[name in line for name in every] for line in lines])
    tree = linkage(shared, method="average", metric="jaccard", optimal_ordering=True)
    return [terms[leaf] for leaf in leaves_list(tree)]


def confusion_figure(
    truth: Shaped[np.ndarray, " cell"],
    prediction: Shaped[np.ndarray, " cell"],
    *,
    ancestors: Mapping[str, Set[str]],
    names: Mapping[str, str],
    title: str,
) -> Figure:
    """Draw how the cells of each true type are called, both axes in the order of the ontology.

    Framed fields count as right: the true type or a descendant of it.
    """
    called, cells = np.unique(prediction, return_counts=True)
    frequent = list(called[np.argsort(-cells, kind="stable")])
    order = order_terms([*np.unique(truth), *frequent[:MOST_PREDICTED]], ancestors=ancestors)
    rows = [term for term in order if term in truth]
    columns = [term for term in order if term in frequent[:MOST_PREDICTED]]
    rest = len(frequent) - len(columns)
    shares = np.array([[np.mean(prediction[truth == row] == column) for column in columns] for row in rows])
    if rest:
        shares = np.column_stack([shares, 1 - shares.sum(axis=1)])
    size = (3.6 + 0.33 * shares.shape[1], 3.4 + 0.33 * len(rows))
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    for y, row in enumerate(rows):
        for x, column in enumerate(columns):
            if row == column or row in ancestors.get(column, ()):
                axis.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, edgecolor=ORANGE, linewidth=1.6))
            if shares[y, x] >= 0.1:
                color = "white" if shares[y, x] > 0.55 else "black"
                axis.text(x, y, f"{100 * shares[y, x]:.0f}", ha="center", va="center", fontsize=6.5, color=color)
    labels = [_shorten(names.get(term, term)) for term in columns] + ([f"{rest} others"] if rest else [])
    axis.set_xticks(range(len(labels)), labels, rotation=45, ha="right", fontsize=8)
    counts = [f"{_shorten(names.get(term, term))} ({int(np.sum(truth == term))})" for term in rows]
    axis.set_yticks(range(len(rows)), counts, fontsize=8)
    axis.set(xlabel="called", ylabel="true type (cells)")
    figure.colorbar(image, ax=axis, label="share of the true type's cells", shrink=0.7)
    figure.suptitle(f"{title}\nframed: counts as right (the type or a descendant)", x=0.01, ha="left", fontsize=10)
    return figure


def reliability_figure(
    confidence: Float[np.ndarray, " cell"],
    right: Bool[np.ndarray, " cell"],
    *,
    title: str,
    bins: int = 10,
    band: Band | None = None,
) -> Figure:
    """Draw how often calls of a confidence are right, where there are some, and how many there are.

    `band` is that of the controls' share of right calls.
    """
    edges = np.linspace(0, 1, bins + 1)
    which = np.clip(np.digitize(confidence, edges) - 1, 0, bins - 1)
    filled = [number for number in range(bins) if np.sum(which == number) >= FEWEST_CELLS]
    stated = [float(confidence[which == number].mean()) for number in filled]
    found = [float(right[which == number].mean()) for number in filled]
    figure, (axis, below) = plt.subplots(
        2, 1, figsize=(4.4, 4.8), sharex=True, height_ratios=[3, 1], layout="constrained"
    )
    axis.plot([0, 1], [0, 1], color="0.7", linestyle="--", linewidth=1, label="calibrated")
    axis.plot(stated, found, marker="o", color=BLUE, label="observed")
    axis.set(ylabel="share right", xlim=(0, 1), ylim=(-0.02, 1.02))
    draw_band(axis, band)
    axis.legend(frameon=False, fontsize=8)
    below.hist(confidence, bins=list(edges), color=BLUE)
    below.set(xlabel="confidence", ylabel="cells")
    for panel in (axis, below):
        panel.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return figure


def answers_figure(
    table: pd.DataFrame, *, ceiling: float, title: str, bands: Mapping[tuple[str, str], Band] = MappingProxyType({})
) -> Figure:
    """Draw the accuracy and the macro-F1 of each kind of answer, along the ontology (filled) and strictly (open).

    Parameters
    ----------
    table
        A row per kind of answer; columns `accuracy`, `accuracy_strict`, `macro_f1`, `macro_f1_strict`, NaN where there is none.
    ceiling
        Share of cells, in percent, that can be right at all; NaN where it is not known.
    bands
        (kind of answer, column) to the band of what the controls get with the same kind of answer.
    """
    figure, axes = plt.subplots(
        1, 2, figsize=(8.2, 1.5 + 0.3 * len(table)), sharey=True, sharex=True, layout="constrained"
    )
    places = np.arange(len(table))[::-1]
    for axis, metric, name in zip(axes, ("accuracy", "macro_f1"), ("accuracy", "macro-F1"), strict=True):
        aware, strict = table[metric].to_numpy(dtype=float), table[f"{metric}_strict"].to_numpy(dtype=float)
        axis.hlines(places, strict, aware, color=BLUE, linewidth=1)
        axis.plot(strict, places, "o", markerfacecolor="white", color=BLUE, label="the same term")
        axis.plot(aware, places, "o", color=BLUE, label="or a term below it")
        if np.isfinite(aware[0]):
            axis.axvline(aware[0], color=GREY, linewidth=1, zorder=0)
        axis.set(xlabel=f"{name} (%)", xlim=(-3, 103), ylim=(-0.6, len(table) - 0.4))
        axis.set_yticks(places, table.index)
        for place, answer in zip(places, table.index, strict=True):
            draw_strip(axis, bands.get((answer, metric)), float(place))
        axis.spines[["top", "right"]].set_visible(False)
    if np.isfinite(ceiling):
        axes[0].axvline(ceiling, color=ORANGE, linestyle=":", linewidth=1.5, zorder=0, label="answerable")
    handles, labels = axes[0].get_legend_handles_labels()
    if spanned := join_bands(bands.values()):
        handles.append(Patch(facecolor=BAND, edgecolor=EDGE, linewidth=0.6))
        labels.append(spanned.label)
    figure.legend(handles, labels, loc="outside lower right", ncols=4, frameon=False, fontsize=8)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return figure


def risk_coverage_figure(
    answered: Float[np.ndarray, " point"], risk: Float[np.ndarray, " point"], *, title: str, band: Band | None = None
) -> Figure:
    """Draw the accuracy among the answered cells over their share, between the best and the worst order to answer them in.

    Parameters
    ----------
    answered
        Share of answered cells, rising to 1.
    risk
        Error rate among them.
    band
        That of the controls' accuracy in percent, mean over all shares of answered cells (100 - `risk_coverage_area`).
    """
    figure, axis = plt.subplots(figsize=(4.4, 3.6), layout="constrained")
    accuracy = 1 - risk[-1]
    best = np.minimum(1, accuracy / answered)
    worst = np.maximum(0, 1 - risk[-1] / answered)
    axis.fill_between(100 * answered, 100 * worst, 100 * best, color="0.93", linewidth=0, zorder=-1, label="any order")
    axis.axhline(100 * accuracy, color=GREY, linestyle="--", linewidth=1, label="order by chance")
    axis.plot(100 * answered, 100 * (1 - risk), color=BLUE, linewidth=2, label="by confidence")
    axis.axvline(90, color=GREY, linestyle=":", linewidth=1)
    axis.set(xlabel="answered cells, the most confident first (%)", ylabel="right among them (%)")
    axis.set(xlim=(0, 100), ylim=(-2, 102))
    draw_band(axis, band)
    axis.legend(edgecolor="none", fontsize=8, loc="best")
    axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return figure


def _shorten(name: str, most: int = 34) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"
