import multiprocessing

import numpy as np
import pandas as pd
import pytest
import torch
from benchmarks import networks as networks_benchmark

from scprint2.baselines import BASELINES
from scprint2.baselines.training_cells import TrainingCells
from scprint2.tasks.inference import Reader
from scprint2.tasks.layout import Group, Network, lay_out, lay_out_truths, read_networks
from scprint2.tasks.networks import (
    NetworkSettings,
    attention,
    blocks,
    mean_attention,
    mean_queries_keys,
    pack_expressed,
    predict_networks,
    prepare_groups,
)
from scprint2.tasks.scores import network_scores
from scprint2.tasks.selection import dense_counts
from tests.helpers import make_genes, make_labels
from tests.tasks.example import B_CELL, CD4


def settings(**changes):
    values = {
        "batch_size": 16,
        "genes": 20,
        "cells": 12,
        "minimum_cells": 5,
        "groups": "none",
        "regulator": "query",
        "trees": 3,
    }
    return NetworkSettings.model_validate(values | {"methods": ["mean_queries_keys", "mean_attention"]} | changes)


def plain_attention(query, key):
    """Head by head, in numpy."""
    parts = []
    for q, k in zip(query.numpy(), key.numpy(), strict=True):
        weights = np.exp(q @ k.T / np.sqrt(q.shape[1]))
        parts.append(weights / weights.sum(1, keepdims=True))
    return np.mean(parts, axis=0)


