"""Writing a shard: cells grouped into strata, split, sorted, and their neighbors renumbered."""

import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import scipy.sparse
from anndata import AnnData
from jaxtyping import Int

from scprint2.data.shard import ESCAPE, FORMAT, LEVELS, TRAINING, VALIDATION, VERSION, genes_sha256, hash_rows, mix
from scprint2.data.vocabulary import CLASSES
from scprint2.files import sync, write_json

BLOCK = 65_536  # cells written at a time


@dataclass(frozen=True)
class _Strata:
    """The stratum of each cell, and what defines the strata."""

    of_cell: Int[np.ndarray, " cell"]
    terms: dict[str, list[str]]
    clusters: list[str]
    cell_type_clusters: list[str]
    label: Int[np.ndarray, "cell class"]
    key: Int[np.ndarray, "stratum key"]  # codes of the classes, cluster, cell type × cluster


def write_shard(adata: AnnData, folder: str | Path, *, gene_ids: Sequence[str], validation_share: float) -> None:
    """Write processed cells as a shard; the folder appears when it is complete.

    Parameters
    ----------
    adata
        Processed cells: integer counts in X, gene ids as var_names, label columns in obs, `obsm["neighbor"]` and
        `obsm["neighbor_distance"]`, `uns["scprint2"]` with `dataset` and `organism`.
    folder
        Where to write; an older shard is replaced.
    gene_ids
        The gene table of the organism: ids in order.
    validation_share
        Share of the cells of each stratum that are kept for validation: those with the lowest hash of their counts.

    Raises
    ------
    ValueError
        If counts, genes or columns are not as above.
    """
    matrix, measured = _counts(adata, gene_ids)
    hashes = hash_rows(matrix.indptr, matrix.indices, matrix.data)
    nnz = np.diff(matrix.indptr)
    strata = _strata(pd.DataFrame(adata.obs))
    split = _split(strata.of_cell, hashes, share=validation_share)
    level, level_nnz = _levels(nnz)
    order = np.lexsort((np.arange(len(nnz)), level, strata.of_cell, split))
    neighbor, distance = _neighbors(adata, split, order)
    cells = np.zeros((2, len(strata.key), LEVELS), np.uint32)
    np.add.at(cells, (split, strata.of_cell, level), 1)
    index = np.dtype("<u2") if len(gene_ids) <= 65_536 else np.dtype("<u4")
    arrays = _count_arrays(matrix, order, index) | {
        "neighbor": [neighbor.astype("<i4")],
        "distance": [distance.astype("<f2")],
        "label": [strata.label[order].astype("<i2")],
        "nnz": [nnz[order].astype(index)],
        "hash": [hashes[order].astype("<u8")],
        "source": [order.astype("<i4")],
        "measured": [measured.astype("<i4")],
        "stratum_label": [strata.key[:, : len(CLASSES)].astype("<i2")],
        "stratum_cluster": [strata.key[:, -2].astype("<i4")],
        "stratum_cell_type_cluster": [strata.key[:, -1].astype("<i4")],
        "stratum_cells": [cells.astype("<u4")],
    }
    header = {
        "format": FORMAT,
        "version": VERSION,
        "dataset": str(adata.uns["scprint2"]["dataset"]),
        "organism": str(adata.uns["scprint2"]["organism"]),
        "cells": len(nnz),
        "training_cells": int((split == TRAINING).sum()),
        "validation_share": validation_share,
        "genes": len(gene_ids),
        "genes_sha256": genes_sha256(gene_ids),
        "classes": list(CLASSES),
        "terms": strata.terms,
        "clusters": strata.clusters,
        "cell_type_clusters": strata.cell_type_clusters,
        "level_nnz": level_nnz.tolist(),
        "donors": sorted(set(adata.obs["donor_id"].astype(str))) if "donor_id" in adata.obs else [],
    }
    _publish(Path(folder), header, arrays)


