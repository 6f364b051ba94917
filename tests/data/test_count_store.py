import numpy as np
import pytest
import scipy.sparse

from scprint2.data.count_store import MatrixCounts, all_counts, cell_blocks, count_blocks, store_counts


def matrix(cells=60, genes=70, *, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.poisson(2, size=(cells, genes)) * (rng.random((cells, genes)) < rng.uniform(0.02, 0.6, (cells, 1)))
    values[::9] = 0
    values[3, 5] = 100_000
    return scipy.sparse.csr_matrix(values.astype(np.int32))


@pytest.fixture(params=["memory", "file"])
def counts(request, tmp_path):
    """The same counts in memory and in files, these written in three pieces."""
    whole = matrix()
    if request.param == "memory":
        return MatrixCounts(whole)
    return store_counts((whole[start : start + 20] for start in range(0, 60, 20)), tmp_path, genes=70)


@pytest.mark.parametrize("sparse_read", [0, 4])
def test_cells_come_back_in_the_order_asked_for(counts, monkeypatch, sparse_read):
    monkeypatch.setattr("scprint2.data.count_store.SPARSE_READ", sparse_read)
    assert counts.shape == (60, 70)
    assert counts.nnz.tolist() == np.diff(matrix().indptr).tolist()
    rng = np.random.default_rng(1)
    for cells in (np.arange(60), rng.permutation(60), np.array([59, 0, 9, 9]), np.array([0]), np.empty(0, np.int64)):
        assert np.array_equal(counts.take(cells).toarray(), matrix()[cells].toarray())


@pytest.mark.parametrize("entries", [1, 50, 1 << 22])
def test_blocks_hold_every_cell_once_and_no_more_counts_than_they_may(counts, monkeypatch, entries):
    monkeypatch.setattr("scprint2.data.count_store.BLOCK_ENTRIES", entries)
    blocks = list(count_blocks(counts))
    assert np.concatenate([rows for rows, _ in blocks]).tolist() == list(range(60))
    assert np.array_equal(scipy.sparse.vstack([block for _, block in blocks]).toarray(), matrix().toarray())
    assert all(block.nnz <= entries or len(rows) == 1 for rows, block in blocks)


def test_cells_without_counts_do_not_make_a_block_endless(monkeypatch):
    monkeypatch.setattr("scprint2.data.count_store.BLOCK_ENTRIES", 10)
    assert max(len(block) for block in cell_blocks(np.zeros(95, np.int64))) == 10


def test_cells_that_are_left_out_are_not_read(tmp_path):
    stored = store_counts([matrix()], tmp_path, genes=70)
    keep = np.arange(60) % 3 != 1
    kept = stored.select(keep)
    assert np.array_equal(all_counts(kept).toarray(), matrix()[keep].toarray())
    assert np.array_equal(kept.take(np.array([30, 2])).toarray(), matrix()[keep][[30, 2]].toarray())


def test_gene_indices_above_two_bytes_are_kept(tmp_path):
    wide = scipy.sparse.csr_matrix((np.array([3, 4], np.int32), [70_000, 5], [0, 1, 2]), shape=(2, 80_000))
    assert np.array_equal(all_counts(store_counts([wide], tmp_path, genes=80_000)).indices, [70_000, 5])
