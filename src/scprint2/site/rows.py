"""A page per row of Table 1: for each of its cells the scores of every seed, the notebook that made them, and the verdict."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from scprint2.costs import BY_ROW, sum_costs
from scprint2.pages import Link, Page
from scprint2.table import Table1
from scprint2.table_cells import COST, Row
from scprint2.table_page import name_columns

FOLDER = "rows"
NOTEBOOKS = "notebooks"
BYTES = 2**20


@dataclass(frozen=True)
class Notebooks:
    """The executed notebooks, by their places under the folder of reports.

    Attributes
    ----------
    places
        Such as `base/seed_0/gymnasium.html`, of all tasks; `pca/seed_0/embed.html`, of one; or
        `base/seed_0/embed/lung.html`, of one task and dataset.
    """

    places: frozenset[str]

    @classmethod
    def among(cls, places: Iterable[str]) -> "Notebooks":
        """Take the given places."""
        return cls(frozenset(places))

    def find(self, line: Mapping[str, Any]) -> str | None:
        """Return the place of the notebook that made a score; None where there is none."""
        folder = f"{line['variant']}/seed_{line['seed']}"
        candidates = (f"{line['task']}/{line['dataset']}.html", f"{line['task']}.html", "gymnasium.html")
        return next((place for name in candidates if (place := f"{folder}/{name}") in self.places), None)


def row_page_place(variant: str) -> str:
    """Where the page of a row stands in the site."""
    return f"{FOLDER}/{variant}.html"


def make_row_page(
    row: Row,
    table: Table1,
    *,
    changes: Mapping[str, Iterable[Any]],
    costs: pd.DataFrame,
    notebooks: Notebooks,
) -> Page:
    """Make the page of a row.

    Parameters
    ----------
    changes
        Path of a setting to its value in the reference and in this row.
    costs
        As of `scprint2.costs.read_costs`.
    """
    page = Page(row.name, f"{row.section} · {row.variant} · scale {table.scale} · run {row.run_id}")
    long = table.long.loc[table.long["variant"] == row.variant]
    _link_notebooks(page, long, notebooks)
    if row.tasks is None:
        _describe_changes(page, row, changes)
    for column, heading in name_columns(table.columns).items():
        _describe_cell(page, row, table, column=column, heading=heading, long=long, notebooks=notebooks)
    _describe_costs(page, costs.loc[costs["variant"] == row.variant])
    page.heading("All scores", anchor="scores")
    page.table(_score_lines(long.loc[long["task"] != "cost"], notebooks), name="all scores of the row")
    return page


def _link_notebooks(page: Page, long: pd.DataFrame, notebooks: Notebooks) -> None:
    places = {place: None for line in long.to_dict("records") if (place := notebooks.find(line)) is not None}
    if places:
        links = [Link(_name_notebook(place), _to(place)) for place in places]
        page.links("Executed notebooks:", links)
    else:
        page.text("No notebook was made for this row.")


def _name_notebook(place: str) -> str:
    seed, *rest = PurePosixPath(place).with_suffix("").parts[1:]
    return " ".join([seed.replace("_", " "), *(part for part in rest if part != "gymnasium")])


def _to(place: str) -> str:
    return f"../{NOTEBOOKS}/{place}"


def _describe_changes(page: Page, row: Row, changes: Mapping[str, Iterable[Any]]) -> None:
    page.heading("What it changes", anchor="changes")
    if not changes:
        page.text("Nothing: it is what other rows are held against.")
        return
    lines = [(path, _show(before), _show(after)) for path, (before, after) in changes.items()]
    names = ["setting", row.reference, row.variant]
    page.table(pd.DataFrame(lines, columns=pd.Index(names)), name="settings that differ from the reference")


def _show(value: Any) -> str:
    return "–" if value is None else str(value)


def _describe_cell(
    page: Page, row: Row, table: Table1, *, column: str, heading: str, long: pd.DataFrame, notebooks: Notebooks
) -> None:
    page.heading(heading, anchor=column)
    cell = table.cells[row.variant, column]
    if cell.mean is None:
        page.text(f"{cell.status}: {cell.reason}")
    else:
        spread = "" if cell.deviation is None else f" ± {cell.deviation:.3g}"
        page.text(f"{cell.mean:.5g}{spread}, mean over {len(cell.values)} seed{'s' * (len(cell.values) > 1)}")
    own = table.comparisons
    own = own.loc[(own["variant"] == row.variant) & (own["column"] == column)]
    for line in own.to_dict("records"):
        page.text(_describe_comparison(line), style="soft")
    used = long.loc[[column in str(names).split() for names in long["column"]]]
    if column != COST:
        page.table(_score_lines(used, notebooks), name=f"scores behind {heading}")


def _describe_comparison(line: Mapping[str, Any]) -> str:
    if line["verdict"] not in ("above", "below", "inside"):
        return f"Against {line['reference']}: {line['verdict']}. {line['reason']}"
    where = {"inside": "cannot be told from it"}.get(line["verdict"], f"{line['verdict']} its interval")
    return (
        f"Against {line['reference']}: {line['difference']:+.4g}, {where} ({line['low']:.4g} to {line['high']:.4g}, 95 %)."
    ).replace("-", "−")


def _score_lines(long: pd.DataFrame, notebooks: Notebooks) -> pd.DataFrame:
    lines = []
    for line in long.to_dict("records"):
        place = notebooks.find(line)
        lines.append(
            {
                "task": line["task"],
                "dataset": line["dataset"],
                "seed": str(line["seed"]),
                "metric": line["metric"],
                "value": float(line["value"]),
                "status": line["status"] if not line["reason"] else f"{line['status']}: {line['reason']}",
                "seconds": float(line["seconds"]),
                "made with": line["version"],
                "notebook": "–" if place is None else Link("open", _to(place)),
            }
        )
    return pd.DataFrame(lines)


def _describe_costs(page: Page, costs: pd.DataFrame) -> None:
    page.heading("Costs", anchor="costs")
    page.table(lay_out_costs(sum_costs(costs, by=BY_ROW)).drop(columns=["row", "section"]), name="costs of the row")


def lay_out_costs(sums: pd.DataFrame) -> pd.DataFrame:
    """Lay sums of costs out for readers: seconds and MiB."""
    named = pd.DataFrame({"row": sums["name"], "section": sums["section"]})
    return named.join(_lay_out_sums(sums))


def lay_out_study_costs(sums: pd.DataFrame) -> pd.DataFrame:
    """Lay sums of what studies cost out for readers."""
    named = pd.DataFrame({"study": sums["study"], "row": sums["variant"]})
    return named.join(_lay_out_sums(sums))


def _lay_out_sums(sums: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "seed": sums["seed"].astype(str),
            "job": sums["job"],
            "seconds": sums["seconds"],
            "CPU seconds": sums["cpu_seconds"],
            "GPU seconds": sums["gpu_seconds"],
            "energy, J": sums["energy_joules"],
            "memory, MiB": np.round(sums["peak_memory_bytes"] / BYTES, 0),
            "GPU memory, MiB": np.round(sums["peak_gpu_memory_bytes"] / BYTES, 0),
            "cells": sums["cells"],
        }
    )
