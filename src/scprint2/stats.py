"""What a difference between two rows is worth: intervals from seeds and from donors, tests, control of false discoveries."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import stats

CONFIDENCE = 0.95
OWN_SPREAD_SEEDS = (
    5  # with fewer seeds the reference's own standard deviation says too little and the pooled one is taken
)
LEAST_UNITS = 3  # donors or datasets of an interval: two can be drawn anew in three ways only
NEGLIGIBLE = 1e-12  # a standard deviation under this share of the mean is rounding, not spread
PAIRED_KEYS = ["entry", "pairs", "difference", "p_value", "q_value", "discovery", "reason"]

Units = Mapping[Hashable, float]  # a value for each seed, or for each dataset and seed


@dataclass(frozen=True)
class Spread:
    """A standard deviation over seeds and the degrees of freedom that it rests on."""

    deviation: float
    degrees: int


@dataclass(frozen=True)
class Verdict:
    """Where a row's mean lies, seen from the interval in which its reference would put it if nothing had changed.

    `unknown` where there is no interval; the reason says why, and `low`, `high` and `spread` are None.

    Attributes
    ----------
    spread
        The standard deviation over seeds that the interval was made from.
    p_value
        How often a row that changes nothing lies as far off or further; at most 0.05 outside the interval.
    """

    verdict: Literal["below", "inside", "above", "unknown"]
    low: float | None = None
    high: float | None = None
    reason: str = ""
    spread: float | None = None
    p_value: float | None = None


@dataclass(frozen=True)
class Interval:
    """A range of values."""

    low: float
    high: float


def standard_deviation(values: Sequence[float]) -> float | None:
    """Sample standard deviation; None for a single value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def pool_spread(rows: Iterable[Sequence[float]]) -> Spread | None:
    """Pool the spread over seeds of all rows that have several: the root of the mean variance, weighted by n - 1.

    None where no row has two seeds.
    """
    several = [np.asarray(row, dtype=float) for row in rows if len(row) > 1]
    if not several:
        return None
    degrees = sum(len(row) - 1 for row in several)
    squares = sum(float(((row - row.mean()) ** 2).sum()) for row in several)
    return Spread(float(np.sqrt(squares / degrees)), degrees)


def choose_spread(reference: Sequence[float], *, pooled: Spread | None) -> Spread:
    """The reference's own spread if it has at least five seeds and is not zero, else the pooled one.

    Raises
    ------
    ValueError
        If neither gives an interval of positive width.
    """
    scale = abs(float(np.mean(reference))) * NEGLIGIBLE
    deviation = standard_deviation(reference)
    if deviation is not None and len(reference) >= OWN_SPREAD_SEEDS and deviation > scale:
        return Spread(deviation, len(reference) - 1)
    if pooled is None:
        raise ValueError(
            "no row has two seeds, so the spread over seeds is not known; run the reference with more seeds"
        )
    if pooled.deviation <= scale:
        raise ValueError("no row varies over its seeds, so there is no spread to hold a difference against")
    return pooled


def prediction_interval(
    reference: Sequence[float], *, seeds: int, pooled: Spread | None, confidence: float = CONFIDENCE
) -> Interval:
    """Interval for the mean of `seeds` further runs of the reference: mean +- t(df, 0.975) * s * sqrt(1/n + 1/m).

    n and m are the seeds of the reference and of the row that is judged; s and its degrees of freedom come from `choose_spread`.
    """
    return _interval(reference, share=1 / len(reference) + 1 / seeds, pooled=pooled, confidence=confidence)


def mean_interval(values: Sequence[float], *, pooled: Spread | None, confidence: float = CONFIDENCE) -> Interval:
    """Interval for the mean that further seeds would approach: mean +- t(df, 0.975) * s * sqrt(1/n); s from `choose_spread`."""
    return _interval(values, share=1 / len(values), pooled=pooled, confidence=confidence)


def _interval(values: Sequence[float], *, share: float, pooled: Spread | None, confidence: float) -> Interval:
    """Mean +- t * s * sqrt(share)."""
    spread = choose_spread(values, pooled=pooled)
    center = float(np.mean(values))
    quantile = float(stats.t.ppf((1 + confidence) / 2, spread.degrees))
    half = quantile * spread.deviation * float(np.sqrt(share))
    return Interval(center - half, center + half)


def judge(values: Sequence[float], *, reference: Sequence[float], pooled: Spread | None) -> Verdict:
    """Say whether a row's mean over seeds lies below, inside or above the prediction interval of its reference."""
    try:
        spread = choose_spread(reference, pooled=pooled)
    except ValueError as error:
        return Verdict("unknown", reason=str(error))
    interval = prediction_interval(reference, seeds=len(values), pooled=pooled)
    center = float(np.mean(values))
    verdict = "below" if center < interval.low else "above" if center > interval.high else "inside"
    error = spread.deviation * float(np.sqrt(1 / len(reference) + 1 / len(values)))
    p_value = 2 * float(stats.t.sf(abs(center - float(np.mean(reference))) / error, spread.degrees))
    return Verdict(verdict, interval.low, interval.high, spread=spread.deviation, p_value=p_value)


