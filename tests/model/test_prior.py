import dataclasses
import math
import multiprocessing

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from scprint2.experiment import build
from scprint2.model.attention import BiasedConfig, FullConfig
from scprint2.model.prior import Prior, empty_prior, read_prior
from scprint2.model.scprint2 import initialize
from scprint2.training.checkpoint import ModelParts, load_model, publish_model
from tests.helpers import make_batch, make_context, make_experiment, make_genes, make_labels

DIM, HEADS = 16, 2
PAIRS = [("ENSG00000", "ENSG00003", 1.5), ("ENSG00010", "ENSG00000", -2.0), ("ENSG00003", "ENSG00003", 0.5)]


def write_pairs(path, pairs=PAIRS, columns=("source", "target", "weight")):
    pd.DataFrame([pair[: len(columns)] for pair in pairs], columns=list(columns)).to_csv(path, sep="\t", index=False)
    return path


@pytest.fixture
def table(tmp_path):
    return write_pairs(tmp_path / "prior.tsv")


def make_attention(*, scale=1.0, kv_heads=HEADS):
    config = BiasedConfig(kind="biased", prior="unused", regulator="query", scale=scale)
    layer = config.build(DIM, heads=HEADS, kv_heads=kv_heads)
    initialize(layer, deviation=0.5, seed=0)
    return layer.eval()


def make_parts(tokens, *, cells=2, seed=0):
    """Tokens and a prior without structure."""
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(cells, tokens, DIM, generator=rng), torch.randn(cells, 1, tokens, tokens, generator=rng)


# the table


def test_weights_are_found_where_both_genes_are_in_the_batch(table):
    prior = read_prior(table, make_genes(), regulator="query")
    found = prior(torch.tensor([[3, 0, 10], [0, 1, 99]]), tokens=3)[:, 0]
    expected = torch.zeros(2, 3, 3)
    expected[0, 1, 0] = 1.5  # gene 0 regulates gene 3: row of gene 0, column of gene 3
    expected[0, 2, 1] = -2.0
    expected[0, 0, 0] = 0.5
    assert torch.equal(found, expected)


def test_the_regulator_stands_on_the_side_that_the_configuration_names(table):
    genes = torch.tensor([[0, 3, 10, 7]])
    query, key = (read_prior(table, make_genes(), regulator=side)(genes, tokens=4) for side in ("query", "key"))
    assert torch.equal(query, key.transpose(-1, -2))
    assert not torch.equal(query, key)


def test_cell_tokens_before_the_genes_have_no_prior(table):
    prior, genes = read_prior(table, make_genes(), regulator="query"), torch.tensor([[0, 3, 10]])
    whole = prior(genes, tokens=8)[0, 0]
    assert torch.equal(whole[5:, 5:], prior(genes, tokens=3)[0, 0])
    assert whole[:5].abs().max() == whole[:, :5].abs().max() == 0


def test_the_sparse_table_is_the_dense_matrix():
    rng = np.random.default_rng(0)
    dense = rng.normal(size=(50, 50)) * (rng.random((50, 50)) < 0.1)
    row, column = np.nonzero(dense)
    order = rng.permutation(len(row))
    prior = Prior((row * 50 + column)[order], dense[row, column][order], genes=50)
    genes = torch.stack([torch.randperm(50, generator=torch.Generator().manual_seed(seed))[:20] for seed in (0, 1)])
    expected = torch.tensor(dense, dtype=torch.float32)[genes[:, :, None], genes[:, None, :]]
    assert torch.equal(prior(genes, tokens=20)[:, 0], expected)


def test_pairs_without_weight_have_weight_one(tmp_path):
    path = write_pairs(tmp_path / "prior.tsv", columns=("source", "target"))
    assert set(read_prior(path, make_genes(), regulator="query").weights.tolist()) == {1.0}


def test_pairs_of_unknown_genes_are_left_out(tmp_path):
    path = write_pairs(tmp_path / "prior.tsv", [*PAIRS, ("ENSG99999", "ENSG00000", 3.0)])
    assert sorted(read_prior(path, make_genes(), regulator="query").weights.tolist()) == [-2.0, 0.5, 1.5]


