import dataclasses
import multiprocessing

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from scprint2.experiment import build
from scprint2.model import attention as module
from scprint2.model.attention import CrissCrossConfig, FullConfig, HyperConfig, Latents, SoftpickConfig
from scprint2.model.scprint2 import initialize
from tests.helpers import make_batch, make_experiment, make_genes, make_labels, make_model

DIM, HEADS = 16, 2
FULL, SOFTPICK = FullConfig(kind="full"), SoftpickConfig(kind="softpick")
CRISS_CROSS = CrissCrossConfig(kind="criss_cross", latents=3)
ROWS = ["softpick", "hyper", "criss_cross"]


def hyper_config(*, block=4, samples=4, projections=3):
    return HyperConfig(kind="hyper", block=block, samples=samples, projections=projections)


KINDS = {config.kind: config for config in (FULL, SOFTPICK, hyper_config(), CRISS_CROSS)}


def make_attention(config, *, kv_heads=HEADS, deviation=0.5):
    layer = config.build(DIM, heads=HEADS, kv_heads=kv_heads)
    initialize(layer, deviation=deviation, seed=0)
    return layer.eval()


def make_tokens(tokens, *, cells=2, seed=0):
    return torch.randn(cells, tokens, DIM, generator=torch.Generator().manual_seed(seed))


def make_parts(tokens, *, cells=2, heads=3, dim=4, seed=0):
    """Random queries, keys and values."""
    return torch.randn(3, cells, heads, tokens, dim, generator=torch.Generator().manual_seed(seed))


def last_hidden(tokens, *numbers):
    """Padding that leaves the first so many tokens of each cell."""
    return torch.arange(tokens) >= torch.tensor(numbers)[:, None]


@pytest.fixture(scope="module")
def batch():
    return make_batch(make_genes(), make_labels())


# what all kinds share


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_random_at_evaluation(kind):
    layer, tokens = make_attention(KINDS[kind]), make_tokens(23)
    assert torch.equal(layer(tokens, None), layer(tokens, None))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("training", [False, True])
