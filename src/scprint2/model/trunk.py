"""The trunk: pre-norm transformer blocks."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from scprint2.config.node import Node
from scprint2.model.attention import AttentionConfig
from scprint2.model.context import BuildContext
from scprint2.model.prior import NoPrior, Prior

Crossing = Callable[[Tensor], Tensor]
RunTrunk = Callable[..., Tensor]  # a trunk, or one that was told the genes of its tokens


class TrunkConfig(Node):
    """Size and regularization of the trunk; `stochastic_depth` is the rate that each layer adds."""

    layers: int = Field(ge=1)
    heads: int = Field(ge=1)
    kv_heads: int = Field(ge=1)
    mlp_ratio: int = Field(ge=1)
    dropout: float = Field(ge=0, lt=1)
    stochastic_depth: float = Field(ge=0, lt=1)
    attention: AttentionConfig

    def build(self, dim: int, *, context: BuildContext | None = None) -> "Trunk":
        """Make the module; without a context it has no prior."""
        return Trunk(self, dim, prior=NoPrior() if context is None else self.attention.build_prior(context))


class Trunk(nn.Module):
    """Bidirectional transformer with a final layer norm.

    `recomputes` makes each layer compute its activations again for the gradient instead of keeping them: the same numbers in much
    less memory, for another forward pass (Chen et al. 2016).

    Source: "Trunk".
    """

    def __init__(self, config: TrunkConfig, dim: int, *, prior: NoPrior | Prior):
        super().__init__()
        self.recomputes = False
        self.prior = prior
        self.latents = config.attention.build_latents(dim)
        self.blocks = nn.ModuleList(Block(config, dim, layer=layer) for layer in range(config.layers))
        self.norm = nn.LayerNorm(dim)

    def forward(
        self,
        tokens: Float[Tensor, "cell token dim"],
        padding: Bool[Tensor, "cell token"] | None,
        *,
        crossings: Sequence[Crossing] = (),
        genes: Int[Tensor, "cell gene"] | None = None,
    ) -> Float[Tensor, "cell token dim"]:
        """Run all blocks; latents of the attention are there in between only.

        `crossings`, one for each block, come before them and tell the tokens of others. `genes` are those of the last tokens;
        only a prior reads them.
        """
        given = tokens.shape[1]
        tokens, padding = self.latents(tokens, padding)
        prior = self.prior(genes, tokens=tokens.shape[1])
        for layer in range(len(self.blocks)):
            run = partial(self._layer, layer, padding=padding, prior=prior, crossings=crossings)
            keep = not (self.recomputes and torch.is_grad_enabled())
            tokens = run(tokens) if keep else checkpoint(run, tokens, use_reentrant=False)
        return self.norm(tokens[:, -given:])

    def _layer(
        self,
        layer: int,
        tokens: Tensor,
        *,
        padding: Tensor | None,
        prior: Tensor | None,
        crossings: Sequence[Crossing],
    ) -> Tensor:
        if crossings:
            tokens = crossings[layer](tokens)
        return self.blocks[layer](tokens, padding, prior=prior)

    def over(self, genes: Int[Tensor, "cell gene"]) -> RunTrunk:
        """Return the trunk for tokens that end with these genes."""
        return self if isinstance(self.prior, NoPrior) else partial(self, genes=genes)


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
        self,
        tokens: Float[Tensor, "cell token dim"],
        padding: Bool[Tensor, "cell token"] | None,
        *,
        prior: Float[Tensor, "cell 1 token token"] | None = None,
    ) -> Float[Tensor, "cell token dim"]:
        """Update the tokens."""
        tokens = tokens + self.branch(self.attention(self.norm_1(tokens), padding, prior=prior))
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
