"""Slot `attention`: how tokens look at each other."""

import math
from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint

from scprint2.config.node import Node
from scprint2.model.kernels import HALF, Attend
from scprint2.model.tokens import join

SOFTPICK_EPSILON = 1e-6  # Zuhri et al. 2025; only rows whose logits are all about 0 feel it
ROWS = 256  # of the softpick matrix at a time: 0.6 GB a tensor at 64 cells x 4 heads x 2,200 genes
GOLDEN_RATIO = (1 + math.sqrt(5)) / 2  # its multiples modulo 1 are spread evenly, however many are taken


class AttentionNode(Node):
    """An attention of one kind; most have no latents."""

    def build_latents(self, dim: int) -> "NoLatents | Latents":
        """Make the tokens that the attention brings into the trunk."""
        return NoLatents()


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


class MultiHead(nn.Module):
    """Queries, keys and values by head; `mix`, of each kind of attention, says how values are mixed."""

    def __init__(self, dim: int, *, heads: int, kv_heads: int):
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = heads, kv_heads, dim // heads
        self.inputs = nn.Linear(dim, (heads + 2 * kv_heads) * self.head_dim)
        self.output = nn.Linear(dim, dim)

    def forward(
        self, tokens: Float[Tensor, "cell token dim"], padding: Bool[Tensor, "cell token"] | None
    ) -> Float[Tensor, "cell token dim"]:
        """Let tokens look at tokens that are not padding."""
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


class FullConfig(AttentionNode):
    """Softmax attention over all tokens."""

    kind: Literal["full"]

    def build(self, dim: int, *, heads: int, kv_heads: int) -> "Full":
        """Make the module."""
        return Full(dim, heads=heads, kv_heads=kv_heads)


class Full(MultiHead):
    """Multi-head softmax attention by a fused kernel, without dropout on the attention matrix (D2).

    `flash` is flash-attn's function where it may be used (`kernels.place_kernel`); it knows no padding.

    Source: eq. 2.
    """

    flash: Attend | None = None

    def mix(
        self,
        query: Float[Tensor, "cell head token head_dim"],
        key: Float[Tensor, "cell head token head_dim"],
        value: Float[Tensor, "cell head token head_dim"],
        *,
        padding: Bool[Tensor, "cell token"] | None,
    ) -> Float[Tensor, "cell head token head_dim"]:
        """Let every token look at every token that is not padding."""
        if self.flash is not None and padding is None and query.dtype in HALF:
            return self.flash(query, key, value)
        return scaled_dot_product_attention(query, key, value, attn_mask=visible(padding))


class SoftpickConfig(AttentionNode):
    """Rectified softmax attention over all tokens."""

    kind: Literal["softpick"]

    def build(self, dim: int, *, heads: int, kv_heads: int) -> "Softpick":
        """Make the module."""
        return Softpick(dim, heads=heads, kv_heads=kv_heads)


class Softpick(MultiHead):
    """Attention whose weights may be zero and need not add up to 1, so that no token has to take what nobody wants.

    Source: "Attention", item 16; Zuhri et al. 2025; over genes (D4).
    """

    def mix(
        self,
        query: Float[Tensor, "cell head token head_dim"],
        key: Float[Tensor, "cell head token head_dim"],
        value: Float[Tensor, "cell head token head_dim"],
        *,
        padding: Bool[Tensor, "cell token"] | None,
    ) -> Float[Tensor, "cell head token head_dim"]:
        """Mix by some rows of the matrix at a time, computed again for the gradient: the whole one is never there."""
        shown, scaled = visible(padding), query / self.head_dim**0.5

        def mix_rows(rows: Tensor, key: Tensor, value: Tensor) -> Tensor:
            weights = softpick((rows @ key.transpose(-1, -2)).float(), shown)
            return weights.to(value.dtype) @ value

        blocks = [
            checkpoint(mix_rows, rows, key, value, use_reentrant=False, preserve_rng_state=False)
            for rows in scaled.split(ROWS, dim=2)
        ]
        return torch.cat(blocks, dim=2)  # pyright: ignore[reportArgumentType, reportCallIssue]


def softpick(
    logits: Float[Tensor, "*batch query key"], shown: Bool[Tensor, "*#batch #query key"] | None = None
) -> Float[Tensor, "*batch query key"]:
    """relu(exp(x) - 1) / sum |exp(x) - 1| over keys that are shown; a row without a positive logit is all zero.

    Source: Zuhri et al. 2025; "Attention", item 16.
    """
    if shown is not None:
        logits = logits.masked_fill(~shown, 0.0)  # exp(0) - 1 adds nothing above or below
    shift = logits.detach().amax(dim=-1, keepdim=True).clamp(min=0)  # cancels out, and nothing overflows
    excess = (logits - shift).exp() - (-shift).exp()
    return excess.relu() / (excess.abs().sum(dim=-1, keepdim=True) + SOFTPICK_EPSILON)


