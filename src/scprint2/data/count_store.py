"""Counts of cells as rows that are read block by block: from memory, or from a temporary file that may be larger than memory."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Int

BLOCK_ENTRIES = 1 << 22  # stored counts read at a time: with what is made of them, some hundred MB
SPARSE_READ = 4  # rows are read with what lies between them, if that is at most so many times as much


@runtime_checkable
class Counts(Protocol):
    """Counts (int32) of cells in rows, with sorted and unique columns."""

    @property
    def shape(self) -> tuple[int, int]:
        """Cells and genes."""
        ...

    @property
    def nnz(self) -> Int[np.ndarray, " cell"]:
        """Stored counts of each cell."""
        ...

    def take(self, cells: Int[np.ndarray, " taken"]) -> sp.csr_matrix:
        """Return some cells, in the order asked for."""
        ...


@dataclass(frozen=True)
class MatrixCounts:
    """Counts in memory."""

    matrix: sp.csr_matrix

    @property
    def shape(self) -> tuple[int, int]:
        """Cells and genes."""
        return self.matrix.get_shape()

    @property
    def nnz(self) -> Int[np.ndarray, " cell"]:
        """Stored counts of each cell."""
        return np.diff(self.matrix.indptr)

    def take(self, cells: Int[np.ndarray, " taken"]) -> sp.csr_matrix:
        """Return some cells, in the order asked for."""
        return sp.csr_matrix(self.matrix[cells])


@dataclass(frozen=True)
class StoredCounts:
    """Counts in two files of a folder, `gene` and `count`.

    Attributes
    ----------
    starts, sizes
        First entry and number of entries of each cell. They need not follow each other: cells may have been left out.
    genes
        Number of columns.
    """

    folder: Path
    starts: Int[np.ndarray, " cell"]
    sizes: Int[np.ndarray, " cell"]
    genes: int

    @property
    def shape(self) -> tuple[int, int]:
        """Cells and genes."""
        return len(self.sizes), self.genes

    @property
    def nnz(self) -> Int[np.ndarray, " cell"]:
        """Stored counts of each cell."""
        return self.sizes

    def select(self, keep: Bool[np.ndarray, " cell"]) -> "StoredCounts":
        """Return the cells to keep; nothing is copied."""
        return StoredCounts(self.folder, self.starts[keep], self.sizes[keep], self.genes)

    def take(self, cells: Int[np.ndarray, " taken"]) -> sp.csr_matrix:
        """Return some cells, in the order asked for."""
        sizes = self.sizes[cells]
        indptr = np.concatenate([[0], np.cumsum(sizes)])
        gene = np.empty(indptr[-1], index_type(self.genes))
        count = np.empty(indptr[-1], np.int32)
        for name, values in (("gene", gene), ("count", count)):
            self._read(self.folder / name, values, indptr, self.starts[cells])
        return sp.csr_matrix((count, gene.astype(np.int32), indptr), shape=(len(cells), self.genes))

    def _read(self, file: Path, values: np.ndarray, indptr: np.ndarray, starts: np.ndarray) -> None:
        """Fill in the entries of the cells: in one piece where they lie together, else cell by cell in the order of the file."""
        sizes, width = np.diff(indptr), values.dtype.itemsize
        if not len(values):
            return
        first, last = int(starts.min()), int((starts + sizes).max())
        if last - first <= SPARSE_READ * len(values):
            piece = np.fromfile(file, values.dtype, count=last - first, offset=first * width)
            place = np.repeat(starts - first - indptr[:-1], sizes) + np.arange(len(values))
            values[:] = piece[place]
            return
        with file.open("rb", buffering=0) as source:
            for cell in np.argsort(starts):
                data = os.pread(source.fileno(), int(sizes[cell]) * width, int(starts[cell]) * width)
                values[indptr[cell] : indptr[cell + 1]] = np.frombuffer(data, values.dtype)


def store_counts(blocks: Iterable[sp.csr_matrix], folder: str | Path, *, genes: int) -> StoredCounts:
    """Write blocks of cells, one after the other, into a folder."""
    folder, sizes = Path(folder), [np.empty(0, np.int64)]
    with (folder / "gene").open("wb") as gene, (folder / "count").open("wb") as count:
        for block in blocks:
            block.indices.astype(index_type(genes)).tofile(gene)
            block.data.astype(np.int32).tofile(count)
            sizes.append(np.diff(block.indptr).astype(np.int64))
    stored = np.concatenate(sizes)
    return StoredCounts(folder, np.cumsum(stored) - stored, stored, genes)


def cell_blocks(nnz: Int[np.ndarray, " cell"]) -> Iterator[Int[np.ndarray, " block"]]:
    """Cells in order, as many at a time as hold about `BLOCK_ENTRIES` counts, and at least one."""
    # a cell without counts costs something too
    ends = np.cumsum(np.maximum(nnz, 1))
    start = 0
    while start < len(nnz):
        before = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, before + BLOCK_ENTRIES, side="right")), start + 1)
        yield np.arange(start, stop)
        start = stop


def count_blocks(counts: Counts) -> Iterator[tuple[Int[np.ndarray, " block"], sp.csr_matrix]]:
    """All cells in order, block by block: their rows, and their counts."""
    for cells in cell_blocks(counts.nnz):
        yield cells, counts.take(cells)


def all_counts(counts: Counts) -> sp.csr_matrix:
    """Everything at once, for those who know that it fits into memory."""
    return counts.take(np.arange(counts.shape[0]))


def index_type(genes: int) -> np.dtype:
    """Smallest unsigned type that holds the index of a gene."""
    return np.dtype("<u2") if genes <= 65_536 else np.dtype("<u4")
