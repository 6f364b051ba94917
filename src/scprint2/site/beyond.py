"""The page of what lies beside Table 1: genes in context, known networks, and the tasks asked again with other settings."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from scprint2.pages import Link
from scprint2.site.rows import row_page_place
from scprint2.tasks.layout import DONOR_PART
from scprint2.tasks.scores import read_all_scores

PLACE = ["variant", "seed", "task", "dataset", "metric"]
FIGURES: Mapping[str, tuple[str, str]] = {  # name -> heading, what the picture shows
    "context_sweep": ("Accuracy over genes in context (figure 2d)", "accuracy against the number of genes in context"),
    "networks": ("All rows against each known network", "scores of every row against each known network"),
    "truth_overlap": ("How far the known networks agree (figure 5d)", "shared edges of each pair of known networks"),
}


@dataclass(frozen=True)
class StudyScores:
    """The scores of a study that the report shows.

    Attributes
    ----------
    metrics
        Which of them.
    folders
        Score folders, `.../<variant>/seed_<n>/scores`.
    notebooks
        Their executed notebooks, by their place under `reports`.
    """

    title: str
    metrics: tuple[str, ...]
    folders: tuple[Path, ...]
    notebooks: tuple[str, ...]

    def read(self) -> pd.DataFrame:
        """Read the score rows of all folders."""
        return read_all_scores(path for folder in self.folders for path in sorted(folder.glob("*/*.tsv")))


def lay_out_study(scores: pd.DataFrame, long: pd.DataFrame, *, metrics: Iterable[str]) -> pd.DataFrame:
    """Lay out one line per row, dataset and read-out of `metrics`: the score here, and the one with Table 1's settings.

    Single donors' read-outs are left to the notebooks.

    Parameters
    ----------
    scores
        Score rows of the study.
    long
        The long form of Table 1, with the same rows.
    """
    main = scores["metric"].str.partition(":")[0].isin(list(metrics))
    shown = scores.loc[main & ~scores["metric"].str.contains(DONOR_PART, regex=False)]
    usual = long.drop_duplicates(PLACE).set_index(PLACE)["value"]
    keys = pd.MultiIndex.from_frame(shown[PLACE])
    names = long.drop_duplicates("variant").set_index("variant")["name"]
    return pd.DataFrame(
        {
            "row": [Link(str(names.get(row, row)), row_page_place(row)) for row in shown["variant"]],
            "dataset": shown["dataset"].tolist(),
            "score": shown["metric"].tolist(),
            "here": [
                np.nan if status != "ok" else value
                for status, value in zip(shown["status"], shown["value"], strict=True)
            ],
            "with Table 1's settings": usual.reindex(keys).tolist(),
        }
    )