class HyperConfig(AttentionNode):
    """Attention among `block` similar tokens, and to `samples` others that stand for the rest.

    `projections` is the number of planes that hash a token; it makes 2 ** projections buckets.
    """

    kind: Literal["hyper"]
    block: int = Field(ge=1)
    samples: int = Field(ge=1)
    projections: int = Field(ge=1, le=16)

    def build(self, dim: int, *, heads: int, kv_heads: int) -> "Hyper":
        """Make the module."""
        return Hyper(self, dim, heads=heads, kv_heads=kv_heads)


class Hyper(MultiHead):
    """An estimate of full attention in time that grows with tokens x log(tokens).

    Queries and keys are sorted by a locality-sensitive hash and cut into blocks; a query sees the keys of its block, and
    sampled keys of the other blocks, each weighted by how many it stands for. One softmax over both is the merge of their
    parts by log-sum-exp. Exact where one block, or the sample, holds all tokens.

    Source: "Attention", item 17; Han et al. 2023, algorithms 1-3.
    """

    planes: Tensor

    def __init__(self, config: HyperConfig, dim: int, *, heads: int, kv_heads: int):
        super().__init__(dim, heads=heads, kv_heads=kv_heads)
        self.block, self.samples = config.block, config.samples
        self.register_buffer("planes", torch.zeros(self.head_dim, config.projections))

    def set_initial_values(self, rng: torch.Generator) -> None:
        """Draw the planes of this layer; they are kept, not trained."""
        self.planes.normal_(generator=rng)

    def mix(
        self,
        query: Float[Tensor, "cell head token head_dim"],
        key: Float[Tensor, "cell head token head_dim"],
        value: Float[Tensor, "cell head token head_dim"],
        *,
        padding: Bool[Tensor, "cell token"] | None,
    ) -> Float[Tensor, "cell head token head_dim"]:
        """Sort, cut into blocks, mix each with its keys and the sampled ones, and put back in order."""
        cells, heads, tokens, _ = query.shape
        missing = -tokens % self.block
        query, key, value = (pad(part, (0, 0, 0, missing)) for part in (query, key, value))
        hidden = query.new_zeros(cells, tokens, dtype=torch.bool) if padding is None else padding
        hidden = pad(hidden, (0, missing), value=True)[:, None].expand(-1, heads, -1)
        query_order, key_order = self.order(query, hidden), self.order(key, hidden)
        hidden = hidden.gather(2, key_order)
        chosen = self.sample(hidden)

        def blocks_and_samples(part: Tensor) -> Tensor:
            part = take(part, key_order)
            blocks = part.unflatten(2, (-1, self.block))
            samples = take(part, chosen)[:, :, None].expand(-1, -1, blocks.shape[2], -1, -1)
            return torch.cat([blocks, samples], dim=3).flatten(0, 1)

        mixed = scaled_dot_product_attention(
            take(query, query_order).unflatten(2, (-1, self.block)).flatten(0, 1),
            blocks_and_samples(key),
            blocks_and_samples(value),
            attn_mask=log_shares(hidden, chosen, block=self.block).to(query.dtype)[..., None, :].flatten(0, 1),
        )
        return take(mixed.unflatten(0, (cells, heads)).flatten(2, 3), query_order.argsort(dim=-1))[:, :, :tokens]

    def order(
        self, vectors: Float[Tensor, "cell head token head_dim"], hidden: Bool[Tensor, "cell head token"]
    ) -> Int[Tensor, "cell head token"]:
        """Return the order by hash, hidden tokens last; neighboring buckets are on one side of all planes but one."""
        side = vectors @ self.planes.to(vectors.dtype) > 0
        gray = side.cumsum(dim=-1) % 2  # the place of a Gray code among all: each bit is the parity of those before
        place = (gray * 2 ** torch.arange(side.shape[-1], device=side.device).flip(0)).sum(dim=-1)
        return place.masked_fill(hidden, 2 ** side.shape[-1]).argsort(dim=-1, stable=True)

    def sample(self, hidden: Bool[Tensor, "cell head token"]) -> Int[Tensor, "cell head sample"]:
        """Choose keys, each with the same chance, hidden ones last; at evaluation the same ones always, evenly spread."""
        if self.training:
            draw = torch.rand(hidden.shape, device=hidden.device)
        else:
            draw = torch.arange(hidden.shape[-1], device=hidden.device, dtype=torch.float64)
            draw = (draw * GOLDEN_RATIO % 1).float().expand(hidden.shape)
        number = min(self.samples, hidden.shape[-1])
        return draw.masked_fill(hidden, torch.inf).topk(number, dim=-1, largest=False).indices


