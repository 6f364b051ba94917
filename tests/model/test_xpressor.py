import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from scprint2.model.attention import FullConfig
from scprint2.model.trunk import TrunkConfig
from scprint2.model.xpressor import CrossBlock, XPressorConfig
from tests.helpers import make_batch, make_context, make_genes, make_labels, make_model

TRUNK = TrunkConfig(
    layers=2, heads=4, kv_heads=4, mlp_ratio=2, dropout=0.1, stochastic_depth=0.1, attention=FullConfig(kind="full")
)


@pytest.fixture(scope="module")
def batch():
    return make_batch(make_genes(), make_labels())


@pytest.fixture(scope="module")
def model():
    return make_model("xpressor").model.eval()


@pytest.fixture
def pooling():
    torch.manual_seed(0)
    module = XPressorConfig(kind="xpressor", dim=8, layers=2, heads=2).build(make_context(), trunk=TRUNK)
    nn.init.normal_(module.tokens)
    return module.eval()


@pytest.mark.parametrize("padded", [False, True])
def test_a_cross_block_is_torchs_attention_and_a_perceptron(padded):
    torch.manual_seed(0)
    block = CrossBlock(TRUNK, 16, source=8, layer=1).eval()
    tokens, source = torch.randn(3, 5, 16), torch.randn(3, 7, 8)
    padding = torch.rand(3, 7) < 0.4 if padded else None
    other = nn.MultiheadAttention(16, TRUNK.heads, kdim=8, vdim=8, batch_first=True)
    with torch.no_grad():
        other.q_proj_weight.copy_(block.query.weight)
        other.k_proj_weight.copy_(block.key_value.weight[:16])
        other.v_proj_weight.copy_(block.key_value.weight[16:])
        other.in_proj_bias.copy_(torch.cat([block.query.bias, block.key_value.bias]))
        other.out_proj.load_state_dict(block.output.state_dict())
        after = tokens + other(block.norm_1(tokens), source, source, key_padding_mask=padding)[0]
        expected = after + block.mlp(block.norm_2(after))
        assert torch.allclose(block(tokens, source=source, padding=padding), expected, atol=1e-5)


def normalize(values, weights, name):
    centered = values - values.mean(-1, keepdims=True)
    scaled = centered / np.sqrt((centered**2).mean(-1, keepdims=True) + 1e-5)
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def linear(values, weights, name):
    return values @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def test_a_cross_block_of_one_head_is_its_formula_in_fp64():
    """x + W_o softmax(q k / sqrt(d)) v, then + the perceptron; from raw weights. The third source token is padding."""
    torch.manual_seed(0)
    one_head = TRUNK.model_copy(update={"heads": 1, "kv_heads": 1})
    block = CrossBlock(one_head, 6, source=4, layer=1).eval()
    tokens, source, padding = torch.randn(1, 3, 6), torch.randn(1, 5, 4), torch.zeros(1, 5, dtype=torch.bool)
    padding[0, 2] = True
    with torch.no_grad():
        for norm in (block.norm_1, block.norm_2):
            norm.weight.normal_()
            norm.bias.normal_()
        result = block(tokens, source=source, padding=padding)[0].numpy()
    weights = {name: value.double().numpy() for name, value in block.state_dict().items()}
    x, seen = tokens[0].double().numpy(), source[0, [0, 1, 3, 4]].double().numpy()
    query = linear(normalize(x, weights, "norm_1"), weights, "query")
    key, value = np.split(linear(seen, weights, "key_value"), 2, axis=1)
    scores = np.exp(query @ key.T / np.sqrt(6))
    x = x + linear(scores / scores.sum(1, keepdims=True) @ value, weights, "output")
    hidden = linear(normalize(x, weights, "norm_2"), weights, "mlp.0")
    hidden = 0.5 * hidden * (1 + np.tanh(np.sqrt(2 / np.pi) * (hidden + 0.044715 * hidden**3)))
    np.testing.assert_allclose(result, x + linear(hidden, weights, "mlp.2"), rtol=1e-4, atol=1e-5)


def test_a_cross_block_matches_hand_values():
    """Queries and keys are 0: a token takes the mean of the sources' values, which are (source, 0)."""
    block = CrossBlock(TRUNK.model_copy(update={"heads": 1}), 2, source=1, layer=0).eval()
    with torch.no_grad():
        for weight in block.parameters():
            weight.zero_()
        block.key_value.weight[2] = 1.0  # rows: two of the key, two of the value
        block.output.weight.copy_(torch.eye(2))
        tokens, source = torch.tensor([[[0.0, 2.0]]]), torch.tensor([[[1.0], [3.0]]])
        assert block(tokens, source=source, padding=None).flatten().tolist() == [2.0, 2.0]
        first = block(tokens, source=source, padding=torch.tensor([[False, True]]))
        assert first.flatten().tolist() == [1.0, 2.0]
        block.mlp[2].bias.copy_(torch.tensor([10.0, 20.0]))
        assert block(tokens, source=source, padding=None).flatten().tolist() == [12.0, 22.0]


