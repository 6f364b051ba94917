import numpy as np
import pytest
import torch

from scprint2.data.collate import RaggedCells, collate
from scprint2.data.context import FixedGenes, GeneSpace, RandomExpressedGenes, TopExpressedGenes
from scprint2.data.shard import Rows

from .builders import HUMAN, MOUSE, vocabulary

TABLES = {HUMAN: 30, MOUSE: 24}


def ragged_rows(dense, dtype=np.uint16, count_dtype=np.uint8):
    row, gene = np.nonzero(dense)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(dense)))])
    return Rows(indptr, gene.astype(dtype), dense[row, gene].astype(count_dtype))


def ragged(dense, neighbors, profile, **types):
    cells, number, width = neighbors.shape
    return RaggedCells(
        cells=ragged_rows(dense, **types),
        neighbors=ragged_rows(neighbors.reshape(-1, width), **types),
        neighbor_distances=np.arange(cells * number, dtype=np.float32).reshape(cells, number),
        profile=np.asarray(profile),
        labels=np.tile(np.array([3, -1]), (cells, 1)),
        space=GeneSpace.build(vocabulary(TABLES), [(HUMAN, np.arange(30)), (MOUSE, np.arange(24))]),
        first=0,
        total=cells,
    )


@pytest.fixture
def dense():
    rng = np.random.default_rng(0)
    values = rng.poisson(1.0, size=(6, 5, 30))
    values[3:, :, 24:] = 0  # mouse cells
    values[1, 0] = 0  # an all-zero cell
    values[2, 3] = 0  # an all-zero neighbor
    return values


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.int64])
@pytest.mark.parametrize("count_dtype", [np.uint8, np.int16, np.int32, np.float32])
@pytest.mark.parametrize("selector", [RandomExpressedGenes(12), TopExpressedGenes(12), FixedGenes((3, 0, 20))])
def test_a_batch_is_what_dense_slicing_gives_for_every_type_and_selector(dense, dtype, count_dtype, selector):
    cells = ragged(dense[:, 0], dense[:, 1:], [0, 0, 0, 1, 1, 1], dtype=dtype, count_dtype=count_dtype)
    batch = collate(cells, selector=selector, generator=torch.Generator().manual_seed(0))
    local = batch.genes.numpy() - np.array([0, 0, 0, 30, 30, 30])[:, None]
    assert np.array_equal(batch.counts.numpy(), np.take_along_axis(dense[:, 0], local, axis=1))
    assert np.array_equal(batch.neighbor_counts.numpy(), np.take_along_axis(dense[:, 1:], local[:, None], axis=2))
    assert np.array_equal(batch.depth.numpy(), dense[:, 0].sum(axis=1))
    assert batch.neighbor_distances.numpy().tolist() == np.arange(24).reshape(6, 4).tolist()
    assert batch.labels.tolist() == [[3, -1]] * 6
    assert batch.padding is None
    assert {tensor.dtype for tensor in (batch.counts, batch.neighbor_counts, batch.depth)} == {torch.float32}


def test_counts_of_any_size_are_kept(dense):
    dense = dense * 0
    dense[0, 0, :3] = [255, 70_000, 2**24]
    dense[0, 1, 1] = 40_000
    cells = ragged(dense[:, 0], dense[:, 1:2], [0] * 3 + [1] * 3, count_dtype=np.int32)
    batch = collate(cells, selector=FixedGenes((0, 1, 2)))
    assert batch.counts[0].tolist() == [255, 70_000, 2**24]
    assert batch.neighbor_counts[0, 0].tolist() == [0, 40_000, 0]


def test_a_batch_without_neighbors_has_an_empty_axis(dense):
    batch = collate(ragged(dense[:, 0], dense[:, 1:1], [0] * 3 + [1] * 3), selector=FixedGenes((0, 1)))
    assert batch.neighbor_counts.shape == (6, 0, 2)
    assert batch.neighbor_distances.shape == (6, 0)


def test_a_batch_of_empty_cells_is_all_zero():
    nothing = np.zeros((4, 1, 30), int)
    batch = collate(
        ragged(nothing[:, 0], nothing[:, 1:], [0, 1, 0, 1]),
        selector=RandomExpressedGenes(20),
        generator=torch.Generator().manual_seed(0),
    )
    assert batch.counts.abs().sum() == batch.depth.abs().sum() == 0
    assert all(len(set(genes)) == 20 for genes in batch.genes.tolist())
    assert batch.genes[[0, 2]].max() < 30 <= batch.genes[[1, 3]].min()
    assert batch.genes.max() < 54  # of the last organism's table
