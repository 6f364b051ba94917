from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from scprint2.data.loader import BatchLoader, ValidationLoader, context_size
from scprint2.data.shard import Shard
from scprint2.data.shard_writer import write_shard
from scprint2.data.vocabulary import CLASSES

from .builders import HUMAN, MOUSE, data_config, gene_ids, processed_cells, small_corpus

FIELDS = ("genes", "counts", "neighbor_counts", "neighbor_distances", "depth", "labels")
WITH_NEIGHBORS = {"neighbors": {"kind": "random", "most": 6}, "metacells": {"kind": "average", "share": 0.2}}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return small_corpus(tmp_path_factory.mktemp("corpus"))


def dense_counts(corpus):
    """Return all counts of the corpus on the whole vocabulary, row after row."""
    blocks = []
    for shard in corpus.shards:
        start, stop = corpus.genes.span(shard.organism)
        block = np.zeros((len(shard), len(corpus.genes)), np.float32)
        block[:, start:stop] = shard.counts().toarray()
        blocks.append(block)
    return np.concatenate(blocks)


def assert_same(left, right):
    for name in FIELDS:
        assert torch.equal(getattr(left, name), getattr(right, name)), name


def test_a_batch_holds_what_dense_slicing_gives(corpus):
    dense = dense_counts(corpus)
    loader = BatchLoader(corpus, data_config(neighbors={"kind": "random", "most": 6}), batch_size=32, seed=3)
    numbers = set()
    for step in range(8):
        batch = loader.batch(step)
        cells = loader.sampler.draw(step, 32)
        genes = batch.genes.numpy()
        assert np.array_equal(batch.counts.numpy(), np.take_along_axis(dense[cells], genes, axis=1))
        assert np.array_equal(batch.depth.numpy(), dense[cells].sum(axis=1))
        number = batch.neighbor_counts.shape[1]
        numbers.add(number)
        for place, cell in enumerate(cells):
            shard, row = (value[0] for value in corpus.locate(np.array([cell])))
            stored = corpus.shards[shard].neighbor[row]
            known = stored[stored >= 0] + corpus.starts[shard]
            expected = dense[np.resize(known, number)][:, genes[place]]
            assert np.array_equal(batch.neighbor_counts[place].numpy(), expected)
    assert len(numbers) > 2


def test_genes_of_a_cell_belong_to_its_organism_and_are_distinct(corpus):
    loader = BatchLoader(corpus, data_config(), batch_size=64, seed=0)
    batch = loader.batch(0)
    column = list(loader.labels.classes).index("organism")
    leaves = loader.labels["organism"].leaves
    for genes, code in zip(batch.genes.numpy(), batch.labels[:, column].tolist(), strict=True):
        start, stop = corpus.genes.span(leaves[code])
        assert start <= genes.min()
        assert genes.max() < stop
        assert len(set(genes)) == 20


def test_labels_are_the_codes_of_the_terms_on_disk(corpus):
    loader = BatchLoader(corpus, data_config(), batch_size=64, seed=0)
    batch, cells = loader.batch(5), loader.sampler.draw(5, 64)
    seen = set()
    for place, (shard, row) in enumerate(zip(*corpus.locate(cells), strict=True)):
        code = corpus.shards[shard].label[row, CLASSES.index("cell_type")]
        term = corpus.shards[shard].terms["cell_type"][code] if code >= 0 else "unknown"
        expected = loader.labels["cell_type"].codes.get(term, -1)
        seen.add(expected)
        assert batch.labels[place, 0] == expected
    assert {-1, 0, 1, 2} == seen  # unknown, two leaves and the parent after them


def by_gene(batch):
    """Return the tensors of a batch with the genes of each cell in the order of the vocabulary: their order means nothing."""
    order = batch.genes.argsort(dim=1)
    return {
        "genes": batch.genes.gather(1, order),
        "counts": batch.counts.gather(1, order),
        "neighbor_counts": batch.neighbor_counts.gather(
            2, order[:, None].expand(-1, batch.neighbor_counts.shape[1], -1)
        ),
        **{name: getattr(batch, name) for name in ("neighbor_distances", "depth", "labels")},
    }


@pytest.mark.parametrize("changes", [{}, WITH_NEIGHBORS, {"sampling": {"kind": "shuffled"}}])
@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize("threads", [0, 2, 4])
def test_any_number_of_threads_and_ranks_gives_the_same_batches(corpus, monkeypatch, threads, world, changes):
    monkeypatch.setattr("scprint2.data.loader.WINDOW_ROWS", 100)  # several windows
    config = data_config(**changes)
    plain = BatchLoader(corpus, config, batch_size=16, seed=1)
    ranks = [
        BatchLoader(corpus, config, batch_size=16, seed=1, rank=rank, world=world, threads=threads).prefetch(7)
        for rank in range(world)
    ]
    for step in range(7, 19):
        parts, whole = [next(batches) for batches in ranks], plain.batch(step)
        if world == 1:
            assert_same(parts[0], whole)
        ordered = [by_gene(part) for part in parts]
        for name, expected in by_gene(whole).items():
            assert torch.equal(torch.cat([part[name] for part in ordered]), expected), name
    for batches in ranks:
        batches.close()


def test_a_batch_depends_on_seed_and_step_alone(corpus):
    config = data_config(**WITH_NEIGHBORS)
    loader = BatchLoader(corpus, config, batch_size=16, seed=1)
    later = [loader.batch(step) for step in (5, 3)]
    again = BatchLoader(corpus, config, batch_size=16, seed=1)
    assert_same(later[1], again.batch(3))
    assert_same(later[0], again.batch(5))
    other = BatchLoader(corpus, config, batch_size=16, seed=2).batch(3)
    assert not torch.equal(other.genes, later[1].genes)
    assert not torch.equal(later[0].genes, later[1].genes)


