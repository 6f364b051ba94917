"""Where ontologies come from: the package cellxgene-ontology-guide, or OBO files that a user pins."""

import gzip
import importlib.metadata
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from cellxgene_ontology_guide.ontology_parser import OntologyParser

PINNED = "SCPRINT2_ONTOLOGIES"  # a variable of the environment: JSON, prefix of an ontology to the path of an OBO file
GUIDE = "cellxgene-ontology-guide"
HOLDER = {"ZFS": "ZFA", "AfPO": "HANCESTRO"}  # ontologies that the guide keeps in the file of another


@dataclass(frozen=True)
class Term:
    """One term of an ontology.

    Attributes
    ----------
    synonyms
        Exact synonyms.
    successors
        Of a retired term: its one replacement, else the terms that the ontology proposes to consider.
    replaced
        Whether there is one replacement.
    """

    name: str
    synonyms: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    retired: bool = False
    successors: tuple[str, ...] = ()
    replaced: bool = False


@dataclass(frozen=True)
class Ontology:
    """Terms of one ontology by id, and what is above each.

    Attributes
    ----------
    source
        What the terms were read from, with its version.
    """

    source: str
    terms: Mapping[str, Term]

    @cached_property
    def _above(self) -> dict[str, frozenset[str]]:
        return {}

    def ancestors(self, term: str) -> frozenset[str]:
        """All ancestors of a term by is_a (and part_of, where the source has it), without itself."""
        if term not in self._above:
            found: set[str] = set()
            waiting = list(self.terms[term].parents) if term in self.terms else []
            while waiting:
                parent = waiting.pop()
                if parent not in found:
                    found.add(parent)
                    waiting += self.terms[parent].parents if parent in self.terms else ()
            self._above[term] = frozenset(found - {term})
        return self._above[term]

    @cached_property
    def names(self) -> Mapping[str, tuple[str, ...]]:
        """Lower-case name to the terms in use that it names."""
        return _inverted((term, (entry.name,)) for term, entry in self.terms.items() if not entry.retired)

    @cached_property
    def synonyms(self) -> Mapping[str, tuple[str, ...]]:
        """Lower-case exact synonym to the terms in use that it names."""
        return _inverted((term, entry.synonyms) for term, entry in self.terms.items() if not entry.retired)


@cache
def ontology(prefix: str) -> Ontology:
    """Return the ontology of a prefix: the pinned OBO file where there is one, else that of cellxgene-ontology-guide.

    Raises
    ------
    ValueError
        If neither has it, or the pinned file cannot be read.
    """
    pinned = pinned_files()
    if prefix in pinned:
        return read_obo(pinned[prefix], prefix=prefix)
    schema = _guide().cxg_schema
    holder = HOLDER.get(prefix, prefix)
    if holder not in schema.supported_ontologies:
        raise ValueError(
            f"no ontology {prefix!r}; known are {sorted(schema.supported_ontologies)}. Pin an OBO file of it under `ontologies`."
        )
    terms = {term: _guide_term(entry) for term, entry in schema.ontology(holder).items()}
    return Ontology(f"{GUIDE} {schema.supported_ontologies[holder].get('version', '')}", terms)


def guide_version() -> str:
    """Version of the package that ontologies come from where none is pinned."""
    return importlib.metadata.version(GUIDE)


def pinned_files() -> dict[str, str]:
    """Prefix of an ontology to the OBO file that is to be read for it.

    Raises
    ------
    ValueError
        If the variable of the environment does not hold such a mapping.
    """
    text = os.environ.get(PINNED) or "{}"
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f'{PINNED} is {text!r}; it must be JSON such as {{"CL": "cl.obo"}}.') from error
    if not isinstance(value, dict) or not all(isinstance(path, str) for path in value.values()):
        raise ValueError(f'{PINNED} is {text!r}; it must map prefixes to files, such as {{"CL": "cl.obo"}}.')
    return value


def read_obo(path: str | Path, *, prefix: str) -> Ontology:
    """Read the terms of one prefix from an OBO 1.2 or 1.4 file (plain or gzip).

    Parents are the targets of is_a within the prefix; other relationships are left out.

    Raises
    ------
    ValueError
        If the file holds no term of the prefix.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file. Correct the path of ontology {prefix} under `ontologies`.")
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        stanzas = file.read().split("\n\n[")
    version = next((line[14:].strip() for line in stanzas[0].splitlines() if line.startswith("data-version: ")), "")
    terms: dict[str, Term] = {}
    for stanza in stanzas[1:]:
        kind, *lines = stanza.splitlines()
        term = next((line[4:].strip() for line in lines if line.startswith("id: ")), "")
        if kind == "Term]" and term.startswith(f"{prefix}:"):
            terms[term] = _obo_term(lines, prefix)
    if not terms:
        raise ValueError(
            f"{path}: holds no term of {prefix} ([Term], then 'id: {prefix}:…'). Give the OBO file of {prefix}."
        )
    return Ontology(f"{path.name} {version}".strip(), terms)


@cache
def _guide() -> OntologyParser:
    return OntologyParser()


def _guide_term(entry: Mapping[str, Any]) -> Term:
    replacement = entry.get("replaced_by")
    proposed = [replacement] if replacement else entry.get("consider") or []
    return Term(
        name=entry["label"],
        synonyms=tuple(entry.get("synonyms", ())),
        parents=tuple(entry["ancestors"]),
        retired=entry["deprecated"],
        successors=tuple(term.removeprefix("obo.").replace("_", ":") for term in proposed),
        replaced=bool(replacement),
    )


def _obo_term(lines: list[str], prefix: str) -> Term:
    values: dict[str, list[str]] = {}
    for line in lines:
        key, _, value = line.partition(": ")
        values.setdefault(key, []).append(value)
    replaced = [value.strip() for value in values.get("replaced_by", [])]
    parents = (value.split(" ! ")[0].split(" {")[0].strip() for value in values.get("is_a", []))
    synonyms = (value.split('"') for value in values.get("synonym", []))
    return Term(
        name=values.get("name", [""])[0].strip(),
        synonyms=tuple(parts[1] for parts in synonyms if len(parts) > 2 and parts[2].strip().startswith("EXACT")),
        parents=tuple(parent for parent in parents if parent.startswith(f"{prefix}:")),
        retired=values.get("is_obsolete", ["false"])[0].strip() == "true",
        successors=tuple(replaced) or tuple(value.strip() for value in values.get("consider", [])),
        replaced=len(replaced) == 1,
    )


def _inverted(pairs: Any) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for term, names in pairs:
        for name in {name.strip().lower() for name in names}:
            found[name] = (*found.get(name, ()), term)
    return found
