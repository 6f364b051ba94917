"""The genes and labels that a model knows: built from a corpus, stored in every model folder."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

# Every class that data can be labeled with; an experiment chooses among them (`data.classes`).
CLASSES = ("cell_type", "tissue", "disease", "assay", "ethnicity", "sex", "organism", "age_group", "cell_culture")
UNKNOWN = -1


@dataclass(frozen=True)
class GeneVocabulary:
    """The protein-coding genes of some organisms, one after the other; a gene's row is its index in the model.

    Attributes
    ----------
    frame
        One row per gene: `organism`, `gene_id`, `symbol`, `location` (index on the genome, 10 kb rule), `family`
        (ortholog family, unique for a gene without orthologs), `is_tf`. Genes of an organism are contiguous.
    """

    frame: pd.DataFrame

    def __len__(self) -> int:
        return len(self.frame)

    @cached_property
    def organisms(self) -> tuple[str, ...]:
        """Organisms (NCBITaxon ids) in the order of their genes."""
        return tuple(self.frame["organism"].drop_duplicates())

    def span(self, organism: str) -> tuple[int, int]:
        """First index and one past the last index of an organism's genes.

        Raises
        ------
        ValueError
            If the vocabulary does not hold the organism.
        """
        rows = np.flatnonzero(self.frame["organism"].to_numpy() == organism)
        if len(rows) == 0:
            raise ValueError(f"organism {organism!r} is not in this gene vocabulary; known: {list(self.organisms)}")
        return int(rows[0]), int(rows[-1]) + 1

    def gene_ids(self, organism: str) -> np.ndarray:
        """Gene ids of one organism in the order of its gene table (and of its shards)."""
        start, stop = self.span(organism)
        return self.frame["gene_id"].to_numpy()[start:stop]

    def to_json(self) -> dict[str, Any]:
        """Return columns as plain lists."""
        return {str(name): column.tolist() for name, column in self.frame.items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "GeneVocabulary":
        """Read back what `to_json` returned."""
        return cls(pd.DataFrame(dict(value)))


@dataclass(frozen=True)
class LabelTable:
    """The labels of one class: leaves have logits, a parent's logit is the logsumexp of its leaves.

    Codes are 0 … leaves-1 for leaves, leaves … leaves+parents-1 for parents, -1 for unknown.

    Attributes
    ----------
    name
        Class, one of `CLASSES`.
    leaves, parents
        Ontology term ids. A parent may be a label of the data or an ancestor with at least two leaves.
    members
        For each parent, the sorted indices of its leaves.
    names
        Term id to human-readable label.
    """

    name: str
    leaves: tuple[str, ...]
    parents: tuple[str, ...]
    members: tuple[tuple[int, ...], ...]
    names: Mapping[str, str]

    @cached_property
    def membership(self) -> np.ndarray:
        """Boolean matrix [parent, leaf]."""
        matrix = np.zeros((len(self.parents), len(self.leaves)), dtype=bool)
        for parent, leaves in enumerate(self.members):
            matrix[parent, list(leaves)] = True
        return matrix

    @cached_property
    def codes(self) -> dict[str, int]:
        """Term id to code."""
        return {term: code for code, term in enumerate(self.leaves + self.parents)}

    def encode(self, terms: Iterable[str]) -> np.ndarray:
        """Codes (int16) of term ids; a term that the table does not hold is unknown (-1)."""
        return np.array([self.codes.get(term, UNKNOWN) for term in terms], dtype=np.int16)

    def to_json(self) -> dict[str, Any]:
        """Return plain lists."""
        return {
            "name": self.name,
            "leaves": list(self.leaves),
            "parents": list(self.parents),
            "members": [list(leaves) for leaves in self.members],
            "names": dict(self.names),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "LabelTable":
        """Read back what `to_json` returned."""
        return cls(
            name=value["name"],
            leaves=tuple(value["leaves"]),
            parents=tuple(value["parents"]),
            members=tuple(tuple(leaves) for leaves in value["members"]),
            names=dict(value["names"]),
        )


@dataclass(frozen=True)
class LabelVocabulary:
    """The label tables of all classes; their order is the axis `label` of a batch and of the cell embeddings."""

    tables: tuple[LabelTable, ...]

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes in order."""
        return tuple(table.name for table in self.tables)

    def __getitem__(self, name: str) -> LabelTable:
        return self.tables[self.classes.index(name)]

    def to_json(self) -> list[dict[str, Any]]:
        """Return plain lists."""
        return [table.to_json() for table in self.tables]

    @classmethod
    def from_json(cls, value: Iterable[Mapping[str, Any]]) -> "LabelVocabulary":
        """Read back what `to_json` returned."""
        return cls(tuple(LabelTable.from_json(table) for table in value))
