"""Slot `compressor`: a bottleneck on each cell embedding."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from scprint2.config.node import Node
from scprint2.model.context import BuildContext


class NoneConfig(Node):
    """No bottleneck."""

    kind: Literal["none"]

    def build(self, context: BuildContext) -> "Identity":
        """Make the module."""
        return Identity()


class Identity(nn.Module):
    """Leave the cell embeddings as they are."""

    def forward(self, cells: Float[Tensor, "cell token dim"]) -> Float[Tensor, "cell token dim"]:
        """Return the input."""
        return cells


CompressorConfig = NoneConfig
