"""Figures of gene networks."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.figure import Figure

from scprint2.plots.controls import Band, draw_band

KNOWN, OTHER = "#4477aa", "#bbbbbb"
SHOWN_FROM = 0.02


def precision_recall_figure(
    curves: Mapping[tuple[str, str], tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"]]],
    *,
    prevalence: Mapping[str, float],
    title: str,
    band: Band | None = None,
) -> Figure:
    """Draw precision against recall for the networks of some groups of cells, and what chance reaches in each.

    Parameters
    ----------
    curves
        (group, method) to (recall, precision).
    prevalence
        Share of known edges among the scored ones of each group.
    band
        That of the controls' mean precision over recall (average precision).
    """
    figure, axis = plt.subplots(figsize=(8, 4.2), layout="constrained")
    groups = list(prevalence)
    methods = list(dict.fromkeys(method for _, method in curves))
    highest = 0.0
    for (group, method), (recall, precision) in curves.items():
        color = plt.get_cmap("tab10")(groups.index(group) % 10)
        style = ("-", "--", "-.")[methods.index(method) % 3]
        axis.plot(recall, precision, color=color, linestyle=style, linewidth=1.4, label=f"{group}, {method}")
        highest = max(highest, float(precision[recall >= SHOWN_FROM].max(initial=0)))
    for group in groups:
        axis.axhline(
            prevalence[group], color=plt.get_cmap("tab10")(groups.index(group) % 10), linewidth=1, linestyle=":"
        )
    axis.set(xlim=(0, 1), xlabel="recall", ylabel="precision")
    axis.set_ylim(0, min(1.05, 1.15 * max([highest, *(2 * share for share in prevalence.values())])))
    axis.set_title(
        f"height fits the curves from a recall of {SHOWN_FROM} on; few edges decide what lies before",
        loc="left",
        fontsize=8,
    )
    draw_band(axis, band)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1), title="dotted: chance (prevalence)")
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=10)
    return figure


def top_edges_figure(edges: pd.DataFrame, *, expected: float, title: str) -> Figure:
    """Draw the strongest edges as bars, known ones in color.

    Parameters
    ----------
    edges
        `regulator`, `target`, `score` and `known`, strongest first.
    expected
        Number of known ones among as many random edges.
    """
    figure, axis = plt.subplots(figsize=(6, 1.3 + 0.21 * len(edges)), layout="constrained")
    places = np.arange(len(edges))
    colors = [KNOWN if known else OTHER for known in edges["known"]]
    axis.barh(places, edges["score"], color=colors)
    axis.set_yticks(
        places,
        [f"{source} → {target}" for source, target in zip(edges["regulator"], edges["target"], strict=True)],
        fontsize=7,
    )
    axis.set(xlabel="score", ylim=(len(edges) - 0.4, -0.6))
    axis.spines[["top", "right"]].set_visible(False)
    known = int(edges["known"].sum())
    axis.set_title(f"{known} of {len(edges)} known (blue); chance: {expected:.1f}", loc="left", fontsize=9)
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=10)
    return figure