def test_attention_is_the_mean_over_heads_of_the_row_wise_softmax():
    query, key = torch.randn(2, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(attention(query, key).numpy(), plain_attention(query, key), rtol=1e-5)


@pytest.mark.parametrize("batch_size", [3, 64])
def test_equation_26_is_the_attention_of_the_mean_query_and_key(pretrained, cells, batch_size):
    genes = cells.var_names[5:25]
    reader = Reader(pretrained, cells, rows=np.arange(10))
    result = mean_queries_keys(reader, genes, batch_size=batch_size)
    layers = []
    with torch.inference_mode():
        for query, key in pretrained.model.queries_and_keys(reader.batch(reader.rows, reader.fixed(genes))):
            layers.append(plain_attention(query.mean(0), key.mean(0)))
    np.testing.assert_allclose(result.numpy(), np.mean(layers, axis=0), rtol=1e-4)


@pytest.mark.parametrize("batch_size", [3, 64])
def test_equation_27_averages_over_the_cells_that_express_both_genes(pretrained, cells, batch_size):
    genes = cells.var_names[5:25]
    reader = Reader(pretrained, cells, rows=np.arange(10))
    result = mean_attention(reader, genes, batch_size=batch_size)
    total, seen = np.zeros((20, 20)), np.zeros((20, 20))
    for row in range(10):
        expressed = np.flatnonzero(dense_counts(cells)[row, 5:25])
        batch = reader.batch(np.array([row]), reader.fixed(genes[expressed]))
        with torch.inference_mode():
            layers = [plain_attention(q[0], k[0]) for q, k in pretrained.model.queries_and_keys(batch)]
        total[np.ix_(expressed, expressed)] += np.mean(layers, axis=0)
        seen[np.ix_(expressed, expressed)] += 1
    assert (seen == 0).any()
    np.testing.assert_allclose(result.numpy(), total / np.maximum(seen, 1), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("method", [mean_queries_keys, mean_attention])
@pytest.mark.parametrize("pairs", [1, 150, 5000])
def test_networks_do_not_depend_on_how_many_pairs_of_genes_are_held_at_a_time(
    pretrained, cells, method, pairs, monkeypatch
):
    reader, genes = Reader(pretrained, cells, rows=np.arange(10)), cells.var_names[5:25]
    whole = method(reader, genes, batch_size=64)
    monkeypatch.setattr("scprint2.tasks.networks.MOST_PAIRS", pairs)
    np.testing.assert_allclose(method(reader, genes, batch_size=64).numpy(), whole.numpy(), rtol=1e-5, atol=1e-8)


def test_blocks_cover_every_cell_and_row_once(monkeypatch):
    for most in (1, 70, 200, 10_000):
        monkeypatch.setattr("scprint2.tasks.networks.MOST_PAIRS", most)
        seen = np.zeros((5, 7), dtype=int)
        for cells, rows in blocks(5, heads=2, genes=7):
            seen[cells, rows] += 1
            assert np.zeros((5, 7))[cells, rows].size * 2 * 7 <= max(most, 2 * 7)
        assert (seen == 1).all()


def test_packing_moves_expressed_genes_to_the_front_in_order(pretrained, cells):
    reader = Reader(pretrained, cells)
    batch = reader.batch(np.arange(8), reader.fixed(cells.var_names))
    packed, position = pack_expressed(batch)
    for cell in range(8):
        expressed = np.flatnonzero(batch.counts[cell].numpy())
        length = len(expressed)
        np.testing.assert_array_equal(position[cell, :length].numpy(), expressed)
        np.testing.assert_array_equal(packed.genes[cell, :length].numpy(), batch.genes[cell].numpy()[expressed])
        assert not packed.padding[cell, :length].any()
        assert packed.padding[cell, length:].all()


def test_perturb_seq_turns_the_attention_around(pretrained, cells):
    networks = [
        predict_networks(pretrained, cells, settings=settings(regulator=side), seed=0) for side in ("query", "key")
    ]
    np.testing.assert_array_equal(networks[0].varp["GRN"], networks[1].varp["GRN"].T)


def test_groups_are_the_deepest_cells_of_each_type_that_has_enough(cells):
    cells.obs.loc[cells.obs_names[:58:2], "cell_type_ontology_term_id"] = "unknown"
    groups = list(prepare_groups(cells, settings(groups="cell_type")))
    assert [group.name for group in groups] == [B_CELL]
    depth = dense_counts(cells).sum(1)
    others = np.setdiff1d(np.flatnonzero(cells.obs["cell_type_ontology_term_id"] == B_CELL), groups[0].rows)
    assert depth[groups[0].rows].min() >= depth[others].max()
    assert len(groups[0].rows) == 12
    with pytest.raises(ValueError, match="the largest has 30"):
        list(prepare_groups(cells, settings(groups="cell_type", minimum_cells=31)))


def test_networks_of_different_genes_come_back_as_they_were(cells):
    rng = np.random.default_rng(0)
    groups = [Group(CD4, np.arange(4), np.array([1, 4, 7])), Group(B_CELL, np.arange(5), np.array([4, 9, 20, 30]))]
    networks = [
        Network(group, method, rng.random((len(group.genes),) * 2, dtype=np.float32))
        for group in groups
        for method in ("first", "second")
    ]
    prediction = lay_out(cells, networks)
    assert list(prediction.var_names) == list(cells.var_names[[1, 4, 7, 9, 20, 30]])
    assert f"GRN_{CD4}" in prediction.varp
    found = {(group, method): network for group, method, network in read_networks(prediction)}
    for network in networks:
        back = found[network.group.name, network.method]
        np.testing.assert_array_equal(back.varp["GRN"], network.scores)
        assert list(back.var_names) == list(cells.var_names[network.group.genes])


def test_one_group_is_plain_grn(pretrained, cells):
    prediction = predict_networks(pretrained, cells, settings=settings(), seed=0)
    assert set(prediction.varp) == {"GRN", "GRN_mean_attention"}
    assert prediction.varp["GRN"].shape == (20, 20)
    np.testing.assert_allclose(prediction.varp["GRN"].sum(1), 1, rtol=1e-4)


def test_all_networks_of_a_dataset_are_scored_over_the_same_edges(cells, pretrained):
    train = TrainingCells(make_genes(), make_labels(), ())
    truth = pd.DataFrame([(f"ENSG{i:05d}", f"ENSG{j:05d}") for i in (0, 10, 20) for j in (1, 2, 40, 49)])
    truth.columns = ["regulator", "target"]
    made = {
        name: method(train, cells, settings=settings(genes=30), seed=0)
        for name, method in BASELINES["networks"].items()
    }
    made["model"] = predict_networks(pretrained, cells, settings=settings(genes=30), seed=0)
    found = set()
    for prediction in made.values():
        prediction.uns["truth"] = lay_out_truths({"net": truth}, genes=prediction.var_names)
        scores = network_scores(prediction)
        found.add((tuple(prediction.var_names), scores["prevalence"].value, scores["shuffled_kept"].value))
    assert len(found) == 1


@pytest.mark.slow
@pytest.mark.parametrize("method", networks_benchmark.METHODS)
def test_a_network_of_4000_genes_from_the_papers_base_takes_less_than_a_gigabyte_beyond_the_model(method):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply(networks_benchmark.measure_cpu, (method, 2))  # memory does not grow with the cells
    assert found["megabytes_beyond_the_model"] > 64  # of the network itself
    assert found["megabytes_beyond_the_model"] < networks_benchmark.TARGETS["megabytes_beyond_the_model"]
