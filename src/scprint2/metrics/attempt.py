"""Run one metric so that nothing it does takes the other metrics with it."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from scprint2.metrics import journal
from scprint2.metrics.limits import METRIC_SECONDS, budget_left, time_limit
from scprint2.metrics.score import Score, failed, finite


def attempt(
    function: Callable[..., float], *arguments: Any, limit_seconds: float | None = METRIC_SECONDS, **keywords: Any
) -> Score:
    """Run one metric; what it raises, and a run past its time limit, becomes a failed score, so that the others go on.

    Where a journal is kept, so does one that its process died of (`journal.keep_journal`). Inside a `time_budget` the
    limit is what is left of it, if that is less.
    """
    limits = [limit for limit in (limit_seconds, budget_left()) if limit is not None]
    limit = min(limits, default=None)

    def compute() -> Score:
        start = time.perf_counter()
        try:
            if limit is not None and limit <= 0:
                raise TimeoutError("not computed: the time that all metrics of this prediction share was over")
            with time_limit(limit):
                score = finite(function(*arguments, **keywords))
        except Exception as error:  # noqa: BLE001  (one metric must not take the others with it)
            score = failed(f"{type(error).__name__}: {error}")
        return replace(score, seconds=time.perf_counter() - start)

    return journal.record(compute, limit_seconds=limit)
