"""Input files are checked once, here, before compiled code sees them (counts, structure, names, size)."""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import psutil
import scipy.sparse as sp

from scprint2.data.raw_cells import (
    COUNT_PLACES,
    STATED,
    RawCells,
    RawMatrix,
    is_by_row,
    read_stated,
    read_table,
    read_value,
)

GENE_ID = r"^(ENS[A-Z]*G|WBGene|FBgn)[0-9]+"
BOMB_BYTES = 256 << 20  # below this much declared data nothing is a bomb
BOMB_RATIO = 500  # declared bytes per byte of file; gzip of counts reaches about 60
PROBE_SECONDS = 120.0  # a file that takes longer to read hangs the reader; large files get more time:
PROBE_BYTES_PER_SECOND = 4 << 20
PR_SET_PDEATHSIG = 1  # of prctl: the signal that a process gets when its parent ends
BLOCK = 1 << 22  # values checked at a time
READ_AT_ONCE = ("/obs/", "/var/", "/raw/var/", "/obsm/spatial", *(f"/uns/{name}" for name in STATED))
FIX_COUNTS = "Put raw counts (whole numbers of at least 0) into X, raw.X or layers['counts']."


@contextmanager
def open_cells(path: str | Path, *, scratch: str | Path) -> Iterator[RawCells]:
    """Open an h5ad file after checking it; its matrices can be read block by block until the context ends.

    Structure and declared size are checked first, in a process of its own, so that a hang or crash of HDF5 on a damaged file is
    caught. Raw counts are looked for in X, then raw.X, then layers["counts"].

    Parameters
    ----------
    path
        The file.
    scratch
        Folder for temporary files, needed where the matrix is stored by genes.

    Raises
    ------
    ValueError
        If the file is missing, is no whole HDF5 file, declares far more data than it holds, points at other files, or holds a
        matrix whose parts do not fit together; if no matrix holds raw counts, there are no cells or genes, names are given
        twice, or genes stand in rows. The message names the file and what to do.
    """
    path = Path(path)
    check_file(path)
    with h5py.File(path, "r") as file:
        yield _find_cells(file, path, Path(scratch))


def check_file(path: Path) -> None:
    """Raise ValueError unless this is an HDF5 file that can be read to its end and is built as anndata does."""
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file.")
    with path.open("rb") as file:
        magic = file.read(8)
    if magic != b"\x89HDF\r\n\x1a\n":
        raise ValueError(
            f"{path}: begins with {magic!r}, not with an HDF5 signature; give an .h5ad file (or get it again)."
        )
    _probe(path)


def _find_cells(file: h5py.File, path: Path, scratch: Path) -> RawCells:
    obs, var = read_table(file, "obs"), read_table(file, "var")
    if len(obs.index) == 0 or len(var.index) == 0:
        raise ValueError(f"{path}: holds {len(obs)} cells and {len(var)} genes; both must be more than 0.")
    check_orientation(obs.index, var.index, path)
    counts, place = _find_counts(file, path, scratch)
    raw = read_table(file, "raw/var") if place == "raw.X" else None
    fits = raw is None or raw.index.equals(var.index)
    genes = var if raw is None else raw
    check_names(genes.index, "genes (var_names)", "Use gene ids, or sum the columns of one gene.", path)
    check_names(obs.index, "cells (obs_names)", "Put the batch in front of the barcode.", path)
    given: Any = file.get("layers", {}) if fits else {}
    layers = {name: RawMatrix(given[name], scratch) for name in given}
    for name, matrix in {place: counts, **layers}.items():
        if matrix.shape != (len(obs), len(genes)):
            raise ValueError(
                f"{path}: {name} is {matrix.shape}, its tables say {(len(obs), len(genes))}. Write it again."
            )
    return RawCells(
        obs=obs,
        var=genes,
        counts=counts,
        place=place,
        layers=layers,
        spatial=read_value(file, "obsm/spatial"),
        uns=read_stated(file),
    )