def _count_arrays(
    matrix: scipy.sparse.csr_matrix, order: np.ndarray, index: np.dtype
) -> dict[str, Iterable[np.ndarray]]:
    """Return the arrays of the counts in the new order of the cells, the two big ones block by block."""
    indptr = np.concatenate([[0], np.cumsum(np.diff(matrix.indptr)[order])])
    large = np.flatnonzero(matrix.data >= ESCAPE)
    row = np.searchsorted(matrix.indptr, large, side="right") - 1
    entry = indptr[np.argsort(order)[row]] + large - matrix.indptr[row]
    by_entry = np.argsort(entry)
    blocks = [order[start : start + BLOCK] for start in range(0, len(order), BLOCK)]
    return {
        "indptr": [indptr.astype("<i8")],
        "gene": (matrix[block].indices.astype(index) for block in blocks),
        "count": (np.minimum(matrix[block].data, ESCAPE).astype("u1") for block in blocks),
        "escape_entry": [entry[by_entry].astype("<i8")],
        "escape_count": [matrix.data[large][by_entry].astype("<i4")],
    }


def _counts(adata: AnnData, gene_ids: Sequence[str]) -> tuple[scipy.sparse.csr_matrix, np.ndarray]:
    """Return the counts on the organism's gene table, rows sorted by gene, and the genes that were measured."""
    for key in ("dataset", "organism"):
        if key not in adata.uns.get("scprint2", {}):
            raise ValueError(f"uns['scprint2'] has no {key!r}: shards are built of processed cells (`preprocess`).")
    measured = pd.Index(gene_ids).get_indexer(adata.var_names)
    if (measured < 0).any() or len(set(measured)) < len(measured):
        bad = adata.var_names[measured < 0][:5].tolist() or "duplicates"
        raise ValueError(
            f"genes {bad} are not in the gene table of the organism ({len(gene_ids)} genes), or twice. Map the genes first."
        )
    if adata.n_obs == 0:
        raise ValueError("there are no cells to write. Look at what quality control removed.")
    matrix = scipy.sparse.csr_matrix(adata.X)
    if matrix.nnz and (
        matrix.data.min() < 0 or np.any(matrix.data != np.floor(matrix.data)) or matrix.data.max() >= 2**31
    ):
        raise ValueError("X holds values that are no counts: whole numbers from 0 to 2^31 - 1 are needed.")
    shape = (adata.n_obs, len(gene_ids))
    matrix = scipy.sparse.csr_matrix(
        (matrix.data.astype(np.int32), measured[matrix.indices], matrix.indptr), shape=shape
    )
    matrix.eliminate_zeros()
    matrix.sort_indices()
    return matrix, np.sort(measured)


def _strata(obs: pd.DataFrame) -> _Strata:
    """Give every distinct tuple of labels and cluster a number."""
    columns, terms = [], {}
    for name in CLASSES:
        column = f"{name}_ontology_term_id"
        values = obs[column].astype(object) if column in obs else pd.Series("unknown", index=obs.index)
        values = (
            values.where(values.notna(), "unknown")
            .astype(str)
            .replace({"": "unknown", "na": "unknown", "nan": "unknown"})
        )
        known = sorted(set(values) - {"unknown"})
        if len(known) > np.iinfo(np.int16).max:
            raise ValueError(
                f"{name}: {len(known)} terms in one dataset, at most {np.iinfo(np.int16).max} can be stored."
            )
        terms[name] = known
        columns.append(pd.Index(known).get_indexer(pd.Index(values)))
    clusters = {}
    for name in ("cluster", "cell_type_cluster"):
        if name not in obs:
            raise ValueError(f"obs has no column {name!r}: shards are built of processed cells (`preprocess`).")
        clusters[name] = sorted(set(obs[name].astype(str)))
        columns.append(pd.Index(clusters[name]).get_indexer(pd.Index(obs[name].astype(str))))
    keys = np.stack(columns, axis=1).astype(np.int32)
    key, of_cell = np.unique(keys, axis=0, return_inverse=True)
    return _Strata(
        of_cell=of_cell.reshape(-1),
        terms=terms,
        clusters=clusters["cluster"],
        cell_type_clusters=clusters["cell_type_cluster"],
        label=keys[:, : len(CLASSES)],
        key=key,
    )


