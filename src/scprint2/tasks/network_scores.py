"""Scores in gene networks, laid out for a figure: a panel per known network, a line per row or method."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd
from anndata import AnnData

from scprint2.tasks.layout import read_truths
from scprint2.tasks.scores import read_scores


def collect_network_scores(files: Iterable[Path], *, truths: Mapping[str, list[str]]) -> pd.DataFrame:
    """Read odds ratios from score files: one line per row, seed, dataset and known network, by the first method.

    Returns `panel` (dataset and known network), `row`, `seed`, `odds_ratio` and `shuffled` (against shuffled truths), NaN where
    one failed. `truths` are the known networks of each dataset, in order.
    """
    lines = []
    for file in files:
        table = read_scores(file)
        told, values = table.iloc[0], dict(zip(table["metric"], table["value"], strict=True))
        for number, truth in enumerate(truths[told["dataset"]]):
            lines.append(
                {"panel": f"{told['dataset']} / {truth}", "row": told["variant"], "seed": told["seed"]}
                | _odds(values, f":{truth}" if number else "")
            )
    return pd.DataFrame(lines)


def method_scores(prediction: AnnData, values: pd.Series) -> pd.DataFrame:
    """Lay out the odds ratios of one prediction in the same way, its methods as rows; `values` by metric."""
    methods = list(dict.fromkeys(prediction.uns["networks"]["method"].astype(str)))
    lines = []
    for number, truth in enumerate(read_truths(prediction)):
        for rank, method in enumerate(methods):
            suffix = (f"_{method}" if rank else "") + (f":{truth}" if number else "")
            lines.append({"panel": truth, "row": method.replace("_", " ")} | _odds(values.to_dict(), suffix))
    return pd.DataFrame(lines)


def _odds(values: Mapping[str, float], suffix: str) -> dict[str, float]:
    return {
        name: float(values.get(f"{metric}{suffix}", float("nan")))
        for name, metric in (("odds_ratio", "odds_ratio"), ("shuffled", "odds_ratio_shuffled"))
    }