def _find_counts(file: h5py.File, path: Path, scratch: Path) -> tuple[RawMatrix, str]:
    """Return the first matrix that holds raw counts, and where it is."""
    found = []
    for key, place in COUNT_PLACES.items():
        if key in file:
            matrix = RawMatrix(file[key], scratch)
            problem = _matrix_problem(matrix)
            if problem is None:
                return matrix, place
            found.append(f"{place} {problem}")
    raise ValueError(f"{path}: no raw counts: {'; '.join(found)}. {FIX_COUNTS}")


def _matrix_problem(matrix: RawMatrix) -> str | None:
    """Say why a matrix does not hold raw counts, block by block; None if it does."""
    empty = True
    for _, block in matrix.blocks():
        checked = to_csr(block)
        if not checked.nnz:
            continue
        empty = False
        if problem := count_problem(checked):
            return problem
    return "is all zero" if empty else None


def count_problem(matrix: sp.csr_matrix) -> str | None:
    """Say why a matrix does not hold raw counts; None if it does."""
    for start in range(0, matrix.nnz, BLOCK):
        values = matrix.data[start : start + BLOCK]
        if not np.isfinite(values).all():
            return f"holds {int((~np.isfinite(values)).sum())} values that are NaN or infinite"
        if values.min() < 0:
            return f"holds negative values such as {values.min():.3g} (scaled or corrected data?)"
        whole = values == np.floor(values)
        if not whole.all():
            kind = "log-normalized?" if matrix.data.max() < 30 else "normalized?"
            return f"holds numbers that are not whole, such as {values[~whole][0]:.4g} ({kind})"
        if values.max() > np.iinfo(np.int32).max:
            return f"holds counts above {np.iinfo(np.int32).max}, such as {values.max():.3g}"
    return None


def to_csr(matrix: Any) -> sp.csr_matrix:
    """Return a CSR matrix with sorted, unique column indices and no stored zeros; duplicates are summed."""
    csr = sp.csr_matrix(matrix)
    if csr is matrix or np.shares_memory(csr.data, getattr(matrix, "data", np.empty(0))):
        csr = csr.copy()
    csr.check_format(full_check=True)
    csr.sum_duplicates()
    csr.eliminate_zeros()
    return csr


def check_names(names: pd.Index, where: str, fix: str, file: str | Path) -> None:
    """Raise ValueError if a name is given twice."""
    repeated = names[names.duplicated()]
    if len(repeated):
        raise ValueError(
            f"{file}: {len(repeated)} {where} are given more than once, such as {str(repeated[0])!r}; they must be unique. {fix}"
        )


def check_orientation(cells: pd.Index, genes: pd.Index, file: str | Path) -> None:
    """Raise ValueError if the rows are named like genes and the columns are not."""
    in_rows, in_columns = (names.str.match(GENE_ID).mean() for names in (cells, genes))
    if in_rows > 0.5 and in_columns < 0.5:
        raise ValueError(f"{file}: the rows are named like genes ({cells[0]!r}); cells must be in rows. Use adata.T.")


def _probe(path: Path) -> None:
    """Check and read the file in a process of its own first: HDF5 may hang or crash on damaged files."""
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_probe_here, args=(path, theirs), daemon=True)
    process.start()
    theirs.close()
    limit = PROBE_SECONDS + path.stat().st_size / PROBE_BYTES_PER_SECOND
    try:
        problem = ours.recv() if ours.poll(limit) else f"reading it does not end within {limit:.0f} s"
    except EOFError:
        process.join()
        problem = f"reading it ends the process with status {process.exitcode}"
    finally:
        process.kill()
        process.join()
        ours.close()
    if problem and problem.startswith(f"{path}: "):
        raise ValueError(problem)
    if problem:
        raise ValueError(f"{path}: cannot be read as h5ad ({problem}). Is it truncated? Get the file again.")


def _probe_here(path: Path, answer: Connection) -> None:
    if sys.platform == "linux":  # it holds the locks of its parent, and must not outlive it
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    problem = ""
    try:
        with h5py.File(path, "r") as file:
            _check_structure(file, path)
            _read_tables(file)
    except Exception as error:  # noqa: BLE001 - libraries raise of every kind on damaged files; the parent raises one message
        text = " ".join(str(error).split())[:300]
        problem = text if text.startswith(f"{path}: ") else f"{type(error).__name__}: {text}"
    answer.send(problem)
    answer.close()
    os._exit(0)  # nothing of the parent's is to be cleaned up here


