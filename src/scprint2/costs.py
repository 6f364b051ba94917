"""What every row of the benchmark costs: the costs of its trainings, predictions and evaluations in one table."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import pandas as pd

from scprint2.accounting import JobCost, read_cost
from scprint2.files import atomic_path, read_json

TRAINING, PREDICTION, EVALUATION = "training", "prediction", "evaluation"
ALL = "all"  # task and dataset of a training
NOT_AVAILABLE = "not available"
KEYS = ["variant", "seed", "job", "task", "dataset"]
SUMMED = ["seconds", "cpu_seconds", "gpu_seconds", "energy_joules", "cells"]
PEAKS = ["peak_memory_bytes", "peak_gpu_memory_bytes"]
COLUMNS = ["section", "name", *KEYS, *JobCost.__dataclass_fields__]


def read_training_cost(folder: str | Path) -> dict[str, Any]:
    """Read the cost of the model folder `.../<variant>/seed_<n>`; nothing is counted where nothing was trained."""
    folder = Path(folder)
    cost = read_cost(read_json(folder / "cost.json"))
    return {**_place(folder), "job": TRAINING, "task": ALL, "dataset": ALL, **cost.to_json()}


def read_prediction_cost(path: str | Path) -> dict[str, Any]:
    """Read the cost of the prediction `.../<variant>/seed_<n>/<task>/<dataset>.h5ad`, without its content.

    Raises
    ------
    ValueError
        If it was made by a version that did not measure costs.
    """
    path = Path(path)
    with h5py.File(path) as file:
        node = file["uns/scprint2"]
        assert isinstance(node, h5py.Dataset)
        about = json.loads(str(node.asstr()[()]))
    if "cost" not in about:
        raise ValueError(f"{path}: no cost was measured by the version that made it; remove it and predict again")
    return {**_place(path.parents[1]), "job": PREDICTION, **_of_file(path), **about["cost"]}


def read_evaluation_cost(path: str | Path) -> dict[str, Any]:
    """Read the cost of an evaluation, `.../<variant>/seed_<n>/<task>/<dataset>.cost.json`."""
    path = Path(path)
    return {**_place(path.parents[1]), "job": EVALUATION, **_of_file(path), **read_json(path)}


def collect_costs(jobs: Iterable[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Lay the costs of jobs out in the order of Table 1's rows, one line per job.

    Parameters
    ----------
    rows
        `variant`, `section` and `name` of the rows; jobs of others are left out.
    """
    places = {row["variant"]: number for number, row in enumerate(rows)}
    words = {row["variant"]: {"section": row["section"], "name": row["name"]} for row in rows}
    order = (TRAINING, PREDICTION, EVALUATION)
    lines = [{**words[job["variant"]], **job} for job in jobs if job["variant"] in places]
    lines.sort(
        key=lambda line: (
            places[line["variant"]], line["seed"], order.index(line["job"]), line["task"], line["dataset"]
        )
    )  # fmt: skip
    return pd.DataFrame(lines, columns=pd.Index(COLUMNS))


def sum_costs(costs: pd.DataFrame) -> pd.DataFrame:
    """Sum the jobs of each row, seed and kind of job, and give the largest memory; energy only where all jobs tell it.

    Columns are `variant, section, name, seed, job`, sums of `seconds, cpu_seconds, gpu_seconds, energy_joules, cells`, and the
    largest `peak_memory_bytes` and `peak_gpu_memory_bytes`.
    """
    groups = costs.groupby(["variant", "section", "name", "seed", "job"], sort=False)
    sums = pd.DataFrame(groups[SUMMED].sum(min_count=1))
    complete = groups["energy_joules"].count() == groups.size()
    sums = sums.assign(energy_joules=sums["energy_joules"].where(complete))
    return sums.join(groups[PEAKS].max()).reset_index()


def write_costs(costs: pd.DataFrame, path: str | Path) -> None:
    """Write the table of costs; what is not known says so."""
    with atomic_path(path) as temporary:
        costs.to_csv(temporary, index=False, na_rep=NOT_AVAILABLE)


def read_costs(path: str | Path) -> pd.DataFrame:
    """Read a written table of costs; a number that is not known is NaN."""
    return pd.read_csv(path, keep_default_na=False, na_values={name: [NOT_AVAILABLE] for name in (*SUMMED, *PEAKS)})


def _place(folder: Path) -> dict[str, Any]:
    return {"variant": folder.parent.name, "seed": int(folder.name.removeprefix("seed_"))}


def _of_file(path: Path) -> dict[str, str]:
    return {"task": path.parent.name, "dataset": path.name.partition(".")[0]}