def test_cell_tokens_read_the_genes_and_the_genes_do_not_read_them(pooling):
    trunk, genes = TRUNK.build(16).eval(), torch.randn(3, 6, 16)
    cells, outputs = pooling.encode(genes, trunk=trunk, padding=None)
    assert cells.shape == (3, make_context().cell_tokens, 8)
    assert torch.equal(outputs, trunk(genes, None))
    assert not torch.allclose(cells[0], cells[1], atol=1e-3)


def test_decoding_without_crossings_is_the_trunk_alone(pooling):
    trunk, genes, cells = TRUNK.build(16).eval(), torch.randn(3, 6, 16), torch.randn(3, 8, 8)
    for block in pooling.writing:
        for layer in (block.output, block.mlp[-1]):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
    assert torch.equal(pooling.decode(cells, genes, trunk=trunk, padding=None), trunk(genes, None))


def test_decoding_crosses_before_each_block_of_the_trunk(pooling):
    trunk, genes, cells = TRUNK.build(16).eval(), torch.randn(3, 6, 16), torch.randn(3, 8, 8)
    tokens = genes
    for crossing, block in zip(pooling.writing, trunk.blocks, strict=True):
        tokens = block(crossing(tokens, source=cells, padding=None), None)
    assert torch.equal(pooling.decode(cells, genes, trunk=trunk, padding=None), trunk.norm(tokens))


def test_padding_is_not_read(pooling):
    trunk, genes = TRUNK.build(16).eval(), torch.randn(2, 6, 16)
    padding = torch.tensor([[False] * 4 + [True] * 2] * 2)
    padded, _ = pooling.encode(genes, trunk=trunk, padding=padding)
    short, _ = pooling.encode(genes[:, :4], trunk=trunk, padding=None)
    assert torch.allclose(padded, short, atol=1e-5)


def test_encoding_trains_what_reads_and_decoding_what_writes(pooling):
    trunk, genes = TRUNK.build(16).eval(), torch.randn(3, 6, 16)
    cells, _ = pooling.encode(genes, trunk=trunk, padding=None)
    (cells * torch.randn_like(cells)).sum().backward()  # a plain sum of normalized tokens has no gradient
    assert all(p.grad is not None for part in (pooling.reading, pooling.trunk) for p in part.parameters())
    assert all(p.grad is None for p in pooling.writing.parameters())
    assert pooling.tokens.grad is not None
    decoded = pooling.decode(cells.detach(), genes, trunk=trunk, padding=None)
    (decoded * torch.randn_like(decoded)).sum().backward()
    assert all(p.grad is not None for p in pooling.writing.parameters())


def test_cell_embeddings_are_as_wide_as_their_own_transformer(model, batch):
    output = model(batch)
    assert output.cell_embeddings.shape == (len(batch), len(make_labels().classes) + 1, 32)
    assert output.gene_embeddings.shape[-1] == 64


def test_the_order_of_genes_does_not_matter(model, batch):
    order = torch.randperm(batch.genes.shape[1])
    shuffled = dataclasses.replace(batch, genes=batch.genes[:, order], counts=batch.counts[:, order])
    with torch.no_grad():
        straight, other = model(batch), model(shuffled)
        decoded = model.decode(straight.cell_embeddings, batch).mean[:, order]
        again = model.decode(other.cell_embeddings, shuffled).mean
    assert torch.allclose(straight.cell_embeddings, other.cell_embeddings, atol=1e-4)
    assert torch.allclose(decoded, again, rtol=1e-3, atol=1e-5)


def test_decoding_depends_on_the_cell(model, batch):
    with torch.no_grad():
        cells = model(batch).cell_embeddings
        one, other = model.decode(cells, batch).mean, model.decode(cells.flip(0), batch).mean
    assert not torch.allclose(one, other, rtol=1e-3)


def test_queries_and_keys_are_those_of_the_encoding_trunk(model, batch):
    seen = []
    hooks = [
        block.attention.register_forward_hook(lambda module, inputs, output: seen.append(module.project(inputs[0])[:2]))
        for block in model.trunk.blocks
    ]
    with torch.no_grad():
        model(batch)
        layers = list(model.queries_and_keys(batch))
    for hook in hooks:
        hook.remove()
    assert len(layers) == len(model.trunk.blocks)
    for (query, key), (full_query, full_key) in zip(layers, seen[: len(layers)], strict=True):
        assert query.shape[2] == batch.genes.shape[1]
        assert torch.equal(query, full_query)
        assert torch.equal(key, full_key)


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="dim 10, heads 4"):
        XPressorConfig(kind="xpressor", dim=10, layers=1, heads=4).build(make_context(), trunk=TRUNK)
