"""Experiments as plain dictionaries: `base.yaml`, a variant's overlay laid on it, a scale's constants filled in."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scprint2.config.checks import check_experiment

NAME = re.compile(r"[a-z][a-z0-9_]*")
# Planning reads 2,000 small files: libyaml, where PyYAML was built with it, takes an eighth of the time.
SAFE_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
PAPER_SCALE = "paper"
FROM_REGISTRY = "registry"  # in place of a list of datasets: what the registry says
VARIANT_KEYS = {"title", "table1", "reference", "extends", "set"}
TABLE1_KEYS = {"section", "name", "item"}
SCALE_KEYS = {
    "source",
    "registry",
    "organisms",
    "merged",
    "seeds",
    "gene_embedding",
    "preprocessing",
    "chunks",
    "constants",
    "corpora",
    "roles",
}


@dataclass(frozen=True)
class Variant:
    """One file of `config/variants/`: a row of Table 1.

    Attributes
    ----------
    name
        The file's name without its ending.
    reference
        The variant that this row is compared with.
    extends
        Variants whose overlays are laid on first, in order.
    overlay
        What this variant changes, a partial experiment that may hold constants (`$name`).
    """

    name: str
    title: str
    section: str
    table_name: str
    item: int | None
    reference: str
    extends: tuple[str, ...]
    overlay: Mapping[str, Any]


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds one mapping; tags that would build objects are refused."""
    value = yaml.load(path.read_text(), Loader=SAFE_LOADER)
    if not isinstance(value, dict):
        raise ValueError(f"{path}: expected a mapping at the top, found {type(value).__name__}")
    return value


def read_variant(path: Path) -> Variant:
    """Read one overlay file.

    Raises
    ------
    ValueError
        If the name, a key or the table entry is not allowed.
    """
    if not NAME.fullmatch(path.stem):
        raise ValueError(f"{path}: a variant's name is made of a-z, 0-9 and _, and starts with a letter")
    value = read_yaml(path)
    table = value.get("table1", {})
    unknown = (set(value) - VARIANT_KEYS) | {f"table1.{key}" for key in set(table) - TABLE1_KEYS}
    if unknown:
        raise ValueError(
            f"{path}: unknown keys {sorted(unknown)}; allowed: {sorted(VARIANT_KEYS)}, in table1: {sorted(TABLE1_KEYS)}"
        )
    if "title" not in value or "reference" not in value:
        raise ValueError(f"{path}: `title` and `reference` are required")
    return Variant(
        name=path.stem,
        title=value["title"],
        section=table.get("section", "own"),
        table_name=table.get("name", value["title"]),
        item=table.get("item"),
        reference=value["reference"],
        extends=tuple(value.get("extends", ())),
        overlay=value.get("set") or {},
    )


def list_variants(config: Path) -> dict[str, Variant]:
    """Every variant in `<config>/variants`, by name, in the order of Table 1 (item, then name).

    Raises
    ------
    ValueError
        If a `reference` or an entry of `extends` is not a variant.
    """
    variants = [read_variant(path) for path in sorted((config / "variants").glob("*.yaml"))]
    variants.sort(key=lambda variant: (variant.item is None, variant.item or 0, variant.name))
    known = {variant.name: variant for variant in variants}
    for variant in variants:
        for name in (variant.reference, *variant.extends):
            if name not in known:
                raise ValueError(f"config/variants/{variant.name}.yaml: no variant {name!r}; known: {sorted(known)}")
    return known


def read_scale(config: Path, scale: str) -> dict[str, Any]:
    """Read `<config>/scales/<scale>.yaml`.

    Raises
    ------
    ValueError
        If there is no such scale, or its keys are not the expected ones.
    """
    path = config / "scales" / f"{scale}.yaml"
    if not path.is_file():
        known = sorted(file.stem for file in path.parent.glob("*.yaml"))
        raise ValueError(f"no scale {scale!r}; known: {known}. Add {path} to make one.")
    value = read_yaml(path)
    if set(value) != SCALE_KEYS:
        missing, unknown = sorted(SCALE_KEYS - set(value)), sorted(set(value) - SCALE_KEYS)
        raise ValueError(f"{path}: missing keys {missing}, unknown keys {unknown}")
    return value


def assign_datasets(
    entries: Mapping[str, list[str] | str], registry: Mapping[str, Sequence[str]], *, where: str
) -> dict[str, list[str]]:
    """Datasets behind the corpora or roles of a scale; the word `registry` means those whose row in the registry says so.

    Parameters
    ----------
    entries
        `corpora` or `roles` of a scale: name to dataset names, or to `registry`.
    registry
        Dataset name to the words in its `roles` column.

    Raises
    ------
    ValueError
        If a dataset is not in the registry.
    """
    assigned = {
        name: [dataset for dataset, words in registry.items() if name in words]
        if value == FROM_REGISTRY
        else list(value)
        for name, value in entries.items()
    }
    missing = sorted({dataset for datasets in assigned.values() for dataset in datasets} - set(registry))
    if missing:
        raise ValueError(f"{where}: no datasets {missing} in the registry; known: {sorted(registry)}")
    return assigned


