from dataclasses import replace

import numpy as np
import pytest
import torch

from scprint2.data.neighbors import RandomNeighbors
from scprint2.tasks.inference import Reader, add_neighbors, run
from scprint2.tasks.selection import dense_counts
from tests.helpers import HUMAN


def with_neighbors(pretrained, most):
    data = pretrained.experiment.data.model_copy(update={"neighbors": RandomNeighbors(kind="random", most=most)})
    return replace(pretrained, experiment=pretrained.experiment.model_copy(update={"data": data}))


def test_a_batch_holds_the_counts_of_the_genes_it_names(pretrained, cells):
    reader = Reader(pretrained, cells)
    batch = reader.batch(np.array([3, 40]), reader.top_expressed(20))
    ids = pretrained.genes.frame["gene_id"].to_numpy()[batch.genes.numpy()]
    counts = dense_counts(cells)
    for row, cell in enumerate((3, 40)):
        expected = counts[cell, cells.var_names.get_indexer(ids[row])]
        np.testing.assert_array_equal(batch.counts[row].numpy(), expected)
        assert expected.min() >= np.sort(counts[cell])[-20]
    np.testing.assert_array_equal(batch.depth.numpy(), counts[[3, 40]].sum(1))


def test_the_order_of_the_genes_in_the_file_does_not_matter(pretrained, cells):
    shuffled = cells[:, np.random.default_rng(0).permutation(cells.n_vars)]
    batches = [
        Reader(pretrained, part).batch(np.arange(5), Reader(pretrained, part).top_expressed(20))
        for part in (cells, shuffled)
    ]
    assert torch.equal(batches[0].genes, batches[1].genes)
    assert torch.equal(batches[0].counts, batches[1].counts)


def test_unmeasured_genes_are_never_in_context(pretrained, cells):
    reader = Reader(pretrained, cells[:, 10:40])
    batch = reader.batch(np.arange(4), reader.top_expressed(1000))
    start, _ = pretrained.genes.span(HUMAN)
    assert sorted(batch.genes[0].tolist()) == list(range(start + 10, start + 40))


def test_fixed_genes_come_in_the_order_asked_for(pretrained, cells):
    genes = cells.var_names[[7, 2, 30]]
    reader = Reader(pretrained, cells)
    batch = reader.batch(np.arange(6), reader.fixed(genes))
    np.testing.assert_array_equal(batch.counts.numpy(), dense_counts(cells)[:6, [7, 2, 30]])


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_results_depend_neither_on_batch_size_nor_on_cell_order(pretrained, cells, batch_size):
    def embed(rows, size):
        reader = Reader(pretrained, cells, rows=rows)

        def step(batch):
            return pretrained.model(batch).cell_embeddings.flatten(1)

        return torch.cat([part for _, part in run(reader, step, selector=reader.top_expressed(30), batch_size=size)])

    rows = np.arange(20)
    order = np.random.default_rng(0).permutation(20)
    expected = embed(rows, 20)
    assert expected.std(dim=0).max() > 1e-2
    torch.testing.assert_close(embed(order, batch_size), expected[order], atol=1e-5, rtol=0)


def test_a_batch_that_memory_does_not_hold_is_halved_and_no_cell_is_lost(pretrained, cells):
    sizes = []

    def step(batch):
        if len(batch) > 5:
            raise torch.OutOfMemoryError("no memory")
        sizes.append(len(batch))
        return batch.depth

    reader = Reader(pretrained, cells)
    parts = list(run(reader, step, selector=reader.top_expressed(5), batch_size=16))
    assert max(sizes) == 4
    np.testing.assert_array_equal(np.concatenate([rows for rows, _ in parts]), np.arange(cells.n_obs))
    np.testing.assert_array_equal(torch.cat([depth for _, depth in parts]).numpy(), dense_counts(cells).sum(1))


def test_memory_that_is_never_enough_is_an_error(pretrained, cells):
    def step(batch):
        raise torch.OutOfMemoryError("no memory")

    reader = Reader(pretrained, cells)
    with pytest.raises(torch.OutOfMemoryError):
        list(run(reader, step, selector=reader.top_expressed(5), batch_size=64))


def test_neighbors_come_with_a_model_that_was_trained_with_them(pretrained, cells):
    reader = Reader(with_neighbors(pretrained, 4), cells, rows=np.arange(30, 40))
    batch = reader.batch(np.array([31, 35]), reader.fixed(cells.var_names))
    counts, neighbor = dense_counts(cells), cells.obsm["neighbor"]
    np.testing.assert_array_equal(batch.neighbor_counts[1].numpy(), counts[neighbor[35, :4]])
    np.testing.assert_allclose(batch.neighbor_distances[0].numpy(), cells.obsm["neighbor_distance"][31, :4])


def test_a_model_without_neighbors_gets_none(pretrained, cells):
    reader = Reader(pretrained, cells)
    assert reader.batch(np.arange(3), reader.top_expressed(9)).neighbor_counts.shape == (3, 0, 9)


def test_found_neighbors_are_other_cells(cells):
    del cells.obsm["neighbor"], cells.obsm["neighbor_distance"]
    add_neighbors(cells, components=10)
    assert cells.obsm["neighbor"].shape == (cells.n_obs, 6)
    assert (cells.obsm["neighbor"] != np.arange(cells.n_obs)[:, None]).all()
    same = np.arange(cells.n_obs)[:, None] % 2 == cells.obsm["neighbor"] % 2
    assert same.mean() > 0.9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda cells: cells.var_names.__class__([f"X{i}" for i in range(cells.n_vars)]), "knows none of the 50 genes"),
    ],
)
def test_foreign_genes_are_refused_with_the_fix(pretrained, cells, change, message):
    cells.var_names = change(cells)
    with pytest.raises(ValueError, match=message):
        Reader(pretrained, cells)


def test_an_organism_that_the_model_does_not_know_is_refused(pretrained, cells):
    cells.obs["organism_ontology_term_id"] = "NCBITaxon:7955"
    with pytest.raises(ValueError, match="NCBITaxon:7955"):
        Reader(pretrained, cells)
