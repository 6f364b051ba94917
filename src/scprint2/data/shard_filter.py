"""A shard without some of its cells: what is left keeps its order, so that nothing needs to be sorted again."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

from scprint2.data.count_store import cell_blocks
from scprint2.data.shard import LEVELS, TRAINING, Shard
from scprint2.data.shard_writer import publish_shard


def filter_shard(shard: Shard, keep: Bool[np.ndarray, " cell"], folder: str | Path) -> None:
    """Write a shard of the cells to keep; neighbors that go are dropped, strata and terms without cells too.

    `donors` of the header stay as they are: a shard does not know the donor of a cell. So a comparison with a test set may name a
    donor all of whose cells were duplicates.

    Raises
    ------
    ValueError
        If no cell is kept.
    """
    if not keep.any():
        raise ValueError(f"{shard.folder}: no cell would be left. Leave the whole shard out.")
    sizes = np.diff(shard.indptr)
    indptr = np.concatenate([[0], np.cumsum(sizes[keep])])
    neighbor, distance = _neighbors(shard, keep)
    stored, used = _stratum_cells(shard, keep)
    terms, codes = _used_terms(shard, used)
    entry, count = _escapes(shard, keep, indptr)
    arrays = {
        "indptr": [indptr.astype("<i8")],
        "gene": _entries(shard, shard.gene, keep),
        "count": _entries(shard, shard.count, keep),
        "escape_entry": [entry],
        "escape_count": [count],
        "neighbor": [neighbor],
        "distance": [distance],
        "label": [_recode(shard.label[keep], codes)],
        **{name: [getattr(shard, name)[keep]] for name in ("nnz", "hash", "source")},
        "measured": [shard.measured],
        "stratum_label": [_recode(shard.stratum_label[used], codes)],
        **{name: [getattr(shard, name)[used]] for name in ("stratum_cluster", "stratum_cell_type_cluster")},
        "stratum_cells": [stored[:, used]],
    }
    header = {name: value for name, value in shard.header.items() if name != "arrays"}
    training = int(stored[TRAINING].sum())
    changed = {"cells": int(keep.sum()), "training_cells": training, "terms": terms}
    publish_shard(Path(folder), header | changed, arrays)


def _entries(shard: Shard, values: np.ndarray, keep: np.ndarray) -> Iterator[np.ndarray]:
    """Entries of the kept cells, block by block."""
    sizes = np.diff(shard.indptr)
    for cells in cell_blocks(sizes):
        first, last = int(shard.indptr[cells[0]]), int(shard.indptr[cells[-1] + 1])
        yield values[first:last][np.repeat(keep[cells], sizes[cells])]


def _neighbors(shard: Shard, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Neighbors renumbered, those that exist first."""
    number = np.where(keep, np.cumsum(keep) - 1, -1)
    old = np.asarray(shard.neighbor)[keep]
    new = np.where(old >= 0, number[old], -1)
    order = np.argsort(new < 0, axis=1, kind="stable")
    new = np.take_along_axis(new, order, axis=1)
    distance = np.take_along_axis(np.asarray(shard.distance)[keep], order, axis=1)
    return new.astype("<i4"), np.where(new >= 0, distance, 0).astype("<f2")


def _stratum_cells(shard: Shard, keep: np.ndarray) -> tuple[np.ndarray, Bool[np.ndarray, " stratum"]]:
    """Number of kept cells of each (split, stratum, level), and the strata that have any."""
    cells = np.asarray(shard.stratum_cells)
    block = np.repeat(np.arange(cells.size), cells.ravel())
    left = np.bincount(block[keep], minlength=cells.size).reshape(2, -1, LEVELS).astype("<u4")
    return left, left.sum(axis=(0, 2)) > 0


def _used_terms(shard: Shard, used: np.ndarray) -> tuple[dict[str, list[str]], list[np.ndarray]]:
    """Terms of the strata that are left, and for each class the new code of each old one; its last is that of -1 (unknown)."""
    terms, codes = {}, []
    for column, name in enumerate(shard.header["classes"]):
        left = np.unique(shard.stratum_label[used, column])
        left = left[left >= 0]
        new = np.full(len(shard.terms[name]) + 1, -1, "<i2")
        new[left] = np.arange(len(left))
        terms[name] = [shard.terms[name][code] for code in left]
        codes.append(new)
    return terms, codes


def _recode(label: Int[np.ndarray, "row class"], codes: list[np.ndarray]) -> Int[np.ndarray, "row class"]:
    return np.stack([new[column] for new, column in zip(codes, label.T, strict=True)], axis=1)


def _escapes(shard: Shard, keep: np.ndarray, indptr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The escape table of the kept cells, at their new entries."""
    entry = np.asarray(shard.escape_entry)
    row = np.searchsorted(shard.indptr, entry, side="right") - 1
    stays = keep[row]
    row, entry = row[stays], entry[stays]
    new = indptr[np.cumsum(keep)[row] - 1] + entry - shard.indptr[row]
    return new.astype("<i8"), np.asarray(shard.escape_count)[stays]
