"""What every kind of attention shares: its configuration, and queries, keys and values by head."""

from jaxtyping import Bool, Float
from torch import Tensor, nn

from scprint2.config.node import Node
from scprint2.model.context import BuildContext
from scprint2.model.prior import NoPrior, Prior
from scprint2.model.tokens import Latents, NoLatents


class AttentionNode(Node):
    """An attention of one kind; most have neither latents nor a prior."""

    def build_latents(self, dim: int) -> NoLatents | Latents:
        """Make the tokens that the attention brings into the trunk."""
        return NoLatents()

    def build_prior(self, context: BuildContext) -> NoPrior | Prior:
        """Make what the attention knows of pairs of genes."""
        return NoPrior()


class MultiHead(nn.Module):
    """Queries, keys and values by head; `mix`, of each kind of attention, says how values are mixed."""

    def __init__(self, dim: int, *, heads: int, kv_heads: int):
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = heads, kv_heads, dim // heads
        self.inputs = nn.Linear(dim, (heads + 2 * kv_heads) * self.head_dim)
        self.output = nn.Linear(dim, dim)

    def forward(
        self,
        tokens: Float[Tensor, "cell token dim"],
        padding: Bool[Tensor, "cell token"] | None,
        *,
        prior: Float[Tensor, "cell 1 token token"] | None = None,
    ) -> Float[Tensor, "cell token dim"]:
        """Let tokens look at tokens that are not padding; only an attention that makes a prior is given one."""
        query, key, value = self.project(tokens)
        mixed = self.mix(query, key, value, padding=padding)
        return self.output(mixed.transpose(1, 2).flatten(2))

    def mix(
        self,
        query: Float[Tensor, "cell head token head_dim"],
        key: Float[Tensor, "cell head token head_dim"],
        value: Float[Tensor, "cell head token head_dim"],
        *,
        padding: Bool[Tensor, "cell token"] | None,
    ) -> Float[Tensor, "cell head token head_dim"]:
        """Return a mixture of values for each token."""
        raise NotImplementedError

    def project(self, tokens: Float[Tensor, "cell token dim"]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each [cell, head, token, head_dim]; shared key heads are repeated."""
        parts = self.inputs(tokens).unflatten(-1, (-1, self.head_dim))
        split = parts.split([self.heads, self.kv_heads, self.kv_heads], dim=2)
        query, key, value = (part.transpose(1, 2) for part in split)
        share = self.heads // self.kv_heads
        if share > 1:
            key, value = key.repeat_interleave(share, dim=1), value.repeat_interleave(share, dim=1)
        return query, key, value

    def queries_and_keys(self, tokens: Float[Tensor, "cell token dim"]) -> tuple[Tensor, Tensor]:
        """Queries and keys, from which gene networks are read."""
        query, key, _ = self.project(tokens)
        return query, key


def visible(padding: Bool[Tensor, "cell token"] | None) -> Bool[Tensor, "cell 1 1 token"] | None:
    """Return which keys a query may see."""
    return None if padding is None else ~padding[:, None, None, :]
