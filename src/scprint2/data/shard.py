"""The CSR shard: one dataset of one organism on disk, memory-mapped, its cells sorted so that a weighted draw needs no index.

A shard is a folder with `header.json` and `arrays.bin` (raw little-endian arrays, one after the other at the offsets that the
header gives). The file is mapped once and closed: a corpus has up to 26,000 shards, and a process may map some 65,000 files.
Cells are sorted by (split, stratum, level of non-zero genes), where a stratum is one full tuple of labels and cluster.
"""

import ctypes
import json
import mmap
import os
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int, UInt

from scprint2.data.vocabulary import CLASSES
from scprint2.files import read_json

FORMAT = "scprint2-shard"
VERSION = 1
LEVELS = 16  # of non-zero genes; a depth weight is exact up to the width of a level
ESCAPE = 255  # a count of 255 or more is looked up in the escape table
TRAINING, VALIDATION = 0, 1

HEADER_KEYS = {
    "format", "version", "dataset", "organism", "cells", "training_cells", "validation_share", "genes", "genes_sha256",
    "classes", "terms", "clusters", "cell_type_clusters", "level_nnz", "donors", "arrays",
}  # fmt: skip


@dataclass(frozen=True)
class Rows:
    """Some rows of a sparse matrix of counts.

    Attributes
    ----------
    indptr
        Row r holds the entries indptr[r] … indptr[r + 1] - 1.
    gene
        Index in the gene table of the row's organism.
    count
        Counts; whole numbers unless rows were averaged.
    """

    indptr: Int[np.ndarray, " boundary"]
    gene: np.ndarray
    count: np.ndarray

    def __len__(self) -> int:
        return len(self.indptr) - 1


@dataclass(frozen=True)
class Shard:
    """A shard opened for reading; the arrays are views of the memory-mapped file.

    Attributes
    ----------
    folder, header
        Where it is and what `header.json` says.
    header_sha256
        Hash of the header, which holds the hash of every array: it identifies the whole content.
    indptr, gene, count, escape_entry, escape_count
        Counts as CSR; entry e with count 255 has its count in the escape table, sorted by entry.
    neighbor, distance
        Nearest cells of the same split (rows of this shard, nearest first, -1 for none) and their distances.
    label
        Index of each class's term in `terms`, -1 for unknown; classes in the order of `classes`.
    nnz, hash, source
        Non-zero genes, hash of the counts, and row in the h5ad file that the shard was made of.
    measured
        Indices in the organism's gene table of the genes that the dataset measured.
    stratum_label, stratum_cluster, stratum_cell_type_cluster
        What defines each stratum: codes of its labels, indices in `header["clusters"]` and `header["cell_type_clusters"]`.
    stratum_cells
        Number of cells of each (split, stratum, level), in the order in which they are stored.
    """

    folder: Path
    header: dict[str, Any]
    header_sha256: str
    indptr: Int[np.ndarray, " boundary"]
    gene: UInt[np.ndarray, " entry"]
    count: UInt[np.ndarray, " entry"]
    escape_entry: Int[np.ndarray, " escape"]
    escape_count: Int[np.ndarray, " escape"]
    neighbor: Int[np.ndarray, "cell neighbor"]
    distance: Float[np.ndarray, "cell neighbor"]
    label: Int[np.ndarray, "cell class"]
    nnz: UInt[np.ndarray, " cell"]
    hash: UInt[np.ndarray, " cell"]
    source: Int[np.ndarray, " cell"]
    measured: Int[np.ndarray, " measured"]
    stratum_label: Int[np.ndarray, "stratum class"]
    stratum_cluster: Int[np.ndarray, " stratum"]
    stratum_cell_type_cluster: Int[np.ndarray, " stratum"]
    stratum_cells: UInt[np.ndarray, "split stratum level"]

    def __len__(self) -> int:
        return self.header["cells"]

    @property
    def dataset(self) -> str:
        """Name of the dataset."""
        return self.header["dataset"]

    @property
    def organism(self) -> str:
        """NCBITaxon id."""
        return self.header["organism"]

    @property
    def terms(self) -> dict[str, list[str]]:
        """Class to the terms that its label codes stand for."""
        return self.header["terms"]

    @classmethod
    def open(cls, folder: str | Path) -> "Shard":
        """Map a shard into memory; header and sizes are checked, contents are not (`verify`).

        Raises
        ------
        ValueError
            If the folder does not hold a complete shard of this version.
        """
        folder = Path(folder)
        header, digest = _read_header(folder)
        file = folder / "arrays.bin"
        found, expected = file.stat().st_size if file.exists() else -1, _end(header["arrays"])
        if found != expected:
            raise ValueError(f"{file}: {found} bytes, its header says {expected}. The shard is cut: build it again.")
        content = _map_file(file)
        arrays = {name: _view(content, entry) for name, entry in header["arrays"].items()}
        missing = set(cls.__dataclass_fields__) - {"folder", "header", "header_sha256"} ^ set(arrays)
        if missing:
            raise ValueError(f"{folder}: arrays {sorted(missing)} are missing or unknown. Build the shard again.")
        shard = cls(folder=folder, header=header, header_sha256=digest, **arrays)
        if len(shard.indptr) != len(shard) + 1 or shard.indptr[0] != 0 or shard.indptr[-1] != len(shard.gene):
            raise ValueError(
                f"{folder}: indptr does not fit {len(shard)} cells and {len(shard.gene)} entries. Build it again."
            )
        return shard

    def verify(self) -> None:
        """Read everything and compare with the hashes of the header.

        Raises
        ------
        ValueError
            If an array is not what was written.
        """
        for name in self.header["arrays"]:
            found = sha256(np.ascontiguousarray(getattr(self, name)).data).hexdigest()
            if found != self.header["arrays"][name]["sha256"]:
                raise ValueError(
                    f"{self.folder}: array {name!r} is damaged (its sha256 is not the header's). Build it again."
                )

    def escaped(self, entries: Int[np.ndarray, " entry"]) -> Int[np.ndarray, " entry"]:
        """Return counts of entries that are stored as 255."""
        return self.escape_count[np.searchsorted(self.escape_entry, entries)]

    def counts(self) -> scipy.sparse.csr_matrix:
        """Return all counts (int32) in the order of the shard, over the whole gene table of the organism."""
        count = self.count.astype(np.int32)
        count[self.escape_entry] = self.escape_count
        shape = (len(self), self.header["genes"])
        return scipy.sparse.csr_matrix((count, self.gene.astype(np.int32), self.indptr), shape=shape)


