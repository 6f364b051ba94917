"""The claims ledger as it is read: one page, by section of the paper, that needs nothing from elsewhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scprint2.claims import Count, Difference, Ledger, Missing, Setting, Trend, Untestable, Value
from scprint2.claims_verdicts import OTHER_SETTING, SAME_SETTING, VERDICTS, WHY_NOT, Judged, Outcome
from scprint2.config.overlay import PAPER_SCALE
from scprint2.pages import render_template

EXPLAINED: Mapping[str, str] = {
    "reproduced": "our interval lies wholly in the range that the claim names",
    "contradicted": "our interval lies wholly outside it",
    "undecided": "our interval lies partly in it",
    "not run": "it needs more than Table 1; the reason says what to run",
    "not tested yet": "something is missing that this workflow could have; the reason says what",
    "not testable at this scale": "only the paper's scale can tell; what is seen here is shown beside it and is no evidence",
    "not testable": "no run of this workflow can tell",
    "same setting": "no finding: the paper's scale of this workflow is set as the paper says",
    "other setting": "no finding: it is set otherwise, and the remark says why",
}
WORDS: Mapping[str, str] = {
    "above": "above",
    "below": "below",
    "same": "the same as",
    "not_above": "not above",
    "not_below": "not below",
}

SETTINGS_OF: Mapping[str, str] = {
    "scale": "settings of the scale",
    "tasks": "settings of the tasks",
    "truths": "settings of the known networks",
    "roles": "datasets of each role",
    "code": "constants of the code",
}
COUNTED_IN: Mapping[str, str] = {
    "trainings": "the first training of a row and its corpus",
    "draws": "what the first training of a row has seen",
    "truth_overlap": "the known networks (truth_overlap.csv)",
    "truths_as_published": "a known network, its genes named as published",
    "datasets": "the cells of a dataset",
    "listings": "the frozen listing of a source (config/manifests)",
}


@dataclass(frozen=True)
class Line:
    """One number of a claim, as text."""

    what: str
    ours: str
    wanted: str
    paper: str
    reason: str
    state: str


@dataclass(frozen=True)
class Card:
    """One claim, as text."""

    name: str
    place: str
    quote: str
    test: str
    verdict: str
    state: str
    here: str
    reason: str
    remark: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Tally:
    """How many claims have a verdict."""

    verdict: str
    state: str
    number: int
    meaning: str


def render_claims(judged: Sequence[Judged], ledger: Ledger, *, scale: str) -> str:
    """Render the page."""
    sections = {
        title: [_card(entry) for entry in judged if entry.claim.section == name]
        for name, title in ledger.sections.items()
    }
    numbers = [entry.verdict for entry in judged]
    counts = [Tally(verdict, state_of(verdict), numbers.count(verdict), EXPLAINED[verdict]) for verdict in VERDICTS]
    return render_template(
        "claims.html",
        sections={title: cards for title, cards in sections.items() if cards},
        counts=[count for count in counts if count.number],
        total=len(judged),
        scale=scale,
        worth=_worth(scale),
    )


def state_of(verdict: str) -> str:
    """A verdict as a name of a style."""
    return verdict.replace(" ", "-")


def _worth(scale: str) -> str:
    if scale == PAPER_SCALE:
        return (
            "Intervals are at 95 % for each claim, not for all claims together, so that some verdicts may be due to chance. They "
            "hold for this re-implementation, its data and its number of seeds."
        )
    why = WHY_NOT.get(scale, f"The scale {scale!r} is a test of the workflow.")
    return f"At the scale {scale} no finding of the paper can be reproduced or contradicted. {why}"


def _card(entry: Judged) -> Card:
    claim = entry.claim
    seen = {outcome.reason for outcome in entry.outcomes}
    reason = "" if entry.reason.removeprefix("Missing: ") in seen else entry.reason
    return Card(
        name=claim.id,
        place=claim.place,
        quote=claim.quote,
        test=_describe(claim.test),
        verdict=entry.verdict,
        state=state_of(entry.verdict),
        here=entry.here,
        reason=reason,
        remark=claim.remark,
        lines=tuple(_line(outcome) for outcome in entry.outcomes),
    )


def _describe(test: Difference | Value | Setting | Trend | Count | Missing | Untestable) -> str:
    """How a claim is tested, in words."""
    match test:
        case Difference():
            number = len(test.rows) * len(test.against) * len(test.measures)
            share = "" if number == 1 else f", in all {number}" if test.agree == "all" else f", in most of {number}"
            return f"{', '.join(test.rows)} {WORDS[test.direction]} {' and '.join(test.against)}{share}"
        case Value():
            return f"{test.measure} of {test.row} within {test.tolerance:g} of {test.value:g}"
        case Setting():
            return f"{SETTINGS_OF.get(test.of, f'settings of {test.of}')} at the paper's scale"
        case Trend():
            share = "all" if test.agree == "all" else "most"
            return (
                f"accuracy of {test.row} from most genes {WORDS[test.direction]} that from fewest, "
                f"in {share} of {len(test.labels)} labels, {test.group} cells"
            )
        case Count():
            return f"counted in {COUNTED_IN[test.of]}"
        case Missing() | Untestable():
            return "no test yet" if isinstance(test, Missing) else "no test"


def _line(outcome: Outcome) -> Line:
    names = [outcome.measure]
    if outcome.against:
        names.append(f"{outcome.row} − {outcome.against}")
    ours = _show(outcome.ours)
    if outcome.interval:
        ours += f" ({_show(outcome.interval.low)} to {_show(outcome.interval.high)}), n = {outcome.seeds}"
    setting = outcome.finding in (SAME_SETTING, OTHER_SETTING)
    return Line(
        what=": ".join(names),
        ours=ours,
        wanted=f"the paper: {outcome.wanted}" if setting else f"claimed: {outcome.wanted}".replace("-", "−"),
        paper="" if setting or not outcome.paper else f"printed: {outcome.paper}".replace("-", "−"),
        reason=outcome.reason,
        state=state_of(outcome.finding),
    )


def _show(value: Any) -> str:
    """A number with four digits, anything else as it is."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_show(part)}" for name, part in value.items())
    if isinstance(value, list):
        return ", ".join(map(_show, value))
    if isinstance(value, float):
        return f"{value:.4g}".replace("-", "−")
    return "–" if value is None else str(value)
