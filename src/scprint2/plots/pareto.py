"""Scores against costs: a panel per column of Table 1, with the rows that nothing cheaper beats."""

from collections.abc import Mapping
from math import log
from textwrap import wrap

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from scprint2.costs import PREDICTION, TRAINING
from scprint2.plots.controls import BAND, EDGE, Band, draw_band, make_band
from scprint2.plots.ticks import label_decades
from scprint2.table_cells import BASE, BASELINE, COST
from scprint2.table_page import name_columns

DRAWN = ["column", "variant", "section", "name", "kind", "control", "seeds", "seconds", "score", "score_sd", "front"]
KINDS: Mapping[str, dict] = {  # kind -> how its points look, safe for the color-blind
    "trained row": {"color": "#0072B2", "marker": "o", "markersize": 3.2},
    "base": {"color": "#000000", "marker": "o", "markersize": 5.0},
    "control": {"color": "#777777", "marker": "X", "markersize": 5.0},
    "baseline": {"color": "#D55E00", "marker": "s", "markersize": 3.6},
}
FRONT = "#E69F00"
WIDTH, PANEL, ACROSS = 8.27, 2.25, 3  # A4; height of a panel, inches; panels in a row
LETTERS = 26  # of a name in a panel
NAME_WIDTH, NAME_HEIGHT = 0.5, 0.13  # what a name takes of a panel's width and height


def find_tasks(long: pd.DataFrame) -> dict[str, str]:
    """Return the task of each column of Table 1, from its long form."""
    used = long.loc[(long["column"] != "") & (long["column"] != COST), ["column", "task"]].drop_duplicates()
    return {column: task for columns, task in used.itertuples(index=False) for column in str(columns).split()}


def lay_out_pareto(
    table: pd.DataFrame, costs: pd.DataFrame, tasks: Mapping[str, str], *, controls: Mapping[str, str]
) -> pd.DataFrame:
    """One line per row and column of Table 1 that has a score and a cost: `DRAWN`.

    `seconds` is the mean over seeds of the training (all of it, whatever the column) and of the predictions of the column's task;
    evaluation is no cost of the row. `front` marks rows that no other row beats at the same cost or a lower one.

    Parameters
    ----------
    table
        As of `scprint2.table.read_table1`.
    costs
        As of `scprint2.costs.read_costs`.
    tasks
        Task of each column.
    controls
        Row to its kind of control; others are none.
    """
    parts = []
    for column, task in ((name, tasks[name]) for name in table.columns if name in tasks):
        own = costs.loc[(costs["job"] == TRAINING) | ((costs["job"] == PREDICTION) & (costs["task"] == task)),]
        seconds = own.groupby(["variant", "seed"])["seconds"].sum().groupby("variant").mean()
        part = table[["variant", "section", "name", "seeds"]].assign(
            column=column,
            kind=[
                "control" if variant in controls else _kind(variant, section)
                for variant, section in zip(table["variant"], table["section"], strict=True)
            ],
            control=[controls.get(variant, "") for variant in table["variant"]],
            seconds=table["variant"].map(seconds),
            score=table[column],
            score_sd=table[f"{column}_sd"],
        )
        part = part.dropna(subset=["seconds", "score"])
        parts.append(part.assign(front=find_front(part["seconds"].to_numpy(), part["score"].to_numpy())))
    return pd.concat(parts, ignore_index=True).reindex(columns=pd.Index(DRAWN))


def find_front(cost: Float[np.ndarray, " row"], score: Float[np.ndarray, " row"]) -> Bool[np.ndarray, " row"]:
    """Tell which rows no other row beats: none costs as much or less and scores higher, or costs less and scores as high."""
    order = np.lexsort((-score, cost))
    front = np.zeros(len(cost), dtype=bool)
    best = -np.inf
    for row in order:
        front[row] = score[row] > best
        best = max(best, score[row])
    return front


