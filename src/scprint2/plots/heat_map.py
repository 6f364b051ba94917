"""The effect of every trained row on every column of Table 1, as a heat map on one A4 page."""

import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from scprint2.plots.controls import BAND, EDGE, KINDS
from scprint2.plots.table import BETTER, COLORS, INK, TINTS, WORSE
from scprint2.table_cells import ABSENT, BASE, BASELINE, FAILED, UNKNOWN
from scprint2.table_page import LOWER_IS_BETTER, WORTH, group_columns

GRAY, GRAY_INK = "#e6e6e6", "#7a7a7a"  # a row that cannot be told from its reference
CONTROLS = "Controls"  # section of the band at the foot
CLIP = 6.0  # standard deviations at which the color is full
COLORMAP = LinearSegmentedColormap.from_list("worse to better", [WORSE, "#f0a878", "#fafafa", "#7fb8dc", BETTER])
WIDTH, MARGIN = 8.27, 0.3  # A4, inches
NAME, REFERENCE, SEEDS = 2.15, 0.7, 0.18  # widths of the columns of words
ROW, HEADING, NOTE = 0.167, 0.2, 0.13
NOTE_CHARACTERS = 175
DRAWN = [
    "variant",
    "section",
    "name",
    "reference",
    "seeds",
    "column",
    "difference",
    "effect",
    "verdict",
    "shade",
    "state",
    "text",
    "controls",
    "mark",
    "reason",
]


def read_comparisons(path: str | Path) -> pd.DataFrame:
    """Read `table1_comparisons.csv`."""
    return pd.read_csv(path, keep_default_na=False, na_values=dict.fromkeys(["difference", "effect"], ""))


def lay_out_heat_map(comparisons: pd.DataFrame) -> pd.DataFrame:
    """One line per cell: every trained row against its own reference; below them the band of the controls against base.

    `shade` is the effect (difference over standard deviation), clipped, with its sign turned where less is better; `state` is
    better, worse, inside (not to be told from the reference), unknown, failed, absent or band; `text` stands in the cell;
    `controls` says that the row is no better than the best control.

    Parameters
    ----------
    comparisons
        As of `scprint2.table_comparisons.compare_rows`: of the lines of a cell, the first is that of the row's own reference.
    """
    trained = comparisons.loc[comparisons["section"] != BASELINE]
    own = trained.drop_duplicates(["variant", "column"]).reset_index(drop=True)
    names = dict(zip(own["variant"], own["name"], strict=True))
    signs = own["column"].map(lambda column: -1 if column in LOWER_IS_BETTER else 1)
    largest = own["difference"].abs().groupby(own["column"]).max().to_dict()
    told = own["distinguishable"].astype(bool)
    states = [_state(*line) for line in zip(own["verdict"], told, signs, strict=True)]
    band = _lay_out_band(comparisons, largest)
    drawn = own.assign(
        reference=[names.get(name, name) for name in own["reference"]],
        shade=(signs * own["effect"]).clip(-CLIP, CLIP),
        state=states,
        text=[
            _text(state, difference, largest=largest[column])
            for state, difference, column in zip(states, own["difference"], own["column"], strict=True)
        ],
    )
    drawn = drawn.assign(controls=_find_covered(own, comparisons, band))
    missing = drawn["state"].isin(["failed", "absent", "unknown"])
    reasons = drawn["reason"].where(missing, "")
    marks = {reason: str(number) for number, reason in enumerate(dict.fromkeys(reasons[missing]), start=1)}
    drawn = drawn.assign(reason=reasons, mark=[marks.get(reason, "") for reason in reasons])
    return pd.DataFrame(pd.concat([drawn, band]) if len(band) else drawn, columns=pd.Index(DRAWN)).reset_index(
        drop=True
    )


def _lay_out_band(comparisons: pd.DataFrame, largest: Mapping[str, float]) -> pd.DataFrame:
    """Two lines per column that has controls: the highest and the lowest of them, against base."""
    values: dict[str, list[float]] = {}
    kinds = set()
    for line in comparisons.to_dict("records"):
        if line["control"] and line["reference"] == BASE and not math.isnan(line["difference"]):
            values.setdefault(line["column"], []).append(line["difference"])
            kinds.add(line["control"])
    words = ", ".join(kind for kind in KINDS if kind in kinds)
    lines = []
    for end, word, choose in (("max", "highest", max), ("min", "lowest", min)):
        for column, found in values.items():
            value = choose(found)
            line = {"variant": f"controls_{end}", "section": CONTROLS, "name": f"{word} of {words}", "reference": BASE}
            line |= {"seeds": "", "column": column, "difference": value, "effect": np.nan, "verdict": ""}
            text = _text("band", value, largest=max(largest.get(column, 0.0), abs(value)))
            line |= {"shade": np.nan, "state": "band", "text": text, "controls": False, "mark": "", "reason": ""}
            lines.append(line)
    return pd.DataFrame(lines, columns=pd.Index(DRAWN))


