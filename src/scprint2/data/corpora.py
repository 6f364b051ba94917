"""Which datasets make a corpus: lists, words of the registry, or rules over frozen listings. Imports neither torch nor pandas.

A listed dataset whose cells were all published before in another one adds no cell, so no rule takes it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from scprint2.config.overlay import assign_datasets
from scprint2.data.manifests import Listed, Manifest, read_manifest, stem
from scprint2.data.registry import Dataset

MINIMUM_CELL_TYPES = 2  # different labels, `unknown` aside, that make a dataset annotated
SECONDARY = "none"  # what a listing says of a dataset without a primary cell


@dataclass(frozen=True)
class Rule:
    """How a corpus is chosen from manifests.

    Attributes
    ----------
    manifests
        Names of the frozen listings it takes from, files of `config/manifests/`.
    within
        Instead of manifests: another corpus of the scale.
    organisms
        NCBITaxon ids that it keeps; empty keeps all.
    annotated
        Whether it keeps only datasets with cell types, as far as the source says.
    exclude
        Names of listed datasets that it does not take, such as one whose file is broken.
    most
        A seeded sample of so many datasets; None takes all.
    """

    manifests: tuple[str, ...] = ()
    within: str = ""
    organisms: tuple[str, ...] = ()
    annotated: bool = False
    exclude: tuple[str, ...] = ()
    most: int | None = None
    seed: int = 0

    @classmethod
    def from_mapping(cls, value: Mapping[str, Any], *, where: str) -> "Rule":
        """Read a rule of a scale's `corpora`.

        Raises
        ------
        ValueError
            If a key is unknown, or not exactly one of `manifests` and `within` is given.
        """
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(value) - set(known))
        if unknown or bool(value.get("manifests")) == bool(value.get("within")):
            raise ValueError(f"{where}: unknown keys {unknown}; allowed: {known}, and one of manifests and within")
        most = value.get("most")
        if most is not None and most < 1:
            raise ValueError(f"{where}: most is {most}; it must be at least 1")
        return cls(
            manifests=tuple(value.get("manifests", ())),
            within=value.get("within", ""),
            organisms=tuple(value.get("organisms", ())),
            annotated=value.get("annotated", False),
            exclude=tuple(value.get("exclude", ())),
            most=most,
            seed=value.get("seed", 0),
        )


@dataclass(frozen=True)
class Corpora:
    """The corpora of a scale.

    Attributes
    ----------
    datasets
        Every dataset of the registry and of the manifests that a corpus takes from, by name.
    corpora
        Corpus to dataset names.
    partial
        Corpus to what is missing of it because a listing is not complete.
    secondary
        Corpus to how many listed datasets its rule would take if they had a primary cell.
    """

    datasets: dict[str, Dataset]
    corpora: dict[str, list[str]]
    partial: dict[str, str]
    secondary: dict[str, int]


def resolve_corpora(
    entries: Mapping[str, Any], registry: Mapping[str, Dataset], *, folder: str | Path, where: str
) -> Corpora:
    """Find the datasets behind the corpora of a scale.

    A dataset of a manifest that the registry names too, by any of its names, is there to be tested on and enters no corpus;
    its study (`collection`), where the registry does not say it, is the one that it was listed with.

    Parameters
    ----------
    entries
        `corpora` of a scale: name to a list of datasets, to `registry`, or to a rule.
    folder
        Where the manifests are.

    Raises
    ------
    ValueError
        If a rule, a manifest or a dataset does not exist or is malformed.
    """
    rules = {name: Rule.from_mapping(value, where=f"{where}, corpus {name!r}") for name, value in _rules(entries)}
    words = {name: dataset.roles for name, dataset in registry.items()}
    corpora = assign_datasets({name: value for name, value in entries.items() if name not in rules}, words, where=where)
    sources = sorted({source for rule in rules.values() for source in rule.manifests})
    manifests = {source: read_manifest(Path(folder) / f"{source}.tsv") for source in sources}
    listed = _merge(manifests, registry)
    candidates = _find_candidates(rules, listed, where=where)
    chosen = {name: select(rows, rules[name]) for name, rows in candidates.items()}
    corpora |= {name: [row.name for row in rows] for name, rows in chosen.items()}
    return Corpora(
        datasets={
            **_with_studies(registry, manifests),
            **{row.name: row.to_dataset() for rows in listed.values() for row in rows},
        },
        corpora={name: corpora[name] for name in entries},
        partial={name: text for name in rules if (text := _missing(name, rules, manifests))},
        secondary={name: len(rows) for name in rules if (rows := _secondary(candidates[name], rules[name]))},
    )


def select(listed: Sequence[Listed], rule: Rule) -> list[Listed]:
    """Choose datasets by a rule, in the order of their names: a pure function of the listing, sampled by a hash of seed and name.

    Source: Methods, "Base model and training" (500 annotated human and mouse datasets; which ones the paper does not say).
    """
    kept = [row for row in _fitting(listed, rule) if row.primary != SECONDARY]
    if rule.most is not None:
        kept = sorted(kept, key=lambda row: hashlib.sha256(f"{rule.seed}:{row.name}".encode()).digest())[: rule.most]
    return sorted(kept, key=lambda row: row.name)


def _find_candidates(
    rules: Mapping[str, Rule], listed: Mapping[str, list[Listed]], *, where: str
) -> dict[str, list[Listed]]:
    """Return what each rule chooses from: the rows of its manifests, or what the corpus around it chose."""
    names = {row.name for rows in listed.values() for row in rows}
    for name, rule in rules.items():
        if unknown := sorted(set(rule.exclude) - names):
            raise ValueError(
                f"{where}: corpus {name!r} excludes {unknown}, which no manifest of the scale lists as a training dataset. "
                "Correct `exclude`; `scprint2 data plan --corpus NAME --files` prints the names."
            )
    found: dict[str, list[Listed]] = {}
    while len(found) < len(rules):
        ready = [
            name for name, rule in rules.items() if name not in found and (not rule.within or rule.within in found)
        ]
        if not ready:
            missing = sorted(set(rules) - set(found))
            raise ValueError(f"{where}: corpora {missing} lie within corpora that are not rules, or within each other")
        for name in ready:
            around = rules[name].within
            found[name] = (
                select(found[around], rules[around])
                if around
                else [row for source in rules[name].manifests for row in listed[source]]
            )
    return found


def _fitting(listed: Sequence[Listed], rule: Rule) -> list[Listed]:
    """Return the datasets that a rule asks for, those without a primary cell among them."""
    return [
        row
        for row in listed
        if (not rule.organisms or row.organism in rule.organisms)
        and (not rule.annotated or _is_annotated(row))
        and row.name not in rule.exclude
    ]


def _secondary(listed: Sequence[Listed], rule: Rule) -> list[Listed]:
    return [row for row in _fitting(listed, rule) if row.primary == SECONDARY]


def _is_annotated(row: Listed) -> bool:
    enough = row.cell_types is None or row.cell_types >= MINIMUM_CELL_TYPES
    return bool(row.label_key) and enough


def _rules(entries: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return [(name, value) for name, value in entries.items() if isinstance(value, Mapping)]


def _merge(manifests: Mapping[str, Manifest], registry: Mapping[str, Dataset]) -> dict[str, list[Listed]]:
    """Return each source's datasets, less the test sets."""
    tested = {name for dataset in registry.values() for name in _names(dataset)}
    listed = {
        source: [row for row in manifest.datasets if not row.is_known_as(tested)]
        for source, manifest in manifests.items()
    }
    owners: dict[str, str] = {}
    for source, rows in listed.items():
        for row in rows:
            if owners.setdefault(row.name, source) != source:
                raise ValueError(f"dataset {row.name!r} is in the manifests {owners[row.name]!r} and {source!r}")
    return listed


def _names(dataset: Dataset) -> set[str]:
    """Return what a listing may call a dataset of the registry."""
    return {dataset.name, stem(dataset.file), *map(stem, dataset.url)} - {""}


def _with_studies(registry: Mapping[str, Dataset], manifests: Mapping[str, Manifest]) -> dict[str, Dataset]:
    """Give the datasets of the registry that name no study the one that they were listed with."""
    rows = [row for manifest in manifests.values() for row in manifest.datasets if row.collection]
    studies = {name: row.collection for row in rows for name in (row.name, stem(row.file), *row.aliases)}

    def study_of(dataset: Dataset) -> str:
        return dataset.collection or next((studies[name] for name in sorted(_names(dataset)) if name in studies), "")

    return {name: replace(dataset, collection=study_of(dataset)) for name, dataset in registry.items()}


def _missing(name: str, rules: Mapping[str, Rule], manifests: Mapping[str, Manifest]) -> str:
    rule = rules[name]
    if rule.within:
        return _missing(rule.within, rules, manifests)
    return "; ".join(
        f"manifest {source}: {manifests[source].partial}" for source in rule.manifests if manifests[source].partial
    )
