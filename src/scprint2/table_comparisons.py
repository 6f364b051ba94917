"""What every row of Table 1 differs by from its reference, and from base: one tidy line each, with paired tests over seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from scprint2.stats import Verdict, paired_tests
from scprint2.table_cells import BASE, BASELINE, Cell, Cells, Row

PAIRED_SEEDS = 3  # a paired test over two seeds has one degree of freedom, and finds nothing
DISCOVERY_RATE = 0.05
NUMBERS = ["difference", "spread", "effect", "low", "high", "p_value", "q_value"]
KEYS = [
    "variant",
    "section",
    "name",
    "column",
    "reference",
    "seeds",
    "reference_seeds",
    *NUMBERS[:5],
    "verdict",
    "pairs",
    *NUMBERS[5:],
    "discovery",
    "reason",
]


def compare_rows(rows: Sequence[Row], cells: Cells, *, columns: Sequence[str]) -> pd.DataFrame:
    """Compare each cell with that of the row's own reference, and with that of base where this is another row.

    `difference` is the row's mean over seeds minus the reference's, `spread` the standard deviation over seeds that the verdict
    rests on, `effect` their ratio, `low` to `high` the interval of the verdict, for the row's mean. `pairs`, `p_value`, `q_value`
    and `discovery` belong to a paired t-test over the seeds of a row and its own reference, if both have at least three;
    q values are adjusted over all tests of the table (Benjamini-Hochberg). `discovery` is NA where nothing was tested.
    `reason` says why a number is not there.
    """
    known = {row.variant: row for row in rows}
    tests = _test_pairs(known, cells, columns=columns)
    lines = [
        _compare(row, reference, column, known=known, cells=cells) | tests.get((row.variant, column, reference), {})
        for row in rows
        for column in columns
        for reference in dict.fromkeys((row.reference, BASE))
        if reference != row.variant
    ]
    frame = pd.DataFrame(lines, columns=pd.Index(KEYS))
    return frame.astype({**dict.fromkeys(NUMBERS, float), "pairs": "Int64", "discovery": "boolean"})


def describe_tests(comparisons: pd.DataFrame) -> str:
    """Say how many rows had enough seeds for a paired test, and how many tests found a difference."""
    trained = comparisons.loc[comparisons["section"] != BASELINE]
    tested = trained.dropna(subset="q_value")
    rows, all_rows, found = tested["variant"].nunique(), trained["variant"].nunique(), int(tested["discovery"].sum())
    return (
        f"Of {all_rows} rows that are held against another, {rows} had the {PAIRED_SEEDS} seeds in common with their reference "
        f"that a paired test asks for: {found} of {len(tested)} cells were discoveries at {DISCOVERY_RATE:.0%} "
        "(Benjamini-Hochberg over the whole table). Every other row stands on fewer seeds."
    )


def _compare(row: Row, reference: str, column: str, *, known: Mapping[str, Row], cells: Cells) -> dict[str, Any]:
    """One line without its test."""
    cell, other = cells[row.variant, column], cells.get((reference, column), Cell())
    verdict = cell.verdict if reference == row.reference else cell.verdict_base
    line: dict[str, Any] = {"variant": row.variant, "section": row.section, "name": row.name, "column": column}
    line |= {"reference": reference, "seeds": len(row.seeds)}
    line |= {"reference_seeds": len(known[reference].seeds) if reference in known else 0}
    line |= {"verdict": cell.word(verdict), "reason": _explain(row, reference, cell, verdict, known=known)}
    if cell.mean is None or other.mean is None:
        return line
    line["difference"] = cell.mean - other.mean
    if verdict is None or verdict.spread is None:
        return line
    line |= {"spread": verdict.spread, "low": verdict.low, "high": verdict.high}
    return line | {"effect": line["difference"] / verdict.spread}


def _explain(row: Row, reference: str, cell: Cell, verdict: Verdict | None, *, known: Mapping[str, Row]) -> str:
    """Why there is no value, no interval or no test; the first of these that holds."""
    if cell.reason or (verdict and verdict.reason):
        return cell.reason or (verdict.reason if verdict else "")
    if row.section == BASELINE:
        return "no paired test: a baseline's seeds are no trainings"
    if reference != row.reference:
        return "no paired test: only a row's own reference is tested"
    shared = len(set(row.seeds) & set(known[reference].seeds))
    return "" if shared >= PAIRED_SEEDS else f"no paired test: {shared} of {PAIRED_SEEDS} seeds that both rows have"


def _test_pairs(
    known: Mapping[str, Row], cells: Cells, *, columns: Sequence[str]
) -> dict[tuple[str, str, str], dict[str, Any]]:
    """The paired tests of the table by (variant, column, reference), all adjusted together."""
    entries = {}
    for row in known.values():
        reference = known.get(row.reference)
        if reference is None or reference is row or BASELINE in (row.section, reference.section):
            continue
        for column in columns:
            units, others = (_by_seed(each, cells[each.variant, column]) for each in (row, reference))
            if len(set(units) & set(others)) >= PAIRED_SEEDS:
                entries[row.variant, column, row.reference] = (units, others)
    frame = paired_tests(entries, rate=DISCOVERY_RATE)
    found = {}
    for entry, pairs, p_value, q_value, discovery, reason in zip(
        *(frame[key] for key in ("entry", "pairs", "p_value", "q_value", "discovery", "reason")), strict=True
    ):
        found[entry] = {"pairs": pairs}
        found[entry] |= {"reason": f"no paired test: {reason}"} if reason else {}
        if not np.isnan(p_value):
            found[entry] |= {"p_value": p_value, "q_value": q_value, "discovery": discovery}
    return found


def _by_seed(row: Row, cell: Cell) -> dict[int, float]:
    """The values of a cell by seed; nothing where it has none."""
    return dict(zip(row.seeds, cell.values, strict=True)) if cell.values else {}
