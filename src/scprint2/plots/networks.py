"""Figures of gene networks."""

from collections.abc import Mapping
from types import MappingProxyType

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.figure import Figure

from scprint2.plots.controls import Band, draw_band, show_band

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


def overlap_figure(overlap: pd.DataFrame, *, title: str) -> Figure:
    """Draw which share of each known network's edges stands in each other one; a panel per organism.

    Parameters
    ----------
    overlap
        `metrics.overlap.compare_truths` with a column `organism` before.

    Raises
    ------
    ValueError
        If there is nothing to compare.
    """
    panels = list(overlap.groupby("organism", sort=False))
    if not panels:
        raise ValueError(
            "no organism has two known networks to compare; name a second `truth` in the registry of datasets"
        )
    sizes = [len(set(table["first"])) for _, table in panels]
    longest = max(map(len, overlap["first"]))
    figure, axes = plt.subplots(
        1,
        len(panels),
        figsize=(max(4.5, sum(sizes) + len(sizes) * 0.08 * longest), 1 + 0.75 * max(sizes) + 0.04 * longest),
        width_ratios=sizes,
        squeeze=False,
        layout="constrained",
    )
    highest = max(float(overlap["share"].max()), 0.01)
    for axis, (organism, table) in zip(axes[0], panels, strict=True):
        names = list(dict.fromkeys(table["first"]))
        edges = table.drop_duplicates("first").set_index("first")["edges"]
        shares = table.pivot(index="first", columns="second", values="share").reindex(index=names, columns=names)
        axis.imshow(shares.to_numpy(dtype=float), cmap="Blues", vmin=0, vmax=highest, aspect="auto")
        for row in table.to_dict("records"):
            place = names.index(row["second"]), names.index(row["first"])
            fold = "" if pd.isna(row["fold"]) else f"\n{row['shared']:,} edges\n{row['fold']:.1f} x chance"
            color = "w" if row["share"] > 0.6 * highest else "k"
            axis.text(*place, f"{row['share']:.1%}{fold}", ha="center", va="center", fontsize=7, color=color)
        axis.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=8)
        axis.set_yticks(range(len(names)), [f"{name}\n{edges[name]:,} edges" for name in names], fontsize=8)
        axis.set_xlabel("found in", fontsize=8)
        axis.set_title(str(organism), fontsize=9, loc="left")
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0)
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=10)
    return figure


def score_figure(scores: pd.DataFrame, *, title: str, bands: Mapping[str, Band] = MappingProxyType({})) -> Figure:
    """Draw odds ratios of some rows of the benchmark as dots, and of each against shuffled truths as a ring; panels are truths.

    Parameters
    ----------
    scores
        `panel`, `row`, `odds_ratio` and `shuffled`, one line per row and seed; NaN where one failed.
    bands
        Panel to the band of its controls' odds ratios.
    """
    panels, rows = list(dict.fromkeys(scores["panel"])), list(dict.fromkeys(scores["row"]))
    figure, axes = plt.subplots(
        1,
        len(panels),
        figsize=(2.2 + 2.6 * len(panels), 1.5 + 0.24 * len(rows)),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axis, panel in zip(axes[0], panels, strict=True):
        part = pd.DataFrame(scores[scores["panel"] == panel])
        heights = [rows.index(row) for row in part["row"]]
        axis.axvline(1, color="#888888", linewidth=1, linestyle=":")
        axis.scatter(part["shuffled"], heights, s=30, facecolors="none", edgecolors="#888888", linewidths=1, zorder=2)
        axis.scatter(part["odds_ratio"], heights, s=26, color=KNOWN, zorder=3)
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_formatter("{x:g}")
        axis.set_title(panel, fontsize=9, loc="left")
        axis.set_xlabel("odds ratio", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.grid(axis="y", color="#eeeeee")
        axis.spines[["top", "right"]].set_visible(False)
        show_band(axis, bands.get(panel), along="x")
    axes[0, 0].set_yticks(range(len(rows)), rows, fontsize=8)
    axes[0, 0].set_ylim(len(rows) - 0.5, -0.5)
    brown = f"\nbrown: {max((band.label for band in bands.values()), key=len)}" if bands else ""
    figure.suptitle(
        f"{title}\nblue: score, one dot per seed; ring: against shuffles of the truth that keep every degree; dotted: chance"
        f"{brown}",
        x=0.01,
        ha="left",
        fontsize=9,
    )
    return figure
