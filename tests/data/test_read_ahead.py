from types import SimpleNamespace

import numpy as np
import pytest

from scprint2.data import read_ahead
from scprint2.data.loader import BatchLoader

from .builders import data_config, small_corpus

PAGE = read_ahead.PAGE


@pytest.fixture
def asked(monkeypatch):
    """Pages that the kernel is asked for, page number after page number."""
    pages = []

    def madvise(address, length, advice):
        assert address % PAGE == length % PAGE == 0
        assert length > 0
        pages.extend(range(address // PAGE, (address + length) // PAGE))
        return 0

    monkeypatch.setattr(read_ahead, "_libc", lambda: SimpleNamespace(madvise=madvise))
    return pages


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return small_corpus(tmp_path_factory.mktemp("corpus"), cells=2000)


def pages_of(array, first, last):
    address = array.__array_interface__["data"][0]
    stride = array.strides[0]
    return set(range((address + first * stride) // PAGE, (address + last * stride - 1) // PAGE + 1))


def place_of(corpus, cell):
    shard, row = (int(value[0]) for value in corpus.locate(np.array([cell])))
    return corpus.shards[shard], row


def pages_of_counts(corpus, cell):
    shard, row = place_of(corpus, cell)
    first, last = (int(value) for value in shard.indptr[row : row + 2])
    return pages_of(shard.indptr, row, row + 2) | pages_of(shard.gene, first, last) | pages_of(shard.count, first, last)


@pytest.mark.parametrize(
    ("neighbors", "metacells"),
    [
        ({"kind": "none"}, {"kind": "none"}),
        ({"kind": "random", "most": 6}, {"kind": "none"}),
        ({"kind": "random", "most": 2}, {"kind": "average", "share": 0.3}),
    ],
)
def test_every_page_that_a_batch_reads_was_asked_for(corpus, asked, neighbors, metacells):
    config = data_config(neighbors=neighbors, metacells=metacells)
    loader = BatchLoader(corpus, config, batch_size=8, seed=2, rank=1, world=2)
    loader.ask(range(4, 8))
    needed = set()
    for step in range(4, 8):
        plan = loader.plan(step)
        around, _ = loader._neighbors(plan.cells)
        for cell, melted, stored in zip(plan.cells, plan.melted, around, strict=True):
            used = stored[: 6 if melted else plan.neighbors]
            for member in (cell, *used[used >= 0]):
                needed |= pages_of_counts(corpus, member)
            shard, row = place_of(corpus, cell)
            needed |= pages_of(shard.label, row, row + 1)
            if len(used):
                needed |= pages_of(shard.neighbor, row, row + 1) | pages_of(shard.distance, row, row + 1)
    assert needed <= set(asked)


def test_far_less_than_the_whole_corpus_is_asked_for_and_nothing_twice(corpus, asked):
    loader = BatchLoader(corpus, data_config(), batch_size=8, seed=0)
    loader.ask([0])
    size = sum((shard.folder / "arrays.bin").stat().st_size for shard in corpus.shards)
    assert len(set(asked)) * PAGE < size / 2


def test_the_window_in_front_of_the_batches_is_asked_for(corpus, monkeypatch):
    loader = BatchLoader(corpus, data_config(), batch_size=4, seed=0, threads=2)
    monkeypatch.setattr("scprint2.data.loader.WINDOW_ROWS", 12)
    steps, ask = [], loader.ask
    monkeypatch.setattr(loader, "ask", lambda window: (steps.extend(window), ask(window)))
    batches = loader.prefetch(5)
    for _ in range(7):
        next(batches)
    batches.close()
    assert steps[:9] == list(range(5, 14))
    assert len(steps) == len(set(steps))


def test_what_goes_wrong_while_asking_is_not_swallowed(corpus, monkeypatch):
    loader = BatchLoader(corpus, data_config(), batch_size=4, seed=0, threads=2)

    def fail(window):
        raise OSError("the disk is gone")

    monkeypatch.setattr(loader, "ask", fail)
    with pytest.raises(OSError, match="the disk is gone"):
        next(loader.prefetch(0))
