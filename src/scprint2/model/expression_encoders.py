"""Slot `expression_encoder`: how much of a gene a cell expresses."""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from scprint2.config.node import Node
from scprint2.model.context import BuildContext


class MlpConfig(Node):
    """A two-layer perceptron on the continuous value."""

    kind: Literal["mlp"]

    def build(self, context: BuildContext) -> "Mlp":
        """Make the module."""
        return Mlp(context)


class Mlp(nn.Module):
    """Two linear layers and a layer norm on the expression of the center cell; the neighbors are not read.

    The first layer starts uniform in [-1, 1] and the second in [-1, 1] / sqrt(dim), biases included: with the small weights and
    zero biases of the other layers, the norm would give every count above zero one and the same vector (D41).

    Source: "Base model and training" ("MLP-based expression encoding").
    """

    def __init__(self, context: BuildContext):
        super().__init__()
        self.input = nn.Linear(1, context.dim)
        self.output = nn.Linear(context.dim, context.dim)
        self.norm = nn.LayerNorm(context.dim)

    def set_initial_values(self, rng: torch.Generator) -> None:
        """Draw weights and biases as wide as their inputs ask for."""
        for layer in (self.input, self.output):
            for parameter in layer.parameters():
                nn.init.uniform_(parameter, -(layer.in_features**-0.5), layer.in_features**-0.5, generator=rng)

    def forward(
        self,
        expression: Float[Tensor, "cell gene"],
        neighbors: Float[Tensor, "cell neighbor gene"],
        distances: Float[Tensor, "cell neighbor"],
        *,
        hidden: Bool[Tensor, "cell gene"] | None,
    ) -> Float[Tensor, "cell gene dim"]:
        """Return a vector per gene, zero where the gene is hidden."""
        tokens = encode_distinct(expression, self._encode)
        return tokens if hidden is None else tokens.masked_fill(hidden[..., None], 0.0)

    def _encode(self, values: Float[Tensor, " value"]) -> Float[Tensor, "value dim"]:
        return self.norm(self.output(nn.functional.gelu(self.input(values[:, None]))))


def encode_distinct(expression: Tensor, encode: Callable[[Tensor], Tensor]) -> Tensor:
    """Encode each distinct value once on a CPU (counts are small integers); on a GPU the look-up would wait for the device."""
    if expression.is_cuda:
        return encode(expression.reshape(-1)).unflatten(0, expression.shape)
    values, inverse = torch.unique(expression, return_inverse=True)
    return nn.functional.embedding(inverse, encode(values))


ExpressionEncoderConfig = MlpConfig
