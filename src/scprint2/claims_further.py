"""What claims are held against beside Table 1: settings, studies, the context sweep, and what was counted."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scprint2.claims_sources import CODE, DATASETS, DRAWS, LISTINGS, OVERLAP, PUBLISHED, SWEEP, TRAININGS
from scprint2.config.finetuning import FinetuneSettings
from scprint2.data import draws as of_draws
from scprint2.data.genes import LOCATION_STEP_BP
from scprint2.data.manifests import read_manifest
from scprint2.data.vocabulary import CLASSES
from scprint2.files import read_json
from scprint2.metrics.embedding import BATCH_PERCENT, BIO_PERCENT
from scprint2.metrics.overlap import COLUMNS
from scprint2.table_cells import FAILED, Cell
from scprint2.tasks.scores import read_all_scores

SECONDS_A_DAY = 86_400
QUANTITIES: Mapping[str, tuple[str, ...]] = {  # what is counted where
    TRAININGS: (
        "parameters",
        "days",
        "cells",
        "organisms",
        "genes",
        "factors",
        *(f"accuracy_{name}" for name in CLASSES),
    ),
    DRAWS: of_draws.QUANTITIES,
    OVERLAP: COLUMNS[2:],
    PUBLISHED: ("connections", "genes"),
    DATASETS: ("expressed_genes",),
    LISTINGS: ("datasets",),
}


@dataclass(frozen=True)
class Study:
    """The scores of a study, and its datasets at this scale."""

    datasets: tuple[str, ...]
    scores: pd.DataFrame


@dataclass(frozen=True)
class Further:
    """What claims look at beside Table 1.

    Attributes
    ----------
    experiments
        What `Setting.of` names, at the paper's scale.
    partial
        Rows whose corpus is not complete, with what it lacks; no verdict rests on them.
    unlisted
        Listings that are not complete, with what they lack; nor on these.
    sweep
        The table of the context sweep.
    counts
        A tree of numbers for each that `Count.of` names.
    absent
        What was not made (`claims_sources.further_sources`), with how to make it, or why there is nothing to make.
    """

    experiments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    partial: Mapping[str, str] = field(default_factory=dict)
    unlisted: Mapping[str, str] = field(default_factory=dict)
    studies: Mapping[str, Study] = field(default_factory=dict)
    sweep: pd.DataFrame | None = None
    counts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)


def read_further(
    *,
    experiments: Mapping[str, Mapping[str, Any]],
    partial: Mapping[str, str],
    counted: Mapping[str, Mapping[str, Sequence[str]]],
    figures: Mapping[str, str],
    studies: Mapping[str, Mapping[str, Sequence[str]]],
    absent: Mapping[str, str],
) -> Further:
    """Read what the workflow has made for the claims.

    Parameters
    ----------
    counted
        Kind of count, of `COUNTERS`, to name to the files in which it counts.
    figures
        `context_sweep` and `truth_overlap` to their tables, as far as they were made.
    studies
        Study to its `datasets` and its folders of `scores`.
    """
    return Further(
        experiments={**experiments, CODE: read_constants()},
        partial=partial,
        unlisted=find_unlisted(counted.get(LISTINGS, {})),
        studies={name: read_study(study["scores"], datasets=study["datasets"]) for name, study in studies.items()},
        sweep=read_sweep(figures[SWEEP]) if SWEEP in figures else None,
        counts={
            OVERLAP: count_overlap(figures[OVERLAP]) if OVERLAP in figures else {},
            **{of: {name: COUNTERS[of](*files) for name, files in names.items()} for of, names in counted.items()},
        },
        absent=absent,
    )


def read_constants() -> dict[str, Any]:
    """The numbers of the code that the paper states and nobody is meant to change."""
    constants = {"location_step_bp": LOCATION_STEP_BP, "bio_percent": BIO_PERCENT, "batch_percent": BATCH_PERCENT}
    return constants | {"finetuning": asdict(FinetuneSettings())}


def read_study(folders: Iterable[str | Path], *, datasets: Sequence[str]) -> Study:
    """Read the score folders of a study."""
    files = [file for folder in folders for file in sorted(Path(folder).glob("*/*.tsv"))]
    return Study(tuple(datasets), read_all_scores(files))


def read_sweep(path: str | Path) -> pd.DataFrame:
    """Read `context_sweep.csv`."""
    return pd.read_csv(path, keep_default_na=False, na_values={"accuracy": [""]})


def count_training(model: str | Path, corpus: str | Path) -> dict[str, int | float]:
    """What a trained model and its corpus hold.

    `parameters` are those that are trained, `factors` transcription factors, `accuracy_CLASS` percent of the validation cells.
    """
    record, cost, vocabulary = (
        json.loads((Path(model) / f"{name}.json").read_text()) for name in ("record", "cost", "vocabulary")
    )
    genes, shards = vocabulary["genes"], json.loads(Path(corpus).read_text())["shards"]
    return {
        "parameters": record["parameters"]["trained"],
        "days": cost["seconds"] / SECONDS_A_DAY,
        "cells": sum(shard["cells"] for shard in shards),
        "organisms": len(set(genes["organism"])),
        "genes": len(genes["gene_id"]),
        "factors": sum(map(bool, genes["is_tf"])),
        **{
            f"accuracy_{name}": 100 * found["accuracy"] for name, found in record.get("validation_accuracy", {}).items()
        },
    }


def count_overlap(path: str | Path) -> dict[str, dict[str, dict[str, int | float]]]:
    """`truth_overlap.csv` as a tree: first network, second network, column."""
    overlap = pd.read_csv(path)
    found: dict[str, dict[str, dict[str, int | float]]] = {}
    for line in overlap.to_dict("records"):
        numbers = {name: value for name, value in line.items() if name not in ("organism", "first", "second")}
        found.setdefault(line["first"], {})[line["second"]] = numbers
    return found


def find_unlisted(listings: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The listings that are not complete, with what they lack."""
    manifests = {name: read_manifest(path) for name, (path,) in listings.items()}
    return {name: manifest.partial for name, manifest in manifests.items() if manifest.partial}


