"""What our results say about each claim of the paper: an interval for each number, held against the range that it names."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import inf
from typing import Any, Literal

import numpy as np
import pandas as pd

from scprint2.claims import Claim, Count, Difference, Ledger, Missing, Setting, Trend, Untestable, Value, find_setting
from scprint2.claims_results import Results, gain_of
from scprint2.claims_sources import LISTINGS, OF_ROWS, further_sources
from scprint2.config.overlay import PAPER_SCALE
from scprint2.stats import CONFIDENCE, Interval, mean_interval, prediction_interval
from scprint2.table_cells import Cell

REPRODUCED, CONTRADICTED, UNDECIDED = "reproduced", "contradicted", "undecided"
NOT_RUN, NOT_YET, NOT_HERE, NEVER = "not run", "not tested yet", "not testable at this scale", "not testable"
SAME_SETTING, OTHER_SETTING = "same setting", "other setting"
VERDICTS = (REPRODUCED, CONTRADICTED, UNDECIDED, NOT_RUN, NOT_YET, NOT_HERE, NEVER, SAME_SETTING, OTHER_SETTING)
IN_RANGE, OUTSIDE, ACROSS, NO_INTERVAL = (
    "in range",
    "out of range",
    "partly in range",
    "no interval",
)  # what an interval says
VERDICT_OF: Mapping[str, str] = {  # at the paper's scale
    IN_RANGE: REPRODUCED,
    OUTSIDE: CONTRADICTED,
    ACROSS: UNDECIDED,
    NO_INTERVAL: NOT_YET,
}
SHOWN: Mapping[str, str] = {  # what a scale that is no evidence may say of a direction
    IN_RANGE: "same direction here, no evidence",
    OUTSIDE: "opposite direction here, no evidence",
    ACROSS: "no direction can be told here",
    NO_INTERVAL: "no interval here",
}
NOT_SHOWN = "its direction means nothing here"
WHY_NOT: Mapping[str, str] = {
    "mini": "Simulated cells and a tiny model trained for a minute say nothing about the paper's cells and model.",
    "pocket": "A small model trained for minutes on small datasets is neither the paper's model nor its data.",
}
MAGNITUDE = "A magnitude belongs to its model and data."
KEYS = (
    *("claim", "section", "place", "quote", "verdict", "here", "reason", "scale"),
    *("row", "against", "measure", "ours", "low", "high", "seeds", "wanted", "finding", "paper", "remark"),
)


@dataclass(frozen=True)
class Outcome:
    """One number of ours and the range that the claim names for it.

    Attributes
    ----------
    ours
        A mean over seeds, or a difference of two; a setting's value.
    interval
        At 95 % for all numbers of a claim together (Bonferroni).
    paper
        The paper's own numbers, and whether they are as it claims.
    """

    row: str
    against: str
    measure: str
    finding: str
    ours: Any = None
    interval: Interval | None = None
    seeds: str = ""
    wanted: str = ""
    paper: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Judged:
    """A claim with its verdict on the paper, and what this scale shows where it is no evidence."""

    claim: Claim
    verdict: str
    here: str = ""
    reason: str = ""
    outcomes: tuple[Outcome, ...] = field(default=())


def judge_claims(ledger: Ledger, results: Results) -> list[Judged]:
    """Judge every claim, in the ledger's order."""
    return [_not_run(claim, results) or judge_claim(claim, results) for claim in ledger.claims]


def judge_claim(claim: Claim, results: Results) -> Judged:
    """Judge one claim whose test has all that it reads.

    An interval that lies wholly in the range that the claim names reproduces it, one wholly outside contradicts it, and any other
    leaves it undecided. Only the paper's scale gives a verdict on the paper.
    """
    test = claim.test
    match test:
        case Missing():
            return Judged(claim, NOT_YET, reason=f"Missing: {test.needs}")
        case Untestable():
            return Judged(claim, NEVER, reason=test.why)
        case Setting():
            outcomes = tuple(_settings(test, results))
            other = any(outcome.finding == OTHER_SETTING for outcome in outcomes)
            return Judged(claim, OTHER_SETTING if other else SAME_SETTING, outcomes=outcomes)
        case Value() | Count():
            outcomes = (_value(test, results),) if isinstance(test, Value) else tuple(_counts(test, results))
            if results.scale != PAPER_SCALE:
                return Judged(claim, NOT_HERE, reason=f"{MAGNITUDE} {_why_not(results.scale)}", outcomes=outcomes)
            finding = combine([outcome.finding for outcome in outcomes], agree="all")
        case Difference() | Trend():
            found = _differences(test, results) if isinstance(test, Difference) else _gains(test, results)
            outcomes = tuple(found)
            finding = combine([outcome.finding for outcome in outcomes], agree=test.agree)
            if results.scale != PAPER_SCALE:
                here = SHOWN[finding] if results.scale in test.also_at else NOT_SHOWN
                return Judged(claim, NOT_HERE, here=here, reason=_why_not(results.scale), outcomes=outcomes)
    return Judged(claim, VERDICT_OF[finding], reason=_explain(finding, outcomes), outcomes=outcomes)


