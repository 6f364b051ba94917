"""Slot `attention`: how tokens look at each other."""

from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from scprint2.config.node import Node


class FullConfig(Node):
    """Softmax attention over all tokens."""

    kind: Literal["full"]

    def build(self, dim: int, *, heads: int, kv_heads: int) -> "Full":
        """Make the module."""
        return Full(dim, heads=heads, kv_heads=kv_heads)


class Full(nn.Module):
    """Multi-head softmax attention by torch's fused kernels, without dropout on the attention matrix (D2).

    Source: eq. 2.
    """

    def __init__(self, dim: int, *, heads: int, kv_heads: int):
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = heads, kv_heads, dim // heads
        self.inputs = nn.Linear(dim, (heads + 2 * kv_heads) * self.head_dim)
        self.output = nn.Linear(dim, dim)

    def forward(
        self, tokens: Float[Tensor, "cell token dim"], padding: Bool[Tensor, "cell token"] | None
    ) -> Float[Tensor, "cell token dim"]:
        """Let every token look at every token that is not padding."""
        query, key, value = self.project(tokens)
        visible = None if padding is None else ~padding[:, None, None, :]
        mixed = scaled_dot_product_attention(query, key, value, attn_mask=visible)
        return self.output(mixed.transpose(1, 2).flatten(2))

    def project(self, tokens: Float[Tensor, "cell token dim"]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each [cell, head, token, head_dim]; shared key heads are repeated."""
        parts = self.inputs(tokens).unflatten(-1, (-1, self.head_dim))
        split = parts.split([self.heads, self.kv_heads, self.kv_heads], dim=2)
        query, key, value = (part.transpose(1, 2) for part in split)
        share = self.heads // self.kv_heads
        if share > 1:
            key, value = key.repeat_interleave(share, dim=1), value.repeat_interleave(share, dim=1)
        return query, key, value


AttentionConfig = FullConfig