@pytest.mark.parametrize(
    ("pairs", "columns", "message"),
    [
        (
            PAIRS,
            ("regulator", "target"),
            r"expected the columns \['source', 'target'\], found \['regulator', 'target'\]",
        ),
        (
            [("A", "B", 1.0)],
            ("source", "target"),
            r"none of its 1 pairs; they are named like \['A'\], those of the model",
        ),
        ([("ENSG00000", "ENSG00003", "high")], ("source", "target", "weight"), "1 weights are not finite numbers"),
        ([PAIRS[0], PAIRS[0]], ("source", "target"), "1 pairs are given twice"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path, pairs, columns, message):
    path = write_pairs(tmp_path / "prior.tsv", pairs, columns)
    with pytest.raises(ValueError, match=message):
        read_prior(path, make_genes(), regulator="query")


def test_without_a_table_the_build_says_what_to_give(tmp_path):
    with pytest.raises(
        ValueError, match="needs a prior, .*nowhere.tsv is not a file. Give a tab-separated table with the"
    ):
        make_biased(tmp_path / "nowhere.tsv")


# the attention


def test_biased_attention_matches_hand_values():
    """One head, width 1, all queries and keys 0: a row's weights are the softmax of scale times prior."""
    layer = BiasedConfig(kind="biased", prior="unused", regulator="query", scale=2.0).build(1, heads=1, kv_heads=1)
    initialize(layer, deviation=0.0001, seed=0)
    with torch.no_grad():
        layer.inputs.weight.copy_(torch.tensor([[0.0], [0.0], [1.0]]))
        layer.output.weight.fill_(1.0)
    prior = torch.tensor([[0.0, math.log(3) / 2], [0.0, 0.0]])[None, None]
    result = layer(torch.tensor([[[4.0], [8.0]]]), None, prior=prior)
    assert torch.allclose(result, torch.tensor([[[7.0], [6.0]]]))  # weights 1/4 and 3/4; 1/2 and 1/2


@pytest.mark.parametrize("kv_heads", [2, 1])
@pytest.mark.parametrize("padded", [False, True])
def test_biased_attention_is_the_softmax_of_the_biased_logits(kv_heads, padded):
    layer = make_attention(kv_heads=kv_heads)
    with torch.no_grad():
        layer.scale.copy_(torch.tensor([0.7, -1.3]))
    tokens, prior = make_parts(9)
    padding = torch.arange(9) >= torch.tensor([[9], [6]]) if padded else None
    query, key, value = layer.project(tokens)
    logits = query @ key.transpose(-1, -2) / (DIM // HEADS) ** 0.5 + torch.tensor([0.7, -1.3])[:, None, None] * prior
    if padding is not None:
        logits = logits.masked_fill(padding[:, None, None, :], -torch.inf)
    mixed = (logits.double().softmax(-1) @ value.double()).float()
    expected = layer.output(mixed.transpose(1, 2).flatten(2))
    assert torch.allclose(layer(tokens, padding, prior=prior), expected, atol=1e-5)


@pytest.mark.parametrize("padding", [None, torch.arange(9) >= torch.tensor([[9], [6]])])
def test_a_prior_of_zero_and_a_scale_of_zero_give_full_attention(padding):
    tokens, prior = make_parts(9)
    full = FullConfig(kind="full").build(DIM, heads=HEADS, kv_heads=HEADS)
    for scale, given in ((1.0, torch.zeros_like(prior)), (0.0, prior)):
        biased = make_attention(scale=scale)
        full.load_state_dict({name: value for name, value in biased.state_dict().items() if name != "scale"})
        assert torch.allclose(biased(tokens, padding, prior=given), full(tokens, padding), atol=1e-6)


def test_the_prior_is_on_the_scale_of_the_logits_in_half_precision_too():
    layer, (tokens, prior) = make_attention(), make_parts(9)
    with torch.autocast("cpu", torch.bfloat16):
        half = layer(tokens, None, prior=prior)
    assert half.dtype == torch.bfloat16
    assert torch.allclose(half.float(), layer(tokens, None, prior=prior), atol=0.1)


def test_every_head_has_a_scale_that_starts_as_configured_and_gets_the_gradient_of_the_formula():
    layer, (tokens, prior) = make_attention(scale=0.8), make_parts(9)
    assert torch.equal(layer.scale, torch.full((HEADS,), 0.8))
    layer(tokens, None, prior=prior).square().sum().backward()
    query, key, value = (part.detach() for part in layer.project(tokens))
    scale = torch.full((HEADS,), 0.8, requires_grad=True)
    mixed = scaled_dot_product_attention(query, key, value, attn_mask=scale[:, None, None] * prior)
    layer.output(mixed.transpose(1, 2).flatten(2)).square().sum().backward()
    assert torch.allclose(layer.scale.grad, scale.grad, rtol=1e-4)
    assert layer.scale.grad.abs().min() > 0


def compile_with_prior():
    layer, (tokens, _) = make_attention(), make_parts(9)
    prior, genes = Prior(np.arange(0, 81, 2), np.ones(41), genes=9), torch.arange(9).expand(2, -1)

    def run(tokens):
        return layer(tokens, None, prior=prior(genes, tokens=9))

    compiled = torch.compile(run, fullgraph=True, backend="eager")
    assert torch.allclose(compiled(tokens), run(tokens), atol=1e-6)


def test_biased_attention_compiles_without_a_break_in_the_graph():
    process = multiprocessing.get_context("spawn").Process(target=compile_with_prior)  # there, types are not checked
    process.start()
    process.join(120)
    assert process.exitcode == 0


def test_biased_logits_are_not_kept_for_the_gradient():
    layer, (tokens, prior) = make_attention(), make_parts(200, cells=1)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda part: kept.append(part.numel()) or part, lambda part: part):
        layer(tokens.requires_grad_(), None, prior=prior)
    assert sum(size >= HEADS * 200 * 200 for size in kept) == 0


# in the model


def make_biased(path, *, variant="base", tables="files", **changes):
    attention = {"kind": "biased", "prior": str(path), "regulator": "query", "scale": 1.0, **changes}
    model = make_experiment(variant).model.model_dump()
    model["trunk"]["attention"] = attention
    experiment = make_experiment(variant, model=model)
    genes = make_genes()
    embedding = torch.randn(len(genes), experiment.model.dim, generator=torch.Generator().manual_seed(1))
    built = build(experiment, genes=genes, labels=make_labels(), gene_embedding=embedding, seed=0, tables=tables)
    return built, experiment


@pytest.mark.parametrize("variant", ["base", "xpressor"])
def test_a_row_with_a_prior_trains_and_uses_it_when_it_encodes_and_decodes(variant, table):
    batch = make_batch(make_genes(), make_labels(), context=60)
    (with_prior, _), (without, _) = make_biased(table, variant=variant), make_biased(table, variant=variant, scale=0.0)
    total, _ = with_prior(batch, step=0, seed=0)
    total.backward()
    scales = [parameter for name, parameter in with_prior.named_parameters() if name.endswith("attention.scale")]
    assert len(scales) == 2
    assert all(scale.grad.abs().min() > 0 for scale in scales)
    one, two = with_prior.model.eval(), without.model.eval()
    with torch.no_grad():
        cells = one(batch).cell_embeddings
        assert not torch.equal(cells, two(batch).cell_embeddings)
        assert not torch.equal(one.decode(cells, batch).mean, two.decode(cells, batch).mean)


def test_the_order_of_the_genes_does_not_matter(table):
    model = make_biased(table)[0].model.eval()
    batch = make_batch(make_genes(), make_labels(), context=60)
    turned = batch.take_genes(torch.arange(59, -1, -1).expand(len(batch), -1))
    with torch.no_grad():
        assert torch.allclose(model(batch).cell_embeddings, model(turned).cell_embeddings, atol=1e-5)


def test_networks_are_read_from_the_layers_as_they_run_with_the_prior(table):
    model, seen = make_biased(table)[0].model.eval(), []
    batch = make_batch(make_genes(), make_labels())
    for block in model.trunk.blocks:
        block.attention.register_forward_hook(lambda layer, inputs, output: seen.append(layer.project(inputs[0])[:2]))
    with torch.no_grad():
        model(batch)
        layers = list(model.queries_and_keys(batch))
    for (query, key), (full_query, full_key) in zip(layers, list(seen)[: len(layers)], strict=True):
        assert torch.equal(query, full_query[:, :, -24:])
        assert torch.equal(key, full_key[:, :, -24:])


def test_a_stored_model_brings_its_prior_and_does_not_need_the_file(table, tmp_path):
    built, experiment = make_biased(table)
    parts = ModelParts(built.model.state_dict(), experiment, make_genes(), make_labels(), "", {}, {})
    publish_model(tmp_path / "model", parts)
    table.unlink()
    loaded = load_model(tmp_path / "model").model
    assert torch.equal(loaded.trunk.prior.weights, built.model.trunk.prior.weights)
    batch = make_batch(make_genes(), make_labels())
    with torch.no_grad():
        assert torch.equal(loaded(batch).cell_embeddings, built.model.eval()(batch).cell_embeddings)


def test_a_model_that_waits_for_its_weights_has_no_pairs():
    assert len(empty_prior(make_genes()).codes) == 0
    config = BiasedConfig(kind="biased", prior="nowhere.tsv", regulator="query", scale=1.0)
    context = dataclasses.replace(make_context(), tables="weights")
    assert len(config.build_prior(context).weights) == 0
