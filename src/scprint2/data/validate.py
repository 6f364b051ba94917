"""Input files are checked once, here, before compiled code sees them (counts, structure, names, size)."""

import multiprocessing
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import psutil
import scipy.sparse as sp

GENE_ID = r"^(ENS[A-Z]*G|WBGene|FBgn)[0-9]+"
BOMB_BYTES = 256 << 20  # below this much declared data nothing is a bomb
BOMB_RATIO = 500  # declared bytes per byte of file; gzip of counts reaches about 60
PROBE_SECONDS = 120.0  # a file that takes longer to read hangs the reader; large files get more time:
PROBE_BYTES_PER_SECOND = 4 << 20
BLOCK = 1 << 24  # values checked at a time
FIX_COUNTS = "Put raw counts (whole numbers of at least 0) into X, raw.X or layers['counts']."


@dataclass(frozen=True)
class Counts:
    """A matrix of raw counts and where it was found.

    Attributes
    ----------
    matrix
        Counts (int32), cells in rows, row indices sorted and unique.
    place
        `X`, `raw.X` or `layers['counts']`.
    """

    matrix: sp.csr_matrix
    place: str


def read_h5ad(path: str | Path) -> anndata.AnnData:
    """Read an h5ad file after checking its structure and declared size; a hang or crash of HDF5 on a damaged file is caught.

    Raises
    ------
    ValueError
        If the file is missing, is no whole HDF5 file, declares far more data than it holds or fits into memory, points at
        other files, or holds a matrix whose parts do not fit together. The message names the file and what to do.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file.")
    with path.open("rb") as file:
        magic = file.read(8)
    if magic != b"\x89HDF\r\n\x1a\n":
        raise ValueError(
            f"{path}: begins with {magic!r}, not with an HDF5 signature; give an .h5ad file (or get it again)."
        )
    _probe(path)
    return anndata.read_h5ad(path)


def validate_counts(adata: anndata.AnnData, *, file: str | Path) -> anndata.AnnData:
    """Return the cells with raw counts (int32 CSR) in X; they are looked for in X, then raw.X, then layers["counts"].

    obs, obsm, uns and layers that fit the genes of the counts are kept.

    Raises
    ------
    ValueError
        If no such matrix holds raw counts, if there are no cells or genes, names are given twice, or genes stand in rows.
    """
    if adata.n_obs == 0 or adata.n_vars == 0:
        raise ValueError(f"{file}: holds {adata.n_obs} cells and {adata.n_vars} genes; both must be more than 0.")
    _check_orientation(adata, file)
    counts = find_counts(adata, file=file)
    raw = adata.raw if counts.place == "raw.X" else None
    obs, var = pd.DataFrame(adata.obs), pd.DataFrame(adata.var if raw is None else raw.var)
    _check_names(var.index.astype(str), "genes (var_names)", "Use gene ids, or sum the columns of one gene.", file)
    _check_names(obs.index.astype(str), "cells (obs_names)", "Put the batch in front of the barcode.", file)
    checked = anndata.AnnData(
        counts.matrix, obs=obs.copy(), var=var.copy(), uns={**adata.uns, "counts_place": counts.place}
    )
    for name in adata.obsm:
        checked.obsm[name] = adata.obsm[name]
    fits = raw is None or raw.var_names.equals(adata.var_names)
    for name in adata.layers if fits else ():
        checked.layers[name] = sp.csr_matrix(adata.layers[name])
    return checked


def find_counts(adata: anndata.AnnData, *, file: str | Path) -> Counts:
    """Return the first matrix that holds raw counts.

    Raises
    ------
    ValueError
        If none does; the message says what each matrix holds.
    """
    found = []
    for place, matrix in _places(adata):
        checked = to_csr(matrix)
        problem = count_problem(checked)
        if problem is None:
            checked.data = checked.data.astype(np.int32)
            return Counts(checked, place)
        found.append(f"{place} {problem}")
    raise ValueError(f"{file}: no raw counts: {'; '.join(found)}. {FIX_COUNTS}")


def count_problem(matrix: sp.csr_matrix) -> str | None:
    """Say why a matrix does not hold raw counts; None if it does."""
    if matrix.nnz == 0 or not matrix.data.any():
        return "is all zero"
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


def _places(adata: anndata.AnnData) -> Iterator[tuple[str, Any]]:
    if adata.X is not None:
        yield "X", adata.X
    if adata.raw is not None:
        yield "raw.X", adata.raw.X
    if "counts" in adata.layers:
        yield "layers['counts']", adata.layers["counts"]


def _check_names(names: Any, where: str, fix: str, file: str | Path) -> None:
    repeated = names[names.duplicated()]
    if len(repeated):
        raise ValueError(
            f"{file}: {len(repeated)} {where} are given more than once, such as {str(repeated[0])!r}; they must be unique. {fix}"
        )


def _check_orientation(adata: anndata.AnnData, file: str | Path) -> None:
    in_rows, in_columns = (names.astype(str).str.match(GENE_ID).mean() for names in (adata.obs_names, adata.var_names))
    if in_rows > 0.5 and in_columns < 0.5:
        raise ValueError(
            f"{file}: the rows are named like genes ({adata.obs_names[0]!r}); cells must be in rows. Use adata.T."
        )


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
    problem = ""
    try:
        with h5py.File(path, "r") as file:
            _check_structure(file, path)
        anndata.read_h5ad(path)
    except Exception as error:  # noqa: BLE001 - libraries raise of every kind on damaged files; the parent raises one message
        text = " ".join(str(error).split())[:300]
        problem = text if text.startswith(f"{path}: ") else f"{type(error).__name__}: {text}"
    answer.send(problem)
    answer.close()
    os._exit(0)  # nothing of the parent's is to be cleaned up here


def _check_structure(file: h5py.File, path: Path) -> None:
    size, declared = path.stat().st_size, 0
    for name, item in _walk(file, path):
        if isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual:
                raise ValueError(f"{path}: {name} keeps its data in other files; write it into one file.")
            declared += int(np.prod(item.shape or (), dtype=object)) * item.dtype.itemsize
    if declared > BOMB_BYTES and declared > BOMB_RATIO * size:
        raise ValueError(
            f"{path}: {size:,} bytes that declare {declared:,} bytes of data; refused as a decompression bomb."
        )
    free = psutil.virtual_memory().available
    if declared > free:
        raise ValueError(
            f"{path}: holds {declared:,} bytes of data, {free:,} bytes of memory are free. Split the file."
        )
    if "X" not in file and "raw" not in file and "layers" not in file:
        raise ValueError(f"{path}: has no X; found {sorted(file)[:10]}. Give an .h5ad file written by anndata.")
    for name in ("X", "raw/X", "layers/counts"):
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
        return
    missing = [part for part in ("data", "indices", "indptr") if part not in item]
    if missing or "shape" not in item.attrs:
        raise ValueError(
            f"{name} is a sparse matrix without {missing or ['shape']}; write the file again with anndata."
        )
    rows, columns = (int(length) for length in item.attrs["shape"])
    by_row = str(item.attrs.get("encoding-type", "csr_matrix")).startswith("csr")
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
