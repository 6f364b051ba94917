"""Writing a shard: cells grouped into strata, split, sorted, and their neighbors renumbered."""

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import pandas as pd
import scipy.sparse
from anndata import AnnData
from jaxtyping import Int, UInt

from scprint2.data.count_store import Counts, MatrixCounts, cell_blocks, index_type
from scprint2.data.shard import ESCAPE, FORMAT, LEVELS, TRAINING, VALIDATION, VERSION, genes_sha256, hash_rows, mix
from scprint2.data.vocabulary import CLASSES
from scprint2.files import sync, write_json

if TYPE_CHECKING:
    from scprint2.data.preprocess import ProcessedCells


@dataclass(frozen=True)
class _Strata:
    """The stratum of each cell, and what defines the strata."""

    of_cell: Int[np.ndarray, " cell"]
    terms: dict[str, list[str]]
    clusters: list[str]
    cell_type_clusters: list[str]
    label: Int[np.ndarray, "cell class"]
    key: Int[np.ndarray, "stratum key"]  # codes of the classes, cluster, cell type × cluster


@dataclass(frozen=True)
class _Cells:
    """What a shard is written of.

    Attributes
    ----------
    counts, measured
        Counts, and for each of their columns the index in the gene table.
    obs, obsm
        Labels and clusters; `neighbor`, `neighbor_distance` and, to find neighbors of validation cells, `X_pca`.
    record
        Holds `dataset` and `organism`.
    """

    counts: Counts
    measured: Int[np.ndarray, " measured"]
    obs: pd.DataFrame
    obsm: Mapping[str, np.ndarray]
    record: Mapping[str, Any]

    def take(self, cells: Int[np.ndarray, " taken"], genes: int) -> scipy.sparse.csr_matrix:
        """Counts of some cells on the gene table, each cell's sorted by gene."""
        block = self.counts.take(cells)
        shape = (len(cells), genes)
        block = scipy.sparse.csr_matrix((block.data, self.measured[block.indices], block.indptr), shape=shape)
        block.sort_indices()
        return block


@dataclass(frozen=True)
class _Scan:
    """What one pass over the counts finds.

    Attributes
    ----------
    hash
        Of each cell's counts.
    large_cell, large_place, large_count
        Counts that do not fit into a byte: their cell, place among its entries, and value.
    """

    hash: UInt[np.ndarray, " cell"]
    large_cell: Int[np.ndarray, " large"]
    large_place: Int[np.ndarray, " large"]
    large_count: Int[np.ndarray, " large"]


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
    record = adata.uns.get("scprint2", {})
    for key in ("dataset", "organism"):
        if key not in record:
            raise ValueError(f"uns['scprint2'] has no {key!r}: shards are built of processed cells (`preprocess`).")
    cells = _Cells(
        MatrixCounts(_checked_counts(adata)),
        _measured(adata.var_names, gene_ids),
        pd.DataFrame(adata.obs),
        {name: np.asarray(adata.obsm[name]) for name in adata.obsm},
        record,
    )
    _write(cells, Path(folder), gene_ids=gene_ids, validation_share=validation_share)


def write_processed_shard(
    cells: "ProcessedCells", folder: str | Path, *, gene_ids: Sequence[str], validation_share: float
) -> None:
    """Write a shard like `write_shard`, of cells whose counts may lie in a file."""
    measured = _measured(cells.var.index, gene_ids)
    source = _Cells(cells.counts, measured, cells.obs, cells.obsm, cells.record)
    _write(source, Path(folder), gene_ids=gene_ids, validation_share=validation_share)


def _write(cells: _Cells, folder: Path, *, gene_ids: Sequence[str], validation_share: float) -> None:
    genes, nnz = len(gene_ids), np.asarray(cells.counts.nnz)
    if len(nnz) == 0:
        raise ValueError("there are no cells to write. Look at what quality control removed.")
    scan = _scan(cells, genes)
    strata = _strata(cells.obs)
    split = _split(strata.of_cell, scan.hash, share=validation_share)
    level, level_nnz = _levels(nnz)
    order = np.lexsort((np.arange(len(nnz)), level, strata.of_cell, split))
    neighbor, distance = _neighbors(cells.obsm, split, order)
    stored = np.zeros((2, len(strata.key), LEVELS), np.uint32)
    np.add.at(stored, (split, strata.of_cell, level), 1)
    index = index_type(genes)
    arrays = _count_arrays(cells, scan, order, genes=genes) | {
        "neighbor": [neighbor.astype("<i4")],
        "distance": [distance.astype("<f2")],
        "label": [strata.label[order].astype("<i2")],
        "nnz": [nnz[order].astype(index)],
        "hash": [scan.hash[order].astype("<u8")],
        "source": [order.astype("<i4")],
        "measured": [np.sort(cells.measured).astype("<i4")],
        "stratum_label": [strata.key[:, : len(CLASSES)].astype("<i2")],
        "stratum_cluster": [strata.key[:, -2].astype("<i4")],
        "stratum_cell_type_cluster": [strata.key[:, -1].astype("<i4")],
        "stratum_cells": [stored.astype("<u4")],
    }
    header = {
        "format": FORMAT,
        "version": VERSION,
        "dataset": str(cells.record["dataset"]),
        "organism": str(cells.record["organism"]),
        "cells": len(nnz),
        "training_cells": int((split == TRAINING).sum()),
        "validation_share": validation_share,
        "genes": genes,
        "genes_sha256": genes_sha256(gene_ids),
        "classes": list(CLASSES),
        "terms": strata.terms,
        "clusters": strata.clusters,
        "cell_type_clusters": strata.cell_type_clusters,
        "level_nnz": level_nnz.tolist(),
        "donors": sorted(set(cells.obs["donor_id"].astype(str))) if "donor_id" in cells.obs else [],
    }
    publish_shard(folder, header, arrays)


