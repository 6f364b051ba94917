"""Scores along training: a panel per column of Table 1, against the steps and against the seconds that were spent."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import mean
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from scprint2.files import read_json
from scprint2.plots.controls import BAND, EDGE, Band, draw_band
from scprint2.plots.learning_curves import BASE_COLOR, PALETTE
from scprint2.table_cells import BASE
from scprint2.table_page import name_columns

DRAWN = ["column", "variant", "seed", "epochs", "steps", "cells", "seconds", "score"]
WIDTH, PANEL, ACROSS = 8.27, 1.75, 3  # A4; height of a panel, inches; columns side by side
AXES = {"steps": "steps", "seconds": "seconds of training"}


def read_score_curves(
    models: Iterable[str | Path], scores: pd.DataFrame, columns: Mapping[str, Mapping[str, Any]]
) -> pd.DataFrame:
    """Read the scores of trainings of several lengths as one line per column, row, seed and length: `DRAWN`.

    A column is the mean over its datasets; where one of them has no score, there is no line.

    Parameters
    ----------
    models
        Model folders, `.../<variant>/seed_<n>` or, of fewer epochs, `.../<variant>-epochs_<k>/seed_<n>`.
    scores
        Score rows of these models.
    columns
        Column to `task, datasets, metric`.
    """
    lines = []
    for folder in map(Path, models):
        name, seed = folder.parent.name, int(folder.name.removeprefix("seed_"))
        record, cost = read_json(folder / "record.json"), read_json(folder / "cost.json")
        own = scores.loc[(scores["variant"] == name) & (scores["seed"] == seed) & (scores["status"] == "ok")]
        values = {(line.task, line.dataset, line.metric): line.value for line in own.itertuples()}
        place = {"variant": name.partition("-")[0], "seed": seed, "epochs": record["epochs"]}
        place |= {"steps": record["steps"], "cells": cost["cells"], "seconds": cost["seconds"]}
        for column, source in columns.items():
            keys = [(source["task"], dataset, source["metric"]) for dataset in source["datasets"]]
            if keys and all(key in values for key in keys):
                lines.append({**place, "column": column, "score": mean(values[key] for key in keys)})
    frame = pd.DataFrame(lines, columns=pd.Index(DRAWN))
    return frame.sort_values(["column", "variant", "seed", "steps"], kind="stable", ignore_index=True)


def plot_score_curves(
    drawn: pd.DataFrame, columns: Iterable[str], *, scale: str, bands: Mapping[str, Band] | None = None
) -> Figure:
    """Draw what `read_score_curves` read: for each column, on the left against steps, on the right against seconds.

    A line joins the lengths of one seed; a point alone is a seed that was trained to the end only. `bands` has the controls of
    each column, which lie behind.
    """
    bands = bands or {}
    names = [column for column in columns if (drawn["column"] == column).any()]
    if not names:
        raise ValueError("no training has a score in any column of Table 1: there is nothing to draw")
    rows = -(-len(names) // ACROSS)
    height = PANEL * rows + 1.05
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    figure.text(0.3 / WIDTH, 1 - 0.2 / height, "Scores along training", fontsize=11, fontweight="bold", va="center")
    subtitle = f"scale {scale} · against steps and against seconds; at equal steps all rows have seen as many cells"
    figure.text(0.3 / WIDTH, 1 - 0.38 / height, subtitle, fontsize=6.5, va="center", color="#555555")
    edges = {"left": 0.45 / WIDTH, "right": 1 - 0.1 / WIDTH, "top": 1 - 0.9 / height, "bottom": 0.38 / height}
    grid = figure.add_gridspec(rows, ACROSS, hspace=0.5, wspace=0.2, **edges)
    styles = _styles(drawn)
    titles = name_columns(names)
    for number, column in enumerate(names):
        pair = grid[number // ACROSS, number % ACROSS].subgridspec(1, 2, wspace=0.08)
        part = drawn.loc[drawn["column"] == column]
        first = None
        for place, (axis_name, label) in enumerate(AXES.items()):
            axis = first = figure.add_subplot(pair[0, place], sharey=first)
            _draw_panel(axis, part, x=axis_name, styles=styles)
            draw_band(axis, bands.get(column))
            axis.tick_params(labelleft=place == 0)
            if number + ACROSS >= len(names):
                axis.set_xlabel(label, fontsize=6)
            if place == 0:
                axis.set_title(titles[column], fontsize=7, loc="left", fontweight="bold")
    handles: list[Artist] = [
        Line2D([], [], color=color, marker="o", markersize=3, linewidth=1.1) for color in styles.values()
    ]
    labels = list(styles)
    if bands:
        handles.append(Patch(facecolor=BAND, edgecolor=EDGE, linewidth=0.6))
        labels.append(max((band.label for band in bands.values()), key=len))
    place = (0.3 / WIDTH - 0.008, 1 - 0.46 / height)
    figure.legend(handles, labels, loc="upper left", bbox_to_anchor=place, fontsize=6.5, frameon=False, ncols=6)
    return figure


def _styles(drawn: pd.DataFrame) -> dict[str, str]:
    """Color of each row; base is black as everywhere."""
    others = [variant for variant in dict.fromkeys(drawn["variant"]) if variant != BASE]
    colors = {variant: PALETTE[number % len(PALETTE)] for number, variant in enumerate(others)}
    return ({BASE: BASE_COLOR} if (drawn["variant"] == BASE).any() else {}) | colors


def _draw_panel(axis: Axes, part: pd.DataFrame, *, x: str, styles: Mapping[str, str]) -> None:
    axis.tick_params(labelsize=5.5, length=2, pad=1.5)
    axis.spines[["top", "right"]].set_visible(False)
    axis.margins(x=0.1, y=0.1)
    for variant, color in styles.items():
        for _, line in part.loc[part["variant"] == variant].groupby("seed"):
            style = {"color": color, "marker": "o", "markersize": 2.8, "linewidth": 1.1, "label": variant}
            axis.plot(line[x], line["score"], **style)
    axis.set_xlim(left=0)
    axis.locator_params(axis="x", nbins=3)
