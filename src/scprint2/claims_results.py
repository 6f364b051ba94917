"""What the claims of the paper are held against: the measures that they ask for, from the long form of Table 1."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from scprint2.claims import Difference, Ledger, Trend, Value, doubtful_cells, printed_cells, printed_spread
from scprint2.claims_further import Further, Study, gain_cells
from scprint2.claims_sources import STUDY, SWEEP, study_of
from scprint2.config.overlay import PAPER_SCALE
from scprint2.stats import Spread, pool_spread
from scprint2.table_cells import BASE, BASELINE, COST, Cell, Cells, Column, Row, make_cells


@dataclass(frozen=True)
class Results:
    """What claims are held against.

    Attributes
    ----------
    pooled
        Spread over seeds of each measure, pooled over the rows that were trained.
    further
        What is looked at beside Table 1.
    cells, doubtful, spread
        The numbers of the paper's Table 1, those that may belong into another column, and the spread of base that it prints.
    """

    scale: str
    ours: Cells
    pooled: Mapping[str, Spread | None]
    seeds: Mapping[str, int]
    baselines: frozenset[str]
    further: Further
    cells: Mapping[str, float]
    doubtful: frozenset[str]
    spread: Mapping[str, float]


def read_long(path: str | Path) -> pd.DataFrame:
    """Read `table1_long.csv`, with NaN for a missing value and empty text for missing words."""
    return pd.read_csv(path, keep_default_na=False, na_values={"value": [""], "seconds": [""]})


def read_results(
    long: pd.DataFrame,
    ledger: Ledger,
    *,
    columns: Mapping[str, Mapping[str, Any]],
    roles: Mapping[str, Sequence[str]],
    further: Further,
    paper: pd.DataFrame,
) -> Results:
    """Put together what the ledger asks for.

    Parameters
    ----------
    long
        `table1_long.csv` as `read_long` reads it.
    columns
        Columns of Table 1 to `task, datasets, metric`.
    roles
        Roles to the datasets of this scale.
    paper
        The printed table as `scprint2.paper.read_paper` reads it.

    Raises
    ------
    ValueError
        If the table holds several scales.
    """
    scales = sorted(set(long["scale"]))
    if len(scales) != 1:
        raise ValueError(f"the table holds the scales {scales}; claims are judged at one")
    lines = [dict(zip(long.columns, line, strict=True)) for line in long.itertuples(index=False, name=None)]
    records = {(line["variant"], line["seed"], line["task"], line["dataset"], line["metric"]): line for line in lines}
    rows = _read_rows(lines)
    for study, of_study in further.studies.items():
        for line in of_study.scores.to_dict("records"):
            records[line["variant"], line["seed"], STUDY + study, line["dataset"], line["metric"]] = line
    sources = {name: _source(name, columns=columns, roles=roles, studies=further.studies) for name in _measures(ledger)}
    gains = dict(_gains(ledger, further.sweep, scale=scales[0]))
    ours = {**make_cells(rows, sources, scores=records, costs={}), **gains}
    return Results(
        scale=scales[0],
        ours=ours,
        pooled={
            name: pool_spread(ours[row.variant, name].values for row in rows if row.section != BASELINE)
            for name in sources
        }
        | {
            measure: pool_spread(cell.values for (_, name), cell in gains.items() if name == measure)
            for _, measure in gains
        },
        seeds={row.variant: len(row.seeds) for row in rows},
        baselines=frozenset(row.variant for row in rows if row.section == BASELINE),
        further=further,
        cells=printed_cells(paper),
        doubtful=doubtful_cells(paper),
        spread=printed_spread(paper),
    )


def _read_rows(lines: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The rows of the table, in its order, with the seeds that were run."""
    sections: dict[str, tuple[str, str]] = {}
    seeds: dict[str, set[int]] = {}
    for line in lines:
        sections[line["variant"]] = (line["section"], line["name"])
        seeds.setdefault(line["variant"], set()).add(line["seed"])
    return [
        Row(variant, section, name, BASE, tuple(sorted(seeds[variant])), None, "")
        for variant, (section, name) in sections.items()
    ]


def _measures(ledger: Ledger) -> list[str]:
    """Every measure that a claim asks for, once."""
    names: list[str] = []
    for test in (claim.test for claim in ledger.claims):
        if isinstance(test, Difference):
            names += test.measures
        elif isinstance(test, Value):
            names.append(test.measure)
    return list(dict.fromkeys(names))


def gain_of(label: str, *, group: str) -> str:
    """The name of what is gained from a longer context, as a measure."""
    return f"{SWEEP}/{label}/{group}"


def _gains(ledger: Ledger, sweep: pd.DataFrame | None, *, scale: str) -> Iterator[tuple[tuple[str, str], Cell]]:
    """What each row of the context sweep gains in every label that a claim asks for."""
    for test in (claim.test for claim in ledger.claims):
        if sweep is not None and isinstance(test, Trend):
            lengths = test.lengths if scale == PAPER_SCALE else None
            for label in test.labels:
                cells = gain_cells(sweep, label=label, group=test.group, lengths=lengths)
                yield from (((row, gain_of(label, group=test.group)), cell) for row, cell in cells.items())


def _source(
    measure: str,
    *,
    columns: Mapping[str, Mapping[str, Any]],
    roles: Mapping[str, Sequence[str]],
    studies: Mapping[str, Study],
) -> Column:
    """Where a measure stands in the long table, or in the scores of a study."""
    if measure == COST:
        return Column("cost", ("",), COST)
    if measure in columns:
        column = columns[measure]
        return Column(column["task"], tuple(column["datasets"]), column["metric"])
    if study := study_of(measure):
        datasets = studies[study].datasets if study in studies else ()
        return Column(STUDY + study, datasets, measure.split("/")[1])
    task, role, metric = measure.split("/")
    return Column(task, tuple(roles[role]), metric)
