"""Figures of cell type annotation."""

from collections.abc import Mapping, Sequence, Set

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Bool, Float, Shaped
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy.cluster.hierarchy import leaves_list, linkage

from scprint2.plots.controls import Band, draw_band

FEWEST_CELLS = 10  # of a bin of the reliability curve
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
                axis.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, edgecolor="#d55e00", linewidth=1.6))
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
    axis.plot(stated, found, marker="o", color="#4477aa", label="observed")
    axis.set(ylabel="share right", xlim=(0, 1), ylim=(-0.02, 1.02))
    draw_band(axis, band)
    axis.legend(frameon=False, fontsize=8)
    below.hist(confidence, bins=list(edges), color="#4477aa")
    below.set(xlabel="confidence", ylabel="cells")
    for panel in (axis, below):
        panel.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return figure


def _shorten(name: str, most: int = 34) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"