def resolve(config: Path, *, scale: str, variant: str) -> dict[str, Any]:
    """Return the whole experiment of a variant at a scale, checked as far as that needs no torch.

    Raises
    ------
    ValueError
        If the variant or a constant does not exist, two `extends` disagree, or the experiment contradicts itself.
    """
    return resolve_all(config, scale=scale, names=[variant])[variant]


def resolve_all(config: Path, *, scale: str, names: Iterable[str] | None = None) -> dict[str, dict[str, Any]]:
    """Return the whole experiments of some variants, or of all, as `resolve` does; each file is read once.

    Raises
    ------
    ValueError
        As in `resolve`.
    """
    config = Path(config)
    variants, base = list_variants(config), read_yaml(config / "base.yaml")
    constants = read_scale(config, scale)["constants"]
    experiments = {}
    for name in variants if names is None else names:
        if name not in variants:
            raise ValueError(f"no variant {name!r}; known: {sorted(variants)}")
        where = f"{name} at scale {scale}"
        experiments[name] = fill(merge(base, gather(variants, name)), constants, where=where)
        check_experiment(experiments[name], name=name)
    return experiments


def gather(variants: Mapping[str, Variant], name: str) -> dict[str, Any]:
    """Return the overlay of a variant with those that it extends laid under it.

    Raises
    ------
    ValueError
        If two parents set one path differently and the variant does not settle it.
    """
    variant, overlay = variants[name], {}
    seen: dict[str, tuple[Any, str]] = {}
    own = dict(flatten(variant.overlay))
    for parent in variant.extends:
        part = gather(variants, parent)
        for path, value in flatten(part):
            other, by = seen.setdefault(path, (value, parent))
            if other != value and path not in own:
                raise ValueError(
                    f"{name}: {by!r} sets {path} to {other!r}, {parent!r} sets it to {value!r}; say in {name!r} which one holds"
                )
        overlay = merge(overlay, part, keep_null=True)
    return merge(overlay, variant.overlay, keep_null=True)


def merge(below: Mapping[str, Any], above: Mapping[str, Any], *, keep_null: bool = False) -> dict[str, Any]:
    """Lay one tree over another: key by key, but a different `kind` replaces a node whole, and null removes a key.

    `keep_null` keeps the null instead (an overlay laid on an overlay must still remove from the base).
    """
    result = dict(below)
    for key, value in above.items():
        if value is None and not keep_null:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            under = result.get(key)
            if not isinstance(under, Mapping) or value.get("kind", under.get("kind")) != under.get("kind"):
                under = {}
            result[key] = merge(under, value, keep_null=keep_null)
        else:
            result[key] = value
    return result


def fill(tree: Any, constants: Mapping[str, Any], *, where: str) -> Any:
    """Replace every `$name` by the constant of that name.

    Raises
    ------
    ValueError
        If the scale has no such constant.
    """
    if isinstance(tree, Mapping):
        return {key: fill(value, constants, where=where) for key, value in tree.items()}
    if isinstance(tree, list):
        return [fill(value, constants, where=where) for value in tree]
    if isinstance(tree, str) and tree.startswith("$"):
        if tree[1:] not in constants:
            raise ValueError(f"{where}: no constant {tree!r}; known: {sorted(constants)}. Add it to the scale's file.")
        return constants[tree[1:]]
    return tree


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted path, value) of every leaf; an empty mapping is a leaf."""
    for key, value in tree.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{path}.")
        else:
            yield path, value


def difference(tree: Mapping[str, Any], reference: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Paths on which two experiments differ: path to [value in reference, value in tree]; null where it is absent."""
    ours, theirs = dict(flatten(tree)), dict(flatten(reference))
    paths = sorted(set(ours) | set(theirs))
    return {path: [theirs.get(path), ours.get(path)] for path in paths if ours.get(path) != theirs.get(path)}


def describe_variants(config: Path, *, scale: str) -> list[dict[str, Any]]:
    """List every variant as `variant, section, name, reference, diff`; `diff` is `difference` to its reference at a scale."""
    variants = list_variants(Path(config))
    trees = resolve_all(config, scale=scale)
    return [
        {
            "variant": name,
            "section": variant.section,
            "name": variant.table_name,
            "reference": variant.reference,
            "diff": difference(trees[name], trees[variant.reference]),
        }
        for name, variant in variants.items()
    ]
