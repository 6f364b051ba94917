"""Figures of gene networks."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.figure import Figure

KNOWN, OTHER = "#4477aa", "#bbbbbb"


def precision_recall_figure(
    curves: Mapping[str, tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"]]],
    *,
    prevalence: Mapping[str, float],
    title: str,
) -> Figure:
    """Draw precision against recall for several networks, each with its prevalence, which is what chance reaches.

    `curves` maps a name to (recall, precision).
    """
    figure, axis = plt.subplots(figsize=(7.4, 4.2), layout="constrained")
    colors = plt.get_cmap("tab10")
    for number, (name, (recall, precision)) in enumerate(curves.items()):
        axis.plot(recall, precision, color=colors(number % 10), linewidth=1.6, label=name)
        axis.axhline(prevalence[name], color=colors(number % 10), linewidth=1, linestyle=":")
    axis.set(xlim=(0, 1.02), ylim=(0, None), xlabel="recall", ylabel="precision")
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
