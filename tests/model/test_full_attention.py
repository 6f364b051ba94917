"""Full attention of a layer, from its raw weights: by hand, and as plain matrices in fp64."""

import math

import numpy as np
import pytest
import torch

from scprint2.model.attention import FullConfig
from scprint2.model.scprint2 import initialize
from tests.model.test_attention import last_hidden

DIM, HEADS = 12, 3


def plain_attention(tokens, weights, *, kv_heads, shown):
    """Softmax attention of one cell, head by head; columns of the input matrix: queries, then keys, then values."""
    width = DIM // HEADS
    parts = tokens @ weights["inputs.weight"].T + weights["inputs.bias"]
    query, key, value = np.split(parts, [DIM, DIM + kv_heads * width], axis=1)
    heads = []
    for head in range(HEADS):
        own, shared = slice(head * width, (head + 1) * width), head * kv_heads // HEADS
        other = slice(shared * width, (shared + 1) * width)
        scores = np.exp(query[:, own] @ key[:shown, other].T / np.sqrt(width))
        heads.append(scores / scores.sum(1, keepdims=True) @ value[:shown, other])
    return np.concatenate(heads, axis=1) @ weights["output.weight"].T + weights["output.bias"]


@pytest.mark.parametrize("kv_heads", [3, 1])
def test_full_attention_is_its_matrices_head_by_head(kv_heads):
    layer = FullConfig(kind="full").build(DIM, heads=HEADS, kv_heads=kv_heads).eval()
    initialize(layer, deviation=0.5, seed=0)
    with torch.no_grad():
        for linear in (layer.inputs, layer.output):
            linear.bias.normal_(generator=torch.Generator().manual_seed(2))
        tokens = torch.randn(2, 9, DIM, generator=torch.Generator().manual_seed(0))
        result = layer(tokens, last_hidden(9, 9, 6)).numpy()
    weights = {name: value.double().numpy() for name, value in layer.state_dict().items()}
    for cell, shown in enumerate((9, 6)):
        expected = plain_attention(tokens[cell].double().numpy(), weights, kv_heads=kv_heads, shown=shown)
        np.testing.assert_allclose(result[cell], expected, rtol=1e-4, atol=1e-5)


def test_full_attention_matches_hand_values():
    """Width 1: queries are 1, keys ln 3 times the token, values the token."""
    layer = FullConfig(kind="full").build(1, heads=1, kv_heads=1)
    with torch.no_grad():
        layer.inputs.weight.copy_(torch.tensor([[0.0], [math.log(3)], [1.0]]))
        layer.inputs.bias.copy_(torch.tensor([1.0, 0.0, 0.0]))
        layer.output.weight.fill_(2.0)
        layer.output.bias.fill_(1.0)
        tokens = torch.tensor([[[0.0], [1.0], [2.0]]])  # scores 1, 3 and 9
        whole, short = layer(tokens, None), layer(tokens, torch.tensor([[False, False, True]]))
    assert torch.allclose(whole, torch.full((1, 3, 1), 1 + 2 * (3 * 1 + 9 * 2) / 13))
    assert torch.allclose(short, torch.full((1, 3, 1), 1 + 2 * 3 / 4))
