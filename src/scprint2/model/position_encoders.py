"""Slot `position_encoder`: where on the genome a gene lies."""

import math
from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from scprint2.config.node import Node
from scprint2.model.context import BuildContext

LONGEST_PERIOD = 10_000.0  # Vaswani et al. 2017, section 3.5


class SinusoidalConfig(Node):
    """Sine and cosine of the location index."""

    kind: Literal["sinusoidal"]

    def build(self, context: BuildContext) -> "Sinusoidal":
        """Make the module."""
        return Sinusoidal(context)


class Sinusoidal(nn.Module):
    """Look up the sine/cosine code of a gene's location index; genes within 10 kb share an index.

    Source: "Encoder / Tokenizer", item 2; Vaswani et al. 2017.
    """

    table: Tensor

    def __init__(self, context: BuildContext):
        super().__init__()
        location = torch.tensor(context.genes.frame["location"].to_numpy(), dtype=torch.float64)
        self.register_buffer("table", sinusoids(location, context.dim), persistent=False)

    def forward(self, genes: Int[Tensor, "cell gene"]) -> Float[Tensor, "cell gene dim"]:
        """Return a vector per gene."""
        return nn.functional.embedding(genes, self.table)


def sinusoids(position: Float[Tensor, " gene"], dim: int) -> Float[Tensor, "gene dim"]:
    """Sines of a position in the even columns, cosines in the odd ones, of periods from 2 pi to 10,000 * 2 pi."""
    half = torch.arange(0, dim, 2, dtype=torch.float64)
    angle = position.double()[:, None] * torch.exp(-math.log(LONGEST_PERIOD) * half / dim)
    table = torch.empty(len(position), dim, dtype=torch.float64)
    table[:, 0::2] = angle.sin()
    table[:, 1::2] = angle.cos()[:, : dim // 2]
    return table.float()


class NoneConfig(Node):
    """Where a gene lies is not said."""

    kind: Literal["none"]

    def build(self, context: BuildContext) -> "Nowhere":
        """Make the module."""
        return Nowhere(context.dim)


class Nowhere(nn.Module):
    """Zero for every gene.

    Source: "Additive benchmark", "without gene location".
    """

    def __init__(self, dim: int):
        super().__init__()
        self.dim = dim

    def forward(self, genes: Int[Tensor, "cell gene"]) -> Float[Tensor, "1 1 dim"]:
        """Return a zero vector that is added to every gene's."""
        return torch.zeros(1, 1, self.dim, device=genes.device)


PositionEncoderConfig = Annotated[SinusoidalConfig | NoneConfig, Field(discriminator="kind")]
