"""The scores of the controls of a scale, gathered for the band behind the figures."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from scprint2.files import atomic_path
from scprint2.plots.controls import Band, join_bands, make_band
from scprint2.tasks.scores import read_all_scores

COLUMNS = ["control", "variant", "seed", "task", "dataset", "metric", "value"]
Bands = Mapping[tuple[str, str, str], Band]  # task, dataset, metric


def gather_controls(paths: Iterable[str | Path], controls: Mapping[str, str]) -> pd.DataFrame:
    """Read the scores of controls; those that failed are left out.

    Parameters
    ----------
    controls
        Row to its kind.
    """
    files = list(paths)
    scores = read_all_scores(files) if files else pd.DataFrame(columns=pd.Index([*COLUMNS, "status"]))
    scores = scores.assign(control=[controls[variant] for variant in scores["variant"]])
    return scores.loc[scores["status"] == "ok", COLUMNS].reset_index(drop=True)


def write_controls(path: str | Path, frame: pd.DataFrame) -> None:
    """Write gathered controls as TSV, whole or not at all."""
    with atomic_path(path) as temporary:
        frame.to_csv(temporary, sep="\t", index=False)


def read_bands(path: str | Path) -> Bands:
    """Read the band of each (task, dataset, metric); none where the path is empty, as it is for the controls themselves."""
    if not str(path):
        return {}
    values: dict[tuple[str, str, str], list[tuple[str, float]]] = {}
    for line in pd.read_csv(path, sep="\t", keep_default_na=False).to_dict("records"):
        key = (line["task"], line["dataset"], line["metric"])
        values.setdefault(key, []).append((line["control"], float(line["value"])))
    return {key: band for key, pairs in values.items() if (band := make_band(pairs))}


def pooled_bands(bands: Bands, task: str, datasets: Iterable[str]) -> dict[str, Band]:
    """Return the band of each metric of a task over some datasets: from the lowest to the highest control of any of them."""
    found: dict[str, list[Band]] = {}
    wanted = set(datasets)
    for (of_task, dataset, metric), band in bands.items():
        if of_task == task and dataset in wanted:
            found.setdefault(metric, []).append(band)
    return {metric: band for metric, own in found.items() if (band := join_bands(own))}


def read_column_bands(path: str | Path, columns: Mapping[str, Mapping[str, Any]]) -> dict[str, Band]:
    """Read the band of each column of Table 1, over the means of every control and seed over the column's datasets.

    Parameters
    ----------
    columns
        Column to `task, datasets, metric`. A control without a score on one of the datasets is left out.
    """
    frame, bands = pd.read_csv(path, sep="\t", keep_default_na=False), {}
    for column, source in columns.items():
        of_column = (frame["task"] == source["task"]) & (frame["metric"] == source["metric"])
        own = frame.loc[of_column & frame["dataset"].isin(source["datasets"])]
        means = own.groupby(["control", "variant", "seed"])["value"].agg(["mean", "size"]).reset_index()
        whole = means.loc[means["size"] == len(source["datasets"])]
        if band := make_band(zip(whole["control"], whole["mean"], strict=True)):
            bands[column] = band
    return bands