def take(
    vectors: Float[Tensor, "cell head token dim"], index: Int[Tensor, "cell head chosen"]
) -> Float[Tensor, "cell head chosen dim"]:
    """Return the vectors at an index per cell and head."""
    return vectors.gather(2, index[..., None].expand(-1, -1, -1, vectors.shape[-1]))


def log_shares(
    hidden: Bool[Tensor, "cell head token"], chosen: Int[Tensor, "cell head sample"], *, block: int
) -> Float[Tensor, "cell head block key"]:
    """Return what to add to the logits of a block's keys and of the sampled keys, for the queries of each block.

    A key of the block stands for itself; a sampled key of another block for (visible keys outside) / (sampled ones outside);
    what is hidden or sampled from the block itself for none.
    """
    seen = ~hidden.unflatten(-1, (-1, block))
    inside = seen.sum(dim=-1)
    sampled = ~hidden.gather(2, chosen)[:, :, None]
    number = torch.arange(seen.shape[2], device=hidden.device)[:, None]
    outside = sampled & (chosen[:, :, None] // block != number)
    represented = (inside.sum(dim=-1, keepdim=True) - inside) / outside.sum(dim=-1).clamp(min=1)
    shares = torch.cat([seen.float(), outside * represented[..., None]], dim=-1)
    return shares.log()


class CrissCrossConfig(AttentionNode):
    """Attention from tokens to a few latents, and from these to the tokens."""

    kind: Literal["criss_cross"]
    latents: int = Field(ge=1)

    def build(self, dim: int, *, heads: int, kv_heads: int) -> "CrissCross":
        """Make the module."""
        return CrissCross(self, dim, heads=heads, kv_heads=kv_heads)

    def build_latents(self, dim: int) -> Latents:
        """Make the latents of the first layer."""
        return Latents(self.latents, dim)


class CrissCross(MultiHead):
    """Latents, which come first, look at the tokens and tokens look at the latents, both as the layer before left them.

    One projection serves both, as equations 3 and 4 have one `Att`: full attention without the pairs of two tokens and of two
    latents, in time and memory that grow with tokens x latents.

    Source: "Criss-Cross attention", eqs. 2-4.
    """

    def __init__(self, config: CrissCrossConfig, dim: int, *, heads: int, kv_heads: int):
        super().__init__(dim, heads=heads, kv_heads=kv_heads)
        self.latents = config.latents

    def mix(
        self,
        query: Float[Tensor, "cell head token head_dim"],
        key: Float[Tensor, "cell head token head_dim"],
        value: Float[Tensor, "cell head token head_dim"],
        *,
        padding: Bool[Tensor, "cell token"] | None,
    ) -> Float[Tensor, "cell head token head_dim"]:
        """Mix the tokens' values for the latents (eq. 3) and the latents' values for the tokens (eq. 4)."""
        parts = (query, key, value)
        latent_query, latent_key, latent_value = (part[:, :, : self.latents] for part in parts)
        token_query, token_key, token_value = (part[:, :, self.latents :] for part in parts)
        shown = None if padding is None else visible(padding[:, self.latents :])
        latents = scaled_dot_product_attention(latent_query, token_key, token_value, attn_mask=shown)
        tokens = scaled_dot_product_attention(token_query, latent_key, latent_value)
        return torch.cat([latents, tokens], dim=2)

    def queries_and_keys(self, tokens: Float[Tensor, "cell token dim"]) -> tuple[Tensor, Tensor]:
        """Refuse: there is no network to read.

        Raises
        ------
        ValueError
            Always.
        """
        raise ValueError(
            "this attention has no gene-gene matrix: with `criss_cross` genes look at latents only, so no network can be read; "
            "use a model with another attention"
        )


def visible(padding: Bool[Tensor, "cell token"] | None) -> Bool[Tensor, "cell 1 1 token"] | None:
    """Return which keys a query may see."""
    return None if padding is None else ~padding[:, None, None, :]


AttentionConfig = Annotated[FullConfig | SoftpickConfig | HyperConfig | CrissCrossConfig, Field(discriminator="kind")]
