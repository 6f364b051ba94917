"""What every row of Table 1 differs by from its reference, and from base: one tidy line each, with paired tests over seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from scprint2.stats import Verdict, adjust_p_values, paired_tests
from scprint2.table_cells import BASE, BASELINE, Cell, Cells, Row
from scprint2.table_units import Units

PAIRED_SEEDS = 3  # a paired test over two seeds has one degree of freedom, and finds nothing
DISCOVERY_RATE = 0.05
NUMBERS = ["difference", "spread", "effect", "low", "high", "p_value", "q_value"]
TESTED = ["verdict_p", "verdict_q"]
RANGE = ["unit_low", "unit_high"]
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
    *TESTED,
    "distinguishable",
    "pairs",
    *NUMBERS[5:],
    "discovery",
    "unit",
    "units",
    *RANGE,
    "control",
    "reason",
]


def compare_rows(
    rows: Sequence[Row], cells: Cells, *, columns: Sequence[str], units: Mapping[tuple[str, str], Units]
) -> pd.DataFrame:
    """Compare each cell with that of the row's own reference, and with that of base where this is another row.

    `difference` is the row's mean over seeds minus the reference's, `spread` the standard deviation over seeds that the verdict
    rests on, `effect` their ratio, `low` to `high` the interval of the verdict, for the row's mean. `verdict_p` is the p value of
    the verdict, `verdict_q` the same adjusted over all lines of trained rows, and apart from them over those of baselines
    (Benjamini-Hochberg); `distinguishable` rows lie outside the interval with a q value of at most 0.05.

    `pairs`, `p_value`, `q_value` and `discovery` belong to a paired t-test over the seeds of a row and its own reference, if both
    have at least three; q values are adjusted over all tests of the table. `discovery` is NA where nothing was tested.

    `unit_low` to `unit_high` is where the difference lies for other `unit`s (datasets or donors, `units` of them; bootstrap).
    `control` names the kind of a control. `reason` says why a number is not there.
    """
    known = {row.variant: row for row in rows}
    tests = _test_pairs(known, cells, columns=columns)
    lines = [
        _compare(row, reference, column, known=known, cells=cells)
        | tests.get((row.variant, column, reference), {})
        | _resample(units.get((row.variant, column)), units.get((reference, column)))
        for row in rows
        for column in columns
        for reference in dict.fromkeys((row.reference, BASE))
        if reference != row.variant
    ]
    frame = pd.DataFrame(lines, columns=pd.Index(KEYS))
    types = {
        **dict.fromkeys([*NUMBERS, *TESTED, *RANGE], float),
        "pairs": "Int64",
        "units": "Int64",
        "discovery": "boolean",
    }
    frame = frame.astype(types)
    for part in (frame["section"] == BASELINE, frame["section"] != BASELINE):
        frame.loc[part, "verdict_q"] = adjust_p_values(frame.loc[part, "verdict_p"].tolist())
    certain = frame["verdict"].isin(["below", "above"]) & (frame["verdict_q"] <= DISCOVERY_RATE)
    return frame.assign(distinguishable=certain, unit=frame["unit"].fillna(""))


def _resample(own: Units | None, reference: Units | None) -> dict[str, Any]:
    """The difference over datasets or donors, where both rows have enough of them."""
    if own is None or reference is None or own.kind != reference.kind:
        return {}
    difference = own.minus(reference)
    interval = difference.interval()
    if interval is None:
        return {}
    low, high = interval.low, interval.high
    return {"unit": own.kind, "units": difference.number, "unit_low": low, "unit_high": high}


def describe_tests(comparisons: pd.DataFrame) -> str:
    """Say how many rows had enough seeds for a paired test, and how many tests found a difference."""
    trained = comparisons.loc[comparisons["section"] != BASELINE]
    tested = trained.dropna(subset="q_value")
    rows, all_rows, found = tested["variant"].nunique(), trained["variant"].nunique(), int(tested["discovery"].sum())
    return (
        f"Of {all_rows} rows that are held against another, {rows} had the {PAIRED_SEEDS} seeds in common with their reference "
        f"that a paired test asks for: {found} of {len(tested)} cells were discoveries at {DISCOVERY_RATE:.0%} "
        "(Benjamini-Hochberg over the whole table). Every other row stands on the spread of others."
    )


def _compare(row: Row, reference: str, column: str, *, known: Mapping[str, Row], cells: Cells) -> dict[str, Any]:
    """One line without its test."""
    cell, other = cells[row.variant, column], cells.get((reference, column), Cell())
    verdict = cell.verdict if reference == row.reference else cell.verdict_base
    line: dict[str, Any] = {"variant": row.variant, "section": row.section, "name": row.name, "column": column}
    line |= {"reference": reference, "seeds": len(row.seeds), "control": row.control}
    line |= {"reference_seeds": len(known[reference].seeds) if reference in known else 0}
    line |= {"verdict": cell.word(verdict), "reason": _explain(row, reference, cell, verdict, known=known)}
    if cell.mean is None or other.mean is None:
        return line
    line["difference"] = cell.mean - other.mean
    if verdict is None or verdict.spread is None:
        return line
    line |= {"spread": verdict.spread, "low": verdict.low, "high": verdict.high}
    line["verdict_p"] = verdict.p_value
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