def bootstrap_interval(*groups: Float[np.ndarray, " _"], rng: np.random.Generator, draws: int = 10_000) -> Interval:
    """Interval of the mean over groups of their means, by drawing each group's units anew with replacement.

    Units are what a claim is to hold for beyond those at hand: datasets (one group of them), or donors (a group per dataset).
    Never cells: those of one donor are alike, so that an interval from them is too narrow.

    The percentiles of the draws are those of many units. From few, they cover too little: draws from n units spread by
    sqrt((n - 1) / n) of what they should, and the spread of the units is itself uncertain. So deviations are stretched by the
    inverse of the former, and by the t quantile over the normal one (Welch's degrees of freedom), as in a t interval.

    Source: Hesterberg 2015, "What Teachers Should Know About the Bootstrap", which stretches in the same proportion.

    Raises
    ------
    ValueError
        If a group has fewer than two units.
    """
    if not groups or min(map(len, groups)) < 2:
        raise ValueError(f"{[len(group) for group in groups]} units: a bootstrap needs at least two in each group")
    deviations = np.zeros(draws)
    for group in groups:
        units = len(group)
        drawn = rng.choice(group, (draws, units)).mean(axis=1) - group.mean()
        deviations += drawn * np.sqrt(units / (units - 1)) / len(groups)
    tails = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    stretch = stats.t.ppf(tails[1], _degrees_of_freedom(groups)) / stats.norm.ppf(tails[1])
    center = float(np.mean([group.mean() for group in groups]))
    low, high = center + stretch * np.quantile(deviations, tails)
    return Interval(float(low), float(high))


def _degrees_of_freedom(groups: Sequence[Float[np.ndarray, " _"]]) -> float:
    """Of the spread of a mean over groups of their means (Welch and Satterthwaite); of all together where nothing varies."""
    variances = np.array([group.var(ddof=1) / len(group) for group in groups])
    freedoms = np.array([len(group) - 1 for group in groups])
    if variances.sum() == 0:
        return float(freedoms.sum())
    return float(variances.sum() ** 2 / (variances**2 / freedoms).sum())


def adjust_p_values(p_values: Sequence[float]) -> list[float]:
    """The least rate of false discoveries at which each would be one (Benjamini-Hochberg); NaN stays NaN."""
    values = np.asarray(p_values, dtype=float)
    adjusted, known = np.full(values.shape, np.nan), np.isfinite(values)
    if known.any():
        adjusted[known] = stats.false_discovery_control(values[known])
    return adjusted.tolist()


def paired_tests(entries: Mapping[Hashable, tuple[Units, Units]], *, rate: float = 0.05) -> pd.DataFrame:
    """Compare values with those of a reference over the units that both have (seeds, datasets), by paired t-tests.

    Returns one line per entry: `entry, pairs, difference, p_value, q_value, discovery, reason`. `q_value` is the p value adjusted
    over all entries (Benjamini-Hochberg), and the discoveries are those at most `rate`: of them, at most that share is expected
    to be false. An entry with fewer than two pairs, or whose differences do not vary, gets a reason in place of its p value.

    Parameters
    ----------
    entries
        Name to the values of its units and those of its reference.
    """
    lines = [_paired_test(name, values, reference) for name, (values, reference) in entries.items()]
    tested = [line for line in lines if line["p_value"] is not None]
    for line, q_value in zip(tested, adjust_p_values([line["p_value"] for line in tested]), strict=True):
        line["q_value"] = q_value
    for line in lines:
        line["discovery"] = line["q_value"] is not None and line["q_value"] <= rate
    return pd.DataFrame(lines, columns=pd.Index(PAIRED_KEYS)).astype(dict.fromkeys(PAIRED_KEYS[2:5], float))


def _paired_test(name: Hashable, values: Units, reference: Units) -> dict[str, Any]:
    """One line of `paired_tests`, without the adjustment."""
    units = [unit for unit in values if unit in reference]
    differences = np.array([values[unit] - reference[unit] for unit in units], dtype=float)
    line = dict.fromkeys(PAIRED_KEYS) | {"entry": name, "pairs": len(units), "reason": ""}
    if units:
        line["difference"] = float(differences.mean())
    if len(units) < 2:
        return line | {"reason": "fewer than two pairs"}
    if np.ptp(differences) <= NEGLIGIBLE * np.abs(differences).max():
        return line | {"reason": "the differences do not vary"}
    return line | {"p_value": float(np.asarray(stats.ttest_1samp(differences, 0))[1])}
