"""Tokens put before other tokens."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


def join(
    first: Float[Tensor, "cell first dim"],
    tokens: Float[Tensor, "cell token dim"],
    *,
    padding: Bool[Tensor, "cell token"] | None,
) -> tuple[Float[Tensor, "cell all dim"], Bool[Tensor, "cell all"] | None]:
    """Put some tokens, which are never padding, before others."""
    if padding is not None:
        padding = nn.functional.pad(padding, (first.shape[1], 0), value=False)
    return torch.cat([first, tokens], dim=1), padding


class NoLatents(nn.Module):
    """Only the tokens that enter the trunk go through it."""

    def forward(
        self, tokens: Float[Tensor, "cell token dim"], padding: Bool[Tensor, "cell token"] | None
    ) -> tuple[Float[Tensor, "cell token dim"], Bool[Tensor, "cell token"] | None]:
        """Return the input."""
        return tokens, padding


class Latents(nn.Module):
    """Learned tokens that go through the trunk before the others, so that each layer updates them."""

    def __init__(self, number: int, dim: int):
        super().__init__()
        self.tokens = nn.Parameter(torch.zeros(number, dim))

    def forward(
        self, tokens: Float[Tensor, "cell token dim"], padding: Bool[Tensor, "cell token"] | None
    ) -> tuple[Float[Tensor, "cell all dim"], Bool[Tensor, "cell all"] | None]:
        """Put them before the tokens."""
        return join(self.tokens.expand(len(tokens), -1, -1), tokens, padding=padding)
