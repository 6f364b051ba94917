"""What the controls and baselines reach, column by column: the ground under every score of Table 1."""

import math
from collections.abc import Iterable

import pandas as pd

from scprint2.pages import Link, Page
from scprint2.site.rows import row_page_place
from scprint2.table import Table1
from scprint2.table_cells import BASE, BASELINE, COST, Row
from scprint2.table_page import name_columns

UNTRAINED = "untrained"  # the kind of control that has a column of its own


def make_controls_page(table: Table1) -> Page:
    """Make the page: a summary with a line per column of Table 1, then each baseline and control."""
    page = Page(
        "Controls and baselines", f"scale {table.scale}: what a score is worth that a simpler method reaches too"
    )
    columns = [column for column in table.columns if column != COST]
    page.heading("By column", anchor="columns")
    page.table(pd.DataFrame([_summarize(table, column) for column in columns]), name="controls by column")
    page.text(
        "A trained row is ahead where its mean over seeds is higher; whether by more than the spread over seeds, Table 1 says. "
        "The untrained control is the same model with its initial weights.",
        style="soft",
    )
    page.heading("Each of them", anchor="rows")
    page.table(pd.DataFrame(list(_list_rows(table, columns))), name="controls and baselines")
    return page


def _summarize(table: Table1, column: str) -> dict[str, object]:
    names = {row.variant: row.name for row in table.rows}
    scores = {row: _mean(table, row, column) for row in table.rows}
    known = {row: score for row, score in scores.items() if not math.isnan(score)}
    trained = {row.variant: score for row, score in known.items() if not _is_control(row)}
    simple = {row.variant: score for row, score in known.items() if row.section == BASELINE and not row.control}
    best = max(simple, key=lambda name: simple[name], default=None)
    winner = max(trained, key=lambda name: trained[name], default=None)
    ahead = [name for name, score in trained.items() if best is not None and score > simple[best]]
    control = next((score for row, score in scores.items() if row.control == UNTRAINED), float("nan"))
    return {
        "column": name_columns([column])[column],
        "untrained control": control,
        "base": trained.get(BASE, float("nan")),
        "best trained row": _name(names, winner, trained),
        "best baseline": _name(names, best, simple),
        "trained rows ahead of it": f"{len(ahead)} of {len(trained)}" if best is not None else "no baseline",
    }


def _name(names: dict[str, str], variant: str | None, scores: dict[str, float]) -> Link | str:
    return "–" if variant is None else Link(f"{names[variant]}: {scores[variant]:.4g}", row_page_place(variant))


def _is_control(row: Row) -> bool:
    return row.section == BASELINE or row.control != ""


def _mean(table: Table1, row: Row, column: str) -> float:
    mean = table.cells[row.variant, column].mean
    return float("nan") if mean is None else mean


def _list_rows(table: Table1, columns: list[str]) -> Iterable[dict[str, object]]:
    names = name_columns(columns)
    for row in table.rows:
        if _is_control(row) or row.variant == BASE:
            scores = {names[column]: _mean(table, row, column) for column in columns}
            yield {"row": Link(row.name, row_page_place(row.variant)), **scores}
