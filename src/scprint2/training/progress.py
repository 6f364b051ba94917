"""What a training shows while it runs: a bar or plain lines, a CSV history, TensorBoard."""

import csv
import io
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from scprint2.files import sync, write_text

LINE_SECONDS = 30  # between two plain lines of an epoch in a log
FIXED_COLUMNS = ("step", "epoch", "split", "loss")
LAST_COLUMNS = ("learning_rate", "seconds")


class ProgressReport:
    """A rich bar on a terminal; in a log file, a plain line now and then."""

    def __init__(self, *, total_steps: int) -> None:
        self._console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
        self._total = total_steps
        self._next_line = time.monotonic() + LINE_SECONDS
        self._bar: Progress | None = None
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("training"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.description}"),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._task = self._bar.add_task("", total=total_steps)
            self._bar.start()

    def advance(self, step: int, *, loss: float | None, cells_per_second: float) -> None:
        """Show the number of finished steps. The loss is the last one that was read from the device."""
        text = f"{cells_per_second:,.0f} cells/s" + ("" if loss is None else f", loss {loss:.4g}")
        if self._bar is not None:
            self._bar.update(self._task, completed=step, description=text)
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + LINE_SECONDS
            self.say(f"step {step:,} of {self._total:,}: {text}")

    def say(self, message: str) -> None:
        """Print one line."""
        self._console.print(message, markup=False)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()


class History:
    """The losses of a training: an append-only CSV and, beside it, TensorBoard's event files.

    Steps that are done again after a kill appear twice in the file; `published_history` keeps the last.
    """

    def __init__(self, folder: Path, *, terms: Sequence[str], step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # here, because it takes a second

        self._columns = (*FIXED_COLUMNS, *terms, *LAST_COLUMNS)
        self.path = folder / "history.csv"
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)
        if not self.path.exists():
            write_text(self.path, ",".join(self._columns) + "\n")
        elif not self.path.read_bytes().endswith(b"\n"):
            self._append("")  # end the line that a kill cut off

    def add(self, row: Mapping[str, str | int | float]) -> None:
        """Write one row; its keys are the columns."""
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow([row[name] for name in self._columns])
        self._append(line.getvalue())
        for name in self._columns:
            value = row[name]
            if name not in ("step", "epoch", "seconds") and isinstance(value, float) and not math.isnan(value):
                self._board.add_scalar(f"{row['split']}/{name}", value, int(row["step"]))

    def _append(self, line: str) -> None:
        with self.path.open("a") as file:
            file.write(line + "\n")

    def sync(self) -> None:
        """Put the rows so far on the disk, before a checkpoint that relies on them."""
        sync(self.path)

    def close(self) -> None:
        """Flush TensorBoard's events."""
        self._board.close()


def published_history(path: Path) -> str:
    """Return the history as text: one row per step and split in order, without lines that a kill cut off."""
    with path.open(newline="") as file:
        header, *lines = list(csv.reader(file))
    rows = {(int(line[0]), line[2]): line for line in lines if len(line) == len(header) and _is_whole(line)}
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *(rows[key] for key in sorted(rows))])
    return text.getvalue()


def _is_whole(line: Sequence[str]) -> bool:
    return line[0].isdigit() and line[-1] != ""
