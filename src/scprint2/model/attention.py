"""Slot `attention`: how tokens look at each other."""

import math
from pathlib import Path
from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint

from scprint2.model.context import BuildContext
from scprint2.model.kernels import HALF, Attend
from scprint2.model.multi_head import AttentionNode, MultiHead, visible
from scprint2.model.prior import Prior, empty_prior, read_prior
from scprint2.model.softpick import Flex, flex_softpick, softpick
from scprint2.model.tokens import Latents

ROWS = 256  # of the softpick matrix at a time: 0.6 GB a tensor at 64 cells x 4 heads x 2,200 genes
GOLDEN_RATIO = (1 + math.sqrt(5)) / 2  # its multiples modulo 1 are spread evenly, however many are taken


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


class BiasedConfig(AttentionNode):
    """Softmax attention with a prior of regulation added to its logits.

    `prior` is a table of pairs of genes (path from the folder where the training runs), `regulator` the side of the attention
    on which the regulator stands, `scale` what the prior is multiplied by at first.
    """

    kind: Literal["biased"]
    prior: str
    regulator: Literal["query", "key"]
    scale: float

    def build(self, dim: int, *, heads: int, kv_heads: int) -> "Biased":
        """Make the module."""
        return Biased(self, dim, heads=heads, kv_heads=kv_heads)

    def build_prior(self, context: BuildContext) -> Prior:
        """Read the table; that of a stored model comes with its weights."""
        if context.tables == "weights":
            return empty_prior(context.genes)
        return read_prior(Path(self.prior), context.genes, regulator=self.regulator)


class Biased(MultiHead):
    """softmax(Q Kᵀ / √d + s M) V with M the prior, zero where a token is no gene, and s a learned number for each head.

    The biased logits, cell x head x token x token, are computed again for the gradient and not kept. Queries and keys, from
    which networks are read, do not hold M: a network shows what was learned beside the prior.

    Source: "Biased attention", where s is 1.
    """

    def __init__(self, config: BiasedConfig, dim: int, *, heads: int, kv_heads: int):
        super().__init__(dim, heads=heads, kv_heads=kv_heads)
        self.first_scale = config.scale
        self.scale = nn.Parameter(torch.zeros(heads))

    def set_initial_values(self, rng: torch.Generator) -> None:
        """Start with the scale of the configuration."""
        self.scale.fill_(self.first_scale)

    def forward(
        self,
        tokens: Float[Tensor, "cell token dim"],
        padding: Bool[Tensor, "cell token"] | None,
        *,
        prior: Float[Tensor, "cell 1 token token"] | None = None,
    ) -> Float[Tensor, "cell token dim"]:
        """Let every token look at every token that is not padding, at what the prior names more than at others."""
        assert prior is not None, "biased attention needs the prior of the trunk"
        parts = (*self.project(tokens), prior, visible(padding))
        mixed = checkpoint(self._mix, *parts, use_reentrant=False, preserve_rng_state=False)
        return self.output(mixed.transpose(1, 2).flatten(2))  # pyright: ignore[reportAttributeAccessIssue]

    def _mix(self, query: Tensor, key: Tensor, value: Tensor, prior: Tensor, shown: Tensor | None) -> Tensor:
        bias = (self.scale[:, None, None] * prior).to(query.dtype)
        if shown is not None:
            bias = bias.masked_fill(~shown, -torch.inf)
        return scaled_dot_product_attention(query, key, value, attn_mask=bias)


class SoftpickConfig(AttentionNode):
    """Rectified softmax attention over all tokens."""

    kind: Literal["softpick"]

    def build(self, dim: int, *, heads: int, kv_heads: int) -> "Softpick":
        """Make the module."""
        return Softpick(dim, heads=heads, kv_heads=kv_heads)


class Softpick(MultiHead):
    """Attention whose weights may be zero and need not add up to 1, so that no token has to take what nobody wants.

    `flex` is torch's FlexAttention where it may be used (`kernels.place_kernel`).

    Source: "Attention", item 16; Zuhri et al. 2025; over genes (D4).
    """

    flex: Flex | None = None

    def mix(
        self,
        query: Float[Tensor, "cell head token head_dim"],
        key: Float[Tensor, "cell head token head_dim"],
        value: Float[Tensor, "cell head token head_dim"],
        *,
        padding: Bool[Tensor, "cell token"] | None,
    ) -> Float[Tensor, "cell head token head_dim"]:
        """Mix without the whole matrix: by FlexAttention, else by some rows at a time, computed again for the gradient."""
        if self.flex is not None:
            return flex_softpick(self.flex, query, key, value, padding=padding)
        shown, scaled = visible(padding), query / self.head_dim**0.5

        def mix_rows(rows: Tensor, key: Tensor, value: Tensor) -> Tensor:
            weights = softpick((rows @ key.transpose(-1, -2)).float(), shown)
            return weights.to(value.dtype) @ value

        blocks = [
            checkpoint(mix_rows, rows, key, value, use_reentrant=False, preserve_rng_state=False)
            for rows in scaled.split(ROWS, dim=2)
        ]
        return torch.cat(blocks, dim=2)  # pyright: ignore[reportArgumentType, reportCallIssue]


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


AttentionConfig = Annotated[
    FullConfig | BiasedConfig | SoftpickConfig | HyperConfig | CrissCrossConfig, Field(discriminator="kind")
]
