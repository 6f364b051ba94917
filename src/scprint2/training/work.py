"""The work folder of one training: one process at a time, a limited number of fruitless starts, a clean way to stop."""

import fcntl
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from scprint2.files import read_json, write_json

EXIT_UNFINISHED = 75  # EX_TEMPFAIL: state is saved, run the same command again
STARTS_WITHOUT_PROGRESS = 3
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class Unfinished(Exception):
    """The training stopped with its state saved; the same command goes on."""


class BudgetOver(Unfinished):
    """The wall-clock budget is nearly used up."""


class Interrupted(Unfinished):
    """A signal asked the training to stop."""


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; it is released when the process ends, however it ends.

    Raises
    ------
    RuntimeError
        If another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = path.read_text().strip() or "unknown"
            raise RuntimeError(
                f"{folder}: another training is running in this folder ({holder}). Wait for it or stop it first."
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}")
        file.flush()
        yield


def count_start(folder: Path, *, key: str, step: int) -> None:
    """Note that a training starts at `step`.

    Raises
    ------
    RuntimeError
        If the three starts before this one all began at this step.
    """
    path = folder / "starts.json"
    starts = _read_starts(path)
    same = starts.get("key") == key and starts.get("step") == step
    count = int(starts.get("count", 0)) + 1 if same else 1
    if count > STARTS_WITHOUT_PROGRESS:
        raise RuntimeError(
            f"{folder}: {STARTS_WITHOUT_PROGRESS} starts in a row did not get past step {step}, so a further one would "
            f"not either. Look at the log of the last start (time limit, memory), then delete {path} and start again."
        )
    write_json(path, {"key": key, "step": step, "count": count})


def _read_starts(path: Path) -> dict[str, Any]:
    try:
        return dict(read_json(path))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}


def forget_starts(folder: Path) -> None:
    """Forget the starts, after a training that came to its end."""
    (folder / "starts.json").unlink(missing_ok=True)


class StopRequests:
    """Reasons from outside to stop: SIGTERM, SIGUSR1, and a wall-clock budget that runs out.

    As a context manager it catches the signals (in the main thread only, as Python demands) and restores their handlers.
    """

    def __init__(self, budget_seconds: float | None) -> None:
        self._budget_seconds = budget_seconds
        self._start = time.monotonic()
        self._signal: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "StopRequests":
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._note) for number in STOP_SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        self._signal = number

    def reason(self, *, reserve_seconds: float) -> Unfinished | None:
        """Return what to raise once the state is saved, or None to go on.

        `reserve_seconds` is what a save and the next step take together: the budget ends that much earlier.
        """
        if self._signal is not None:
            return Interrupted(f"received {signal.Signals(self._signal).name}")
        elapsed = time.monotonic() - self._start
        if self._budget_seconds is not None and elapsed + reserve_seconds >= self._budget_seconds:
            return BudgetOver(f"{elapsed:.0f} s of {self._budget_seconds:.0f} s used")
        return None
