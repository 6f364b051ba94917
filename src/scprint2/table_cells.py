"""The cells of Table 1: from the scores of every seed to a mean, a spread, and a verdict against two references."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from scprint2.stats import Spread, Verdict, judge, pool_spread, standard_deviation

BASE = "base"
BASELINE = "baseline"  # the section of the methods that a user would try instead, and of the controls
COST = "gpu_min_per_epoch"
FAILED, ABSENT, UNKNOWN = "failed", "not applicable", "unknown"  # what a cell says in place of a number
ROW_KEYS = {"variant", "section", "name", "reference"}

Key = tuple[str, int, str, str, str]  # variant, seed, task, dataset, metric
Records = Mapping[Key, Mapping[str, Any]]


@dataclass(frozen=True)
class Column:
    """Where a column of Table 1 comes from: the mean over `datasets` of one metric of one task."""

    task: str
    datasets: tuple[str, ...]
    metric: str


@dataclass(frozen=True)
class Cost:
    """What one seed's training cost; no minutes where nothing was trained."""

    minutes_per_epoch: float | None
    device: str


@dataclass(frozen=True)
class Row:
    """What is known of a row before any score.

    Attributes
    ----------
    tasks
        The tasks that it does; None for all.
    run_id
        Short hash of the resolved experiment.
    control
        Which kind of control it is (`random`, `shuffled`, `untrained`); empty if it is none.
    """

    variant: str
    section: str
    name: str
    reference: str
    seeds: tuple[int, ...]
    tasks: tuple[str, ...] | None
    run_id: str
    control: str = ""


@dataclass(frozen=True)
class Cell:
    """One cell of Table 1: the values of its seeds, or the reason why there are none, and two verdicts.

    A verdict is None where there is no value, or where the row is the reference itself.
    """

    values: tuple[float, ...] = ()
    status: str = "ok"
    reason: str = ""
    verdict: Verdict | None = None
    verdict_base: Verdict | None = None

    @property
    def mean(self) -> float | None:
        """Mean over seeds."""
        return float(np.mean(self.values)) if self.values else None

    @property
    def deviation(self) -> float | None:
        """Standard deviation over seeds; None for a single one."""
        return standard_deviation(self.values)

    def word(self, verdict: Verdict | None) -> str:
        """What a verdict column says; `reference` for the reference itself."""
        if self.status != "ok":
            return self.status
        return "reference" if verdict is None else verdict.verdict


Cells = Mapping[tuple[str, str], Cell]  # by variant and column


def run_id(experiment: Mapping[str, Any]) -> str:
    """Short hash of a resolved experiment, the same for the same values in any order."""
    return hashlib.sha256(json.dumps(experiment, sort_keys=True).encode()).hexdigest()[:12]


def read_row(entry: Mapping[str, Any], *, found: Sequence[int]) -> Row:
    """Read a row's description; `found` are the seeds to take where it does not say how many there are to be."""
    if not ROW_KEYS <= set(entry):
        raise ValueError(
            f"the row {dict(entry)} has no {sorted(ROW_KEYS - set(entry))}: every row of Table 1 needs them"
        )
    tasks, seeds, experiment = entry.get("tasks"), entry.get("seeds"), entry.get("experiment")
    return Row(
        **{key: entry[key] for key in ROW_KEYS},
        seeds=tuple(found if seeds is None else range(seeds)),
        tasks=None if tasks is None else tuple(tasks),
        run_id=ABSENT if experiment is None else run_id(experiment),
        control=entry.get("control", ""),
    )


def make_cells(
    rows: Sequence[Row],
    columns: Mapping[str, Column],
    *,
    scores: Records,
    costs: Mapping[tuple[str, int], Cost],
) -> Cells:
    """Make every cell, costs first, and judge each against its row's reference and against base.

    The spread is pooled over the trained rows of a column; a baseline's seeds are no repeats of a training.
    """
    cells: dict[tuple[str, str], Cell] = {}
    for row in rows:
        cells[row.variant, COST] = _cost_cell(row, costs)
        for name, column in columns.items():
            cells[row.variant, name] = _score_cell(row, column, scores)
    judged = {}
    for column in (COST, *columns):
        pooled = pool_spread(cells[row.variant, column].values for row in rows if row.section != BASELINE)
        for row in rows:
            verdicts = (_judge(row, other, cells, column=column, pooled=pooled) for other in (row.reference, BASE))
            verdict, verdict_base = verdicts
            judged[row.variant, column] = replace(
                cells[row.variant, column], verdict=verdict, verdict_base=verdict_base
            )
    return judged


def _score_cell(row: Row, column: Column, scores: Records) -> Cell:
    """Mean over the datasets for each seed; a score that failed or is missing fails the cell."""
    if row.tasks is not None and column.task not in row.tasks:
        return Cell(status=ABSENT, reason=f"{row.name} does not do the task {column.task}")
    if not row.seeds or not column.datasets:
        return Cell(status=FAILED, reason="no seed was run" if not row.seeds else "the scale names no dataset for it")
    values, reasons = [], {}  # reasons with the places where they hold
    for seed in row.seeds:
        of_datasets = []
        for dataset in column.datasets:
            score = scores.get((row.variant, seed, column.task, dataset, column.metric))
            reason = _find_fault(score, column.metric)
            if reason or score is None:
                reasons.setdefault(reason, []).append(f"{dataset}, seed {seed}")
            else:
                of_datasets.append(float(score["value"]))
        if of_datasets:
            values.append(float(np.mean(of_datasets)))
    if reasons:
        return Cell(status=FAILED, reason="; ".join(f"{reason} ({'; '.join(at)})" for reason, at in reasons.items()))
    return Cell(tuple(values))


def _find_fault(score: Mapping[str, Any] | None, metric: str) -> str:
    """Why a score has no value; nothing if it has one."""
    if score is None:
        return f"no score of {metric} was found"
    return "" if has_value(score) else score["reason"] or "no reason was given"


def has_value(score: Mapping[str, Any]) -> bool:
    """Whether a score is a number."""
    return score["status"] == "ok" and bool(np.isfinite(score["value"]))


def _cost_cell(row: Row, costs: Mapping[tuple[str, int], Cost]) -> Cell:
    if row.section == BASELINE:
        return Cell(status=ABSENT, reason=f"{row.name} trains no model")
    own = [costs.get((row.variant, seed)) for seed in row.seeds]
    missing = [seed for seed, cost in zip(row.seeds, own, strict=True) if cost is None]
    if missing or not own:
        return Cell(status=FAILED, reason=f"no cost of the seeds {missing} was found" if missing else "no seed was run")
    minutes = [cost.minutes_per_epoch for cost in own if cost is not None]
    if None in minutes:
        return Cell(status=ABSENT, reason=f"{row.name} is not trained")
    return Cell(tuple(value for value in minutes if value is not None))


def _judge(row: Row, reference: str, cells: Cells, *, column: str, pooled: Spread | None) -> Verdict | None:
    """The verdict of one cell against the one of the reference."""
    cell = cells[row.variant, column]
    if not cell.values or reference == row.variant:
        return None
    other = cells.get((reference, column))
    if other is None:
        return Verdict(UNKNOWN, reason=f"the row {reference!r}, which it is held against, is not in this table")
    if not other.values:
        return Verdict(UNKNOWN, reason=f"the row {reference!r}, which it is held against, has no value: {other.reason}")
    return judge(cell.values, reference=other.values, pooled=pooled)
