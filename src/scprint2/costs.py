"""What every job costs that trains, predicts or evaluates: a table of Table 1's rows, and one of what stands beside it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import pandas as pd

from scprint2.accounting import JobCost, read_cost
from scprint2.files import atomic_path, read_json

TRAINING, PREDICTION, EVALUATION = "training", "prediction", "evaluation"
SWEEP = "sweep"  # predicts and evaluates at once
JOBS = (TRAINING, PREDICTION, EVALUATION, SWEEP)
ALL = "all"  # task and dataset of a training
NOT_AVAILABLE = "not available"
KEYS = ["variant", "seed", "job", "task", "dataset"]
SUMMED = ["seconds", "cpu_seconds", "gpu_seconds", "energy_joules", "cells"]
PEAKS = ["peak_memory_bytes", "peak_gpu_memory_bytes"]
COLUMNS = ["section", "name", *KEYS, *JobCost.__dataclass_fields__]
STUDY_COLUMNS = ["study", *KEYS, *JobCost.__dataclass_fields__]
BY_ROW = ["variant", "section", "name", "seed", "job"]  # what a line of sums is about
BY_STUDY = ["study", "variant", "seed", "job"]


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
    return {**_place(path.parents[1]), **_read_predicted(path)}


def read_evaluation_cost(path: str | Path) -> dict[str, Any]:
    """Read the cost of an evaluation, `.../<variant>/seed_<n>/<task>/<dataset>.cost.json`."""
    path = Path(path)
    return {**_place(path.parents[1]), **_read_evaluated(path)}


def read_study_costs(folder: str | Path) -> list[dict[str, Any]]:
    """Read the costs in `.../studies/<study>/<variant>/seed_<n>`, which has `predictions` and `scores`."""
    folder = Path(folder)
    jobs = [_read_predicted(path) for path in sorted(folder.glob("predictions/*/*.h5ad"))]
    jobs += [_read_evaluated(path) for path in sorted(folder.glob("scores/*/*.cost.json"))]
    return [{"study": folder.parents[1].name, **_place(folder), **job} for job in jobs]


def read_sweep_cost(path: str | Path) -> dict[str, Any]:
    """Read the cost of `.../<sweep>/<variant>/seed_<n>/<dataset>.cost.json`, which predicts labels at every length."""
    path = Path(path)
    about = {"study": path.parents[2].name, **_place(path.parent), "job": SWEEP}
    return {**about, "task": "annotate", "dataset": _name(path), **read_json(path)}


def collect_costs(jobs: Iterable[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Lay the costs of jobs out in the order of Table 1's rows, one line per job.

    Parameters
    ----------
    rows
        `variant`, `section` and `name` of the rows; jobs of others are left out.
    """
    places = {row["variant"]: number for number, row in enumerate(rows)}
    words = {row["variant"]: {"section": row["section"], "name": row["name"]} for row in rows}
    lines = [{**words[job["variant"]], **job} for job in jobs if job["variant"] in places]
    lines.sort(
        key=lambda line: (
            places[line["variant"]], line["seed"], JOBS.index(line["job"]), line["task"], line["dataset"]
        )
    )  # fmt: skip
    return pd.DataFrame(lines, columns=pd.Index(COLUMNS))


def collect_study_costs(jobs: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Lay the costs of jobs beside Table 1 out, one line per job, sorted by study and row."""
    lines = sorted(jobs, key=lambda line: (*(line[name] for name in STUDY_COLUMNS[:3]), JOBS.index(line["job"])))
    return pd.DataFrame(lines, columns=pd.Index(STUDY_COLUMNS))


def sum_costs(costs: pd.DataFrame, *, by: Sequence[str]) -> pd.DataFrame:
    """Sum the jobs that agree in `by`, and give the largest memory; energy only where all jobs tell it.

    Columns are those of `by`, sums of `seconds, cpu_seconds, gpu_seconds, energy_joules, cells`, and the largest
    `peak_memory_bytes` and `peak_gpu_memory_bytes`.
    """
    groups = costs.groupby(list(by), sort=False)
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


def _read_predicted(path: Path) -> dict[str, Any]:
    with h5py.File(path) as file:
        node = file["uns/scprint2"]
        assert isinstance(node, h5py.Dataset)
        about = json.loads(str(node.asstr()[()]))
    if "cost" not in about:
        raise ValueError(f"{path}: no cost was measured by the version that made it; remove it and predict again")
    return {"job": PREDICTION, **_of_file(path), **about["cost"]}


def _read_evaluated(path: Path) -> dict[str, Any]:
    return {"job": EVALUATION, **_of_file(path), **read_json(path)}


def _of_file(path: Path) -> dict[str, str]:
    return {"task": path.parent.name, "dataset": _name(path)}


def _name(path: Path) -> str:
    return path.name.partition(".")[0]
