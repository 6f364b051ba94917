"""Slot `normalization`: from counts to the expression that the model reads."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from scprint2.config.node import Node


class Log2Config(Node):
    """log2(1 + x) of raw counts."""

    kind: Literal["log2"]

    def build(self) -> "Log2":
        """Make the module."""
        return Log2()


class Log2(nn.Module):
    """log2(1 + x) of raw counts: the depth of the cell stays visible.

    Source: "Additive benchmark", item 31 (what sum normalization replaces).
    """

    def forward(
        self, counts: Float[Tensor, "*shape gene"], depth: Float[Tensor, " cell"]
    ) -> Float[Tensor, "*shape gene"]:
        """Normalize counts of cells with the given depth."""
        return torch.log2(1 + counts)


class TotalConfig(Node):
    """Counts per `total` counts of the cell, then log2(1 + x)."""

    kind: Literal["total"]
    total: float = Field(gt=0)

    def build(self) -> "Total":
        """Make the module."""
        return Total(self.total)


class Total(nn.Module):
    """log2(1 + x · total / depth): cells of all depths look alike. Neighbors are divided by the depth of their center.

    Source: "Additive benchmark", item 31; D17.
    """

    def __init__(self, total: float):
        super().__init__()
        self.total = total

    def forward(
        self, counts: Float[Tensor, "*shape gene"], depth: Float[Tensor, " cell"]
    ) -> Float[Tensor, "*shape gene"]:
        """Normalize counts of cells with the given depth."""
        factor = self.total / depth.clamp(min=1.0)
        return torch.log2(1 + counts * factor.view(-1, *[1] * (counts.ndim - 1)))


NormalizationConfig = Annotated[Log2Config | TotalConfig, Field(discriminator="kind")]
