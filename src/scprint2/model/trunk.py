"""The trunk: pre-norm transformer blocks."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from scprint2.config.node import Node
from scprint2.model.attention import AttentionConfig

Crossing = Callable[[Tensor], Tensor]


class TrunkConfig(Node):
    """Size and regularization of the trunk; `stochastic_depth` is the rate that each layer adds."""

    layers: int = Field(ge=1)
    heads: int = Field(ge=1)
    kv_heads: int = Field(ge=1)
    mlp_ratio: int = Field(ge=1)
    dropout: float = Field(ge=0, lt=1)
    stochastic_depth: float = Field(ge=0, lt=1)
    attention: AttentionConfig

    def build(self, dim: int) -> "Trunk":
        """Make the module."""
        return Trunk(self, dim)


class Trunk(nn.Module):
    """Bidirectional transformer with a final layer norm.

    Source: "Trunk".
    """

    def __init__(self, config: TrunkConfig, dim: int):
        super().__init__()
        self.latents = config.attention.build_latents(dim)
        self.blocks = nn.ModuleList(Block(config, dim, layer=layer) for layer in range(config.layers))
        self.norm = nn.LayerNorm(dim)

    def forward(
        self,
        tokens: Float[Tensor, "cell token dim"],
        padding: Bool[Tensor, "cell token"] | None,
        *,
        crossings: Sequence[Crossing] = (),
    ) -> Float[Tensor, "cell token dim"]:
        """Run all blocks; latents of the attention are there in between only.

        `crossings`, one for each block, come before them and tell the tokens of others.
        """
        given = tokens.shape[1]
        tokens, padding = self.latents(tokens, padding)
        for layer, block in enumerate(self.blocks):
            if crossings:
                tokens = crossings[layer](tokens)
            tokens = block(tokens, padding)
        return self.norm(tokens[:, -given:])


class Block(nn.Module):
    """Attention and a perceptron, each behind a layer norm and added to the residual."""

    def __init__(self, config: TrunkConfig, dim: int, *, layer: int):
        super().__init__()
        self.norm_1 = nn.LayerNorm(dim)
        self.attention = config.attention.build(dim, heads=config.heads, kv_heads=config.kv_heads)
        self.norm_2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, config.mlp_ratio * dim), nn.GELU(approximate="tanh"), nn.Linear(config.mlp_ratio * dim, dim)
        )
        self.branch = Branch(dropout=config.dropout, drop_path=config.stochastic_depth * layer)

    def forward(
        self, tokens: Float[Tensor, "cell token dim"], padding: Bool[Tensor, "cell token"] | None
    ) -> Float[Tensor, "cell token dim"]:
        """Update the tokens."""
        tokens = tokens + self.branch(self.attention(self.norm_1(tokens), padding))
        return tokens + self.branch(self.mlp(self.norm_2(tokens)))


class Branch(nn.Module):
    """Dropout on a residual branch, and now and then no branch at all for a cell (stochastic depth); nothing at evaluation."""

    def __init__(self, *, dropout: float, drop_path: float):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.drop_path = drop_path

    def forward(self, update: Float[Tensor, "cell token dim"]) -> Float[Tensor, "cell token dim"]:
        """Return the update, its expectation unchanged."""
        update = self.dropout(update)
        if not self.training or self.drop_path == 0:
            return update
        keep = torch.rand(len(update), 1, 1, device=update.device) >= self.drop_path
        return update * (keep / (1 - self.drop_path))
