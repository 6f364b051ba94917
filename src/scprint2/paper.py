"""Table 1 beside the one that the paper printed: whether a row moves a score the same way."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scprint2.plots.table import Display, DisplayCell, DisplayRow, DisplaySection, State
from scprint2.table_cells import BASE, BASELINE
from scprint2.table_page import GROUPS, WORTH, group_columns

BELOW, INSIDE, ABOVE = "below", "inside", "above"
UNPRINTED, NOT_RUN = "", "x"
CERTAIN = ("C", "P")  # a cell that may belong into another column is shown, but not counted
CERTAINTIES = {"C": "certain", "P": "probable", "A": "ambiguous"}  # that a value stands in its column
DOUBTS = {"P": "~", "A": "?"}
SIGNS: Mapping[str, str] = {BELOW: "▼", INSIDE: "●", ABOVE: "▲"}
STATES: Mapping[str, State] = {"same": "plain", "one": "inside", "opposite": "failed", "unknown": "absent"}
KEYS = [
    "variant",
    "section",
    "name",
    "column",
    "paper_value",
    "paper_direction",
    "printed",
    "certainty",
    "value",
    "direction",
    "agreement",
]


def read_paper(path: str | Path) -> pd.DataFrame:
    """Read the printed table: variant, metric, value, spread, certainty; `value` stays text.

    Raises
    ------
    ValueError
        If a column is missing, a cell occurs twice, or base has no spread.
    """
    frame = pd.read_csv(path, comment="#", dtype=str, keep_default_na=False)
    missing = {"variant", "metric", "value", "spread", "certainty"} - set(frame.columns)
    if missing:
        raise ValueError(f"{path}: no columns {sorted(missing)}; found {list(frame.columns)}")
    if frame.duplicated(["variant", "metric"]).any():
        raise ValueError(f"{path}: a cell is given twice; keep one line for each variant and metric")
    return frame


def compare_with_paper(wide: pd.DataFrame, paper: pd.DataFrame) -> pd.DataFrame:
    """Set the directions of both tables side by side, one line for each row and column that the paper gives a spread of.

    A direction is that of a row against base: the paper's against its printed spread over six seeds, ours by the prediction
    interval (`_verdict_base`). `agreement` is `same`, `opposite`, `one` (one table sees an effect, the other none) or `unknown`.

    Parameters
    ----------
    wide
        Table 1 as `scprint2.table.read_table1` reads it.
    paper
        The printed table as `read_paper` reads it.
    """
    printed = {(line["variant"], line["metric"]): line for line in _lines(paper)}
    spread = {
        column: float(line["spread"]) for (row, column), line in printed.items() if row == BASE and line["spread"]
    }
    lines = []
    for row in (row for row in _lines(wide) if row["section"] != BASELINE and row["variant"] != BASE):
        for column in (column for column in GROUPS if column in spread):
            cell = printed.get((row["variant"], column), {"value": UNPRINTED, "certainty": UNPRINTED})
            base = float(printed[BASE, column]["value"])
            theirs = direction_in_paper(cell["value"], base=base, spread=spread[column])
            ours = row[f"{column}_verdict_base"]
            lines.append(
                {
                    **{key: row[key] for key in ("variant", "section", "name")},
                    **{"column": column, "paper_value": cell["value"], "paper_direction": theirs},
                    **{"printed": cell["value"] != UNPRINTED, "certainty": cell["certainty"]},
                    **{"value": row[column], "direction": ours, "agreement": agreement(theirs, ours)},
                }
            )
    return pd.DataFrame(lines, columns=pd.Index(KEYS))


def _lines(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The lines of a frame as plain dictionaries."""
    return [dict(zip(frame.columns, line, strict=True)) for line in frame.itertuples(index=False, name=None)]


def direction_in_paper(value: str, *, base: float, spread: float) -> str:
    """Direction of a printed value; a blank cell is inside the spread of base, and a cell printed as x was not run."""
    if value == UNPRINTED:
        return INSIDE
    if value == NOT_RUN:
        return "not run"
    difference = float(value) - base
    # Values are printed with few digits: one that lies on the border is inside.
    if abs(difference) <= spread * (1 + 1e-9):
        return INSIDE
    return ABOVE if difference > 0 else BELOW


def agreement(theirs: str, ours: str) -> str:
    """Say whether two directions agree."""
    if theirs not in SIGNS or ours not in SIGNS:
        return "unknown"
    if theirs == ours:
        return "same"
    return "one" if INSIDE in (theirs, ours) else "opposite"


def count_agreement(compared: pd.DataFrame) -> pd.DataFrame:
    """Count agreements over cells that the paper printed and that surely stand in their column, and over blank ones."""
    sure = compared[~compared["printed"] | compared["certainty"].isin(CERTAIN)]
    groups = np.where(
        sure["printed"], np.where(sure["paper_direction"] == INSIDE, "printed inside", "printed effect"), "blank"
    )
    counts = pd.crosstab(groups, sure["agreement"])
    return counts.reindex(columns=list(STATES), fill_value=0)


def lay_out_comparison(compared: pd.DataFrame, *, scale: str) -> Display:
    """Lay the comparison out as Table 1 is: the paper's sign, then ours."""
    columns = list(dict.fromkeys(compared["column"]))
    sections = []
    for section, part in compared.groupby("section", sort=False):
        rows = [
            DisplayRow(str(name), tuple(_cell(line) for line in _lines(lines)), str(name))
            for name, lines in part.groupby("name", sort=False)
        ]
        sections.append(DisplaySection(str(section), tuple(rows)))
    groups, headings = group_columns(columns)
    return Display(
        title="Table 1 beside the paper's",
        subtitle=f"scale {scale} · the paper's direction against base, then ours",
        groups=groups,
        columns=headings,
        sections=tuple(sections),
        notes=_notes(compared, scale=scale),
        footnotes=(),
    )


def _cell(line: Mapping[str, object]) -> DisplayCell:
    theirs, ours = str(line["paper_direction"]), str(line["direction"])
    sign = SIGNS.get(theirs, "–") if line["printed"] else f"({SIGNS[INSIDE]})"
    doubt = DOUBTS.get(str(line["certainty"]), "")
    sure = f" ({CERTAINTIES[str(line['certainty'])]})" if line["printed"] else ""
    title = f"paper: {line['paper_value'] or 'blank'}{sure}, {theirs}; here: {line['value']}, {ours}"
    text = f"{sign}{doubt} {SIGNS.get(ours, '–')}"
    return DisplayCell(text=text, state=STATES[str(line["agreement"])], title=title)


def _notes(compared: pd.DataFrame, *, scale: str) -> tuple[str, ...]:
    lines = []
    for group, counts in count_agreement(compared).iterrows():
        total, same, opposite = int(counts.sum()), int(counts["same"]), int(counts["opposite"])
        lines.append(
            f"{group}: {total} cells, {same} the same way, {opposite} the opposite way, "
            f"{int(counts['one'])} where one table sees an effect and the other none, "
            f"{int(counts['unknown'])} that cannot be compared."
        )
    return (
        f"What this is worth: {WORTH.get(scale, '')}",
        "▲ above and ▼ below base, ● cannot be told from base; the paper's sign stands first. (●): the cell was left blank, "
        "which we read as inside the spread of base; the paper does not say so. ~: the value probably stands in its column. "
        "?: it may belong into another one; such cells are shown and not counted. Bold: both say the same. Red: they say the "
        "opposite.",
        "The paper trained most rows once and printed ± for base over six seeds; a row beyond it is called an effect here, which "
        "by chance happens often. Ours is a prediction interval, which is wider.",
        *lines,
    )