def _read_tables(file: h5py.File) -> None:
    """Read what is read at once later; the matrices have been read already."""
    for name in ("obs", "var", "raw/var"):
        if name in file:
            read_table(file, name)
    read_value(file, "obsm/spatial")
    read_stated(file)


def _check_structure(file: h5py.File, path: Path) -> None:
    size, declared, at_once = path.stat().st_size, 0, 0
    for name, item in _walk(file, path):
        if isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual:
                raise ValueError(f"{path}: {name} keeps its data in other files; write it into one file.")
            nbytes = int(np.prod(item.shape or (), dtype=object)) * item.dtype.itemsize
            declared += nbytes
            at_once += nbytes if name.startswith(READ_AT_ONCE) else 0
    if declared > BOMB_BYTES and declared > BOMB_RATIO * size:
        raise ValueError(
            f"{path}: {size:,} bytes that declare {declared:,} bytes of data; refused as a decompression bomb."
        )
    free = psutil.virtual_memory().available
    if at_once > free:
        raise ValueError(
            f"{path}: its tables hold {at_once:,} bytes, {free:,} bytes of memory are free. Split the file."
        )
    missing = [name for name in ("obs", "var") if name not in file]
    if missing or not any(name in file for name in COUNT_PLACES):
        missing = missing or ["X"]
        raise ValueError(
            f"{path}: has no {missing[0]}; found {sorted(file)[:10]}. Give an .h5ad file written by anndata."
        )
    for name in COUNT_PLACES:
        if name in file:
            _check_matrix(file[name], f"{path}: {name}")


def _walk(group: h5py.Group, path: Path) -> Iterator[tuple[str, Any]]:
    for name in group:
        link = group.get(name, getlink=True)
        full = f"{str(group.name).rstrip('/')}/{name}"
        if isinstance(link, h5py.ExternalLink):
            raise ValueError(f"{path}: {full} is a link to another file ({link.filename!r}); write it into one file.")
        if isinstance(link, h5py.SoftLink):
            raise ValueError(f"{path}: {full} is a symbolic link inside the file; write the data itself.")
        item = group[name]
        yield full, item
        if isinstance(item, h5py.Group):
            yield from _walk(item, path)


def _check_matrix(item: Any, name: str) -> None:
    if isinstance(item, h5py.Dataset):
        if item.ndim != 2:
            raise ValueError(f"{name} has {item.ndim} dimensions; a matrix of cells and genes has 2.")
        for start in range(0, item.shape[0], max(1, BLOCK // max(item.shape[1], 1))):
            item[start : start + max(1, BLOCK // max(item.shape[1], 1))]
        return
    missing = [part for part in ("data", "indices", "indptr") if part not in item]
    if missing or "shape" not in item.attrs:
        raise ValueError(
            f"{name} is a sparse matrix without {missing or ['shape']}; write the file again with anndata."
        )
    rows, columns = (int(length) for length in item.attrs["shape"])
    by_row = is_by_row(item)
    indptr = item["indptr"][:]
    long, wide = (rows, columns) if by_row else (columns, rows)
    entries = item["data"].shape[0]
    if item["indices"].shape[0] != entries or len(indptr) != long + 1:
        raise ValueError(
            f"{name} does not fit together: {entries} values, {item['indices'].shape[0]} indices, {len(indptr)} row ends for "
            f"{long} rows. Write the file again with anndata."
        )
    if indptr[0] != 0 or indptr[-1] != entries or (np.diff(indptr.astype(np.int64)) < 0).any():
        raise ValueError(
            f"{name} has row ends that do not rise from 0 to {entries}; the file is damaged, get it again."
        )
    for start in range(0, entries, BLOCK):
        block = item["indices"][start : start + BLOCK]
        if len(block) and (block.min() < 0 or block.max() >= wide):
            raise ValueError(f"{name} has indices outside 0 to {wide - 1}; the file is damaged, get it again.")
        item["data"][start : start + BLOCK]