def plot_pareto(drawn: pd.DataFrame, *, scale: str, devices: str) -> Figure:
    """Draw what `lay_out_pareto` laid out, over the band of the controls; `devices` says on what the costs were measured."""
    columns = list(dict.fromkeys(drawn["column"]))
    rows = -(-len(columns) // ACROSS)
    height = PANEL * rows + 1.05
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    edges = {"left": 0.5 / WIDTH, "right": 1 - 0.12 / WIDTH, "top": 1 - 0.85 / height, "bottom": 0.42 / height}
    axes = figure.subplots(rows, ACROSS, squeeze=False, gridspec_kw={"hspace": 0.42, "wspace": 0.2, **edges})
    figure.text(0.3 / WIDTH, 1 - 0.18 / height, "What a score costs", fontsize=11, fontweight="bold", va="center")
    subtitle = f"scale {scale} · seconds of training and prediction, mean over seeds, on {devices}"
    figure.text(0.3 / WIDTH, 1 - 0.36 / height, subtitle, fontsize=6.5, va="center", color="#555555")
    _draw_legend(figure, find_band(drawn), height=height)
    titles = name_columns(columns)
    for number, axis in enumerate(axes.flat):
        if number >= len(columns):
            axis.axis("off")
            continue
        part = drawn.loc[drawn["column"] == columns[number]]
        _draw_panel(axis, part, title=titles[columns[number]])
        if number + ACROSS >= len(columns):
            axis.set_xlabel("seconds", fontsize=6.5)
    return figure


def _kind(variant: str, section: str) -> str:
    if section == BASELINE:
        return "baseline"
    return "base" if variant == BASE else "trained row"


def find_band(drawn: pd.DataFrame) -> Band | None:
    """The band of the controls among some lines."""
    own = drawn.loc[drawn["control"] != ""]
    return make_band(zip(own["control"], own["score"].astype(float), strict=True))


def _draw_legend(figure: Figure, band: Band | None, *, height: float) -> None:
    handles: list[Artist] = [Line2D([], [], linestyle="", **style) for style in KINDS.values()]
    handles.append(Line2D([], [], color=FRONT, linewidth=1.4))
    labels = [*KINDS, "front: no row is as cheap and better"]
    if band is not None:
        handles.append(Patch(facecolor=BAND, edgecolor=EDGE, linewidth=0.6))
        labels.append(band.label)
    place = (0.3 / WIDTH - 0.008, 1 - 0.46 / height)
    style = {"fontsize": 6.2, "frameon": False, "ncols": len(labels), "handletextpad": 0.4, "columnspacing": 1.4}
    figure.legend(handles, labels, loc="upper left", bbox_to_anchor=place, borderaxespad=0, **style)


def _draw_panel(axis: Axes, part: pd.DataFrame, *, title: str) -> None:
    """Draw one column: points with the spread over seeds, the front as steps, the names of its rows."""
    axis.set_title(title, fontsize=7, loc="left", fontweight="bold")
    axis.tick_params(labelsize=5.8, length=2, pad=1.5)
    axis.tick_params(which="minor", length=1)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_xscale("log")
    front = part.loc[part["front"]].sort_values("seconds")
    right = part["seconds"].max() * 1.6
    axis.step([*front["seconds"], right], [*front["score"], front["score"].iloc[-1]], where="post", color=FRONT, lw=1.4)
    for kind, style in KINDS.items():
        points = part.loc[part["kind"] == kind]
        axis.errorbar(
            points["seconds"], points["score"], yerr=points["score_sd"].fillna(0), linestyle="", elinewidth=0.6, **style
        )
    span = part["score"].max() - part["score"].min()
    axis.margins(x=0.08, y=0.2)
    axis.set_xlim(part["seconds"].min() / 1.8, right)
    draw_band(axis, find_band(part), labeled=False)
    label_decades(axis)
    _name_front(axis, front, span=span)


def _name_front(axis: Axes, front: pd.DataFrame, *, span: float) -> None:
    """Name the rows of the front, the best first; one whose name would lie on another's stays without."""
    low, high = map(log, axis.get_xlim())
    bottom, top = axis.get_ylim()
    named: list[tuple[float, float]] = []
    for _, row in front.sort_values("score", ascending=False).iterrows():
        across = (log(float(row["seconds"])) - low) / (high - low)
        up = (float(row["score"]) - bottom) / (top - bottom)
        if all(abs(across - other) > NAME_WIDTH or abs(up - height) > NAME_HEIGHT for other, height in named):
            named.append((across, up))
            _name_point(axis, row, span=span)


def _name_point(axis: Axes, row: pd.Series, *, span: float) -> None:
    """Write a row's name beside its point, on the side where there is room."""
    low, high = np.log(axis.get_xlim())
    leftmost = np.log(row["seconds"]) < (low + high) / 2
    text = "\n".join(wrap(str(row["name"]), width=LETTERS)[:2])
    axis.annotate(
        text,
        (row["seconds"], row["score"] + 0.02 * span),
        xytext=(3 if leftmost else -3, 2),
        textcoords="offset points",
        ha="left" if leftmost else "right",
        va="bottom",
        fontsize=5,
        color="#444444",
    )
