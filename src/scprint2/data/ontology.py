"""Ontology terms: ancestors, names, replacements of retired terms, and the label tables that a classifier uses.

The ontologies come with the package cellxgene-ontology-guide (no network). NCBITaxon and CVCL are never loaded (they take
tens of seconds); their terms have no ancestors here.
"""

from collections.abc import Iterable, Mapping
from functools import cache

import numpy as np
from cellxgene_ontology_guide.ontology_parser import OntologyParser

from scprint2.data.vocabulary import LabelTable

UNKNOWN_TERM = "unknown"
LOADED = frozenset(
    ["CL", "UBERON", "MONDO", "EFO", "HANCESTRO", "HsapDv", "MmusDv", "PATO", "FBbt", "FBdv", "ZFA", "WBbt", "WBls"]
)
MISSING = frozenset(["", "unknown", "na", "nan", "none", "n/a", "not applicable", "multiethnic"])
SEPARATORS = (" || ", "||", ",", ";")  # CELLxGENE joins several values by " || " (by "," before schema 6)
FLAT = frozenset(["sex", "organism", "cell_culture"])  # classes without a hierarchy
NORMAL = "PATO:0000461"  # CELLxGENE writes "normal" in place of a disease

ORGANISM_NAMES: Mapping[str, str] = {
    "NCBITaxon:9606": "Homo sapiens",
    "NCBITaxon:10090": "Mus musculus",
    "NCBITaxon:10116": "Rattus norvegicus",
    "NCBITaxon:9544": "Macaca mulatta",
    "NCBITaxon:9541": "Macaca fascicularis",
    "NCBITaxon:9483": "Callithrix jacchus",
    "NCBITaxon:9598": "Pan troglodytes",
    "NCBITaxon:9595": "Gorilla gorilla gorilla",
    "NCBITaxon:30608": "Microcebus murinus",
    "NCBITaxon:9823": "Sus scrofa",
    "NCBITaxon:9986": "Oryctolagus cuniculus",
    "NCBITaxon:9031": "Gallus gallus",
    "NCBITaxon:7955": "Danio rerio",
    "NCBITaxon:7227": "Drosophila melanogaster",
    "NCBITaxon:6239": "Caenorhabditis elegans",
}

# Developmental stages (human and mouse) to groups that both have; the first that is the term or an ancestor of it counts.
AGE_GROUPS: Mapping[str, str] = {
    "HsapDv:0000002": "HsapDv:0000002",  # embryonic stage
    "MmusDv:0000002": "HsapDv:0000002",
    "HsapDv:0000037": "HsapDv:0000037",  # fetal stage
    "MmusDv:0000031": "HsapDv:0000037",
    "HsapDv:0000262": "HsapDv:0000262",  # newborn stage
    "MmusDv:0000036": "HsapDv:0000262",  # Theiler stage 27
    "HsapDv:0000261": "HsapDv:0000261",  # infant stage
    "MmusDv:0000177": "HsapDv:0000261",
    "HsapDv:0000265": "HsapDv:0000265",  # child stage (1-4 years); mice have none
    "HsapDv:0000271": "HsapDv:0000271",  # juvenile stage (5-14 years)
    "MmusDv:0000178": "HsapDv:0000271",
    "HsapDv:0000266": "HsapDv:0000266",  # young adult stage
    "MmusDv:0000153": "HsapDv:0000266",
    "HsapDv:0000267": "HsapDv:0000267",  # middle aged stage
    "MmusDv:0000135": "HsapDv:0000267",
    "HsapDv:0000227": "HsapDv:0000227",  # late adult stage (elder)
    "MmusDv:0000134": "HsapDv:0000227",
    "HsapDv:0000045": "HsapDv:0000045",  # prenatal, pediatric, adult: only where nothing more is said
    "MmusDv:0000042": "HsapDv:0000045",
    "HsapDv:0000264": "HsapDv:0000264",
    "MmusDv:0000043": "HsapDv:0000264",
    "HsapDv:0000258": "HsapDv:0000258",
    "MmusDv:0000110": "HsapDv:0000258",
}


@cache
def _parser() -> OntologyParser:
    return OntologyParser()


@cache
def ancestors(term: str) -> frozenset[str]:
    """All ancestors of a term within its ontology, without itself; none for a term that is not known."""
    try:
        return frozenset(_parser().get_term_ancestors(term)) - {term} if _prefix(term) in LOADED else frozenset()
    except KeyError:
        return frozenset()