def hash_rows(indptr: Int[np.ndarray, " boundary"], gene: np.ndarray, count: np.ndarray) -> UInt[np.ndarray, " row"]:
    """Return a 64-bit hash of each row's counts; it does not depend on the order of the entries or on explicit zeros."""
    with np.errstate(over="ignore"):
        mixed = mix(gene.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + count.astype(np.uint64))
        mixed[count == 0] = 0
        total = np.concatenate([np.zeros(1, np.uint64), np.cumsum(mixed, dtype=np.uint64)])
        return mix(total[indptr[1:]] - total[indptr[:-1]])


def genes_sha256(gene_ids: Sequence[str]) -> str:
    """Return the hash of an organism's gene table: ids in order."""
    return sha256("\n".join(map(str, gene_ids)).encode()).hexdigest()


def mix(value: UInt[np.ndarray, " n"]) -> UInt[np.ndarray, " n"]:
    """Finalizer of splitmix64."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def _read_header(folder: Path) -> tuple[dict[str, Any], str]:
    file = folder / "header.json"
    if not file.exists():
        raise ValueError(f"{folder}: no header.json, so this is no shard. Write it with `write_shard`.")
    try:
        header = read_json(file)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: not JSON ({error}). Build the shard again.") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ValueError(f"{file}: not the header of a shard. Write it with `write_shard`.")
    if header.get("version") != VERSION:
        raise ValueError(
            f"{file}: version {header.get('version')}, this program reads {VERSION}. Build the shard again."
        )
    if set(header) != HEADER_KEYS or list(header["classes"]) != list(CLASSES):
        raise ValueError(f"{file}: keys {sorted(set(header) ^ HEADER_KEYS)} missing or unknown. Build the shard again.")
    return header, sha256(file.read_bytes()).hexdigest()


def _end(arrays: dict[str, Any]) -> int:
    """Size that the file of arrays must have."""
    return max(
        entry["offset"] + int(np.prod(entry["shape"], dtype=np.int64)) * np.dtype(entry["dtype"]).itemsize
        for entry in arrays.values()
    )


def _map_file(file: Path) -> UInt[np.ndarray, " byte"]:
    """Map a file into memory, for as long as an array looks at it, and close it.

    Python's own mmap keeps a descriptor open for each mapping; a process may hold as few as 1,024.
    """
    size = file.stat().st_size
    with file.open("rb") as opened:
        address = _libc().mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, opened.fileno(), 0)
    if address == ctypes.c_void_p(-1).value:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot be mapped into memory: {os.strerror(number)}", str(file))
    buffer = (ctypes.c_ubyte * size).from_address(address)
    weakref.finalize(buffer, _libc().munmap, address, size).atexit = False  # a thread may still read when Python ends
    content = np.ctypeslib.as_array(buffer)
    content.flags.writeable = False
    return content


@cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    return libc


def _view(content: UInt[np.ndarray, " byte"], entry: dict[str, Any]) -> np.ndarray:
    """Return one of the arrays that a file holds."""
    shape, dtype = tuple(entry["shape"]), np.dtype(entry["dtype"])
    stop = entry["offset"] + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    return content[entry["offset"] : stop].view(dtype).reshape(shape)
