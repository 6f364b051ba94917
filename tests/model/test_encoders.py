import dataclasses

import anndata
import numpy as np
import pytest
import scanpy
import torch
from scipy.special import erf
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


def test_sum_normalization_is_that_of_scanpy():
    counts = np.random.default_rng(0).poisson(1.5, size=(6, 40)).astype(np.float32)
    cells = anndata.AnnData(counts.copy())
    scanpy.pp.normalize_total(cells, target_sum=10_000)
    scanpy.pp.log1p(cells, base=2)
    normal = TotalConfig(kind="total", total=10_000).build()(torch.tensor(counts), torch.tensor(counts.sum(1)))
    np.testing.assert_allclose(normal.numpy(), cells.X, rtol=1e-5)


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
    module(genes).square().sum().backward()
    assert module.table.grad is None
    assert leaves_gradient(module) == []


def test_the_adapter_matches_hand_values(context):
    context = dataclasses.replace(context, dim=2, gene_embedding=torch.tensor([[9.0, 9.0], [1.0, -2.0]]))
    module = AdaptedConfig(kind="adapted").build(context)
    with torch.no_grad():
        module.input.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        module.input.bias.copy_(torch.tensor([2.0, 1.0]))
        module.output.weight.copy_(torch.tensor([[2.0, 5.0], [4.0, 7.0]]))
        module.output.bias.copy_(torch.tensor([0.0, 1.0]))
        # (1 + 2, -2 + 1) is (3, 0) behind the ReLU, and that (2 * 3, 4 * 3 + 1)
        assert module(torch.tensor([[1]])).flatten().tolist() == [6.0, 13.0]


def test_a_learned_table_knows_nothing_of_the_given_one(context):
    module = ready(LearnedConfig(kind="learned").build(context))
    assert module.table.requires_grad
    assert abs(torch.corrcoef(torch.stack([module.table.flatten(), context.gene_embedding.flatten()]))[0, 1]) < 0.15
    assert abs(module.table.std().item() - 1) < 0.1


@pytest.mark.parametrize("variant", ["base", "finetuned_gene_emb", "learned_gene_emb", "no_gene_location"])
def test_more_genes_than_there_are_go_through_one_table(variant):
    model, genes = make_model(variant).model, make_genes()
    batch = make_batch(genes, make_labels(), cells=40)
    assert batch.genes.numel() > len(genes)
    results = []
    for parts in ([batch], [batch.select(slice(cell, cell + 1)) for cell in range(len(batch))]):
        tokens = torch.cat([model.identity_tokens(part) for part in parts])
        weights = [weight for weight in model.gene_encoder.parameters() if weight.requires_grad]
        gradients = torch.autograd.grad(tokens.square().sum(), weights) if weights else ()
        results.append((tokens, *gradients))
    assert parts[0].genes.numel() < len(genes)
    for one, other in zip(*results, strict=True):
        assert (one - other).abs().max() < 1e-5 * one.abs().max()


def test_without_location_every_place_is_the_same(context):
    assert NoneConfig(kind="none").build(context)(torch.tensor([[1, 9]])).abs().max() == 0
    model, genes = make_model("no_gene_location").model, make_genes()
    batch = make_batch(genes, make_labels())
    assert torch.equal(model.identity_tokens(batch), model.gene_encoder(batch.genes))


# --- expression


def encode(module, batch, hidden=None):
    return module(torch.log2(1 + batch.counts), batch.neighbor_counts, batch.neighbor_distances, hidden=hidden)


def test_the_deep_set_is_equation_1_in_fp64(context):
    """Gene by gene and neighbor by neighbor, from raw weights; phi_3 with its second layer inside the sum, as printed."""
    module = ready(DeepSetConfig(kind="deep_set").build(context))
    with torch.no_grad():
        module.norm.weight.normal_(generator=torch.Generator().manual_seed(0))
        module.norm.bias.normal_(generator=torch.Generator().manual_seed(1))
    weights = {name: value.double().numpy() for name, value in module.state_dict().items()}
    batch = make_batch(context.genes, context.labels, cells=2, context=3, neighbors=4)

    def linear(name, *values):
        return weights[f"{name}.weight"] @ np.array(values) + weights.get(f"{name}.bias", 0.0)

    def gelu(values):
        return values * (1 + erf(values / np.sqrt(2))) / 2

    tokens = encode(module, batch).detach().numpy()
    for cell in range(2):
        for gene in range(3):
            center = gelu(linear("center", np.log2(1 + batch.counts[cell, gene].item())))
            pairs = zip(
                batch.neighbor_counts[cell, :, gene].tolist(), batch.neighbor_distances[cell].tolist(), strict=True
            )
            around = sum(linear("neighbors", *gelu(linear("neighbor", *pair))) for pair in pairs)
            out = linear("output", *gelu(linear("both", *center, *around)))
            expected = (out - out.mean()) / np.sqrt(out.var() + 1e-5) * weights["norm.weight"] + weights["norm.bias"]
            np.testing.assert_allclose(tokens[cell, gene], expected, rtol=1e-4, atol=1e-5)


def test_the_deep_set_matches_hand_values(context):
    """Ten times what is above zero passes a GELU as it is: the first entry is the center, the others sums over neighbors."""
    module = DeepSetConfig(kind="deep_set").build(dataclasses.replace(context, dim=3))
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.fill_(1.0 if name == "norm.weight" else 0.0)
        module.center.weight[0, 0] = 10.0
        module.neighbor.weight[1, 0] = 10.0  # counts
        module.neighbor.weight[2, 1] = 10.0  # distances
        module.both.weight.copy_(torch.tensor([[1.0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1.0, 0], [0, 0, 0, 0, 0, 1.0]]))
        for layer in (module.neighbors, module.output):
            layer.weight.copy_(torch.eye(3))
        counts, distances = torch.tensor([[[1.0], [3.0]]]), torch.tensor([[1.0, 2.0]])
        token = module(torch.tensor([[2.0]]), counts, distances, hidden=None)
        alone = module(torch.tensor([[2.0]]), counts[:, :0], distances[:, :0], hidden=None)
    # (20, 10 + 30, 10 + 20) has mean 30 and variance 200 / 3; (20, 0, 0) mean 20 / 3 and variance 800 / 9
    assert token.flatten().tolist() == pytest.approx([-(1.5**0.5), 1.5**0.5, 0], abs=1e-5)
    assert alone.flatten().tolist() == pytest.approx([2**0.5, -(0.5**0.5), -(0.5**0.5)], abs=1e-5)


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