def count_listing(path: str | Path) -> dict[str, int]:
    """Count the datasets of a frozen listing."""
    return {"datasets": len(read_manifest(path).datasets)}


def count_connections(path: str | Path) -> dict[str, int]:
    """Count a known network as published: the pairs of genes, each once whatever its direction, and the genes in them."""
    edges = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    pairs = {frozenset(edge) for edge in edges[["regulator", "target"]].itertuples(index=False, name=None)}
    return {"connections": len(pairs), "genes": len(frozenset().union(*pairs))}


def count_dataset(path: str | Path) -> dict[str, int | float]:
    """What is known of the cells of a dataset that were kept (`read.parquet`): the mean of `expressed_genes`."""
    cells = pd.read_parquet(path, columns=["genes", "reason"])
    return {"expressed_genes": float(cells.loc[cells["reason"] == "kept", "genes"].mean())}


COUNTERS: Mapping[str, Callable[..., Mapping[str, Any]]] = {  # kind of `Count.of` to what counts the files of one name
    TRAININGS: count_training,
    DRAWS: read_json,
    PUBLISHED: count_connections,
    DATASETS: count_dataset,
    LISTINGS: count_listing,
}


def gain_cells(sweep: pd.DataFrame, *, label: str, group: str, lengths: Sequence[int] | None) -> dict[str, Cell]:
    """How much accuracy each row gains from the shortest to the longest context: a value for each seed, averaged over datasets.

    Parameters
    ----------
    lengths
        Both numbers of genes; None for the least and the most that this label was scored at.
    """
    scored = sweep.query("label == @label and group == @group and calls == 'single' and status == 'ok'")
    least, most = lengths or (scored["genes"].min(), scored["genes"].max())
    accuracy = scored.set_index(["variant", "seed", "dataset", "genes"])["accuracy"].to_dict()
    runs = list(dict.fromkeys(sweep[["variant", "seed", "dataset"]].itertuples(index=False, name=None)))
    gains: dict[str, dict[int, list[float]]] = {}
    lacking = set()
    for row, seed, dataset in runs:
        few, many = (accuracy.get((row, seed, dataset, genes)) for genes in (least, most))
        if few is None or many is None:
            lacking.add(row)
        else:
            gains.setdefault(row, {}).setdefault(seed, []).append(many - few)
    ends = f"from {least:g} and {most:g} genes" if len(scored) else "at all"
    reason = f"no accuracy of {label} ({group} cells) {ends}"
    return {
        row: Cell(status=FAILED, reason=reason)
        if row in lacking
        else Cell(tuple(float(np.mean(values)) for values in gains[row].values()))
        for row, _, _ in runs
    }
