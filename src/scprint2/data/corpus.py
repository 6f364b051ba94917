"""A corpus: shards that belong together, the genes and labels that a model trained on them knows, and proof of no leak."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from os.path import relpath
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Int

from scprint2.data.shard import Rows, Shard, genes_sha256
from scprint2.data.vocabulary import CLASSES, GeneVocabulary, LabelVocabulary
from scprint2.files import read_json, write_json

if TYPE_CHECKING:
    from scprint2.data.genes import GeneTable

FORMAT = 1


@dataclass(frozen=True)
class Corpus:
    """Shards with one numbering of their cells: shard after shard, training cells before validation cells in each.

    Attributes
    ----------
    name
        Name of the collection.
    shards
        Open shards.
    genes, labels
        What a model trained on this corpus knows.
    validation_share
        Share of the cells kept for validation.
    leakage
        What was compared with the test sets, and what was found.
    """

    name: str
    shards: tuple[Shard, ...]
    genes: GeneVocabulary
    labels: LabelVocabulary
    validation_share: float
    leakage: Mapping[str, Any]

    @cached_property
    def starts(self) -> Int[np.ndarray, " boundary"]:
        """Number of the first cell of each shard, and the number of cells at the end."""
        return np.concatenate([[0], np.cumsum([len(shard) for shard in self.shards])]).astype(np.int64)

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def organisms(self) -> tuple[str, ...]:
        """Organisms in the order of the gene vocabulary."""
        return self.genes.organisms

    def select_labels(self, classes: Sequence[str]) -> LabelVocabulary:
        """Return the label tables of some classes, in the order given.

        Raises
        ------
        ValueError
            If the corpus has no table of a class.
        """
        missing = [name for name in classes if name not in self.labels.classes]
        if missing:
            raise ValueError(f"corpus {self.name!r} has no labels of {missing}; it has {list(self.labels.classes)}.")
        return LabelVocabulary(tuple(self.labels[name] for name in classes))

    def locate(self, cells: Int[np.ndarray, " cell"]) -> tuple[Int[np.ndarray, " cell"], Int[np.ndarray, " cell"]]:
        """Return the shard of each cell and its row there."""
        shard = np.searchsorted(self.starts, cells, side="right") - 1
        return shard, cells - self.starts[shard]

    def read(self, cells: Int[np.ndarray, " cell"]) -> Rows:
        """Read the counts of some cells; the number -1 stands for a cell without counts."""
        shard_of, row_of = self.locate(np.maximum(cells, 0))
        genes, counts, starts = [], [], np.zeros(len(cells), np.int64)
        for place, (number, row) in enumerate(zip(shard_of.tolist(), row_of.tolist(), strict=True)):
            indptr, gene, count = self._columns[number]
            start, stop = indptr[row : row + 2].tolist()
            if cells[place] < 0:
                stop = start
            starts[place] = start
            genes.append(gene[start:stop])
            counts.append(count[start:stop])
        indptr = np.zeros(len(cells) + 1, np.int64)
        np.cumsum([len(gene) for gene in genes], out=indptr[1:])
        count = np.concatenate(counts) if counts else np.empty(0, np.uint8)
        gene = np.concatenate(genes) if genes else np.empty(0, np.uint16)
        return Rows(indptr, gene, self._unescape(count, indptr, shard_of, starts))

    @cached_property
    def _columns(self) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], ...]:
        """What `read` needs of each shard."""
        return tuple((shard.indptr, shard.gene, shard.count) for shard in self.shards)

    def _unescape(self, count: np.ndarray, indptr: np.ndarray, shard_of: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """Replace counts of 255 by what the escape tables say."""
        escaped = np.flatnonzero(count == np.uint8(255))
        if len(escaped) == 0:
            return count
        row = np.searchsorted(indptr, escaped, side="right") - 1
        entry = starts[row] + escaped - indptr[row]
        values = np.empty(len(escaped), np.int32)
        for number in np.unique(shard_of[row]):
            here = shard_of[row] == number
            values[here] = self.shards[number].escaped(entry[here])
        count = count.astype(np.int16 if values.max() <= np.iinfo(np.int16).max else np.int32)
        count[escaped] = values
        return count

    def save(self, path: str | Path) -> None:
        """Write the manifest; paths of shards are relative to it."""
        path = Path(path)
        shards = [
            {
                "dataset": shard.dataset,
                "organism": shard.organism,
                "path": relpath(shard.folder, path.parent),
                "cells": len(shard),
                "header_sha256": shard.header_sha256,
            }
            for shard in self.shards
        ]
        manifest = {
            "name": self.name,
            "format": FORMAT,
            "organisms": list(self.organisms),
            "classes": list(self.labels.classes),
            "shards": shards,
            "genes": self.genes.to_json(),
            "labels": self.labels.to_json(),
            "validation_share": self.validation_share,
            "leakage": dict(self.leakage),
        }
        write_json(path, manifest)

    @classmethod
    def load(cls, path: str | Path) -> "Corpus":
        """Open a corpus by its manifest.

        Raises
        ------
        ValueError
            If the manifest has another format, or a shard is not the one that the corpus was built of.
        """
        path = Path(path)
        manifest = read_json(path)
        if manifest.get("format") != FORMAT:
            raise ValueError(
                f"{path}: format {manifest.get('format')}, this program reads {FORMAT}. Build the corpus again."
            )
        shards = tuple(Shard.open(path.parent / entry["path"]) for entry in manifest["shards"])
        for shard, entry in zip(shards, manifest["shards"], strict=True):
            if shard.header_sha256 != entry["header_sha256"]:
                raise ValueError(f"{shard.folder}: not the shard that {path} was built of. Build the corpus again.")
        return cls(
            name=manifest["name"],
            shards=shards,
            genes=GeneVocabulary.from_json(manifest["genes"]),
            labels=LabelVocabulary.from_json(manifest["labels"]),
            validation_share=manifest["validation_share"],
            leakage=manifest["leakage"],
        )


def build_corpus(
    name: str,
    shards: Sequence[str | Path],
    gene_tables: Sequence["GeneTable"],
    *,
    classes: Sequence[str] = CLASSES,
    validation_share: float,
    leakage: Mapping[str, Any],
) -> Corpus:
    """Put shards together: verify them and build the vocabularies.

    Parameters
    ----------
    name
        Name of the collection.
    shards
        Folders of shards.
    gene_tables
        Gene tables of all the organisms of the shards.
    classes
        Classes of which label tables are built.
    validation_share
        The share that the shards were split with.
    leakage
        What a comparison with the test sets found (`leakage.Ledger.enforce`); empty where there are none.

    Raises
    ------
    ValueError
        If a shard is damaged, or was made with another gene table or split.
    """
    from scprint2.data.genes import build_gene_vocabulary
    from scprint2.data.ontology import build_label_table

    opened = tuple(Shard.open(folder) for folder in shards)
    if not opened:
        raise ValueError(f"corpus {name!r} has no shards. Name its datasets in the file of the scale.")
    known = {table.organism for table in gene_tables}
    for shard in opened:
        if shard.organism not in known:
            raise ValueError(f"{shard.folder}: no gene table of {shard.organism}; given: {sorted(known)}.")
    used = {shard.organism for shard in opened}
    genes = build_gene_vocabulary(table for table in gene_tables if table.organism in used)
    for shard in opened:
        _check_shard(shard, genes, validation_share=validation_share)
    repeated = pd.Series([(shard.dataset, shard.organism) for shard in opened]).duplicated()
    if repeated.any():
        raise ValueError(f"corpus {name!r}: dataset {opened[int(repeated.argmax())].dataset!r} is listed twice.")
    terms = {key: sorted({term for shard in opened for term in shard.terms[key]}) for key in classes}
    labels = LabelVocabulary(tuple(build_label_table(key, terms[key]) for key in classes))
    return Corpus(
        name=name, shards=opened, genes=genes, labels=labels, validation_share=validation_share, leakage=leakage
    )


def _check_shard(shard: Shard, genes: GeneVocabulary, *, validation_share: float) -> None:
    shard.verify()
    if shard.header["genes_sha256"] != genes_sha256(genes.gene_ids(shard.organism).tolist()):
        raise ValueError(f"{shard.folder}: made with another gene table of {shard.organism}. Build the shard again.")
    if shard.header["validation_share"] != validation_share:
        raise ValueError(
            f"{shard.folder}: split with a validation share of {shard.header['validation_share']}, the corpus asks for "
            f"{validation_share}. Build the shard again."
        )
