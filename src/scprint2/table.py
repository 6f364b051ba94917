"""Table 1: score rows and costs of every seed, put together as one line per row of the benchmark, each cell with its verdict."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scprint2.cards import summarize_card
from scprint2.files import atomic_path, read_json, write_text
from scprint2.plots.table import Display, plot_table
from scprint2.table_cells import ABSENT, COST, FAILED, UNKNOWN, Cells, Column, Cost, Records, Row, make_cells, read_row
from scprint2.table_comparisons import compare_rows
from scprint2.table_page import lay_out, render_html
from scprint2.table_units import collect_units
from scprint2.versions import refuse_mixed_versions

SCORE_KEYS = [
    "scale",
    "variant",
    "seed",
    "task",
    "dataset",
    "metric",
    "value",
    "status",
    "reason",
    "seconds",
    "version",
    "versions",
]
LONG_KEYS = ["section", "name", "column", *SCORE_KEYS]
COST_KEYS = ["variant", "seed", "minutes_per_epoch", "device"]
WORDS = {"variant", "section", "name", "reference", "scale", "device", "run_id"}  # columns of words in the wide table


@dataclass(frozen=True)
class Table1:
    """The finished table.

    Attributes
    ----------
    wide
        One line per row. A mean or a deviation that does not exist is NaN here; written to a file, it says why.
    long
        One line per row, seed, task, dataset and metric, those that failed or do not apply among them.
    comparisons
        One line per row, column and reference: what they differ by, and how sure that is.
    cells
        Cell of each (variant, column).
    cards
        The card of each column's metric, in a few sentences.
    """

    wide: pd.DataFrame
    long: pd.DataFrame
    comparisons: pd.DataFrame
    rows: tuple[Row, ...]
    columns: tuple[str, ...]
    cells: Cells
    scale: str
    devices: tuple[str, ...]
    cards: Mapping[str, str]


def build_table1(
    scores: pd.DataFrame,
    variants: Sequence[Mapping[str, Any]],
    *,
    columns: Mapping[str, Mapping[str, Any]],
    costs: pd.DataFrame,
) -> Table1:
    """Put Table 1 together.

    Parameters
    ----------
    scores
        Score rows, as in the score files.
    variants
        The rows in their order: `variant, section, name, reference`; `tasks` where a baseline does only some, `seeds` (a number)
        where they are to be complete, `experiment`, the resolved experiment, whose hash becomes `run_id`, and `control`, the
        kind of a control.
    columns
        Column to `task, datasets, metric`, and the `card` of the metric where there is one; the column of costs is put before.
    costs
        `variant, seed, minutes_per_epoch, device`, NaN where nothing was trained.

    Raises
    ------
    ValueError
        If a key or a score column is missing, a score or a row occurs twice, or scales or versions are mixed.
    """
    scale = _check(scores, variants)
    records: Records = {
        (line["variant"], line["seed"], line["task"], line["dataset"], line["metric"]): line
        for line in _lines(scores, SCORE_KEYS)
    }
    spent = {
        (line["variant"], line["seed"]): Cost(
            None if np.isnan(line["minutes_per_epoch"]) else line["minutes_per_epoch"], line["device"]
        )
        for line in _lines(costs, COST_KEYS)
    }
    found = {key[:2] for key in records} | set(spent)
    rows = tuple(
        read_row(entry, found=sorted(seed for variant, seed in found if variant == entry["variant"]))
        for entry in variants
    )
    sources = {
        name: Column(entry["task"], tuple(entry["datasets"]), entry["metric"]) for name, entry in columns.items()
    }
    cells = make_cells(rows, sources, scores=records, costs=spent)
    return Table1(
        wide=_make_wide(rows, cells, columns=(COST, *sources), costs=spent, scale=scale),
        long=_make_long(rows, cells, sources, scores=records, scale=scale),
        comparisons=compare_rows(
            rows, cells, columns=(COST, *sources), units=collect_units(rows, sources, scores=records)
        ),
        rows=rows,
        columns=(COST, *sources),
        cells=cells,
        scale=scale,
        devices=tuple(sorted({cost.device for cost in spent.values()})),
        cards={
            name: summarize_card(entry["metric"], entry["card"]) for name, entry in columns.items() if "card" in entry
        },
    )


def read_costs(models: Iterable[str | Path]) -> pd.DataFrame:
    """Read `cost.json` of model folders `.../<variant>/seed_<n>`."""
    lines = []
    for folder in map(Path, models):
        cost = read_json(folder / "cost.json")
        seconds = cost["seconds_per_epoch"]
        minutes = np.nan if seconds is None else seconds / 60
        lines.append((folder.parent.name, int(folder.name.removeprefix("seed_")), minutes, cost["device"]))
    return pd.DataFrame(lines, columns=pd.Index(COST_KEYS))


def write_table1(
    table: Table1,
    *,
    csv: str | Path,
    long_csv: str | Path,
    comparisons_csv: str | Path,
    html: str | Path,
    pdf: str | Path,
) -> None:
    """Write Table 1 in all its forms, each whole or not at all."""
    for frame, path in ((_spell_out(table), csv), (table.long, long_csv), (table.comparisons, comparisons_csv)):
        with atomic_path(path) as temporary:
            frame.to_csv(temporary, index=False)
    display = lay_out_table1(table)
    write_text(html, render_html(display))
    with atomic_path(pdf) as temporary:
        plot_table(display).savefig(temporary, format="pdf", metadata={"CreationDate": None, "ModDate": None})


def lay_out_table1(table: Table1, *, pages: Mapping[str, str] | None = None) -> Display:
    """Lay the table out as it is read; names and cells lead to the `pages` of their variants, where they have one."""
    return lay_out(
        table.rows,
        table.cells,
        columns=table.columns,
        comparisons=table.comparisons,
        scale=table.scale,
        device=" and ".join(table.devices),
        cards=table.cards,
        pages=pages,
    )


def read_table1(path: str | Path) -> pd.DataFrame:
    """Read a written Table 1, with NaN where a mean or a deviation is missing; the verdicts stay words."""
    frame = pd.read_csv(path, dtype={"run_id": str}, keep_default_na=False)
    for name in frame.columns:
        if name not in WORDS and not name.endswith(("_verdict", "_verdict_base")):
            missing = frame[name].isin([FAILED, ABSENT, UNKNOWN])
            frame[name] = pd.to_numeric(frame[name].where(~missing, np.nan))
    return frame


def _check(scores: pd.DataFrame, variants: Sequence[Mapping[str, Any]]) -> str:
    """The one scale of the scores, once their form is what it must be."""
    missing = [key for key in SCORE_KEYS if key not in scores.columns]
    if missing:
        raise ValueError(f"the scores have no columns {missing}; needed are {SCORE_KEYS}")
    twice = scores[scores.duplicated(["variant", "seed", "task", "dataset", "metric"])]
    if len(twice):
        raise ValueError(f"{len(twice)} scores occur twice, such as {twice.iloc[0].to_dict()}: give each file once")
    scales = sorted(set(scores["scale"]))
    if len(scales) != 1:
        raise ValueError(
            f"the scores are of the scales {scales}; a table holds one. Give the score files of one scale."
        )
    refuse_mixed_versions(scores)
    names = [entry.get("variant") for entry in variants]
    if len(set(names)) != len(names):
        raise ValueError(f"rows occur twice among {names}; list each variant once")
    return scales[0]


def _lines(frame: pd.DataFrame, keys: Sequence[str]) -> list[dict[str, Any]]:
    """The lines of a frame as plain dictionaries."""
    values = (frame[key].tolist() for key in keys)
    return [dict(zip(keys, line, strict=True)) for line in zip(*values, strict=True)]


def _make_wide(
    rows: Sequence[Row],
    cells: Cells,
    *,
    columns: Sequence[str],
    costs: Mapping[tuple[str, int], Cost],
    scale: str,
) -> pd.DataFrame:
    lines = []
    for row in rows:
        devices = sorted({cost.device for (variant, _), cost in costs.items() if variant == row.variant})
        line: dict[str, Any] = {"variant": row.variant, "section": row.section, "name": row.name}
        line |= {"reference": row.reference, "seeds": len(row.seeds), "scale": scale}
        line |= {"device": " + ".join(devices) or ABSENT}
        for column in columns:
            cell = cells[row.variant, column]
            line[column] = np.nan if cell.mean is None else cell.mean
            line[f"{column}_sd"] = np.nan if cell.deviation is None else cell.deviation
            line[f"{column}_verdict"] = cell.word(cell.verdict)
            line[f"{column}_verdict_base"] = cell.word(cell.verdict_base)
        lines.append(line | {"run_id": row.run_id})
    return pd.DataFrame(lines)


def _make_long(
    rows: Sequence[Row], cells: Cells, sources: Mapping[str, Column], *, scores: Records, scale: str
) -> pd.DataFrame:
    """All scores, with the columns of Table 1 that they enter, the costs, and a line for every score that is not there.

    A score enters two columns, named with a space between, where one dataset plays two roles.
    """
    columns_of: dict[tuple[str, str, str], str] = {}
    for name, source in sources.items():
        for dataset in source.datasets:
            key = (source.task, dataset, source.metric)
            columns_of[key] = f"{columns_of.get(key, '')} {name}".strip()
    all_sources = {COST: Column("cost", ("",), COST), **sources}
    lines = [
        {**line, "column": columns_of.get((line["task"], line["dataset"], line["metric"]), "")}
        for line in scores.values()
    ]
    for row in rows:
        for column, source in all_sources.items():
            cell = cells[row.variant, column]
            for (place, seed), dataset in product(enumerate(row.seeds), source.datasets):
                key = (row.variant, seed, source.task, dataset, source.metric)
                if key in scores:
                    continue
                value = cell.values[place] if cell.values else np.nan
                rest = (value, cell.status, cell.reason, np.nan, "", "")
                lines.append({**dict(zip(SCORE_KEYS, (scale, *key, *rest), strict=True)), "column": column})
    names = {row.variant: row for row in rows}
    lines = [line for line in lines if line["variant"] in names]
    for line in lines:
        line |= {"section": names[line["variant"]].section, "name": names[line["variant"]].name}
    order = {variant: number for number, variant in enumerate(names)}
    lines.sort(key=lambda line: (order[line["variant"]], *(line[key] for key in ("seed", "task", "dataset", "metric"))))
    return pd.DataFrame([{key: line[key] for key in LONG_KEYS} for line in lines])


def _spell_out(table: Table1) -> pd.DataFrame:
    """The wide table with a word wherever there is no number."""
    wide = table.wide.astype(object)
    for column, (line, row) in product(table.columns, enumerate(table.rows)):
        cell = table.cells[row.variant, column]
        if cell.mean is None:
            wide.loc[line, [column, f"{column}_sd"]] = cell.status
        elif cell.deviation is None:
            wide.loc[line, f"{column}_sd"] = UNKNOWN
    return wide
