"""XPressor, a component of the slot `cell_pooling`: cell tokens with a small transformer of their own."""

from functools import partial
from typing import Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from scprint2.config.node import Node
from scprint2.model.attention import FullConfig
from scprint2.model.context import BuildContext
from scprint2.model.trunk import Branch, Crossing, RunTrunk, TrunkConfig


class XPressorConfig(Node):
    """Size of the small transformer; `dim` is the width of the cell embeddings. The rest is as in the trunk."""

    kind: Literal["xpressor"]
    dim: int = Field(ge=2)
    layers: int = Field(ge=1)
    heads: int = Field(ge=1)

    def build(self, context: BuildContext, *, trunk: TrunkConfig) -> "XPressor":
        """Make the module.

        Raises
        ------
        ValueError
            If the heads do not divide the width.
        """
        if self.dim % self.heads:
            raise ValueError(f"heads must divide dim in model.cell_pooling; found dim {self.dim}, heads {self.heads}")
        return XPressor(self, context, trunk=trunk)


class XPressor(nn.Module):
    """Learned tokens read the last layer's genes; to decode, genes without expression read the cell tokens.

    Both transformers cross before each of their blocks: the small one to the genes' outputs, the trunk, only when it decodes,
    to the cell embeddings.

    Source: "XPressor model", eqs. 5-7; Kalfon et al. (XPressor).
    """

    def __init__(self, config: XPressorConfig, context: BuildContext, *, trunk: TrunkConfig):
        super().__init__()
        self.dim = config.dim
        own = {"layers": config.layers, "heads": config.heads, "kv_heads": config.heads}
        small = trunk.model_copy(update={**own, "attention": FullConfig(kind="full")})
        self.tokens = nn.Parameter(torch.zeros(context.cell_tokens, config.dim))
        self.trunk = small.build(config.dim)
        self.reading = make_crossings(small, config.dim, source=context.dim)
        self.writing = make_crossings(trunk, context.dim, source=config.dim)

    def start(
        self, genes: Float[Tensor, "cell gene dim"], *, padding: Bool[Tensor, "cell gene"] | None
    ) -> tuple[Float[Tensor, "cell gene dim"], Bool[Tensor, "cell gene"] | None]:
        """Return what enters the trunk when genes are encoded, and its padding: the genes alone."""
        return genes, padding

    def encode(
        self, genes: Float[Tensor, "cell gene dim"], *, trunk: RunTrunk, padding: Bool[Tensor, "cell gene"] | None
    ) -> tuple[Float[Tensor, "cell token width"], Float[Tensor, "cell gene dim"]]:
        """Return cell embeddings and output embeddings of the genes (eqs. 5 and 6)."""
        outputs = trunk(genes, padding)
        crossings = towards(self.reading, outputs, padding=padding)
        return self.trunk(self.tokens.expand(len(genes), -1, -1), None, crossings=crossings), outputs

    def decode(
        self,
        cells: Float[Tensor, "cell token width"],
        genes: Float[Tensor, "cell gene dim"],
        *,
        trunk: RunTrunk,
        padding: Bool[Tensor, "cell gene"] | None,
    ) -> Float[Tensor, "cell gene dim"]:
        """Run the trunk again on genes without expression, which read the cell embeddings (eq. 7)."""
        return trunk(genes, padding, crossings=towards(self.writing, cells, padding=None))


class CrossBlock(nn.Module):
    """Cross-attention and a perceptron, each behind a layer norm and added to the residual.

    The source is not normalized again: it is the output of a transformer, which ends with a norm, or of a compressor.

    Source: "XPressor model" (the "optional MLP after cross-attention"); "Trunk".
    """

    def __init__(self, config: TrunkConfig, dim: int, *, source: int, layer: int):
        super().__init__()
        self.heads = config.heads
        self.norm_1 = nn.LayerNorm(dim)
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(source, 2 * dim)
        self.output = nn.Linear(dim, dim)
        self.norm_2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, config.mlp_ratio * dim), nn.GELU(approximate="tanh"), nn.Linear(config.mlp_ratio * dim, dim)
        )
        self.branch = Branch(dropout=config.dropout, drop_path=config.stochastic_depth * layer)

    def forward(
        self,
        tokens: Float[Tensor, "cell token dim"],
        *,
        source: Float[Tensor, "cell other source"],
        padding: Bool[Tensor, "cell other"] | None,
    ) -> Float[Tensor, "cell token dim"]:
        """Update the tokens by what they read from the source."""
        tokens = tokens + self.branch(self._attend(self.norm_1(tokens), source, padding))
        return tokens + self.branch(self.mlp(self.norm_2(tokens)))

    def _attend(self, tokens: Tensor, source: Tensor, padding: Tensor | None) -> Tensor:
        def split(values: Tensor) -> Tensor:
            return values.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        key, value = self.key_value(source).chunk(2, dim=-1)
        visible = None if padding is None else ~padding[:, None, None, :]
        mixed = scaled_dot_product_attention(split(self.query(tokens)), split(key), split(value), attn_mask=visible)
        return self.output(mixed.transpose(1, 2).flatten(2))


def make_crossings(config: TrunkConfig, dim: int, *, source: int) -> nn.ModuleList:
    """Make one cross block for each layer of a transformer."""
    return nn.ModuleList(CrossBlock(config, dim, source=source, layer=layer) for layer in range(config.layers))


def towards(blocks: nn.ModuleList, source: Tensor, *, padding: Tensor | None) -> list[Crossing]:
    """Let cross blocks look at a source."""
    return [partial(block, source=source, padding=padding) for block in blocks]