def combine(findings: Sequence[str], *, agree: Literal["all", "most"]) -> str:
    """One finding for several: a claim about all falls with one, a claim about most with half."""
    count = Counter(findings)
    needed, fatal = (len(findings), 1) if agree == "all" else (len(findings) // 2 + 1, (len(findings) + 1) // 2)
    if count[OUTSIDE] >= fatal:
        return OUTSIDE
    if count[IN_RANGE] >= needed:
        return IN_RANGE
    return NO_INTERVAL if count[NO_INTERVAL] else ACROSS


def find(interval: Interval, wanted: Interval) -> str:
    """Hold an interval against the range that a claim names."""
    if wanted.low < interval.low and interval.high < wanted.high:
        return IN_RANGE
    return OUTSIDE if interval.high < wanted.low or interval.low > wanted.high else ACROSS


def to_frame(judged: Sequence[Judged], *, scale: str) -> pd.DataFrame:
    """One line for each number of each claim, and one for a claim that has none."""
    lines = []
    for entry in judged:
        claim = entry.claim
        head = {"claim": claim.id, "section": claim.section, "place": claim.place, "quote": claim.quote}
        head |= {"verdict": entry.verdict, "here": entry.here, "scale": scale, "remark": claim.remark}
        for outcome in entry.outcomes or (None,):
            line: dict[str, Any] = {**head, "reason": entry.reason}
            if outcome is not None:
                line |= {key: getattr(outcome, key) for key in ("row", "against", "measure", "ours", "seeds")}
                line |= {key: getattr(outcome, key) for key in ("wanted", "finding", "paper")}
                line["reason"] = outcome.reason or entry.reason
                if outcome.interval:
                    line |= {"low": outcome.interval.low, "high": outcome.interval.high}
            lines.append(line)
    return pd.DataFrame(lines, columns=pd.Index(KEYS))


def _not_run(claim: Claim, results: Results) -> Judged | None:
    """The answer where something that the test reads was not made; None where all is there."""
    absent = results.further.absent
    reason = "; ".join(absent[source] for source in further_sources(claim.test.model_dump()) if source in absent)
    if not reason:
        return None
    if results.scale == PAPER_SCALE:
        return Judged(claim, NOT_RUN, reason=reason)
    return Judged(claim, NOT_HERE, here=NOT_RUN, reason=f"{_why_not(results.scale)} {reason}")


def _settings(test: Setting, results: Results) -> Iterator[Outcome]:
    for path, stated in test.values.items():
        value = find_setting(results.further.experiments[test.of], path)
        finding = SAME_SETTING if value == stated else OTHER_SETTING
        yield Outcome(test.of, "", path, finding, ours=value, wanted=str(stated))


def _value(test: Value, results: Results) -> Outcome:
    wanted = Interval(test.value - test.tolerance, test.value + test.tolerance)
    known: dict[str, Any] = {"wanted": f"{wanted.low:.4g} to {wanted.high:.4g}", "paper": f"{test.value:g}"}
    return _mean(test.row, test.measure, wanted, results, confidence=CONFIDENCE, known=known)


def _gains(test: Trend, results: Results) -> Iterator[Outcome]:
    wanted = _range(test.direction, margin=0.0)
    confidence = 1 - (1 - CONFIDENCE) / len(test.labels)
    for label in test.labels:
        measure = gain_of(label, group=test.group)
        yield _mean(test.row, measure, wanted, results, confidence=confidence, known={"wanted": _describe(wanted)})


def _mean(
    row: str, measure: str, wanted: Interval, results: Results, *, confidence: float, known: Mapping[str, Any]
) -> Outcome:
    """Hold the mean over a row's seeds against a range."""
    cell = results.ours.get((row, measure))
    known = {"seeds": str(len(cell.values) if cell and cell.values else results.seeds.get(row, 0)), **known}
    fault = _fault(row, cell, results)
    if fault or cell is None:
        return Outcome(row, "", measure, NO_INTERVAL, reason=fault, **known)
    try:
        interval = mean_interval(cell.values, pooled=results.pooled[measure], confidence=confidence)
    except ValueError as error:
        return Outcome(row, "", measure, NO_INTERVAL, ours=cell.mean, reason=str(error), **known)
    return Outcome(row, "", measure, find(interval, wanted), cell.mean, interval, **known)


def _counts(test: Count, results: Results) -> Iterator[Outcome]:
    for path, (low, high) in test.values.items():
        name = path.split(".")[0]
        row = name if test.of in OF_ROWS else ""
        known: dict[str, Any] = {"wanted": f"{low:,.10g} to {high:,.10g}"}
        try:
            ours = find_setting(results.further.counts.get(test.of, {}), path)
        except KeyError as error:
            yield Outcome(row, "", path, NO_INTERVAL, reason=f"no {error} among what was counted here", **known)
            continue
        if fault := _count_fault(test, name, results):
            yield Outcome(row, "", path, NO_INTERVAL, ours, reason=fault, **known)
            continue
        yield Outcome(row, "", path, IN_RANGE if low <= ours <= high else OUTSIDE, ours, **known)


def _count_fault(test: Count, name: str, results: Results) -> str:
    """Why a number that was counted gives no verdict; nothing if it does."""
    further = results.further
    if test.of in OF_ROWS and name in further.partial:
        return _partial(name, results)
    if test.of == LISTINGS and name in further.unlisted:
        return f"the listing of {name} is not complete ({further.unlisted[name]})"
    return test.lacks


def _differences(test: Difference, results: Results) -> Iterator[Outcome]:
    pairs = list(product(test.measures, test.rows, test.against))
    confidence = 1 - (1 - CONFIDENCE) / len(pairs)
    for measure, row, against in pairs:
        wanted = _range(test.direction, margin=results.spread.get(measure, 0.0))
        known: dict[str, Any] = {
            "wanted": _describe(wanted),
            "paper": _read_paper(row, against, measure, direction=test.direction, results=results),
            "seeds": f"{results.seeds.get(row, 0)} and {results.seeds.get(against, 0)}",
        }
        own, other = (results.ours.get((name, measure)) for name in (row, against))
        fault = _fault(row, own, results) or _fault(against, other, results)
        if fault or own is None or other is None:
            yield Outcome(row, against, measure, NO_INTERVAL, reason=fault, **known)
            continue
        difference = float(np.mean(own.values) - np.mean(other.values))
        # The spread is that of a training: where one of the two is a baseline, the other one's is taken.
        anchor, rest = (own, other) if against in results.baselines else (other, own)
        try:
            of_anchor = prediction_interval(
                anchor.values, seeds=len(rest.values), pooled=results.pooled[measure], confidence=confidence
            )
        except ValueError as error:
            yield Outcome(row, against, measure, NO_INTERVAL, ours=difference, reason=str(error), **known)
            continue
        half = (of_anchor.high - of_anchor.low) / 2
        interval = Interval(difference - half, difference + half)
        yield Outcome(row, against, measure, find(interval, wanted), difference, interval, **known)


def _range(direction: str, *, margin: float) -> Interval:
    """Where a difference lies if the paper is right."""
    ranges = {
        "above": Interval(0.0, inf),
        "below": Interval(-inf, 0.0),
        "same": Interval(-margin, margin),
        "not_above": Interval(-inf, margin),
        "not_below": Interval(-margin, inf),
    }
    return ranges[direction]


def _describe(wanted: Interval) -> str:
    """A range of differences in words."""
    if wanted.high == inf:
        return f"above {wanted.low:g}"
    return f"below {wanted.high:g}" if wanted.low == -inf else f"{wanted.low:g} to {wanted.high:g}"


def _read_paper(row: str, against: str, measure: str, *, direction: str, results: Results) -> str:
    """What the paper's own Table 1 prints for both, and whether the difference, beyond the spread of base, is as it claims."""
    cells = [f"{name}/{measure}" for name in (row, against)]
    own, other = (results.cells.get(cell) for cell in cells)
    shown = " against ".join("blank" if number is None else f"{number:g}" for number in (own, other))
    if own is None and other is None:
        return ""
    if results.doubtful & set(cells):
        return f"{shown}, of which one may belong into another column"
    if own is None or other is None:
        return shown
    spread = results.spread.get(measure, 0.0)
    difference = own - other
    word = "above" if difference > spread else "below" if difference < -spread else "same"
    wanted = {"not_above": ("same", "below"), "not_below": ("same", "above")}.get(direction, (direction,))
    return f"{shown}: {'as claimed' if word in wanted else 'not as claimed'}"


def _fault(name: str, cell: Cell | None, results: Results) -> str:
    """Why a row has no value to judge by; nothing if it has one."""
    if cell is None:
        return f"the row {name!r} is not in this table"
    if not cell.values:
        return f"{name}: {cell.reason}"
    return _partial(name, results) if name in results.further.partial else ""


def _partial(row: str, results: Results) -> str:
    return f"{row} was trained on a part of its corpus ({results.further.partial[row]})"


def _why_not(scale: str) -> str:
    return WHY_NOT.get(scale, f"The scale {scale!r} is a test of the workflow.")


def _explain(finding: str, outcomes: Sequence[Outcome]) -> str:
    """Why a verdict of the paper's scale is what it is, where it is not one number in or out of its range."""
    if finding == NO_INTERVAL:
        return "Missing: " + "; ".join(dict.fromkeys(outcome.reason for outcome in outcomes if outcome.reason))
    if len(outcomes) == 1:
        return "The interval reaches beyond the range that the claim names." if finding == ACROSS else ""
    count = Counter(outcome.finding for outcome in outcomes)
    inside, outside = (f"{count[word]} {word}" for word in (IN_RANGE, OUTSIDE))
    return f"Of {len(outcomes)} numbers, {inside}, {outside}."