def test_metacells_are_the_average_of_a_cell_and_its_neighbors(corpus):
    dense = dense_counts(corpus)
    loader = BatchLoader(corpus, data_config(metacells={"kind": "average", "share": 1.0}), batch_size=16, seed=1)
    batch, cells = loader.batch(0), loader.sampler.draw(0, 16)
    for place, cell in enumerate(cells):
        shard, row = (value[0] for value in corpus.locate(np.array([cell])))
        stored = corpus.shards[shard].neighbor[row]
        members = np.append(cell, stored[stored >= 0] + corpus.starts[shard])
        expected = dense[members].mean(axis=0)
        np.testing.assert_allclose(batch.counts[place].numpy(), expected[batch.genes[place].numpy()], rtol=1e-6)
        np.testing.assert_allclose(batch.depth[place].numpy(), expected.sum(), rtol=1e-5)


def test_the_asked_share_of_cells_becomes_metacells(corpus):
    plain = BatchLoader(corpus, data_config(), batch_size=500, seed=1)
    melted = BatchLoader(corpus, data_config(metacells={"kind": "sum", "share": 0.2}), batch_size=500, seed=1)
    changed = (plain.batch(0).depth != melted.batch(0).depth).float().mean()
    assert 0.15 < changed < 0.25


def test_training_never_sees_a_validation_cell_nor_one_as_neighbor(corpus):
    loader = BatchLoader(corpus, data_config(neighbors={"kind": "random", "most": 6}), batch_size=200, seed=0)
    training_cells = np.array([shard.header["training_cells"] for shard in corpus.shards])
    for step in range(20):
        cells = loader.sampler.draw(step, 200)
        neighbor, _ = loader._neighbors(cells)
        for values in (cells, neighbor[neighbor >= 0]):
            shard, row = corpus.locate(values)
            assert (row < training_cells[shard]).all()


def test_validation_batches_are_always_the_same_and_hold_validation_cells(corpus):
    loader = ValidationLoader(corpus, data_config(), batches=3, batch_size=16, threads=2)
    first, second = list(loader), list(ValidationLoader(corpus, data_config(), batches=3, batch_size=16))
    assert len(first) == len(second) == len(loader) == 3
    for left, right in zip(first, second, strict=True):
        assert_same(left, right)
    shard, row = corpus.locate(loader.sampler.draw(0, 16))
    assert (row >= np.array([corpus.shards[s].header["training_cells"] for s in shard])).all()


def test_context_never_asks_for_more_genes_than_the_smallest_organism_has(corpus):
    config = data_config(genes={"kind": "random_expressed", "max_genes": 1000})
    assert context_size(config.genes, corpus) == 50
    batch = BatchLoader(corpus, config, batch_size=64, seed=0).batch(0)
    assert batch.genes.shape == (64, 50)
    assert all(len(set(genes.tolist())) == 50 for genes in batch.genes)


def test_prefetch_ends_cleanly_when_it_is_left_early(corpus):
    loader = BatchLoader(corpus, data_config(), batch_size=4, seed=0, threads=2)
    assert len(list(islice(loader.prefetch(0), 3))) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ["cell_type", "mood"]}, "mood"),
        ({"classes": ["sex", "sex"]}, "each name once"),
        ({"corpus": "../x"}, "pattern"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_wrong_configurations_are_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        data_config(**changes)


def test_a_batch_that_ranks_cannot_share_is_refused(corpus):
    with pytest.raises(ValueError, match="must divide"):
        BatchLoader(corpus, data_config(), batch_size=15, seed=0, world=2)


def test_organisms_are_both_in_the_corpus(corpus):
    assert corpus.organisms == (HUMAN, MOUSE)


def test_with_only_expressed_genes_zero_counts_are_padding(corpus):
    values = data_config(genes={"kind": "only_expressed", "max_genes": 12})
    batch = BatchLoader(corpus, values, batch_size=6, seed=0).batch(0)
    assert torch.equal(batch.padding, batch.counts == 0)
    assert batch.padding.any()
    plain = BatchLoader(corpus, data_config(genes={"kind": "random_expressed", "max_genes": 12}), batch_size=6, seed=0)
    assert torch.equal(plain.batch(0).counts, batch.counts)
    assert plain.batch(0).padding is None


def test_datasets_that_measure_the_same_genes_share_their_place_on_the_device(corpus, tmp_path):
    assert len(BatchLoader(corpus, data_config(), batch_size=4, seed=0).space.tier) == 2  # human and mouse genes
    for name, measured in (("few", 30), ("all", None)):
        adata = processed_cells(cells=50, genes=60, dataset=name, measured=measured)
        write_shard(adata, tmp_path / name, gene_ids=gene_ids(HUMAN, 60), validation_share=0.1)
    shards = (*corpus.shards, *(Shard.open(tmp_path / name) for name in ("few", "all")))
    loader = BatchLoader(replace(corpus, shards=shards), data_config(), batch_size=256, seed=0)
    assert len(loader.space.tier) == 3
    ragged = loader.read(0)
    shard_of, _ = loader.corpus.locate(loader.sampler.draw(0, 256))
    for profile, shard in zip(ragged.profile, shard_of, strict=True):
        assert loader.space.measured[profile] == len(shards[shard].measured)