def _find_covered(own: pd.DataFrame, comparisons: pd.DataFrame, band: pd.DataFrame) -> list[bool]:
    """Which rows are no better than the best control of the column; both are held against base."""
    highest = band[band["variant"] == "controls_max"].set_index("column")["difference"].to_dict()
    lines = comparisons[comparisons["reference"] == BASE]
    to_base = dict(zip(zip(lines["variant"], lines["column"], strict=True), lines["difference"], strict=True))
    pairs = list(zip(own["variant"], own["column"], strict=True))
    return [bool(to_base.get(pair, np.nan) <= highest.get(pair[1], -np.inf)) for pair in pairs]


def _state(verdict: str, told: bool, sign: int) -> str:  # noqa: FBT001 (a column of the frame)
    if verdict in (FAILED, UNKNOWN):
        return verdict
    if verdict == ABSENT:
        return "absent"
    if not told:
        return "inside"
    return "better" if (verdict == "above") == (sign > 0) else "worse"


def _text(state: str, difference: float, *, largest: float) -> str:
    """The difference, with as many decimals as give the largest of its column three digits."""
    if state in ("failed", "absent") or math.isnan(difference):
        return {"failed": FAILED, "absent": "n/a"}.get(state, "?")
    decimals = min(4, max(0, 2 - math.floor(math.log10(largest)))) if largest > 0 else 0
    return f"{difference:+z.{decimals}f}".replace("-", "−")


def plot_heat_map(drawn: pd.DataFrame, *, scale: str) -> Figure:
    """Draw what `lay_out_heat_map` laid out; the height follows from the rows and notes."""
    notes = _notes(drawn, scale=scale)
    rows, sections = drawn["variant"].nunique(), drawn["section"].nunique()
    height = 2 * MARGIN + 0.55 + 2 * HEADING + ROW * (rows + sections) + 0.15 + NOTE * len(notes)
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(height, 0))
    axes.axis("off")
    axes.text(MARGIN, MARGIN + 0.1, "What every row changes", fontsize=11, fontweight="bold", va="center", color=INK)
    subtitle = f"scale {scale} · difference of means over seeds to the row's own reference"
    axes.text(MARGIN, MARGIN + 0.31, subtitle, fontsize=7, va="center", color="#555555")
    _draw_key(axes, left=WIDTH - MARGIN - 2.2, top=MARGIN)
    columns = list(dict.fromkeys(drawn["column"]))
    edges = list(np.linspace(MARGIN + NAME + REFERENCE + SEEDS, WIDTH - MARGIN, len(columns) + 1))
    top = _draw_headings(axes, columns, edges=edges, top=MARGIN + 0.55)
    for section, lines in drawn.groupby("section", sort=False):
        axes.plot([MARGIN, edges[-1]], [top, top], color="#999999", linewidth=0.5)
        axes.text(MARGIN, top + ROW / 2, str(section), fontsize=6.6, fontweight="bold", va="center", color=INK)
        top += ROW
        for _, row in lines.groupby("variant", sort=False):
            _draw_row(axes, row, columns=columns, edges=edges, top=top)
            top += ROW
    for number, line in enumerate(notes):
        axes.text(MARGIN, top + 0.2 + NOTE * number, line, fontsize=5.8, va="center", color="#444444")
    return figure


def _draw_key(axes: Axes, *, left: float, top: float) -> None:
    """Draw the scale of colors."""
    width, height, steps = 2.2, 0.09, 96
    for number in range(steps):
        color = COLORMAP((number + 0.5) / steps)
        axes.add_patch(
            Rectangle((left + width * number / steps, top + 0.13), width / steps, height, color=color, lw=0.3)
        )
    style = {"fontsize": 5.8, "va": "center", "color": "#444444"}
    axes.text(left, top + 0.05, "worse", ha="left", **style)
    axes.text(left + width / 2, top + 0.05, "difference / standard deviation", ha="center", **style)
    axes.text(left + width, top + 0.05, "better", ha="right", **style)
    for value in (-CLIP, -CLIP / 2, 0, CLIP / 2, CLIP):
        ends = {-CLIP: ("left", "≤ "), CLIP: ("right", "≥ ")}
        place, prefix = ends.get(value, ("center", ""))
        label = prefix + f"{value:g}".replace("-", "−")
        axes.text(left + width * (value + CLIP) / (2 * CLIP), top + 0.3, label, ha=place, **style)


