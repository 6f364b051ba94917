"""Slot `normalization`: from counts to the expression that the model reads."""

from typing import Literal

import torch
from jaxtyping import Float
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


NormalizationConfig = Log2Config
