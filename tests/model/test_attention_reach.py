"""Which tokens the output of one token depends on: by its gradient with respect to all of them."""

from functools import partial

import pytest
import torch

from scprint2.model.attention import BiasedConfig
from tests.model.test_attention import (
    CRISS_CROSS,
    FULL,
    HEADS,
    SOFTPICK,
    hyper_config,
    last_hidden,
    make_attention,
    make_tokens,
)

TOKENS, LATENTS = 23, CRISS_CROSS.latents
SHOWN = ~last_hidden(TOKENS, 23, 17)
OWN = torch.eye(TOKENS, dtype=torch.bool)


def make_biased():
    """Biased attention with a prior between all tokens of two cells."""
    layer = make_attention(BiasedConfig(kind="biased", prior="unused", regulator="query", scale=1.0))
    rng = torch.Generator().manual_seed(1)
    return partial(layer, prior=torch.randn(2, 1, TOKENS, TOKENS, generator=rng))


WITH_A_GENE_GENE_MATRIX = {
    "full": partial(make_attention, FULL),
    "softpick": partial(make_attention, SOFTPICK),
    "biased": make_biased,
    "hyper, all sampled": partial(make_attention, hyper_config(block=4, samples=TOKENS)),
    "hyper, one block": partial(make_attention, hyper_config(block=TOKENS, samples=1)),
}


def reached(run, *, place):
    """True where a change of the token [cell, token] changes the output at one place of its cell."""
    tokens = make_tokens(TOKENS).requires_grad_()
    run(tokens)[:, place].square().sum().backward()
    return tokens.grad.abs().amax(-1) > 0


@pytest.mark.parametrize("kind", WITH_A_GENE_GENE_MATRIX)
def test_every_token_depends_on_every_token_but_padding(kind):
    layer = WITH_A_GENE_GENE_MATRIX[kind]()
    for place in range(17):
        assert torch.equal(reached(lambda tokens: layer(tokens, ~SHOWN), place=place), SHOWN), place


def test_in_one_layer_of_criss_cross_tokens_depend_on_the_latents_and_latents_on_the_tokens():
    layer, latent = make_attention(CRISS_CROSS), torch.arange(TOKENS) < LATENTS
    for place in range(17):
        seen = SHOWN & ~latent if place < LATENTS else latent.expand_as(SHOWN)
        assert torch.equal(reached(lambda tokens: layer(tokens, ~SHOWN), place=place), seen | OWN[place]), place


def test_over_two_layers_of_criss_cross_every_token_depends_on_every_token_but_padding():
    first, second = make_attention(CRISS_CROSS), make_attention(CRISS_CROSS, deviation=0.4)

    def run(tokens):
        middle = tokens + first(tokens, ~SHOWN)  # as in a block: the residual keeps a token's own value
        return middle + second(middle, ~SHOWN)

    for place in range(LATENTS, 17):
        assert torch.equal(reached(run, place=place), SHOWN), place


def test_an_attention_that_sees_itself_alone_would_be_found_out():
    assert torch.equal(reached(lambda tokens: 2 * tokens, place=5), OWN[5].expand_as(SHOWN))


def test_hyper_attention_depends_on_its_block_and_the_sample_where_not_all_is_sampled():
    layer = make_attention(hyper_config(block=4, samples=1))
    most = HEADS * (4 + 1) + 1  # for each head a block and the sampled key, and the token's own query
    for place in range(17):
        seen = reached(lambda tokens: layer(tokens, ~SHOWN), place=place)
        assert (seen <= (SHOWN | OWN[place])).all()
        assert seen.sum(1).max() <= most < 17
