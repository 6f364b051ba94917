"""Cells that occur in several datasets of a corpus: found by the hash of their counts; the first dataset keeps them.

The hash is that of the shards: of the pairs (gene, count), in no order, in 64 bits. Among 350 million different cells the
expected number of pairs with one hash is n² / 2⁶⁵ = 0.003. Cells are compared within an organism, since genes are numbered
within its table.
"""

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from os.path import relpath
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer

from scprint2.data.leakage import COMPARED_GENES
from scprint2.data.shard import Shard
from scprint2.data.shard_filter import filter_shard
from scprint2.files import read_json, write_json

PARTITION_CELLS = 1 << 22  # cells sorted at a time: 100 MB
READ_CELLS = 1 << 20
ENTRY = np.dtype([("hash", "<u8"), ("shard", "<u4"), ("row", "<u4")])


def find_repeated(
    hashes: Iterable[tuple[np.ndarray, np.ndarray]], work: str | Path, *, cells: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Find cells whose hash an earlier shard, or an earlier row of the same one, has.

    The hashes are first written to files by their leading bits, then each file is sorted: memory does not grow with the cells.

    Parameters
    ----------
    hashes
        Of each shard: hash of each cell, and which cells take part.
    work
        An empty folder.
    cells
        About how many cells there are; it decides how many files there will be.

    Yields
    ------
        Two arrays of equal length with the fields of `ENTRY`: cells that repeat another one, and the first of their kind.
    """
    bits = max(int(cells) - 1, 0).bit_length() - (PARTITION_CELLS.bit_length() - 1)
    bits = min(max(bits, 0), 8)  # at most 256 open files
    paths = [Path(work) / f"{number:04d}" for number in range(1 << bits)]
    _partition(hashes, paths, bits)
    for path in paths:
        entries = np.fromfile(path, ENTRY)
        path.unlink()
        entries = entries[np.lexsort((entries["row"], entries["shard"], entries["hash"]))]
        new = np.ones(len(entries), dtype=bool)
        new[1:] = entries["hash"][1:] != entries["hash"][:-1]
        first = np.flatnonzero(new)[np.cumsum(new) - 1]
        yield entries[~new], entries[first[~new]]


def drop_duplicates(shards: Sequence[Shard], folder: str | Path, *, work: str | Path) -> dict[str, Any]:
    """Write the shards that hold duplicates without them; say where the shards of the corpus are and what was left out.

    Of equal cells the one in the first shard stays. Cells with fewer than `COMPARED_GENES` genes can be equal by chance and all
    stay. A dataset that only repeats others is left out.

    Parameters
    ----------
    shards
        In the order of the registry.
    folder
        Where shards without duplicates are put, one folder per dataset.
    work
        Folder for temporary files; emptied first.

    Returns
    -------
        `members` (dataset, path relative to `folder`'s parent, cells), `duplicates` (dataset, of which dataset, cells) and
        `compared_genes`.
    """
    folder, work = Path(folder), Path(work)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    drop = {number: [] for number in range(len(shards))}
    shared: Counter[tuple[int, int]] = Counter()
    for organism in dict.fromkeys(shard.organism for shard in shards):
        numbers = [number for number, shard in enumerate(shards) if shard.organism == organism]
        cells = sum(len(shards[number]) for number in numbers)
        parts = ((shards[number].hash, shards[number].nnz >= COMPARED_GENES) for number in numbers)
        for repeated, first in find_repeated(parts, work, cells=cells):
            for place, number in enumerate(numbers):
                drop[number].append(repeated["row"][repeated["shard"] == place])
            pairs = zip(repeated["shard"].tolist(), first["shard"].tolist(), strict=True)
            shared.update((numbers[one], numbers[other]) for one, other in pairs)
    members = [
        member
        for number, shard in enumerate(shards)
        if (member := _member(shard, np.concatenate(drop[number]), folder)) is not None
    ]
    shutil.rmtree(work)
    duplicates = [
        {"dataset": shards[one].dataset, "of": shards[other].dataset, "cells": cells}
        for (one, other), cells in sorted(shared.items())
    ]
    return {"members": members, "duplicates": duplicates, "compared_genes": COMPARED_GENES}


def write_members(path: str | Path, found: Mapping[str, Any], *, failed: Mapping[str, str]) -> None:
    """Write what `drop_duplicates` found, with the datasets that could not be processed and why."""
    write_json(path, dict(found) | {"failed": dict(failed)})


def member_paths(path: str | Path) -> list[Path]:
    """Folders of the shards that a file of members names."""
    return [Path(path).parent / member["path"] for member in read_json(path)["members"]]


def _partition(hashes: Iterable[tuple[np.ndarray, np.ndarray]], paths: Sequence[Path], bits: int) -> None:
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("wb")) for path in paths]
        for number, (given, compared) in enumerate(hashes):
            for start in range(0, len(given), READ_CELLS):
                rows = start + np.flatnonzero(compared[start : start + READ_CELLS])
                entries = np.empty(len(rows), ENTRY)
                entries["hash"], entries["shard"], entries["row"] = given[rows], number, rows
                prefix = entries["hash"] >> np.uint64(64 - bits) if bits else np.zeros(len(rows), np.uint64)
                order = np.argsort(prefix, kind="stable")
                ends = np.searchsorted(prefix[order], np.arange(len(paths) + 1, dtype=np.uint64))
                for file, begin, end in zip(files, ends[:-1], ends[1:], strict=True):
                    entries[order[begin:end]].tofile(file)


def _member(shard: Shard, drop: Integer[np.ndarray, " drop"], folder: Path) -> dict[str, Any] | None:
    """Where the shard's cells that stay are; None if there are none."""
    keep = np.ones(len(shard), dtype=bool)
    keep[drop] = False
    if not keep.any():
        return None
    place = shard.folder
    if not keep.all():
        place = folder / shard.dataset
        filter_shard(shard, keep, place)
    return {"dataset": shard.dataset, "path": relpath(place, folder.parent), "cells": int(keep.sum())}
