"""Asking the disk for the cells of coming steps at once, in the order in which they lie there, before anybody waits for them.

A corpus larger than the memory is read at random places: each a page that the reader would wait for, one after the other. The
kernel reads many of them at the same time when it is told beforehand. What a batch holds does not depend on it.
"""

import ctypes
import mmap
from collections.abc import Iterable, Iterator
from functools import cache

import numpy as np
from jaxtyping import Int

from scprint2.data.corpus import Corpus
from scprint2.data.shard import Shard

PAGE = mmap.PAGESIZE
GAP_PAGES = 8  # pieces closer than this are asked for as one


def ask_for_cells(corpus: Corpus, cells: Int[np.ndarray, " cell"], names: Iterable[str]) -> None:
    """Ask for some arrays of the shards that have one row per cell."""
    names = tuple(names)
    for shard, rows in _by_shard(corpus, cells):
        for name in names:
            _ask(getattr(shard, name), rows, rows + 1)


def ask_for_counts(corpus: Corpus, cells: Int[np.ndarray, " cell"]) -> None:
    """Ask for the counts of cells; waits for where they are."""
    for shard, rows in _by_shard(corpus, cells):
        _ask(shard.indptr, rows, rows + 2)
    for shard, rows in _by_shard(corpus, cells):
        first, last = shard.indptr[rows], shard.indptr[rows + 1]
        _ask(shard.gene, first, last)
        _ask(shard.count, first, last)


def _by_shard(corpus: Corpus, cells: Int[np.ndarray, " cell"]) -> Iterator[tuple[Shard, Int[np.ndarray, " row"]]]:
    """Yield each shard that holds some of the cells, and their rows in order."""
    shard, row = corpus.locate(np.unique(cells))
    numbers, begin = np.unique(shard, return_index=True)
    for number, rows in zip(numbers.tolist(), np.split(row, begin[1:]), strict=True):
        yield corpus.shards[number], rows


def _ask(array: np.ndarray, first: Int[np.ndarray, " piece"], last: Int[np.ndarray, " piece"]) -> None:
    """Tell the kernel that pieces first … last - 1 (rows, ascending) of a mapped array are needed soon."""
    address, row_bytes = array.__array_interface__["data"][0], array.strides[0]
    begin = (address + first * row_bytes) // PAGE
    end = np.maximum.accumulate(-(-(address + last * row_bytes) // PAGE))
    apart = begin[1:] > end[:-1] + GAP_PAGES
    starts, stops = begin[np.append(True, apart)], end[np.append(apart, True)]
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        _libc().madvise(start * PAGE, (stop - start) * PAGE, mmap.MADV_WILLNEED)


@cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None)
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return libc
