"""CELLxGENE's metadata as of schema 7, from files of schema 2 to 7: one step for each thing that its versions write differently.

Source: the changelog of https://github.com/chanzuckerberg/single-cell-curation/blob/main/schema/7.1.0/schema.md
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

NEWEST = 7
ORGANISM = "organism_ontology_term_id"
ETHNICITY = "self_reported_ethnicity_ontology_term_id"
NOTE = re.compile(r" \((.*)\)$")
# What says in obs which version a file without `schema_version` follows, newest first.
SIGNS = (("tissue_type", 5), (ETHNICITY, 3), ("ethnicity_ontology_term_id", 2))
CULTURES = {"cell culture": "primary cell culture"}


@dataclass(frozen=True)
class Metadata:
    """Metadata of cells as schema 7 writes them, but with the organism in obs.

    Attributes
    ----------
    version
        Major version of the schema that the file follows; None for a file that does not follow it.
    evidence
        What says so.
    """

    obs: pd.DataFrame
    version: int | None
    evidence: str


def read_metadata(obs: pd.DataFrame, uns: Mapping[str, Any]) -> Metadata:
    """Recognize the schema of a file and bring its cells' metadata to that of schema 7.

    Columns that the schema does not know stay as they are; obs itself is not changed.

    Raises
    ------
    ValueError
        If obs and uns name different organisms.
    """
    version, evidence = recognize(obs, uns)
    frame = _organism_to_obs(obs.copy(), uns)
    for last, step in STEPS:
        if version is not None and version <= last:
            frame = step(frame)
    return Metadata(frame, version, evidence)


def recognize(obs: pd.DataFrame, uns: Mapping[str, Any]) -> tuple[int | None, str]:
    """Major version of the schema of a file, and what says so: `schema_version`, `schema_reference`, else its columns."""
    for key in ("schema_version", "schema_reference"):
        found = re.search(r"(?:^|/)(\d+)\.\d+\.\d+", str(uns.get(key, "")))
        if found:
            return int(found[1]), f"uns[{key!r}] is {str(uns[key])!r}"
    if ORGANISM in uns:
        kinds = set(obs["tissue_type"].astype(str)) if "tissue_type" in obs else set()
        version = 7 if kinds & {"primary cell culture", "cell line"} else 6
        return version, f"organism in uns, tissue types {sorted(kinds)}"
    for column, version in SIGNS:
        if column in obs:
            return version, f"obs has {column!r}, uns has no organism"
    if any(str(column).endswith("_ontology_term_id") for column in obs.columns):
        return SIGNS[-1][1], "obs has columns of term ids, and none that newer versions need"
    return None, "no column or key of CELLxGENE's schema"


def organisms_of(obs: pd.DataFrame, uns: Mapping[str, Any]) -> set[str]:
    """Organisms (NCBITaxon ids) of the cells; empty when the file does not say."""
    given = _organism_to_obs(obs, uns).get(ORGANISM)
    found = set(given.astype(str)) if given is not None else set()
    return {organism for organism in found if organism.startswith("NCBITaxon:")}


def _organism_to_obs(obs: pd.DataFrame, uns: Mapping[str, Any]) -> pd.DataFrame:
    """Schema 6 moved the organism, one per file, from obs to uns."""
    stated = str(uns.get(ORGANISM, ""))
    if not stated:
        return obs
    if ORGANISM in obs:
        others = sorted(set(obs[ORGANISM].astype(str)) - {stated})
        if others:
            raise ValueError(
                f"uns[{ORGANISM!r}] is {stated!r}, obs[{ORGANISM!r}] holds {others}. Correct or remove one of the two."
            )
        return obs
    return obs.assign(**{ORGANISM: pd.Categorical([stated] * len(obs))})


def _name_ethnicity(obs: pd.DataFrame) -> pd.DataFrame:
    """Schema 3 renamed ethnicity."""
    names = {"ethnicity_ontology_term_id": ETHNICITY, "ethnicity": "self_reported_ethnicity"}
    return obs.rename(columns={old: new for old, new in names.items() if old in obs and new not in obs})


def _notes_to_tissue_type(obs: pd.DataFrame) -> pd.DataFrame:
    """Up to schema 3 a note behind the tissue said "cell culture" or "organoid"; schema 4 has `tissue_type` for it."""
    columns = [name for name in ("tissue_ontology_term_id", "assay_ontology_term_id", "tissue", "assay") if name in obs]
    if "tissue_ontology_term_id" in obs and "tissue_type" not in obs:
        notes = obs["tissue_ontology_term_id"].astype(str).str.extract(NOTE, expand=False)
        obs = obs.assign(tissue_type=pd.Categorical(notes.fillna("tissue")))
    return _change(obs, columns, lambda value: NOTE.sub("", value))


def _commas_to_bars(obs: pd.DataFrame) -> pd.DataFrame:
    """Schema 6 joins several ethnicities by " || ", before that they are joined by ","; names may hold commas and stay."""
    return _change(obs, [name for name in (ETHNICITY,) if name in obs], lambda value: " || ".join(value.split(",")))


def _name_cultures(obs: pd.DataFrame) -> pd.DataFrame:
    """Schema 7 renamed "cell culture", because "cell line" stands beside it."""
    return _change(obs, [name for name in ("tissue_type",) if name in obs], lambda value: CULTURES.get(value, value))


# The last version that writes it the old way, and the step to the new one, in order.
STEPS: tuple[tuple[int, Callable[[pd.DataFrame], pd.DataFrame]], ...] = (
    (2, _name_ethnicity),
    (3, _notes_to_tissue_type),
    (5, _commas_to_bars),
    (6, _name_cultures),
)


def _change(obs: pd.DataFrame, columns: list[str], change: Callable[[str], str]) -> pd.DataFrame:
    """Change the values of some columns; missing values stay missing."""
    changed = {}
    for column in columns:
        values = pd.Series(obs[column].astype(object), index=obs.index)
        changed[column] = values.map({value: change(str(value)) for value in values.dropna().unique()})
    return obs.assign(**changed)
