"""What a metric gives back: a finite value, or the reason why there is none."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

Owner = TypeVar("Owner")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Score:
    """One value of one metric; a metric that cannot be computed has status `failed`, no value and a reason."""

    value: float | None
    status: Literal["ok", "failed"] = "ok"
    reason: str = ""
    seconds: float = field(default=0.0, compare=False)

    def __post_init__(self) -> None:
        assert (self.status == "ok") == (self.value is not None) == (self.reason == "")
        assert self.value is None or math.isfinite(self.value)


def failed(reason: str) -> Score:
    """Say why a metric has no value."""
    return Score(None, "failed", reason or "no reason was given")


def finite(value: float) -> Score:
    """Wrap a value; one that is not finite is a failure, never a score."""
    value = float(value)
    return Score(value) if math.isfinite(value) else failed(f"the value is {value}, not a finite number")


@dataclass(frozen=True)
class _Raised:
    """In the place of a value that could not be computed."""

    error: Exception


class computed_once(Generic[Owner, Value]):
    """A property that is computed at its first use, and raises again, at once, what it raised then.

    `functools.cached_property` would compute a part that failed or ran out of time anew for each metric that needs it.
    """

    def __init__(self, function: Callable[[Owner], Value]) -> None:
        self.function = function
        self.name = function.__name__
        self.__doc__ = function.__doc__

    def __get__(self, instance: Owner, owner: type | None = None) -> Value:
        done: dict[str, Any] = vars(instance)
        if self.name not in done:
            try:
                done[self.name] = self.function(instance)
            except Exception as error:  # noqa: BLE001  (raised below, and whenever it is asked for again)
                done[self.name] = _Raised(error)
        if isinstance(found := done[self.name], _Raised):
            raise found.error
        return found

    def __set__(self, instance: Owner, value: Value) -> None:
        raise AttributeError(f"{self.name} is computed and cannot be set")


def combine(scores: Mapping[str, Score], function: Callable[..., float]) -> Score:
    """Compute a value from the named values; if one of them failed, so does the result, with every reason."""
    reasons = [f"{name}: {score.reason}" for name, score in scores.items() if score.value is None]
    if reasons:
        return failed("; ".join(reasons))
    return finite(function(*(score.value for score in scores.values())))


def average_scores(groups: Mapping[str, Mapping[str, Score]]) -> dict[str, Score]:
    """Average each metric over groups, such as the cell types of one dataset; one failed group fails the average."""
    if not groups:
        raise ValueError("no group to average over: at least one is needed. Lower the minimum size of a group.")
    names = list(dict.fromkeys(name for scores in groups.values() for name in scores))
    missing = failed("the metric was not computed")
    return {
        name: combine(
            {group: scores.get(name, missing) for group, scores in groups.items()}, lambda *values: mean(values)
        )
        for name in names
    }


def mean(values: Sequence[float]) -> float:
    """Mean of at least one value."""
    return math.fsum(values) / len(values)
