"""Coarse groups of assays: what an adversary is asked for."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import pandas as pd

from scprint2.data.vocabulary import LabelTable

OTHER = "other"  # the group of assays that the table does not hold


@cache
def assay_groups() -> Mapping[str, str]:
    """EFO term to its group, for the assays of `assay_groups.tsv` (D36)."""
    with files("scprint2.data").joinpath("assay_groups.tsv").open() as file:
        table = pd.read_csv(file, sep="\t", comment="#")
    return dict(zip(table["term"], table["group"], strict=True))


def group_codes(table: LabelTable) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names of the groups that the labels of a table belong to, and the index among them of each label code."""
    groups = assay_groups()
    of_label = [groups.get(term, OTHER) for term in table.leaves + table.parents]
    names = tuple(sorted(set(of_label)))
    return names, tuple(names.index(group) for group in of_label)
