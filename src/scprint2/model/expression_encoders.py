"""Slot `expression_encoder`: how much of a gene a cell expresses."""

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn

from scprint2.config.node import Node
from scprint2.model.context import BuildContext
from scprint2.model.initial import draw_uniform


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
        draw_uniform((self.input, self.output), rng)

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


class DeepSetConfig(Node):
    """The center cell beside the set of its neighbors."""

    kind: Literal["deep_set"]

    def build(self, context: BuildContext) -> "DeepSet":
        """Make the module."""
        return DeepSet(context)


class DeepSet(nn.Module):
    """phi_1(phi_2(x) || phi_3(n, d)): neighbors are summed before the second layer of phi_3, which is the same and cheaper.

    The sum over no neighbors is zero, and the layer behind it has no bias: a cell alone does not depend on phi_3.

    Source: "GNN expression encoder", eq. 1; Zaheer et al. 2017.
    """

    def __init__(self, context: BuildContext):
        super().__init__()
        self.center = nn.Linear(1, context.dim)
        self.neighbor = nn.Linear(2, context.dim)
        self.neighbors = nn.Linear(context.dim, context.dim, bias=False)
        self.both = nn.Linear(2 * context.dim, context.dim)
        self.output = nn.Linear(context.dim, context.dim)
        self.norm = nn.LayerNorm(context.dim)

    def set_initial_values(self, rng: torch.Generator) -> None:
        """Draw weights and biases as wide as their inputs ask for (D41)."""
        draw_uniform((self.center, self.neighbor, self.neighbors, self.both, self.output), rng)

    def forward(
        self,
        expression: Float[Tensor, "cell gene"],
        neighbors: Float[Tensor, "cell neighbor gene"],
        distances: Float[Tensor, "cell neighbor"],
        *,
        hidden: Bool[Tensor, "cell gene"] | None,
    ) -> Float[Tensor, "cell gene dim"]:
        """Return a vector per gene, zero where the gene is hidden."""
        center = encode_distinct(expression, self._encode_center)
        joint = torch.cat([center, self.neighbors(self._sum_neighbors(neighbors, distances))], dim=-1)
        tokens = self.norm(self.output(nn.functional.gelu(self.both(joint))))
        return tokens if hidden is None else tokens.masked_fill(hidden[..., None], 0.0)

    def _encode_center(self, values: Float[Tensor, " value"]) -> Float[Tensor, "value dim"]:
        return nn.functional.gelu(self.center(values[:, None]))

    def _sum_neighbors(
        self, neighbors: Float[Tensor, "cell neighbor gene"], distances: Float[Tensor, "cell neighbor"]
    ) -> Float[Tensor, "cell gene dim"]:
        """One neighbor after the other, so that cell x gene x neighbor x dim is never in memory."""
        cells, number, genes = neighbors.shape
        total = neighbors.new_zeros(cells, genes, self.neighbor.out_features)
        for index in range(number):
            pair = torch.stack([neighbors[:, index], distances[:, index, None].expand(cells, genes)], dim=-1)
            total = total + nn.functional.gelu(self.neighbor(pair))
        return total


class BinsConfig(Node):
    """A learned vector for each quantile of a cell's counts."""

    kind: Literal["bins"]
    bins: int = Field(ge=3)

    def build(self, context: BuildContext) -> "Bins":
        """Make the module."""
        return Bins(context, bins=self.bins)


class Bins(nn.Module):
    """Look up the vector of a count's bin among the non-zero counts of its cell; the neighbors are not read.

    Source: "Additive benchmark", "binning"; Cui et al. 2024 (scGPT).
    """

    def __init__(self, context: BuildContext, *, bins: int):
        super().__init__()
        self.bins = bins
        self.table = nn.Embedding(bins, context.dim)
        self.norm = nn.LayerNorm(context.dim)

    def forward(
        self,
        expression: Float[Tensor, "cell gene"],
        neighbors: Float[Tensor, "cell neighbor gene"],
        distances: Float[Tensor, "cell neighbor"],
        *,
        hidden: Bool[Tensor, "cell gene"] | None,
    ) -> Float[Tensor, "cell gene dim"]:
        """Return a vector per gene, zero where the gene is hidden."""
        visible = expression if hidden is None else expression.masked_fill(hidden, 0.0)
        tokens = self.norm(self.table(quantile_bins(visible, bins=self.bins)))
        return tokens if hidden is None else tokens.masked_fill(hidden[..., None], 0.0)


def quantile_bins(values: Float[Tensor, "cell gene"], *, bins: int) -> Int[Tensor, "cell gene"]:
    """Bin 0 for zero; a positive value of a cell is in bin 1 + floor(q (bins - 1)), with q its quantile among the positive ones.

    The quantile is the share of smaller values plus half the share of equal ones, so equal values share a bin.

    Source: Cui et al. 2024 (scGPT), "value binning", with a middle rank where they draw one.
    """
    ordered = values.sort(dim=1).values.contiguous()
    below = torch.searchsorted(ordered, values.contiguous(), right=False)
    above = torch.searchsorted(ordered, values.contiguous(), right=True)
    zeros = (values <= 0).sum(dim=1, keepdim=True)
    positive = (values.shape[1] - zeros).clamp(min=1)
    quantile = ((below + above) / 2 - zeros) / positive
    place = 1 + (quantile * (bins - 1)).floor().long().clamp(0, bins - 2)
    return torch.where(values > 0, place, 0)


def encode_distinct(expression: Tensor, encode: Callable[[Tensor], Tensor]) -> Tensor:
    """Encode each distinct value once on a CPU (counts are small integers); on a GPU the look-up would wait for the device."""
    if expression.is_cuda:
        return encode(expression.reshape(-1)).unflatten(0, expression.shape)
    values, inverse = torch.unique(expression, return_inverse=True)
    return nn.functional.embedding(inverse, encode(values))


ExpressionEncoderConfig = Annotated[MlpConfig | DeepSetConfig | BinsConfig, Field(discriminator="kind")]
