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
