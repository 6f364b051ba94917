"""Limits of time for metrics: one metric's, and one that several share."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

METRIC_SECONDS = 1800.0  # a metric that takes longer has failed; the slowest takes minutes at the paper's size
_ends: list[float] = []  # when the budgets that are open are used up, on the monotonic clock


class _Expired(BaseException):
    """A limit is over. No error, so that what catches every error of a metric lets the limit around it pass."""

    def __init__(self, limit: object) -> None:
        super().__init__()
        self.limit = limit


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raise TimeoutError in the main thread after `seconds`; limits may lie inside one another, and the nearest one counts.

    A limit needs the main thread and takes effect between two Python instructions; elsewhere there is none. For calls that
    hang in compiled code see `journal.keep_journal`.
    """
    outer, _ = signal.getitimer(signal.ITIMER_REAL)
    if seconds is None or threading.current_thread() is not threading.main_thread() or 0 < outer <= seconds:
        yield
        return
    limit = object()

    def stop(number: int, frame: FrameType | None) -> None:
        raise _Expired(limit)

    start = time.monotonic()
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except _Expired as expired:
        if expired.limit is not limit:
            raise
        raise TimeoutError(f"not done after {seconds:g} s") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if outer:  # the limit around this one goes on with what is left of it
            signal.setitimer(signal.ITIMER_REAL, max(outer - (time.monotonic() - start), 1e-3))


@contextmanager
def time_budget(seconds: float) -> Iterator[None]:
    """Let the metrics inside share `seconds`: the one that uses them up, and those after it, fail; those before it stand."""
    _ends.append(time.monotonic() + seconds)
    try:
        yield
    finally:
        _ends.pop()


def budget_left() -> float | None:
    """Seconds until the first budget around is used up, none or fewer if one is; None without a budget."""
    return min(_ends) - time.monotonic() if _ends else None
