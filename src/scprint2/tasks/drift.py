"""How far a score moves when nothing has changed: `python -m scprint2.tasks.drift --out config/drift.tsv`.

Scores are made again with the rows of a prediction in other orders, with other seeds of everything that a metric or an answer
draws (`scprint2.seeds`), with other numbers of threads, and with libraries loaded in other orders. Another order of rows is
another draw too, since what is drawn is drawn for rows (or genes) by their place. Twice the largest move is the tolerance of a
metric, whatever it was computed on: values that are closer are the same.

Measured on the examples (`tasks.examples`), which are made anew for each draw, so that the clusters over which calls are pooled
are others too; the answers of a prediction file are what they are.
"""

import argparse
import itertools
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from anndata import AnnData

from scprint2.cards import PART
from scprint2.files import atomic_path
from scprint2.seeds import drawn_anew
from scprint2.tasks.examples import EXAMPLES, Kind, shuffle_rows
from scprint2.tasks.layout import DONOR_PART
from scprint2.tasks.predictions import about, read_prediction
from scprint2.tasks.scores import SCORERS

MEASURED: tuple[Kind, ...] = ("ordinary", "random")  # of a random embedding clusters are least stable
ORDERS = DRAWS = range(1, 11)
ROUNDING = 1e-8  # the least tolerance, far above what sums in another order differ by
SAFETY = 2
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
COLUMNS = ["task", "metric", "rows", "draws", "threads", "imports", "tolerance"]
Values = Mapping[str, Mapping[str, float]]  # example or file -> metric -> value
Example = tuple[str, Kind]
EXAMPLE_NAMES: Mapping[str, Example] = {f"{task} {kind}": (task, kind) for task in EXAMPLES for kind in MEASURED}


@dataclass(frozen=True)
class Condition:
    """Something that must not matter.

    Attributes
    ----------
    orders
        Seeds of the orders of rows to score in; 0 is the order that they have.
    draws
        Which draws to score with; 0 is the usual one. Each is combined with each order.
    imports
        Libraries that are loaded first.
    """

    kind: str
    orders: Sequence[int] = (0,)
    draws: Sequence[int] = (0,)
    threads: int = 1
    imports: Sequence[str] = field(default=())


REFERENCE = Condition("reference")
CONDITIONS = (
    Condition("rows", orders=tuple(ORDERS)),
    Condition("draws", draws=tuple(DRAWS)),
    Condition("threads", threads=2),
    Condition("threads", threads=4),
    Condition("imports", imports=("torch", "scanpy", "sklearn", "scipy.linalg")),
    Condition("imports", imports=("scipy.linalg", "igraph", "sklearn", "torch")),
)


def measure_drift(sources: Sequence[str]) -> pd.DataFrame:
    """Score examples and prediction files under every condition: the largest move of each metric, and its tolerance.

    What stands behind a colon says what a metric was computed on: one metric has one tolerance, from the moves of all its names.
    """
    tasks = {source: read_source(source)[0] for source in sources}
    (usual,) = run_condition(REFERENCE, sources)
    moves: dict[tuple[str, str], dict[str, float]] = {}
    for condition in CONDITIONS:
        for values in run_condition(condition, sources):
            for source, metric, move in _compare(usual, values):
                found = moves.setdefault((tasks[source], metric), {})
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


def run_condition(condition: Condition, sources: Iterable[str]) -> list[Values]:
    """Score in a process of its own under a condition; once for each order of rows and each draw.

    Raises
    ------
    RuntimeError
        If the process fails.
    """
    first = "".join(f"import {name}\n" for name in condition.imports)
    asked = json.dumps({"sources": list(sources), "orders": list(condition.orders), "draws": list(condition.draws)})
    code = f"{first}from scprint2.tasks.drift import print_values\nprint_values({asked!r})"
    threads = dict.fromkeys(THREADS, str(condition.threads))
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **threads}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"scoring failed under {condition}: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout.splitlines()[-1])


def print_values(asked: str) -> None:
    """Score what is asked for, in each order and draw, and print all values as one line of JSON."""
    wanted = json.loads(asked)
    times = itertools.product(wanted["orders"], wanted["draws"])
    found = [
        {source: score_once(source, order=order, draw=draw) for source in wanted["sources"]} for order, draw in times
    ]
    sys.stdout.write(f"{json.dumps(found)}\n")


def read_source(source: str) -> tuple[str, AnnData]:
    """The task and the prediction of an example (`EXAMPLE_NAMES`) or a file."""
    if source in EXAMPLE_NAMES:
        task, kind = EXAMPLE_NAMES[source]
        return task, EXAMPLES[task](kind)
    prediction = read_prediction(Path(source))
    return about(prediction)["task"], prediction


def score_once(source: str, *, order: int = 0, draw: int = 0) -> dict[str, float]:
    """The values of a prediction's metrics with its rows in an order, and what is drawn drawn anew; 0 is the usual."""
    with drawn_anew(draw):
        task, prediction = read_source(source)
        scores = SCORERS[task](shuffle_rows(prediction, seed=order) if order else prediction)
    return {
        metric: score.value for metric, score in scores.items() if score.value is not None and DONOR_PART not in metric
    }


def tolerance(move: float) -> float:
    """Twice the largest move, rounded up to one digit."""
    value = max(SAFETY * move, ROUNDING)
    digit = 10 ** math.floor(math.log10(value))
    return float(f"{math.ceil(round(value / digit, 6)) * digit:.1g}")


def _compare(usual: Values, values: Values) -> Iterable[tuple[str, str, float]]:
    """(source, metric, move) of every value; one that is not there every time moves without bounds."""
    for source, own in usual.items():
        for metric in dict.fromkeys([*own, *values[source]]):
            both = metric in own and metric in values[source]
            yield source, metric, abs(values[source][metric] - own[metric]) if both else math.inf


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m scprint2.tasks.drift", description=__doc__)
    parser.add_argument("predictions", nargs="*", help="prediction files to measure on, beside the examples")
    parser.add_argument("--out", type=Path, required=True, help="the tolerances, as TSV")
    options = parser.parse_args()
    drift = measure_drift([*EXAMPLE_NAMES, *options.predictions])
    with atomic_path(options.out) as path:
        drift.to_csv(path, sep="\t", index=False, float_format="%.3g")


if __name__ == "__main__":
    main()
