"""How far a score moves when nothing has changed: `python -m scprint2.tasks.drift --out config/drift.tsv`.

Predictions are scored again with their rows in other orders, with other numbers of threads, and with libraries loaded in other
orders. No metric takes a seed: the random numbers that one draws itself are drawn for rows (or genes) by their place, so that
another order of rows is another seed too. Twice the largest move is the tolerance of a metric, whatever it was computed on:
values that are closer are the same.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from scprint2.cards import PART
from scprint2.files import atomic_path
from scprint2.tasks.examples import EXAMPLES, shuffle_rows
from scprint2.tasks.layout import DONOR_PART
from scprint2.tasks.predictions import about, read_prediction, write_prediction
from scprint2.tasks.scores import SCORERS

MEASURED = ("ordinary", "random")  # kinds of examples; of a random embedding clusters are least stable
ORDERS = range(1, 11)
ROUNDING = 1e-8  # the least tolerance, far above what sums in another order differ by
SAFETY = 2
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
COLUMNS = ["task", "metric", "rows", "threads", "imports", "tolerance"]
Values = Mapping[str, Mapping[str, float]]  # file -> metric -> value


@dataclass(frozen=True)
class Condition:
    """Something that must not matter.

    Attributes
    ----------
    orders
        Seeds of the orders of rows to score in; 0 is the order of the file.
    imports
        Libraries that are loaded first.
    """

    kind: str
    orders: Sequence[int] = (0,)
    threads: int = 1
    imports: Sequence[str] = field(default=())


REFERENCE = Condition("reference")
CONDITIONS = (
    Condition("rows", orders=tuple(ORDERS)),
    Condition("threads", threads=2),
    Condition("threads", threads=4),
    Condition("imports", imports=("torch", "scanpy", "sklearn", "scipy.linalg")),
    Condition("imports", imports=("scipy.linalg", "igraph", "sklearn", "torch")),
)


def measure_drift(predictions: Sequence[Path]) -> pd.DataFrame:
    """Score predictions under every condition: the largest move of each metric by kind of condition, and its tolerance.

    What stands behind a colon says what a metric was computed on: one metric has one tolerance, from the moves of all its names.
    """
    tasks = {str(path): about(read_prediction(path))["task"] for path in predictions}
    (usual,) = run_condition(REFERENCE, predictions)
    moves: dict[tuple[str, str], dict[str, float]] = {}
    for condition in CONDITIONS:
        for values in run_condition(condition, predictions):
            for path, metric, move in _compare(usual, values):
                found = moves.setdefault((tasks[path], metric), {})
                found[condition.kind] = max(found.get(condition.kind, 0.0), move)
    largest: dict[tuple[str, str], float] = {}
    for (task, metric), found in moves.items():
        name = task, metric.split(PART)[0]
        largest[name] = max(largest.get(name, 0.0), *found.values())
    lines = [
        {"task": task, "metric": metric, **found, "tolerance": tolerance(largest[task, metric.split(PART)[0]])}
        for (task, metric), found in moves.items()
    ]
    return pd.DataFrame(lines, columns=pd.Index(COLUMNS))


def run_condition(condition: Condition, predictions: Iterable[Path]) -> list[Values]:
    """Score predictions in a process of their own under a condition; once for each order of rows.

    Raises
    ------
    RuntimeError
        If the process fails.
    """
    first = "".join(f"import {name}\n" for name in condition.imports)
    asked = json.dumps({"paths": [str(path) for path in predictions], "orders": list(condition.orders)})
    code = f"{first}from scprint2.tasks.drift import print_values\nprint_values({asked!r})"
    threads = dict.fromkeys(THREADS, str(condition.threads))
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **threads}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"scoring failed under {condition}: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout.splitlines()[-1])


def print_values(asked: str) -> None:
    """Score the files that are asked for, in each order, and print all values as one line of JSON."""
    wanted = json.loads(asked)
    found = [{path: score_once(Path(path), order=order) for path in wanted["paths"]} for order in wanted["orders"]]
    sys.stdout.write(f"{json.dumps(found)}\n")


def score_once(path: Path, *, order: int) -> dict[str, float]:
    """The values of a prediction's metrics with its rows in an order; 0 is that of the file."""
    prediction = read_prediction(path)
    shuffled = shuffle_rows(prediction, seed=order) if order else prediction
    scores = SCORERS[about(prediction)["task"]](shuffled)
    return {
        metric: score.value for metric, score in scores.items() if score.value is not None and DONOR_PART not in metric
    }


def tolerance(move: float) -> float:
    """Twice the largest move, rounded up to one digit."""
    value = max(SAFETY * move, ROUNDING)
    digit = 10 ** math.floor(math.log10(value))
    return float(f"{math.ceil(round(value / digit, 6)) * digit:.1g}")


def write_examples(folder: Path) -> list[Path]:
    """Write the example predictions of every task."""
    paths = []
    for task, example in EXAMPLES.items():
        for kind in MEASURED:
            paths.append(folder / f"{task}_{kind}.h5ad")
            write_prediction(paths[-1], example(kind), about={"task": task, "dataset": kind})
    return paths


def _compare(usual: Values, values: Values) -> Iterable[tuple[str, str, float]]:
    """(file, metric, move) of every value; one that is not there every time moves without bounds."""
    for path, own in usual.items():
        for metric in dict.fromkeys([*own, *values[path]]):
            both = metric in own and metric in values[path]
            yield path, metric, abs(values[path][metric] - own[metric]) if both else math.inf


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m scprint2.tasks.drift", description=__doc__)
    parser.add_argument("predictions", nargs="*", type=Path, help="prediction files to measure on, beside the examples")
    parser.add_argument("--out", type=Path, required=True, help="the tolerances, as TSV")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        drift = measure_drift([*write_examples(Path(folder)), *options.predictions])
    with atomic_path(options.out) as path:
        drift.to_csv(path, sep="\t", index=False, float_format="%.3g")


if __name__ == "__main__":
    main()
