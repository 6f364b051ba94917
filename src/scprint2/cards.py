"""The cards of the metrics: which of them a score belongs to, in a line, and all of them as a page."""

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from scprint2.pages import Page

Cards = Mapping[str, Mapping[str, Mapping[str, Any]]]  # task -> metric -> card
PART = ":"  # a metric of some cells or edges has what they are behind its name, such as `accuracy:unseen`
BETTER = {"higher": "higher is better", "lower": "lower is better", "neither": "a property of the data, no score"}


def find_card(cards: Cards, task: str, metric: str) -> Mapping[str, Any]:
    """The card of a metric as a score row names it: with a part behind a colon, or a further method behind the name.

    Raises
    ------
    ValueError
        If it has none.
    """
    name, known = metric.split(PART)[0], cards.get(task, {})
    if name in known:
        return known[name]
    shorter = [card for card in known if name.startswith(f"{card}_")]
    if not shorter:
        raise ValueError(f"the metric {metric!r} of the task {task!r} has no card; add one to config/metrics.yaml")
    return known[max(shorter, key=len)]


def summarize_card(metric: str, card: Mapping[str, Any]) -> str:
    """A card in a few sentences, for who points at a heading."""
    means, cheats = card["meaning"].strip(), card["cheats"].strip()
    return f"{metric}: {means} {_range(card)}, {BETTER[card['better']]}. What raises it without merit: {cheats}"


def write_cards_page(cards: Cards, path: str, *, drift: pd.DataFrame) -> None:
    """Write all cards as one page, with the tolerance of each metric.

    Parameters
    ----------
    drift
        `task, metric, tolerance` (`config/drift.tsv`); a metric that is not in it has no tolerance yet.
    """
    page = Page(
        "Metrics", "what each means, what raises it without merit, and how far its value moves when nothing has changed"
    )
    tolerances = {(row["task"], row["metric"]): row["tolerance"] for row in drift.to_dict("records")}
    for task, own in cards.items():
        page.heading(task)
        lines = [
            {
                "metric": _breakable(metric),
                "range": f"{_range(card)}, {BETTER[card['better']]}",
                "meaning": card["meaning"],
                "what raises it without merit": card["cheats"],
                "drift": _spell(tolerances.get((task, metric))),
                "reference and code": f"{card['reference']}; {_breakable(card['code'].removeprefix('scprint2.'))}",
            }
            for metric, card in own.items()
        ]
        page.table(pd.DataFrame(lines))
    page.text(
        "Drift: the most by which a score moved when the same prediction was scored again with its rows in another order, with "
        "other numbers of threads and with libraries loaded in another order, times two (config/drift.tsv). "
        "Two values that are closer are the same value."
    )
    page.write(path)


def _range(card: Mapping[str, Any]) -> str:
    low, high = card["range"]
    return f"{low} to {'∞' if high is None else high}"


def _breakable(name: str) -> str:
    """A name that may be broken after dots and underscores."""
    return re.sub(r"([._])", "\\1\u200b", name)


def _spell(tolerance: float | None) -> str:
    return "not measured" if tolerance is None else f"{tolerance:g}"
