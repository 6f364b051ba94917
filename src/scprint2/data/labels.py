"""Labels of cells as everybody writes them, to one ontology term per class."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from scprint2.data.ontology import MISSING, NORMAL, UNKNOWN_TERM, age_group, clean_terms, names_to_terms
from scprint2.data.registry import Dataset
from scprint2.data.vocabulary import CLASSES

# Columns of obs that may hold a class: CELLxGENE's names (ethnicity was renamed in schema 3), then plain names.
TERM_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "ethnicity": ("self_reported_ethnicity_ontology_term_id", "ethnicity_ontology_term_id"),
    "age_group": ("age_group_ontology_term_id",),
}
NAME_COLUMNS: Mapping[str, tuple[str, ...]] = {"ethnicity": ("self_reported_ethnicity", "ethnicity")}
ONTOLOGIES = {
    "cell_type": "CL",
    "tissue": "UBERON",
    "disease": "MONDO",
    "assay": "EFO",
    "ethnicity": "HANCESTRO",
    "sex": "PATO",
}
# What the scIB lung and pancreas sets, and some assays and diseases, are called where the ontology has no such name.
SPOKEN: Mapping[str, Mapping[str, str]] = {
    "cell_type": {
        "acinar": "CL:0000622",
        "activated_stellate": "CL:0002410",
        "alpha": "CL:0000171",
        "beta": "CL:0000169",
        "delta": "CL:0000173",
        "ductal": "CL:0002079",
        "endothelial": "CL:0000115",
        "endothelium": "CL:0000115",
        "epsilon": "CL:0005019",
        "gamma": "CL:0002275",
        "mast": "CL:0000097",
        "quiescent_stellate": "CL:0002410",
        "schwann": "CL:0002573",
        "t_cell": "CL:0000084",
        "type 1": "CL:0002062",
        "type 2": "CL:0002063",
        "ciliated": "CL:4030034",
        "ionocytes": "CL:0005006",
        "basal 1": "CL:0000646",
        "basal 2": "CL:0000646",
        "secretory": "CL:0000151",
        "neutrophil_cd14_high": "CL:0000775",
        "neutrophils_il1r2": "CL:0000775",
        "lymphatic": "CL:0002138",
        "t/nk cell": "CL:0000542",  # lymphocyte: what T and NK cells share
    },
    "disease": {"normal": NORMAL, "healthy": NORMAL},
    "assay": {"indrop": "EFO:0008780", "10x 3' v3 (cite-seq)": "EFO:0009922", "xenium in situ": "EFO:0022615"},
}
CULTURE = {"cell culture": "cell_culture", "cell line": "cell_culture", "primary cell culture": "cell_culture"}


@dataclass(frozen=True)
class Labels:
    """Aligned labels of some cells.

    Attributes
    ----------
    frame
        One column `<class>_ontology_term_id` for each of `CLASSES`; "unknown" where it is not known.
    unknown
        Class to the number of cells whose given label could not be used, and examples of such labels.
    """

    frame: pd.DataFrame
    unknown: dict[str, dict[str, Any]]


def align_labels(obs: pd.DataFrame, *, dataset: Dataset) -> Labels:
    """Find each class in obs and bring it to one known ontology term per cell.

    A class is read from its column of term ids, else from its column of names, which are looked up. The cell type is read from
    the registry's `label_key` where one is given.

    Raises
    ------
    ValueError
        If the label column of the registry is missing, or holds not one label that is known.
    """
    frame = pd.DataFrame(index=obs.index)
    unknown: dict[str, dict[str, Any]] = {}
    for name in CLASSES:
        column = _column(obs, name, dataset)
        given = _as_text(obs, column) if column else None
        terms = _terms(name, given, obs, dataset)
        frame[f"{name}_ontology_term_id"] = pd.Categorical(terms)
        if given is not None and name not in {"organism", "age_group"}:
            lost = (terms == UNKNOWN_TERM) & ~given.str.lower().isin(MISSING).to_numpy()
            if lost.any():
                unknown[name] = {"cells": int(lost.sum()), "examples": sorted(set(given[lost]))[:5]}
    _check_labels(frame, unknown, dataset)
    return Labels(frame, unknown)


def spoken_term(name: str, value: str) -> str:
    """Term id of a label written as a name, or "unknown"."""
    key = value.strip().lower()
    found = SPOKEN.get(name, {}).get(key) or names_to_terms(ONTOLOGIES[name]).get(key)
    return found or UNKNOWN_TERM


def _column(obs: pd.DataFrame, name: str, dataset: Dataset) -> str | None:
    if name == "cell_type" and dataset.label_key:
        if dataset.label_key not in obs:
            raise ValueError(
                f"obs has no label column {dataset.label_key!r}; found {sorted(obs.columns)[:20]}. {_FIX_LABEL}"
            )
        return dataset.label_key
    candidates = TERM_COLUMNS.get(name, (f"{name}_ontology_term_id",)) + NAME_COLUMNS.get(name, (name,))
    return next((column for column in candidates if column in obs), None)


_FIX_LABEL = "Correct label_key in the registry, or leave it empty for a dataset without labels."


def _terms(name: str, given: pd.Series | None, obs: pd.DataFrame, dataset: Dataset) -> np.ndarray:
    if name == "organism":
        return np.full(len(obs), dataset.organism, dtype=object)
    if name == "cell_culture":
        return _culture(obs)
    if name == "age_group" and given is None and "development_stage_ontology_term_id" in obs:
        stages = obs["development_stage_ontology_term_id"].astype(str)
        return np.array([age_group(stage) for stage in stages], dtype=object)
    if given is None:
        return np.full(len(obs), UNKNOWN_TERM, dtype=object)
    return clean_terms([_as_term(name, value) for value in given])


def _as_text(obs: pd.DataFrame, column: str) -> pd.Series:
    values = pd.Series(obs[column].astype(object), index=obs.index)
    return values.where(values.notna(), UNKNOWN_TERM).astype(str)


def _as_term(name: str, value: str) -> str:
    head = value.split(" ", 1)[0]
    if ":" in head and head.split(":")[1][:1].isdigit():
        return value
    return spoken_term(name, value) if name in ONTOLOGIES else value


def _culture(obs: pd.DataFrame) -> np.ndarray:
    """Tissue, organoid or cell culture: `tissue_type` (CELLxGENE from schema 4), or the note behind the tissue before that."""
    if "cell_culture_ontology_term_id" in obs:
        return obs["cell_culture_ontology_term_id"].astype(str).to_numpy(dtype=object)
    if "tissue_type" in obs:
        kinds = obs["tissue_type"].astype(str).str.lower()
    elif "tissue_ontology_term_id" in obs:
        kinds = obs["tissue_ontology_term_id"].astype(str).str.extract(r"\((.*)\)", expand=False).fillna("tissue")
    else:
        return np.full(len(obs), UNKNOWN_TERM, dtype=object)
    known = {"tissue": "tissue", "organoid": "organoid"} | CULTURE
    return np.array([known.get(kind, UNKNOWN_TERM) for kind in kinds], dtype=object)


def _check_labels(frame: pd.DataFrame, unknown: dict[str, dict[str, Any]], dataset: Dataset) -> None:
    if dataset.label_key and (frame["cell_type_ontology_term_id"] == UNKNOWN_TERM).all():
        examples = unknown.get("cell_type", {}).get("examples", [])
        raise ValueError(
            f"not one label in obs[{dataset.label_key!r}] is a cell type; found {examples}. Use Cell Ontology ids (CL:0000084) "
            f"or names (T cell). {_FIX_LABEL}"
        )
