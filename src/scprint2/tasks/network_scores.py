"""Scores in gene networks, laid out for a figure: a panel per known network, a line per row or method."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd
from anndata import AnnData

from scprint2.plots.controls import Band
from scprint2.tasks.controls import Bands
from scprint2.tasks.layout import read_truths
from scprint2.tasks.scores import read_all_scores


def collect_network_scores(files: Iterable[Path], *, truths: Mapping[str, list[str]]) -> pd.DataFrame:
    """Read odds ratios from score files: one line per row, seed, dataset and known network, by the first method.

    Returns `panel` (dataset and known network), `row`, `seed`, `odds_ratio` and `shuffled` (against shuffled truths), NaN where
    one failed. `truths` are the known networks of each dataset, in order.
    """
    lines = []
    scores = read_all_scores(files)
    for _, table in scores.groupby(["variant", "seed", "dataset"], sort=False):
        told, values = table.iloc[0], dict(zip(table["metric"], table["value"], strict=True))
        for number, truth in enumerate(truths[told["dataset"]]):
            lines.append(
                {"panel": _panel(told["dataset"], truth), "row": told["variant"], "seed": told["seed"]}
                | _odds(values, _part(number, truth))
            )
    return pd.DataFrame(lines)


def method_scores(prediction: AnnData, values: pd.Series) -> pd.DataFrame:
    """Lay out the odds ratios of one prediction in the same way, its methods as rows; `values` by metric."""
    methods = list(dict.fromkeys(prediction.uns["networks"]["method"].astype(str)))
    lines = []
    for number, truth in enumerate(read_truths(prediction)):
        for rank, method in enumerate(methods):
            suffix = (f"_{method}" if rank else "") + _part(number, truth)
            lines.append({"panel": truth, "row": method.replace("_", " ")} | _odds(values.to_dict(), suffix))
    return pd.DataFrame(lines)


def truth_bands(bands: Bands, dataset: str, *, metric: str, truths: Iterable[str]) -> dict[str, Band]:
    """Return the controls' band of a metric against each known network of a dataset; a network without controls has none.

    `truths` are all known networks in order: the scores of the first have no part behind their name.
    """
    keys = {truth: ("networks", dataset, metric + _part(number, truth)) for number, truth in enumerate(truths)}
    return {truth: bands[key] for truth, key in keys.items() if key in bands}


def panel_bands(bands: Bands, *, truths: Mapping[str, list[str]]) -> dict[str, Band]:
    """Return the controls' band of the odds ratio in each panel of `collect_network_scores`."""
    return {
        _panel(dataset, truth): band
        for dataset, names in truths.items()
        for truth, band in truth_bands(bands, dataset, metric="odds_ratio", truths=names).items()
    }


def _panel(dataset: str, truth: str) -> str:
    return f"{dataset} / {truth}"


def _part(number: int, truth: str) -> str:
    """What a metric's name ends in against the n-th known network."""
    return f":{truth}" if number else ""


def _odds(values: Mapping[str, float], suffix: str) -> dict[str, float]:
    return {
        name: float(values.get(f"{metric}{suffix}", float("nan")))
        for name, metric in (("odds_ratio", "odds_ratio"), ("shuffled", "odds_ratio_shuffled"))
    }