def _scan(cells: _Cells, genes: int) -> _Scan:
    hashes, large = [], []
    for rows in cell_blocks(cells.counts.nnz):
        block = cells.take(rows, genes)
        hashes.append(hash_rows(block.indptr, block.indices, block.data))
        entry = np.flatnonzero(block.data >= ESCAPE)
        row = np.searchsorted(block.indptr, entry, side="right") - 1
        large.append(np.stack([rows[row], entry - block.indptr[row], block.data[entry]]).astype(np.int64))
    return _Scan(np.concatenate(hashes), *np.concatenate(large, axis=1))


def _count_arrays(cells: _Cells, scan: _Scan, order: np.ndarray, *, genes: int) -> dict[str, Iterable[np.ndarray]]:
    """Return the arrays of the counts in the new order of the cells, the two big ones block by block."""
    nnz = np.asarray(cells.counts.nnz)[order]
    indptr = np.concatenate([[0], np.cumsum(nnz)])
    entry = indptr[np.argsort(order)[scan.large_cell]] + scan.large_place
    by_entry = np.argsort(entry)
    blocks = list(cell_blocks(nnz))
    return {
        "indptr": [indptr.astype("<i8")],
        "gene": (cells.take(order[block], genes).indices.astype(index_type(genes)) for block in blocks),
        "count": (np.minimum(cells.take(order[block], genes).data, ESCAPE).astype("u1") for block in blocks),
        "escape_entry": [entry[by_entry].astype("<i8")],
        "escape_count": [scan.large_count[by_entry].astype("<i4")],
    }


def _measured(names: pd.Index, gene_ids: Sequence[str]) -> np.ndarray:
    """Return the index in the gene table of each gene."""
    measured = pd.Index(gene_ids).get_indexer(names)
    if (measured < 0).any() or len(set(measured)) < len(measured):
        bad = names[measured < 0][:5].tolist() or "duplicates"
        raise ValueError(
            f"genes {bad} are not in the gene table of the organism ({len(gene_ids)} genes), or twice. Map the genes first."
        )
    return measured


def _checked_counts(adata: AnnData) -> scipy.sparse.csr_matrix:
    """Return X as integers without stored zeros."""
    matrix = scipy.sparse.csr_matrix(adata.X)
    if matrix.nnz and (
        matrix.data.min() < 0 or np.any(matrix.data != np.floor(matrix.data)) or matrix.data.max() >= 2**31
    ):
        raise ValueError("X holds values that are no counts: whole numbers from 0 to 2^31 - 1 are needed.")
    matrix = scipy.sparse.csr_matrix(matrix, dtype=np.int32, copy=True)
    matrix.eliminate_zeros()
    return matrix


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


def _neighbors(obsm: Mapping[str, np.ndarray], split: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return neighbors and distances in the new order; neighbors of the other split are dropped."""
    neighbor = np.array(obsm["neighbor"], dtype=np.int64)
    distance = np.array(obsm["neighbor_distance"], dtype=np.float64)
    if neighbor.size and neighbor.max() >= len(neighbor):
        raise ValueError(
            f"obsm['neighbor'] names row {neighbor.max()} of {len(neighbor)} cells. Preprocess the dataset again."
        )
    validation = np.flatnonzero(split == VALIDATION)
    if "X_pca" in obsm and len(validation) > 1:  # nearly all of their neighbors are training cells
        from scprint2.data.clusters import nearest_neighbors  # slow to import

        found = nearest_neighbors(np.asarray(obsm["X_pca"])[validation], neighbor.shape[1])
        neighbor[validation] = np.where(found.index >= 0, validation[found.index], -1)
        distance[validation] = found.distance
    dropped = (neighbor < 0) | (split[neighbor] != split[:, None])
    first_kept = np.argsort(dropped, axis=1, kind="stable")
    neighbor = np.take_along_axis(np.where(dropped, -1, np.argsort(order)[neighbor]), first_kept, axis=1)
    distance = np.take_along_axis(np.where(dropped, 0, distance), first_kept, axis=1)
    return neighbor[order], np.clip(distance[order], 0, np.finfo(np.float16).max)


def publish_shard(folder: Path, header: dict[str, Any], arrays: dict[str, Iterable[np.ndarray]]) -> None:
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
