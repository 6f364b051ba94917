"""Slot `classifier`: from a class' cell embedding to logits over its leaf labels."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scprint2.config.node import Node
from scprint2.model.context import BuildContext


class LinearConfig(Node):
    """One linear layer per class."""

    kind: Literal["linear"]
    output_bias: float

    def build(self, context: BuildContext) -> "Linear":
        """Make the module."""
        return Linear(context, output_bias=self.output_bias)


class Linear(nn.Module):
    """One linear layer per class on that class' embedding; parents have no logits of their own.

    Source: "Class Decoders", base of "Additive benchmark", item 5.
    """

    def __init__(self, context: BuildContext, *, output_bias: float):
        super().__init__()
        self.classes = context.labels.classes
        self.heads = nn.ModuleList(nn.Linear(context.dim, max(1, len(table.leaves))) for table in context.labels.tables)
        self.output_bias = output_bias

    def set_initial_values(self, rng: torch.Generator) -> None:
        """Start unlikely: few of many labels are true."""
        for head in self.heads:
            nn.init.constant_(head.bias, self.output_bias)  # pyright: ignore[reportArgumentType]

    def forward(self, cells: Float[Tensor, "cell token dim"]) -> dict[str, Float[Tensor, "cell leaf"]]:
        """Return logits of each class; a class without labels in the corpus has one idle logit."""
        return {
            name: head(cells[:, index]).float()
            for index, (name, head) in enumerate(zip(self.classes, self.heads, strict=True))
        }


ClassifierConfig = LinearConfig