def _draw_headings(axes: Axes, columns: list[str], *, edges: list[float], top: float) -> float:
    """Draw the headings; return where the first section begins."""
    groups, headings = group_columns(columns)
    style = {"ha": "center", "va": "center", "linespacing": 1.0}
    first = 0
    for title, span in groups:
        left, right = edges[first], edges[first + span]
        short = "\n".join(wrap(title, width=9 * span))
        axes.text((left + right) / 2, top + HEADING * 0.4, short, fontsize=5.6, fontweight="bold", color=INK, **style)
        axes.plot([left + 0.03, right - 0.03], [top + HEADING] * 2, color="#999999", linewidth=0.5)
        first += span
    for title, (left, right) in zip(headings, pairwise(edges), strict=True):
        text = "\n".join(wrap(title, width=9))
        axes.text((left + right) / 2, top + 1.55 * HEADING, text, fontsize=5.4, color="#444444", **style)
    words = {"fontsize": 5.8, "va": "center", "color": "#444444"}
    axes.text(MARGIN + NAME, top + 1.55 * HEADING, "against", **words)
    axes.text(edges[0] - 0.1, top + 1.55 * HEADING, "n", ha="right", **words)
    return top + 2 * HEADING + 0.03


def _draw_row(axes: Axes, row: pd.DataFrame, *, columns: list[str], edges: list[float], top: float) -> None:
    lines = {line["column"]: line for line in row.to_dict("records")}
    line, middle = next(iter(lines.values())), top + ROW / 2
    axes.text(MARGIN + 0.08, middle, line["name"], fontsize=6.2, va="center", color=INK)
    axes.text(MARGIN + NAME, middle, line["reference"], fontsize=5.6, va="center", color="#777777")
    axes.text(edges[0] - 0.1, middle, str(line["seeds"]), fontsize=5.8, ha="right", va="center", color="#777777")
    for column, (left, right) in zip(columns, pairwise(edges), strict=True):
        if column in lines:
            _draw_cell(axes, lines[column], left=left, right=right, top=top)


def _draw_cell(axes: Axes, line: Mapping[str, Any], *, left: float, right: float, top: float) -> None:
    """Draw a tile in the color of its effect, gray where it is none; a line below says no better than the controls."""
    color = _color(line)
    tile = Rectangle((left + 0.012, top + 0.012), right - left - 0.024, ROW - 0.024, facecolor=color, linewidth=0)
    tile.set_hatch("////" if line["state"] == "absent" else "")
    tile.set_edgecolor("#d8d8d8")
    tile.set_gid(f"{line['variant']} {line['column']}")
    axes.add_patch(tile)
    inks = {"failed": COLORS["failed"], "inside": GRAY_INK}
    ink = inks.get(line["state"], "white" if _luminance(color) < 0.4 else INK)
    certain = line["state"] in ("better", "worse")
    mark = line["mark"].translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
    weight = "bold" if certain else "normal"
    center = ((left + right) / 2, top + ROW / 2)
    axes.text(*center, line["text"] + mark, fontsize=5.6, ha="center", va="center", fontweight=weight, color=ink)
    if line["controls"]:
        axes.plot([left + 0.03, right - 0.03], [top + ROW - 0.022] * 2, color=EDGE, linewidth=1.2)


def _color(line: Mapping[str, Any]) -> tuple[float, float, float]:
    """The color of a tile; white where there is no effect to show."""
    fixed = {"failed": TINTS["failed"], "inside": GRAY, "band": BAND}
    if line["state"] in fixed:
        return to_rgb(fixed[line["state"]])
    if math.isnan(line["shade"]):
        return to_rgb("#ffffff")
    return to_rgb(COLORMAP((line["shade"] + CLIP) / (2 * CLIP)))


def _luminance(color: tuple[float, float, float]) -> float:
    return float(np.dot(color, (0.299, 0.587, 0.114)))


def _notes(drawn: pd.DataFrame, *, scale: str) -> list[str]:
    """How to read the figure, and the footnotes, broken into lines."""
    texts = [
        f"What this is worth: {WORTH.get(scale, 'A test of the workflow; its numbers mean nothing.')}",
        "Numbers: difference to the reference, in the unit of the column. Color: that difference over the standard deviation "
        "over seeds that the verdict rests on, blue for better (a lower cost is better). Gray: the row cannot be told from its "
        "reference, since it lies inside the 95 % prediction interval, or outside it but no longer when at most 5 % of all "
        "cells that are called different may be false (Benjamini-Hochberg). With one seed (n = 1) only differences of some "
        "three to six standard deviations are told. A brown line: no better than the best control, which knows nothing of cells.",
    ]
    for mark, lines in drawn.loc[drawn["mark"] != ""].groupby("mark", sort=False):
        names = ", ".join(dict.fromkeys(lines["name"]))
        texts.append(f"[{mark}] {names}: {next(iter(lines['reason']))}")
    return [line for text in texts for line in wrap(text, width=NOTE_CHARACTERS, subsequent_indent="   ")]
