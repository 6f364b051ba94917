import dataclasses

import numpy as np
import pytest
import torch
from sklearn.preprocessing import KBinsDiscretizer

from scprint2.model.context import BuildContext
from scprint2.model.expression_encoders import BinsConfig, DeepSetConfig, quantile_bins
from scprint2.model.gene_encoders import AdaptedConfig, LearnedConfig
from scprint2.model.normalization import TotalConfig
from scprint2.model.position_encoders import NoneConfig
from scprint2.model.scprint2 import initialize
from tests.helpers import make_batch, make_genes, make_labels, make_model

DIM = 8


@pytest.fixture
def context():
    genes = make_genes()
    return BuildContext(dim=DIM, genes=genes, labels=make_labels(), gene_embedding=torch.randn(len(genes), DIM))


def ready(module):
    """Give a component the initial values that it has in a model."""
    initialize(torch.nn.ModuleDict({"part": module}), deviation=0.1, seed=0)
    return module


def leaves_gradient(module):
    """Names of the trained parameters that a backward pass did not reach."""
    return [
        name for name, p in module.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.abs().max())
    ]


# --- normalization


def test_counts_are_set_to_the_same_total():
    counts, depth = torch.tensor([[1.0, 0.0, 3.0], [10.0, 0.0, 30.0]]), torch.tensor([4.0, 40.0])
    normal = TotalConfig(kind="total", total=10_000).build()(counts, depth)
    assert torch.allclose(normal[0], torch.log2(torch.tensor([2501.0, 1.0, 7501.0])))
    assert torch.equal(normal[0], normal[1])


def test_neighbors_are_divided_by_the_depth_of_their_center():
    module = TotalConfig(kind="total", total=100).build()
    neighbors = torch.ones(2, 3, 5)
    normal = module(neighbors, torch.tensor([100.0, 50.0]))
    assert torch.allclose(normal[0], torch.ones(()))
    assert torch.allclose(normal[1], torch.log2(torch.tensor(3.0)))


def test_an_empty_cell_is_normalized_to_zero():
    assert TotalConfig(kind="total", total=100).build()(torch.zeros(1, 4), torch.zeros(1)).abs().max() == 0


# --- genes and their places


def test_the_adapter_is_two_layers_after_the_frozen_table(context):
    module, genes = ready(AdaptedConfig(kind="adapted").build(context)), torch.tensor([[3, 3, 7]])
    table = context.gene_embedding
    plain = torch.relu(table @ module.input.weight.T + module.input.bias) @ module.output.weight.T + module.output.bias
    assert torch.allclose(module(genes), plain[genes], atol=1e-6)
    many = torch.randint(len(table), (40, 50))
    assert torch.allclose(module(many), plain[many], atol=1e-6), "more genes than the table has: through the table"
    module(genes).square().sum().backward()
    assert module.table.grad is None
    assert leaves_gradient(module) == []


def test_a_learned_table_knows_nothing_of_the_given_one(context):
    module = ready(LearnedConfig(kind="learned").build(context))
    assert module.table.requires_grad
    assert abs(torch.corrcoef(torch.stack([module.table.flatten(), context.gene_embedding.flatten()]))[0, 1]) < 0.15
    assert abs(module.table.std().item() - 1) < 0.1


def test_without_location_every_place_is_the_same(context):
    assert NoneConfig(kind="none").build(context)(torch.tensor([[1, 9]])).abs().max() == 0
    model, genes = make_model("no_gene_location").model, make_genes()
    batch = make_batch(genes, make_labels())
    assert torch.equal(model.identity_tokens(batch), model.gene_encoder(batch.genes))


# --- expression


def encode(module, batch, hidden=None):
    return module(torch.log2(1 + batch.counts), batch.neighbor_counts, batch.neighbor_distances, hidden=hidden)