def test_what_is_padding_is_not_seen(kind, training):
    layer, tokens, padding = make_attention(KINDS[kind]).train(training), make_tokens(23), last_hidden(23, 9, 17)
    changed = tokens + 10 * padding[..., None] * make_tokens(23, seed=1)
    outputs = []
    for given in (tokens, changed):
        torch.manual_seed(0)
        outputs.append(layer(given, padding)[~padding])
    assert torch.allclose(outputs[0], outputs[1], atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_leaves_the_tokens_as_without_it(kind):
    layer, tokens = make_attention(KINDS[kind]), make_tokens(23)
    assert torch.allclose(layer(tokens, last_hidden(23, 9, 9))[:, :9], layer(tokens[:, :9], None), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_gets_a_gradient(kind):
    layer = make_attention(KINDS[kind]).train()
    layer(make_tokens(23), None).square().sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in layer.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_shared_key_heads_are_those_of_full_attention(kind):
    shared, separate = make_attention(KINDS[kind], kv_heads=1), make_attention(KINDS[kind])
    rows = torch.arange(2 * DIM).split(DIM // HEADS)  # two query heads, one key, one value
    repeated = torch.cat([rows[0], rows[1], rows[2], rows[2], rows[3], rows[3]])
    with torch.no_grad():
        separate.inputs.weight.copy_(shared.inputs.weight[repeated])
        separate.output.weight.copy_(shared.output.weight)
    if kind == "hyper":
        separate.planes.copy_(shared.planes)
    tokens = make_tokens(23)
    assert torch.allclose(shared(tokens, None), separate(tokens, None), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_gives_about_the_same(kind):
    layer, tokens = make_attention(KINDS[kind], deviation=0.2), make_tokens(23)
    if kind == "hyper":  # rounding moves a token to another bucket now and then
        layer = make_attention(hyper_config(block=32), deviation=0.2)
    with torch.autocast("cpu", torch.bfloat16):
        half = layer(tokens, last_hidden(23, 20, 23))
        half.float().sum().backward()
    assert half.dtype == torch.bfloat16
    assert torch.allclose(half.float(), layer(tokens, last_hidden(23, 20, 23)), atol=0.03)


def compile_all_kinds():
    for config in KINDS.values():
        layer, tokens, padding = make_attention(config), make_tokens(23), last_hidden(23, 20, 23)
        compiled = torch.compile(layer, fullgraph=True, backend="eager")
        results = []
        for run in (layer, compiled):
            layer.zero_grad()
            output = run(tokens, padding)
            output.square().sum().backward()
            results.append((output, layer.inputs.weight.grad.clone()))
        for plain, fast in zip(*results, strict=True):
            assert torch.allclose(plain, fast, rtol=1e-4)


def test_every_kind_compiles_without_a_break_in_the_graph():
    process = multiprocessing.get_context("spawn").Process(target=compile_all_kinds)  # there, types are not checked
    process.start()
    process.join(120)
    assert process.exitcode == 0


# softpick


def test_softpick_attention_is_its_formula_head_by_head():
    query, key, value = make_parts(9, dim=DIM // HEADS, heads=HEADS)
    mixed = make_attention(SOFTPICK).mix(query, key, value, padding=last_hidden(9, 9, 6))
    for cell, shown in enumerate((9, 6)):
        for head in range(HEADS):
            q, k, v = (part[cell, head].double().numpy() for part in (query, key, value))
            excess = np.expm1(q @ k[:shown].T / np.sqrt(DIM // HEADS))
            weights = np.maximum(excess, 0) / np.abs(excess).sum(1, keepdims=True)
            np.testing.assert_allclose(mixed[cell, head].numpy(), weights @ v[:shown], rtol=1e-4, atol=1e-5)


def test_some_rows_at_a_time_give_the_values_and_gradients_of_the_whole(monkeypatch):
    layer, results = make_attention(SOFTPICK), []
    for rows in (1000, 4):
        monkeypatch.setattr(module, "ROWS", rows)
        tokens = make_tokens(23).requires_grad_()
        output = layer(tokens, last_hidden(23, 23, 11))
        output.square().sum().backward()
        results.append((output, tokens.grad))
    for whole, parts in zip(*results, strict=True):
        assert torch.allclose(whole, parts, rtol=1e-4, atol=1e-4)


def test_softpick_keeps_no_matrix_for_the_gradient():
    layer, kept = make_attention(SOFTPICK), []

    def note(tensor):
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        layer(make_tokens(200).requires_grad_(), None)
    assert max(kept) < 200 * 200


# hyper


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    "sizes", [{"block": 32}, {"block": 23}, {"block": 4, "samples": 32}, {"block": 8, "samples": 23}]
)
def test_hyper_attention_matches_plain_attention_when_nothing_is_sampled_away(sizes, training):
    hyper, plain = make_attention(hyper_config(**sizes)).train(training), make_attention(FULL)
    plain.load_state_dict(hyper.state_dict(), strict=False)
    for padding in (None, last_hidden(23, 23, 1), last_hidden(23, 5, 14)):
        hidden = torch.zeros(2, 23, dtype=torch.bool) if padding is None else padding
        result, expected = hyper(make_tokens(23), padding), plain(make_tokens(23), padding)
        assert torch.allclose(result[~hidden], expected[~hidden], atol=1e-5)


def test_hyper_attention_is_the_sum_over_its_block_and_the_weighted_sample():
    """Key by key: one cell and head, the last two of 14 tokens hidden, blocks of 4, 5 samples."""
    layer = hyper_config(block=4, samples=5).build(4, heads=1, kv_heads=1).eval()
    initialize(layer, deviation=0.5, seed=0)
    query, key, value = make_parts(14, cells=1, heads=1)
    padding = last_hidden(14, 12)
    hidden = torch.nn.functional.pad(padding, (0, 2), value=True)[None]
    padded = [torch.nn.functional.pad(part, (0, 0, 0, 2)) for part in (query, key)]
    query_order, key_order = (layer.order(part, hidden)[0, 0].tolist() for part in padded)
    sampled = [key_order[place] for place in layer.sample(hidden.gather(2, torch.tensor([[key_order]])))[0, 0].tolist()]
    result = layer.mix(query, key, value, padding=padding)[0, 0]
    q, k, v = (part[0, 0].double().numpy() for part in (query, key, value))
    for place, token in enumerate(query_order[:12]):
        inside = [index for index in key_order[place // 4 * 4 : place // 4 * 4 + 4] if index < 12]
        outside = [index for index in sampled if index not in inside]
        weight = dict.fromkeys(inside, 1.0) | dict.fromkeys(outside, (12 - len(inside)) / len(outside))
        shares = {index: weight[index] * np.exp(q[token] @ k[index] / 2) for index in weight}
        expected = sum(share * v[index] for index, share in shares.items()) / sum(shares.values())
        np.testing.assert_allclose(result[token].numpy(), expected, rtol=1e-4, atol=1e-5)


def test_the_sampled_keys_stand_for_all_keys_outside_on_average():
    torch.manual_seed(0)
    layer = make_attention(hyper_config(block=4, samples=5)).train()
    hidden = last_hidden(20, 18, 13)[:, None].expand(-1, 2, -1)
    mass = torch.rand(2, 2, 20)  # what each key would add to the sum of a row
    total = torch.zeros(2, 2, 5)
    for _ in range(2000):
        chosen = layer.sample(hidden)
        shares = module.log_shares(hidden, chosen, block=4).exp()
        total += (shares[..., 4:] * mass.gather(2, chosen)[:, :, None]).sum(-1) / 2000
    visible = mass * ~hidden
    inside = visible.unflatten(-1, (-1, 4)).sum(-1)
    assert torch.allclose(total, visible.sum(-1, keepdim=True) - inside, rtol=0.05)


def test_training_draws_samples_and_repeats_them_from_the_same_seed():
    layer, tokens = make_attention(hyper_config()).train(), make_tokens(40)
    torch.manual_seed(3)
    first, second = layer(tokens, None), layer(tokens, None)
    torch.manual_seed(3)
    assert torch.equal(first, layer(tokens, None))
    assert not torch.equal(first, second)


def test_samples_at_evaluation_are_distinct_and_spread_evenly():
    layer = make_attention(hyper_config(samples=128))
    places = layer.sample(torch.zeros(1, 1, 3200, dtype=torch.bool))[0, 0].sort().values
    assert len(places.unique()) == 128
    assert places.diff().max() < 3 * 3200 / 128


def test_neighbors_in_the_order_of_hashes_differ_in_one_bit():
    layer = make_attention(hyper_config(projections=4))
    layer.planes.copy_(torch.eye(DIM // HEADS)[:, :4])
    signs = torch.tensor([[1.0 if number >> bit & 1 else -1.0 for bit in range(DIM // HEADS)] for number in range(16)])
    order = layer.order(signs[None, None], torch.zeros(1, 1, 16, dtype=torch.bool))[0, 0]
    flips = (signs[order].diff(dim=0) != 0).sum(1)
    assert (flips == 1).all()


def test_similar_vectors_come_to_lie_in_one_block():
    generator = torch.Generator().manual_seed(0)
    centers = 3 * torch.randn(4, DIM // HEADS, generator=generator)
    group = torch.arange(32) % 4
    vectors = centers[group] + 0.05 * torch.randn(32, DIM // HEADS, generator=generator)
    order = make_attention(hyper_config(projections=8)).order(vectors[None, None], torch.zeros(1, 1, 32).bool())[0, 0]
    blocks = group[order].reshape(4, 8)
    assert all(len(block.unique()) == 1 for block in blocks)


def test_hyper_attention_comes_closer_to_full_attention_with_more_samples():
    errors = []
    for samples in (8, 64, 200):
        layer, plain = make_attention(hyper_config(block=16, samples=samples), deviation=0.3), make_attention(FULL)
        plain.load_state_dict(layer.state_dict(), strict=False)
        errors.append((layer(make_tokens(256), None) - plain(make_tokens(256), None)).square().mean().item())
    assert errors[2] < errors[1] < errors[0]


def test_planes_are_kept_with_the_weights_and_differ_between_layers_and_seeds():
    one, two = (make_model("hyper", seed=seed).model.state_dict() for seed in (0, 1))
    first, second = (f"trunk.blocks.{layer}.attention.planes" for layer in (0, 1))
    assert one[first].abs().min() > 0
    assert not torch.equal(one[first], one[second])
    assert not torch.equal(one[first], two[first])
    assert torch.equal(one[first], make_model("hyper", seed=0).model.state_dict()[first])


# criss-cross


@pytest.mark.parametrize("padding", [None, last_hidden(13, 13, 9)])
def test_criss_cross_is_full_attention_between_latents_and_tokens_only(padding):
    criss_cross, tokens = make_attention(CRISS_CROSS), make_tokens(13)
    latent = torch.arange(13) < 3
    shown = (latent[:, None] != latent)[None, None]
    if padding is not None:
        shown = shown & ~padding[:, None, None, :]
    query, key, value = criss_cross.project(tokens)
    mixed = scaled_dot_product_attention(query, key, value, attn_mask=shown)
    expected = criss_cross.output(mixed.transpose(1, 2).flatten(2))
    assert torch.allclose(criss_cross(tokens, padding), expected, atol=1e-6)


def test_criss_cross_matches_hand_values():
    """Width 1, one latent (value 5), two tokens; all queries are 0, so that a row is the mean of what it sees."""
    layer = CrissCrossConfig(kind="criss_cross", latents=1).build(1, heads=1, kv_heads=1)
    with torch.no_grad():
        layer.inputs.weight.copy_(torch.tensor([[0.0], [1.0], [1.0]]))
        layer.output.weight.fill_(1.0)
        for linear in (layer.inputs, layer.output):
            nn.init.zeros_(linear.bias)
        assert layer(torch.tensor([[[5.0], [1.0], [3.0]]]), None).flatten().tolist() == [2.0, 5.0, 5.0]


def test_latents_pass_between_layers_and_leave_the_trunk(batch):
    model = make_model("criss_cross").model.eval()
    seen = []
    for block in model.trunk.blocks:
        block.register_forward_hook(lambda block, inputs, output: seen.append((inputs[0], output)))
    with torch.no_grad():
        output = model(batch)
    learned = model.trunk.latents.tokens
    assert torch.equal(seen[0][0][:, :10], learned.expand(len(batch), -1, -1))
    assert torch.equal(seen[1][0][:, :10], seen[0][1][:, :10])
    assert not torch.allclose(seen[0][1][:, :10], learned.expand(len(batch), -1, -1))
    assert output.cell_embeddings.shape[1] == len(make_labels().classes) + 1
    assert output.gene_embeddings.shape[1] == batch.genes.shape[1]


def test_genes_reach_the_cell_embeddings_through_the_latents(batch):
    model = make_model("criss_cross").model.eval()
    with torch.no_grad():
        cells = model(batch).cell_embeddings
        other = model(dataclasses.replace(batch, counts=batch.counts.flip(1))).cell_embeddings
    assert not torch.allclose(cells, other, atol=1e-4)


def test_criss_cross_makes_no_matrix_of_tokens():
    """The largest tensor that is kept grows with the tokens, as do all that are made."""
    layer, largest = make_attention(CRISS_CROSS), []
    for tokens in (500, 1000):
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, kept=kept: kept.append(t.numel()) or t, lambda t: t):
            layer(make_tokens(tokens, cells=1).requires_grad_(), None)
        largest.append(max(kept))
    assert largest[1] / largest[0] < 2.1


def test_a_network_cannot_be_read_from_criss_cross(batch):
    with pytest.raises(ValueError, match="this attention has no gene-gene matrix"):
        next(make_model("criss_cross").model.queries_and_keys(batch))


def test_only_criss_cross_brings_latents():
    assert isinstance(CRISS_CROSS.build_latents(DIM), Latents)
    for config in (FULL, SOFTPICK, hyper_config()):
        assert not list(config.build_latents(DIM).parameters())


# in the model


@pytest.mark.parametrize("variant", ROWS)
def test_the_model_sees_no_padding(variant, batch):
    model = make_model(variant).model.eval()
    padding = last_hidden(24, *[16] * len(batch))
    short = dataclasses.replace(
        batch, genes=batch.genes[:, :16], counts=batch.counts[:, :16], neighbor_counts=batch.neighbor_counts[..., :16]
    )
    padded = dataclasses.replace(batch, padding=padding, counts=batch.counts.masked_fill(padding, 0))
    with torch.no_grad():
        one, two = model(short), model(padded)
        regenerated = [
            model.decode(one.cell_embeddings, short).mean,
            model.decode(one.cell_embeddings, padded).mean[:, :16],
        ]
    assert torch.allclose(one.cell_embeddings, two.cell_embeddings, atol=1e-5)
    assert torch.allclose(*regenerated, rtol=1e-4)


@pytest.mark.parametrize("variant", ROWS)
def test_a_model_takes_any_number_of_genes(variant):
    genes, labels = make_genes(human=400), make_labels()
    experiment = make_experiment(variant)
    model = build(experiment, genes=genes, labels=labels, gene_embedding=torch.zeros(len(genes), 64), seed=0)
    for context in (1, 119, 121, 250):
        total, _ = model(make_batch(genes, labels, cells=2, context=context), step=0, seed=0)
        assert torch.isfinite(total)


@pytest.mark.parametrize("variant", ["softpick", "hyper"])
def test_queries_and_keys_are_those_of_the_forward_pass(variant, batch):
    model, seen = make_model(variant).model.eval(), []
    for block in model.trunk.blocks:
        block.attention.register_forward_hook(lambda layer, inputs, output: seen.append(layer.project(inputs[0])[:2]))
    with torch.no_grad():
        model(batch)
        layers = list(model.queries_and_keys(batch))
    for (query, key), (full_query, full_key) in zip(layers, list(seen)[: len(layers)], strict=True):
        assert torch.equal(query, full_query[:, :, -24:])
        assert torch.equal(key, full_key[:, :, -24:])
