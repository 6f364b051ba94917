"""Which scores a process has made, so that the next one goes on where it died."""

import faulthandler
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from urllib.parse import quote

from scprint2.metrics.score import Score, failed

FOLDER = "SCPRINT2_SCORE_JOURNALS"  # in the environment: the folder for journals of whoever starts a dead process again
GRACE_SECONDS = 60.0  # compiled code that has not come back so long after its limit never does
_open: list["Journal"] = []


class Journal:
    """The scores of one thing in the order in which they are made, which has to be the same in every process.

    A line `null` is written before a score is made and the score after it, so that the file tells which one a process died of.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.made = read_journal(path)

    def make(self, compute: Callable[[], Score], *, limit_seconds: float | None) -> Score:
        """Compute a score, or take it from an earlier process; the one which that died of is a failed one.

        The process ends when compiled code, which no Python limit can stop, keeps it for `GRACE_SECONDS` beyond the limit.
        """
        if self.made:
            return self.made.pop(0) or failed(
                "its process died of it: a crash in compiled code, or a call there that did not come back within its limit"
            )
        self._write(None)
        if limit_seconds is not None:
            faulthandler.dump_traceback_later(
                max(limit_seconds, 0) + GRACE_SECONDS, exit=True, file=sys.__stderr__ or sys.stderr
            )
        try:
            score = compute()
        finally:
            faulthandler.cancel_dump_traceback_later()
        self._write(score)
        return score

    def _write(self, score: Score | None) -> None:
        with self.path.open("a") as file:
            file.write(f"{json.dumps(score and asdict(score))}\n")


def record(compute: Callable[[], Score], *, limit_seconds: float | None) -> Score:
    """Make a score by the journal that is kept; without one, and inside another score, just compute it."""
    if not _open:
        return compute()
    journal = _open.pop()
    try:
        return journal.make(compute, limit_seconds=limit_seconds)
    finally:
        _open.append(journal)


@contextmanager
def keep_journal(name: str) -> Iterator[None]:
    """Keep a journal of the scores that are made inside, if the environment names a folder for them (`FOLDER`)."""
    folder = os.environ.get(FOLDER)
    if folder is None:
        yield
        return
    _open.append(Journal(Path(folder) / quote(name, safe="")))
    try:
        yield
    finally:
        _open.pop()


def read_journal(path: Path) -> list[Score | None]:
    """The scores of a journal; None is one that its process died of."""
    scores: list[Score | None] = []
    for line in path.read_text().splitlines() if path.exists() else ():
        if (told := json.loads(line)) is None:
            scores.append(None)
        else:
            scores[-1] = Score(**told)
    return scores


def count_deaths(folder: Path) -> int:
    """How many scores of all journals in a folder a process has died of."""
    return sum(read_journal(path).count(None) for path in folder.iterdir())