def test_the_deep_set_is_equation_1(context):
    module = ready(DeepSetConfig(kind="deep_set").build(context))
    batch = make_batch(context.genes, context.labels, cells=2, context=3, neighbors=4)
    gelu = torch.nn.functional.gelu
    rows = []
    for cell in range(2):
        for gene in range(3):
            center = gelu(module.center(torch.log2(1 + batch.counts[cell, gene, None])))
            pairs = torch.stack([batch.neighbor_counts[cell, :, gene], batch.neighbor_distances[cell]], dim=1)
            around = sum(module.neighbors(gelu(module.neighbor(pair))) for pair in pairs)
            rows.append(module.norm(module.output(gelu(module.both(torch.cat([center, around]))))))
    assert torch.allclose(encode(module, batch).flatten(0, 1), torch.stack(rows), atol=1e-5)


def test_the_order_of_the_neighbors_does_not_matter(context):
    module = ready(DeepSetConfig(kind="deep_set").build(context))
    batch = make_batch(context.genes, context.labels, neighbors=5)
    turned = dataclasses.replace(
        batch, neighbor_counts=batch.neighbor_counts.flip(1), neighbor_distances=batch.neighbor_distances.flip(1)
    )
    assert torch.allclose(encode(module, batch), encode(module, turned), atol=1e-5)


def test_a_cell_alone_does_not_depend_on_the_branch_of_neighbors(context):
    module, batch = ready(DeepSetConfig(kind="deep_set").build(context)), make_batch(context.genes, context.labels)
    before = encode(module, batch)
    before.square().sum().backward()
    assert set(leaves_gradient(module)) == {"neighbor.weight", "neighbor.bias", "neighbors.weight"}
    with torch.no_grad():
        module.neighbor.weight += 1
        module.neighbors.weight += 1
    assert torch.equal(encode(module, batch), before)


def test_gradient_reaches_every_part_of_the_deep_set(context):
    module = ready(DeepSetConfig(kind="deep_set").build(context))
    tokens = encode(module, make_batch(context.genes, context.labels, neighbors=3))
    (tokens * torch.randn(DIM)).sum().backward()
    assert leaves_gradient(module) == []


@pytest.mark.parametrize("config", [DeepSetConfig(kind="deep_set"), BinsConfig(kind="bins", bins=5)])
def test_a_hidden_gene_has_a_zero_vector_and_is_not_seen(context, config):
    module, batch = ready(config.build(context)), make_batch(context.genes, context.labels, neighbors=2)
    hidden = torch.zeros(batch.counts.shape, dtype=torch.bool)
    hidden[:, 0] = True
    changed = batch.counts.clone()
    changed[:, 0] += 100
    tokens = encode(module, batch, hidden)
    assert tokens[:, 0].abs().max() == 0
    assert torch.equal(tokens, encode(module, dataclasses.replace(batch, counts=changed), hidden))


def test_bins_by_hand():
    values = torch.tensor([[0.0, 1.0, 2.0, 3.0, 4.0, 0.0], [5.0, 5.0, 5.0, 5.0, 0.0, 0.0]])
    assert quantile_bins(values, bins=5).tolist() == [[0, 1, 2, 3, 4, 0], [3, 3, 3, 3, 0, 0]]
    assert quantile_bins(torch.zeros(1, 3), bins=5).tolist() == [[0, 0, 0]]


def test_bins_of_distinct_values_are_those_of_scikit_learn():
    values = torch.rand(1, 400) + 0.1
    library = KBinsDiscretizer(n_bins=50, encode="ordinal", strategy="quantile", subsample=None)
    expected = library.fit_transform(values.numpy().T).ravel() + 1
    found = quantile_bins(values, bins=51)[0].numpy()
    assert np.abs(found - expected).max() <= 1, "they differ at the borders of bins alone"
    assert (found == expected).mean() > 0.9


def test_bins_do_not_change_under_a_monotone_function():
    counts = torch.poisson(torch.full((4, 100), 2.0))
    assert torch.equal(quantile_bins(counts, bins=51), quantile_bins(torch.log2(1 + counts), bins=51))
