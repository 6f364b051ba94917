"""Scores at an equal budget of training, read off the scores along it: with as many cells seen, or in as many seconds."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from scprint2.files import atomic_path
from scprint2.plots.controls import Band

BUDGETS = ("cells", "seconds")  # columns of `read_score_curves`
COLUMNS = ["column", "budget", "amount", "variant", "seeds", "score", "sd", "points"]
CONTROLS = ["controls_low", "controls_high", "controls"]
NONE_IN_COMMON = "no budget lies within the points of every row"


@dataclass(frozen=True)
class Curve:
    """The measured scores of one seed of a row, in the order of what was spent.

    Attributes
    ----------
    spent
        Cells or seconds.
    """

    seed: int
    spent: Float[np.ndarray, " point"]
    scores: Float[np.ndarray, " point"]
    epochs: Int[np.ndarray, " point"]

    def covers(self, amount: float) -> bool:
        """Whether an amount lies between two measured points, or at one."""
        return bool(self.spent[0] <= amount <= self.spent[-1])

    def score_at(self, amount: float) -> float:
        """The score on the straight line between the two nearest points."""
        return float(np.interp(amount, self.spent, self.scores))

    def name_points(self, amount: float) -> str:
        """Which points these are, by their epochs."""
        after = int(np.searchsorted(self.spent, amount))
        if self.spent[after] == amount:
            return f"seed {self.seed}: epoch {self.epochs[after]}"
        return f"seed {self.seed}: epochs {self.epochs[after - 1]} to {self.epochs[after]}"


def compare_at_equal_budget(drawn: pd.DataFrame, columns: Iterable[str], *, bands: Mapping[str, Band]) -> pd.DataFrame:
    """Compare the rows in each column at the largest budget of cells, and of seconds, that all of them reach.

    One line per column, budget and row, with `COLUMNS` and `CONTROLS`: `amount` is the budget, `seeds` how many seeds have points
    on both sides of it (or one at it), `score` and `sd` their mean and standard deviation, `points` between which measured
    epochs each was read. Nothing is carried on beyond a measured point. A row without any score in a column is not among those
    compared there.

    Parameters
    ----------
    drawn
        As `scprint2.plots.score_curves.read_score_curves` reads it.
    bands
        The controls of each column.
    """
    lines: list[dict[str, Any]] = []
    for column in columns:
        part = drawn.loc[drawn["column"] == column]
        for budget in BUDGETS:
            place = {"column": column, "budget": budget, **_lay_out_band(bands.get(column))}
            lines += [{**place, **line} for line in _compare(_read_curves(part, budget))]
    return pd.DataFrame(lines, columns=pd.Index([*COLUMNS, *CONTROLS]))


def find_common_budget(rows: Iterable[Sequence[Curve]]) -> float | None:
    """The largest amount that every followed seed of every row covers; None where there is none. It always is one of the points.

    A seed that was trained to the end alone sets no budget where another of its row has several points.
    """
    followed = [curve for curves in rows for curve in _followed(curves)]
    last = min((float(curve.spent[-1]) for curve in followed), default=None)
    return last if last is not None and all(curve.covers(last) for curve in followed) else None


def write_equal_budget(frame: pd.DataFrame, path: str | Path) -> None:
    """Write the comparison, whole or not at all."""
    with atomic_path(path) as temporary:
        frame.to_csv(temporary, index=False)


def read_equal_budget(path: str | Path) -> pd.DataFrame:
    """Read a written comparison; a number that is not known is NaN, a word that is not there is empty."""
    numbers = ["amount", "score", "sd", *CONTROLS[:2]]
    return pd.read_csv(path, keep_default_na=False, na_values={name: [""] for name in numbers})


def _followed(curves: Sequence[Curve]) -> list[Curve]:
    """The seeds with several points, or all where none has."""
    return [curve for curve in curves if len(curve.spent) > 1] or list(curves)


def _read_curves(part: pd.DataFrame, budget: str) -> dict[str, list[Curve]]:
    """The curves of each row in one column; a shorter training may by chance have taken the longer time."""
    curves: dict[str, list[Curve]] = {}
    points = part.sort_values(budget, kind="stable")
    for variant, seed in part[["variant", "seed"]].drop_duplicates().itertuples(index=False, name=None):
        own = points.loc[(points["variant"] == variant) & (points["seed"] == seed)]
        spent, scores = (own[name].to_numpy(dtype=float) for name in (budget, "score"))
        curve = Curve(seed, spent=spent, scores=scores, epochs=own["epochs"].to_numpy(dtype=int))
        curves.setdefault(variant, []).append(curve)
    return curves


def _compare(rows: Mapping[str, Sequence[Curve]]) -> Iterator[dict[str, Any]]:
    amount = find_common_budget(rows.values())
    for variant, curves in rows.items():
        if amount is None:
            yield {"variant": variant, "seeds": 0, "points": NONE_IN_COMMON}
            continue
        used = [curve for curve in curves if curve.covers(amount)]
        scores = [curve.score_at(amount) for curve in used]
        yield {
            "variant": variant,
            "amount": amount,
            "seeds": len(used),
            "score": float(np.mean(scores)),
            "sd": float(np.std(scores, ddof=1)) if len(scores) > 1 else np.nan,
            "points": "; ".join(curve.name_points(amount) for curve in used),
        }


def _lay_out_band(band: Band | None) -> dict[str, Any]:
    if band is None:
        return dict(zip(CONTROLS, (np.nan, np.nan, ""), strict=True))
    return dict(zip(CONTROLS, (band.low, band.high, " ".join(band.kinds)), strict=True))
