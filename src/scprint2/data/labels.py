"""Labels of cells as everybody writes them, to one ontology term per class, with a report of every label."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from scprint2.data.cellxgene import read_metadata
from scprint2.data.label_names import LabelNames, common_names
from scprint2.data.ontology import MISSING, UNKNOWN_TERM, age_group, clean_term, find_name, label, most_specific
from scprint2.data.registry import Dataset
from scprint2.data.vocabulary import CLASSES

# Columns of obs that hold a class, term ids before names.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "ethnicity": ("self_reported_ethnicity_ontology_term_id", "self_reported_ethnicity", "ethnicity"),
    "age_group": ("age_group_ontology_term_id", "development_stage_ontology_term_id"),
    "cell_culture": ("cell_culture_ontology_term_id", "tissue_type"),
}
ONTOLOGIES = {
    "cell_type": "CL",
    "tissue": "UBERON",
    "disease": "MONDO",
    "assay": "EFO",
    "ethnicity": "HANCESTRO",
    "sex": "PATO",
}
TERM = re.compile(r"[A-Za-z]+:\d+|CVCL_\w+")
SEPARATOR = "||"  # between the values of one cell (CELLxGENE)
CULTURES = {"tissue": "tissue", "organoid": "organoid"} | dict.fromkeys(
    ("cell_culture", "cell culture", "primary cell culture", "cell line", "cell lines"), "cell_culture"
)
NO_LABELS = LabelNames({}, {})
REPORT = ("class", "column", "label", "term", "name", "status", "by", "cells")
LISTED = "listing"  # stands for the column in the report where the label is what the dataset was listed with
FIX_LABEL = "Correct label_key in the registry, or leave it empty for a dataset without labels."


@dataclass(frozen=True)
class Found:
    """What one label stands for.

    Attributes
    ----------
    status
        `mapped`; `ambiguous`: it stands for several terms; `unknown`: for none; `missing`: it says that nothing is known.
    by
        How it was found: table, common (the table of all datasets), id, successor (of a retired id), name, synonym, several.
    """

    term: str
    status: str
    by: str


MISSING_LABEL = Found(UNKNOWN_TERM, "missing", "")


@dataclass(frozen=True)
class Labels:
    """Aligned labels of some cells.

    Attributes
    ----------
    frame
        One column `<class>_ontology_term_id` for each of `CLASSES`; "unknown" where it is not known.
    report
        One row per class and label of the file, with the columns `REPORT`: what each stands for, and how many cells have it.
    schema
        What the metadata were recognized as.
    """

    frame: pd.DataFrame
    report: pd.DataFrame
    schema: str

    @cached_property
    def unknown(self) -> dict[str, dict[str, Any]]:
        """Class to the number of cells whose label could not be used, and its most frequent such labels."""
        lost = self.report.loc[self.report["status"].isin(["ambiguous", "unknown"])]
        return {
            str(name): {"cells": int(rows["cells"].sum()), "examples": rows["label"].tolist()[:5]}
            for name, rows in lost.groupby("class", sort=False)
        }


def align_labels(
    obs: pd.DataFrame,
    *,
    dataset: Dataset,
    uns: Mapping[str, Any] | None = None,
    names: LabelNames = NO_LABELS,
) -> Labels:
    """Find each class in the metadata of cells and bring it to one known ontology term per cell.

    A class is read from the column that the dataset's table of labels gives, else from its column of term ids, else from its
    column of names. The cell type is read from the registry's `label_key` where one is given. The organism is the registry's.
    Of tissue and assay, what the dataset was listed with counts for all cells where the file says it of none; a tissue that is
    a kind of culture ("cell lines") counts as that.

    Raises
    ------
    ValueError
        If the label column of the registry or of the table is missing, or holds not one label that is known.
    """
    metadata = read_metadata(obs, uns or {})
    frame, reports = pd.DataFrame(index=obs.index), []
    for name in CLASSES:
        column = _column(metadata.obs, name, dataset, names)
        given = _as_text(metadata.obs, column) if column else pd.Series(UNKNOWN_TERM, index=obs.index)
        if name == "organism":
            column, given = "registry", pd.Series(dataset.organism, index=obs.index)
        elif (listed := _listed(name, dataset)) and all(
            str(value).strip().lower() in MISSING for value in given.unique()
        ):
            column, given = LISTED, pd.Series(listed, index=obs.index)
        found = {value: resolve(name, value, names=names) for value in given.unique()}
        frame[f"{name}_ontology_term_id"] = pd.Categorical(given.map({value: hit.term for value, hit in found.items()}))
        if column:
            reports.append(_report(given, found).assign(**{"class": name, "column": column}))
    version = "none" if metadata.version is None else str(metadata.version)
    report = pd.concat(reports, ignore_index=True).loc[:, list(REPORT)]
    labels = Labels(frame, report, f"CELLxGENE schema {version}: {metadata.evidence}")
    _check_labels(labels, dataset)
    return labels


def resolve(name: str, value: str, *, names: LabelNames = NO_LABELS) -> Found:
    """Say what one label of a class stands for: by the dataset's table, the common table, as an id, then as a name.

    Several values joined by " || " stand for the most specific one where they are one line of descent, else they are ambiguous.
    """
    text = value.strip()
    for by, table in (("table", names), ("common", common_names())):
        term = table.terms.get((name, text)) or table.terms.get((name, text.lower()))
        if term is not None:
            return _mapped_or_unknown(term, by=by)
    if text.lower() in MISSING:
        return MISSING_LABEL
    if SEPARATOR in text:
        parts = [resolve(name, part, names=names) for part in text.split(SEPARATOR)]
        term = most_specific([part.term for part in parts])
        return Found(term, "ambiguous" if term == UNKNOWN_TERM else "mapped", "several")
    if name == "cell_culture":
        return _mapped_or_unknown(CULTURES.get(text.lower(), UNKNOWN_TERM), by="name")
    return _resolve_id(name, text) if TERM.match(text) else _resolve_name(name, text)


def _mapped_or_unknown(term: str, *, by: str) -> Found:
    return Found(term, "unknown" if term == UNKNOWN_TERM else "mapped", by)


def _resolve_id(name: str, text: str) -> Found:
    if name == "age_group":
        return _mapped_or_unknown(age_group(text), by="id")
    term = clean_term(text)
    return _mapped_or_unknown(term, by="id" if term in {text, UNKNOWN_TERM} else "successor")


def _resolve_name(name: str, text: str) -> Found:
    if name not in ONTOLOGIES:
        return Found(UNKNOWN_TERM, "unknown", "")
    match = find_name(ONTOLOGIES[name], text)
    return Found(match.term, match.status, match.by)


def _report(given: pd.Series, found: Mapping[str, Found]) -> pd.DataFrame:
    """One row per label, frequent ones first."""
    cells = given.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    hits = [found[str(value)] for value in cells.index]
    return pd.DataFrame(
        {
            "label": cells.index.to_numpy(),
            "term": [hit.term for hit in hits],
            "name": [label(hit.term) for hit in hits],
            "status": [hit.status for hit in hits],
            "by": [hit.by for hit in hits],
            "cells": cells.to_numpy(),
        }
    )


def _column(obs: pd.DataFrame, name: str, dataset: Dataset, names: LabelNames) -> str | None:
    stated = names.columns.get(name) or (dataset.label_key if name == "cell_type" else "")
    if stated:
        if stated not in obs:
            raise ValueError(f"obs has no label column {stated!r}; found {sorted(obs.columns)[:20]}. {FIX_LABEL}")
        return stated
    usual = COLUMNS.get(name, (f"{name}_ontology_term_id", name))
    return next((column for column in usual if column in obs), None)


def _listed(name: str, dataset: Dataset) -> str:
    """Return the label of a class that the dataset was listed with, of all its cells; empty without one."""
    cultured = dataset.tissue.lower() in CULTURES
    tissues = {"tissue": "" if cultured else dataset.tissue, "cell_culture": dataset.tissue if cultured else ""}
    return {**tissues, "assay": dataset.assay}.get(name, "")


def _as_text(obs: pd.DataFrame, column: str) -> pd.Series:
    values = pd.Series(obs[column].astype(object), index=obs.index)
    return values.where(values.notna(), UNKNOWN_TERM).astype(str)


def _check_labels(labels: Labels, dataset: Dataset) -> None:
    if dataset.label_key and (np.asarray(labels.frame["cell_type_ontology_term_id"]) == UNKNOWN_TERM).all():
        examples = labels.unknown.get("cell_type", {}).get("examples", [])
        raise ValueError(
            f"not one label in obs[{dataset.label_key!r}] is a cell type; found {examples}. Use Cell Ontology ids (CL:0000084) "
            f"or names (T cell), or write a table of your labels, config/labels/{dataset.name}.tsv. {FIX_LABEL}"
        )
