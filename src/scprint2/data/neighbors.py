"""Which neighbors come with a cell: none, or the nearest ones; and meta-cells, which melt a cell with its neighbors."""

from typing import Annotated, Literal

import numpy as np
from jaxtyping import Bool, Int
from pydantic import Field

from scprint2.config.node import Node
from scprint2.data.shard import Rows


class NoNeighbors(Node):
    """The cell alone."""

    kind: Literal["none"]

    @property
    def most(self) -> int:
        """Largest number of neighbors."""
        return 0

    def draw(self, rng: np.random.Generator) -> int:
        """Return the number of neighbors of a batch."""
        return 0


class RandomNeighbors(Node):
    """The nearest neighbors, 0 … `most` of them, one number for all cells of a batch; `most` when validating.

    Source: Methods, "Multi-cell sampling".
    """

    kind: Literal["random"]
    most: int = Field(ge=1)

    def draw(self, rng: np.random.Generator) -> int:
        """Return the number of neighbors of a batch."""
        return int(rng.integers(self.most + 1))


NeighborsConfig = Annotated[NoNeighbors | RandomNeighbors, Field(discriminator="kind")]


class NoMetacells(Node):
    """Every cell is itself."""

    kind: Literal["none"]

    def draw(self, rng: np.random.Generator, cells: int) -> Bool[np.ndarray, " cell"]:
        """Return which cells of a batch become meta-cells."""
        return np.zeros(cells, dtype=bool)

    def melt(self, rows: Rows, *, genes: int) -> Rows:
        """Melt rows into one (never asked for)."""
        raise ValueError("there are no meta-cells to make.")


class _Metacells(Node):
    share: float = Field(gt=0, le=1)

    def draw(self, rng: np.random.Generator, cells: int) -> Bool[np.ndarray, " cell"]:
        """Return which cells of a batch become meta-cells."""
        return rng.random(cells) < self.share


class AverageMetacells(_Metacells):
    """A share of the cells is replaced by the average of the cell and its stored neighbors.

    Source: Results 2 ("averages of similar cell expression profiles"). D15.
    """

    kind: Literal["average"]

    def melt(self, rows: Rows, *, genes: int) -> Rows:
        """Return one row: the average of `rows` over a table of `genes` genes."""
        return _sum(rows, genes=genes, divisor=len(rows))


class SumMetacells(_Metacells):
    """A share of the cells is replaced by the sum of the cell and its stored neighbors. D15, the reference's reading."""

    kind: Literal["sum"]

    def melt(self, rows: Rows, *, genes: int) -> Rows:
        """Return one row: the sum of `rows` over a table of `genes` genes."""
        return _sum(rows, genes=genes, divisor=1)


MetacellsConfig = Annotated[NoMetacells | AverageMetacells | SumMetacells, Field(discriminator="kind")]


def _sum(rows: Rows, *, genes: int, divisor: int) -> Rows:
    total = np.bincount(rows.gene, weights=rows.count, minlength=genes)
    gene = np.flatnonzero(total)
    count = (total[gene] / divisor).astype(np.float32)
    return Rows(np.array([0, len(gene)]), gene.astype(rows.gene.dtype), count)


def fill_neighbors(neighbor: Int[np.ndarray, "cell neighbor"], *, number: int) -> Int[np.ndarray, "cell number"]:
    """Return places (columns of `neighbor`) of the first `number` neighbors of each cell.

    A cell that has fewer (its others are in the other split) repeats those it has; without any the place is -1. Neighbors
    that exist come first in `neighbor`, absent ones are -1.
    """
    known = (neighbor >= 0).sum(axis=1, keepdims=True)
    return np.where(known > 0, np.arange(number)[None, :] % np.maximum(known, 1), -1)