@cache
def label(term: str) -> str:
    """Human-readable name of a term; the term itself where none is known."""
    if term in ORGANISM_NAMES:
        return ORGANISM_NAMES[term]
    try:
        return _parser().get_term_label(term) or term if _prefix(term) in LOADED else term
    except KeyError:
        return term


@cache
def names_to_terms(prefix: str) -> Mapping[str, str]:
    """Lower-case names of an ontology to ids of terms that are not retired; a name of several terms is left out."""
    found: dict[str, str] = {}
    for name, term in _parser().get_term_label_to_id_map(prefix).items():
        if not _parser().is_term_deprecated(term):
            found[name.lower()] = term if found.get(name.lower(), term) == term else UNKNOWN_TERM
    return {name: term for name, term in found.items() if term != UNKNOWN_TERM}


def clean_terms(values: Iterable[object]) -> np.ndarray:
    """Term ids as this project uses them: known and not retired, one per cell, else "unknown".

    A retired term is replaced where its ontology names a successor. Of several values joined by " || " the one counts that the
    others are ancestors of; values that are no line of descent are unknown. A note in brackets, as in
    "CL:0000057 (cell culture)", is dropped. Terms of ontologies that are not loaded stay as they are.
    """
    return np.array([_clean(str(value)) for value in values], dtype=object)


@cache
def _clean(value: str) -> str:
    for separator in SEPARATORS:
        if separator in value:
            return _most_specific({_clean(part) for part in value.split(separator)} - {UNKNOWN_TERM})
    term = value.split(" (")[0].strip()
    if term.lower() in MISSING or ":" not in term:
        return UNKNOWN_TERM
    if _prefix(term) not in LOADED:
        return term
    try:
        if not _parser().is_term_deprecated(term):
            return term
        return _parser().get_term_replacement(term) or UNKNOWN_TERM
    except KeyError:
        return UNKNOWN_TERM


def _most_specific(terms: set[str]) -> str:
    lines = [term for term in sorted(terms) if terms <= ancestors(term) | {term}]
    return lines[0] if lines else UNKNOWN_TERM


@cache
def age_group(term: str) -> str:
    """Age group (a HsapDv term that humans and mice share) of a developmental stage, or "unknown".

    A retired stage without one successor gets the narrowest group that holds all stages its ontology proposes instead.
    """
    term = term.split(" (")[0].strip()
    if _prefix(term) not in LOADED:
        return UNKNOWN_TERM
    entry = _parser().cxg_schema.ontology(_prefix(term)).get(term, {})
    proposed = [entry["replaced_by"]] if entry.get("replaced_by") else entry.get("consider") or []
    stages = [stage.removeprefix("obo.").replace("_", ":") for stage in proposed] or [term]
    line = frozenset.intersection(*(ancestors(stage) | {stage} for stage in stages))
    return next((group for stage, group in AGE_GROUPS.items() if stage in line), UNKNOWN_TERM)


def build_label_table(name: str, terms: Iterable[str]) -> LabelTable:
    """Order the labels of one class into leaves and parents.

    A label with descendants among the labels is a parent. Other ancestors with at least two leaves become parents too, unless
    a more specific one has the same leaves. The classes `FLAT` have leaves only.
    """
    labels = sorted(set(terms) - {UNKNOWN_TERM})
    above = {term: frozenset() if name in FLAT else ancestors(term) for term in labels}
    inner = set().union(*above.values())
    leaves = tuple(term for term in labels if term not in inner)
    members = {
        parent: tuple(code for code, leaf in enumerate(leaves) if parent in above[leaf]) for parent in sorted(inner)
    }
    parents = tuple(sorted(set(labels) - set(leaves)) + _distinct_ancestors(members, set(labels)))
    names = {term: label(term) for term in leaves + parents}
    return LabelTable(name, leaves, parents, tuple(members[parent] for parent in parents), names)


def _distinct_ancestors(members: Mapping[str, tuple[int, ...]], labels: set[str]) -> list[str]:
    """Ancestors that are no labels, at least two leaves each, the most specific one of each set of leaves."""
    taken = {members[term] for term in labels & set(members)}
    best: dict[tuple[int, ...], str] = {}
    for term, leaves in members.items():
        if term in labels or len(leaves) < 2 or leaves in taken:
            continue
        rival = best.get(leaves)
        if rival is None or len(ancestors(term)) > len(ancestors(rival)):
            best[leaves] = term
    return sorted(best.values())


def _prefix(term: str) -> str:
    return term.split(":", 1)[0]
