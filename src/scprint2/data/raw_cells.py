"""Reading an h5ad file piece by piece: its tables at once, its matrices some cells at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata.io import read_elem
from jaxtyping import Int

from scprint2.data.count_store import BLOCK_ENTRIES, cell_blocks

COUNT_PLACES = {"X": "X", "raw/X": "raw.X", "layers/counts": "layers['counts']"}  # where raw counts are looked for
STATED = ("schema_version", "schema_reference", "organism_ontology_term_id")  # entries of uns that are read (CELLxGENE)


@dataclass(frozen=True)
class RawMatrix:
    """A matrix of an open h5ad file, cells in rows: dense, CSR, or CSC.

    Attributes
    ----------
    item
        Dataset or group.
    scratch
        Folder for the transposed copy that a CSC matrix needs to be read by cells.
    """

    item: Any
    scratch: Path

    @cached_property
    def shape(self) -> tuple[int, int]:
        """Cells and genes."""
        rows, columns = self.item.shape if self.dense else self.item.attrs["shape"]
        return int(rows), int(columns)

    @property
    def dense(self) -> bool:
        """True where every value is stored."""
        return isinstance(self.item, h5py.Dataset)

    @cached_property
    def parts(self) -> tuple[Any, Any, Int[np.ndarray, " boundary"]]:
        """Values, columns and row ends of a sparse matrix, by cells; the first two are read where they are sliced."""
        indptr = self.item["indptr"][:].astype(np.int64)
        if is_by_row(self.item):
            return self.item["data"], self.item["indices"], indptr
        return _transpose(self.item, self.shape, self.scratch)

    def blocks(self) -> Iterator[tuple[Int[np.ndarray, " block"], sp.csr_matrix]]:
        """All cells in order: their rows, and what the file holds of them as it is (unsorted, with zeros)."""
        cells, genes = self.shape
        nnz = np.full(cells, genes) if self.dense else np.diff(self.parts[2])
        for rows in cell_blocks(nnz):
            yield rows, self._read(int(rows[0]), int(rows[-1]) + 1)

    def _read(self, start: int, stop: int) -> sp.csr_matrix:
        if self.dense:
            return sp.csr_matrix(self.item[start:stop])
        data, indices, indptr = self.parts
        first, last = indptr[start], indptr[stop]
        shape = (stop - start, self.shape[1])
        return sp.csr_matrix((data[first:last], indices[first:last], indptr[start : stop + 1] - first), shape=shape)


@dataclass(frozen=True)
class RawCells:
    """What an h5ad file says about its cells, before anything is done to them.

    Attributes
    ----------
    obs, var
        Tables of the cells, and of the genes of `counts`.
    counts, place
        The matrix with the raw counts, and where it was found: `X`, `raw.X` or `layers['counts']`.
    layers
        Further matrices on the same genes.
    spatial
        Coordinates of the cells, if there are any.
    uns
        What the file as a whole says of its metadata (`STATED`), where it does.
    """

    obs: pd.DataFrame
    var: pd.DataFrame
    counts: RawMatrix
    place: str
    layers: dict[str, RawMatrix]
    spatial: np.ndarray | None
    uns: dict[str, str]


def read_table(file: h5py.File, name: str) -> pd.DataFrame:
    """Read `obs`, `var` or `raw/var`, also as anndata wrote them before version 0.7."""
    item: Any = file[name]
    if isinstance(item, h5py.Dataset):
        legacy = anndata.read_h5ad(file.filename, backed="r")
        frame = legacy.raw.var if name == "raw/var" else getattr(legacy, name)
        legacy.file.close()
    else:
        frame = read_elem(item)
    frame = pd.DataFrame(frame)
    frame.index = frame.index.astype(str)
    return frame


def read_stated(file: h5py.File) -> dict[str, str]:
    """Read what the file says about its metadata as a whole."""
    found = {name: read_value(file, f"uns/{name}") for name in STATED}
    return {name: str(value) for name, value in found.items() if value is not None}


def read_value(file: h5py.File, name: str) -> Any:
    """Read an entry of `uns` or `obsm`; None if there is none."""
    item: Any = file.get(name)
    return None if item is None else read_elem(item)


def is_by_row(item: Any) -> bool:
    """True for a CSR matrix, False for a CSC matrix."""
    return str(item.attrs.get("encoding-type", "csr_matrix")).startswith("csr")


def _transpose(item: Any, shape: tuple[int, int], scratch: Path) -> tuple[Any, Any, np.ndarray]:
    """Write a CSC matrix by cells into files of the scratch folder: the cells are counted, then each entry goes to its place."""
    entries = item["data"].shape[0]
    sizes = np.zeros(shape[0], np.int64)
    for start in range(0, entries, BLOCK_ENTRIES):
        sizes += np.bincount(item["indices"][start : start + BLOCK_ENTRIES], minlength=shape[0])
    indptr = np.concatenate([[0], np.cumsum(sizes)])
    name = "by_cell" + str(item.name).replace("/", "_")
    data = np.lib.format.open_memmap(scratch / f"{name}_data.npy", "w+", item["data"].dtype, (entries,))
    indices = np.lib.format.open_memmap(scratch / f"{name}_indices.npy", "w+", np.int32, (entries,))
    ends, free = item["indptr"][:].astype(np.int64), indptr[:-1].copy()
    for start in range(0, entries, BLOCK_ENTRIES):
        stop = min(start + BLOCK_ENTRIES, entries)
        rows = item["indices"][start:stop]
        order = np.argsort(rows, kind="stable")
        rows = rows[order]
        first = np.flatnonzero(np.diff(rows, prepend=-1))
        repeats = np.diff(first, append=len(rows))
        place = free[rows] + np.arange(len(rows)) - np.repeat(first, repeats)
        data[place] = item["data"][start:stop][order]
        indices[place] = (np.searchsorted(ends, np.arange(start, stop), side="right") - 1)[order]
        free[rows[first]] += repeats
    return data, indices, indptr
