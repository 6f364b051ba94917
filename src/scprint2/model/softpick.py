"""Softpick, the rectified softmax: its formula, and the same out of two passes of FlexAttention.

Source: Zuhri et al. 2025; "Attention", item 16.
"""

from collections.abc import Callable
from typing import no_type_check

import torch
from jaxtyping import Bool, Float
from torch import Tensor

EPSILON = 1e-6  # Zuhri et al. 2025; only rows whose logits are all about 0 feel it
SMALLEST = 1e-30  # a logit of about 0 adds this in place of 0, whose logarithm is infinite
ABSENT = -80.0  # logarithm of what a key adds that adds nothing; that of `SMALLEST` is -69

Flex = Callable[..., tuple[Tensor, Tensor]]


def softpick(
    logits: Float[Tensor, "*batch query key"], shown: Bool[Tensor, "*#batch #query key"] | None = None
) -> Float[Tensor, "*batch query key"]:
    """relu(exp(x) - 1) / sum |exp(x) - 1| over keys that are shown; a row without a positive logit is all zero."""
    if shown is not None:
        logits = logits.masked_fill(~shown, 0.0)  # exp(0) - 1 adds nothing above or below
    shift = logits.detach().amax(dim=-1, keepdim=True).clamp(min=0)  # cancels out, and nothing overflows
    excess = (logits - shift).exp() - (-shift).exp()
    return excess.relu() / (excess.abs().sum(dim=-1, keepdim=True) + EPSILON)


@no_type_check  # at run time: a compiler reads what FlexAttention calls, and cannot read the checks of the tests
def log_excess(logit: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """Log |exp(x) - 1|, without overflow; not by expm1, with which FlexAttention was not ready in time (docs/performance.md)."""
    return logit.relu() + (1 - torch.exp(-logit.abs())).clamp(min=SMALLEST).log()


@no_type_check
def flex_softpick(
    flex: Flex,
    query: Float[Tensor, "cell head token head_dim"],
    key: Float[Tensor, "cell head token head_dim"],
    value: Float[Tensor, "cell head token head_dim"],
    *,
    padding: Bool[Tensor, "cell token"] | None,
) -> Float[Tensor, "cell head token head_dim"]:
    """Mix values by softpick without the matrix of all pairs.

    A softmax over log |exp(x) - 1| has the denominator of softpick, one over the positive logits alone its mixture up to the
    ratio of both denominators, whose logarithms FlexAttention returns.

    Parameters
    ----------
    flex
        `torch.nn.attention.flex_attention.flex_attention`, compiled where gradients are wanted.
    """

    def absent_if_hidden(score: Tensor, cell: Tensor, key_place: Tensor) -> Tensor:
        return score if padding is None else torch.where(padding[cell, key_place], ABSENT, score)

    def positive(logit: Tensor, cell: Tensor, head: Tensor, row: Tensor, key_place: Tensor) -> Tensor:
        return absent_if_hidden(torch.where(logit > 0, log_excess(logit), ABSENT), cell, key_place)

    def both(logit: Tensor, cell: Tensor, head: Tensor, row: Tensor, key_place: Tensor) -> Tensor:
        return absent_if_hidden(log_excess(logit), cell, key_place)

    mixed, above = flex(query, key, value, score_mod=positive, return_lse=True)
    _, whole = flex(query, key, value, score_mod=both, return_lse=True)
    whole = torch.logaddexp(whole, torch.full_like(whole, EPSILON).log())
    return mixed * (above - whole).exp()[..., None].to(mixed.dtype)
