"""Ontology terms: ancestors, names, replacements of retired terms, and the label tables that a classifier uses.

NCBITaxon and CVCL are never loaded (they take tens of seconds); their terms have no ancestors here.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import pandas as pd

from scprint2.data.ontology_sources import ontology
from scprint2.data.vocabulary import LabelTable

UNKNOWN_TERM = "unknown"
LOADED = frozenset("CL UBERON MONDO EFO HANCESTRO AfPO HsapDv MmusDv PATO FBbt FBdv ZFA ZFS WBbt WBls".split())
MISSING = frozenset(["", "unknown", "na", "nan", "none", "n/a", "not applicable", "multiethnic"])
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
    "NCBITaxon:9913": "Bos taurus",
    "NCBITaxon:9940": "Ovis aries",
    "NCBITaxon:9796": "Equus caballus",
    "NCBITaxon:9685": "Felis catus",
    "NCBITaxon:74533": "Panthera tigris altaica",
    "NCBITaxon:10181": "Heterocephalus glaber",
    "NCBITaxon:7955": "Danio rerio",
    "NCBITaxon:7227": "Drosophila melanogaster",
    "NCBITaxon:6239": "Caenorhabditis elegans",
    "NCBITaxon:3702": "Arabidopsis thaliana",
    "NCBITaxon:4577": "Zea mays",
    "NCBITaxon:39947": "Oryza sativa Japonica Group",
    "NCBITaxon:4081": "Solanum lycopersicum",
}


@dataclass(frozen=True)
class Match:
    """What a name stands for in an ontology.

    Attributes
    ----------
    term
        "unknown" unless exactly one term has the name.
    status
        mapped, ambiguous (several terms) or unknown.
    by
        name, synonym, or empty.
    """

    term: str
    status: str
    by: str = ""


@cache
def ancestors(term: str) -> frozenset[str]:
    """All ancestors of a term within its ontology, without itself; none for a term that is not known."""
    return ontology(_prefix(term)).ancestors(term) if _prefix(term) in LOADED else frozenset()


@cache
def label(term: str) -> str:
    """Human-readable name of a term; the term itself where none is known."""
    if term in ORGANISM_NAMES:
        return ORGANISM_NAMES[term]
    known = ontology(_prefix(term)).terms if _prefix(term) in LOADED else {}
    return known[term].name or term if term in known else term


@cache
def find_name(prefix: str, name: str) -> Match:
    """Look a name up in an ontology, without case: the names of its terms in use first, then their exact synonyms."""
    source = ontology(prefix)
    for by, names in (("name", source.names), ("synonym", source.synonyms)):
        found = names.get(name.strip().lower(), ())
        if found:
            return Match(found[0], "mapped", by) if len(found) == 1 else Match(UNKNOWN_TERM, "ambiguous", by)
    return Match(UNKNOWN_TERM, "unknown")


@cache
def clean_term(term: str) -> str:
    """Return a term id as this project uses it: known and not retired, else "unknown".

    A retired term is replaced where its ontology names one successor. Terms of ontologies that are not loaded stay as they are.
    """
    term = term.strip()
    if term.lower() in MISSING or ":" not in term:
        return UNKNOWN_TERM
    if _prefix(term) not in LOADED:
        return term
    entry = ontology(_prefix(term)).terms.get(term)
    if entry is None:
        return UNKNOWN_TERM
    if not entry.retired:
        return term
    return entry.successors[0] if entry.replaced else UNKNOWN_TERM


def most_specific(terms: Collection[str]) -> str:
    """The one of several terms that all others are ancestors of; "unknown" where they are no line of descent (D47)."""
    given = set(terms) - {UNKNOWN_TERM}
    lines = [term for term in sorted(given) if given <= ancestors(term) | {term}]
    return lines[0] if lines else UNKNOWN_TERM


@cache
def age_groups() -> Mapping[str, str]:
    """Developmental stage to the age group of it and of what is below it, narrow ones first (`age_groups.tsv`, D80)."""
    with files("scprint2.data").joinpath("age_groups.tsv").open() as file:
        table = pd.read_csv(file, sep="\t", comment="#")
    return dict(zip(table["stage"], table["group"], strict=True))


@cache
def age_group(term: str) -> str:
    """Age group (a HsapDv term that humans and mice share) of a developmental stage, or "unknown".

    A retired stage without one successor gets the narrowest group that holds all stages its ontology proposes instead.
    """
    term = term.strip()
    if _prefix(term) not in LOADED:
        return UNKNOWN_TERM
    entry = ontology(_prefix(term)).terms.get(term)
    stages = (entry.successors if entry else ()) or (term,)
    line = frozenset.intersection(*(ancestors(stage) | {stage} for stage in stages))
    return next((group for stage, group in age_groups().items() if stage in line), UNKNOWN_TERM)


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
