"""Slot `gene_encoder`: which gene a token stands for."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from scprint2.config.node import Node
from scprint2.model.context import BuildContext
from scprint2.model.initial import draw_uniform


class FrozenConfig(Node):
    """The protein embedding of each gene, not trained."""

    kind: Literal["frozen"]

    def build(self, context: BuildContext) -> "Frozen":
        """Make the module."""
        return Frozen(context)


class Frozen(nn.Module):
    """Look up the protein embedding of a gene; the table is part of the weights but not trained.

    Source: "ESM3 fine-tuning gene-encoder", without the adapter.
    """

    def __init__(self, context: BuildContext):
        super().__init__()
        self.table = nn.Parameter(context.gene_embedding.detach().clone(), requires_grad=False)

    def forward(self, genes: Int[Tensor, "cell gene"]) -> Float[Tensor, "cell gene dim"]:
        """Return a vector per gene."""
        return nn.functional.embedding(genes, self.table)


class AdaptedConfig(Node):
    """The protein embedding of each gene behind a trained adapter with one hidden layer."""

    kind: Literal["adapted"]

    def build(self, context: BuildContext) -> "Adapted":
        """Make the module."""
        return Adapted(context)


class Adapted(nn.Module):
    """Linear, ReLU, Linear after the frozen table.

    The layers start as wide as torch starts them, so that genes differ from the first step on.

    Source: "ESM3 fine-tuning gene-encoder".
    """

    def __init__(self, context: BuildContext):
        super().__init__()
        self.table = nn.Parameter(context.gene_embedding.detach().clone(), requires_grad=False)
        self.input = nn.Linear(context.dim, context.dim)
        self.output = nn.Linear(context.dim, context.dim)

    def set_initial_values(self, rng: torch.Generator) -> None:
        """Draw weights and biases as wide as their inputs ask for."""
        draw_uniform((self.input, self.output), rng)

    def forward(self, genes: Int[Tensor, "cell gene"]) -> Float[Tensor, "cell gene dim"]:
        """Return a vector per gene."""
        return self.output(nn.functional.relu(self.input(nn.functional.embedding(genes, self.table))))


class LearnedConfig(Node):
    """A table that is trained from scratch."""

    kind: Literal["learned"]

    def build(self, context: BuildContext) -> "Learned":
        """Make the module."""
        return Learned(context)


class Learned(nn.Module):
    """Look up a trained vector; nothing is known of a gene but what its counts teach. It starts standard normal.

    Source: "Additive benchmark", "learn gene emb".
    """

    def __init__(self, context: BuildContext):
        super().__init__()
        self.table = nn.Parameter(torch.empty_like(context.gene_embedding))

    def set_initial_values(self, rng: torch.Generator) -> None:
        """Draw vectors with the variance of the table that they stand for."""
        nn.init.normal_(self.table, generator=rng)

    def forward(self, genes: Int[Tensor, "cell gene"]) -> Float[Tensor, "cell gene dim"]:
        """Return a vector per gene."""
        return nn.functional.embedding(genes, self.table)


GeneEncoderConfig = Annotated[FrozenConfig | AdaptedConfig | LearnedConfig, Field(discriminator="kind")]