def _split(stratum: np.ndarray, hashes: np.ndarray, *, share: float) -> np.ndarray:
    """Put the share of each stratum's cells with the lowest hashes into validation, never a whole stratum."""
    if not 0 <= share < 1:
        raise ValueError(f"validation share {share}: a share from 0 to below 1 is needed.")
    split = np.full(len(stratum), TRAINING)
    order = np.lexsort((hashes, stratum))
    begin = np.flatnonzero(np.diff(stratum[order], prepend=-1))
    size = np.diff(begin, append=len(order))
    # A small stratum is rounded up or down by a fixed random number, so that the share holds over all of them.
    lottery = mix(np.bitwise_xor.reduceat(hashes[order], begin)) / 2**64 if len(begin) else np.empty(0)
    taken = np.minimum(np.floor(share * size + lottery).astype(int), size - 1)
    rank = np.arange(len(order)) - np.repeat(begin, size)
    split[order[rank < np.repeat(taken, size)]] = VALIDATION
    return split


def _levels(nnz: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut the cells into levels of about equal size by their non-zero genes; return the levels and their means."""
    edges = np.unique(np.quantile(nnz, np.linspace(0, 1, LEVELS + 1)[1:-1])) if len(nnz) else np.empty(0)
    level = np.searchsorted(edges, nnz, side="left")
    cells = np.bincount(level, minlength=LEVELS)
    return level, np.bincount(level, weights=nnz, minlength=LEVELS) / np.maximum(cells, 1)


def _neighbors(adata: AnnData, split: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return neighbors and distances in the new order; neighbors of the other split are dropped."""
    neighbor = np.array(adata.obsm["neighbor"], dtype=np.int64)
    distance = np.array(adata.obsm["neighbor_distance"], dtype=np.float64)
    if neighbor.size and neighbor.max() >= len(neighbor):
        raise ValueError(
            f"obsm['neighbor'] names row {neighbor.max()} of {len(neighbor)} cells. Preprocess the dataset again."
        )
    validation = np.flatnonzero(split == VALIDATION)
    if "X_pca" in adata.obsm and len(validation) > 1:  # nearly all of their neighbors are training cells
        from scprint2.data.clusters import nearest_neighbors  # slow to import

        found = nearest_neighbors(np.asarray(adata.obsm["X_pca"])[validation], neighbor.shape[1])
        neighbor[validation] = np.where(found.index >= 0, validation[found.index], -1)
        distance[validation] = found.distance
    dropped = (neighbor < 0) | (split[neighbor] != split[:, None])
    first_kept = np.argsort(dropped, axis=1, kind="stable")
    neighbor = np.take_along_axis(np.where(dropped, -1, np.argsort(order)[neighbor]), first_kept, axis=1)
    distance = np.take_along_axis(np.where(dropped, 0, distance), first_kept, axis=1)
    return neighbor[order], np.clip(distance[order], 0, np.finfo(np.float16).max)


def _publish(folder: Path, header: dict[str, Any], arrays: dict[str, Iterable[np.ndarray]]) -> None:
    """Write into a folder beside the target and rename it, so that a kill leaves no half shard."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".tmp-", suffix=f"-{folder.name}", dir=folder.parent))
    retired = temporary.with_name(f"{temporary.name}-old")
    try:
        with (temporary / "arrays.bin").open("wb") as file:
            header["arrays"] = {name: _append(file, blocks) for name, blocks in arrays.items()}
        write_json(temporary / "header.json", header)
        sync(temporary / "arrays.bin")
        temporary.chmod(0o755)
        sync(temporary)
        if folder.exists():  # moved away whole: a kill while it is deleted must not leave half of it here
            os.replace(folder, retired)
        os.replace(temporary, folder)
        sync(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(retired, ignore_errors=True)


def _append(file: BinaryIO, blocks: Iterable[np.ndarray]) -> dict[str, Any]:
    """Append an array block by block and return its entry in the header."""
    file.write(b"\0" * (-file.tell() % 64))
    offset, digest, length, entry = file.tell(), sha256(), 0, {}
    for block in blocks:
        data = np.ascontiguousarray(block).tobytes()
        file.write(data)
        digest.update(data)
        length += len(block)
        entry = {"dtype": block.dtype.str, "shape": [length, *block.shape[1:]]}
    return entry | {"offset": offset, "sha256": digest.hexdigest()}
