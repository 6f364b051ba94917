"""Slot `cell_decoder`: expression regenerated from cell embeddings alone."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from scprint2.config.node import Node
from scprint2.model.cell_pooling import ClassTokens
from scprint2.model.context import BuildContext
from scprint2.model.expression_decoders import ExpressionDecoder, zinb_output
from scprint2.model.outputs import ExpressionOutput
from scprint2.model.trunk import RunTrunk
from scprint2.model.xpressor import XPressor


@dataclass(frozen=True)
class DecodingParts:
    """The parts of the model that a cell decoder may use."""

    pooling: ClassTokens | XPressor
    trunk: RunTrunk
    expression: ExpressionDecoder


class TransformerConfig(Node):
    """The generation pass: the trunk runs again, on cell embeddings and genes without expression."""

    kind: Literal["transformer"]

    def build(self, context: BuildContext, *, dim: int) -> "Transformer":
        """Make the module for cell embeddings of width `dim`."""
        return Transformer()


class Transformer(nn.Module):
    """Decode with the trunk and the expression decoder of the model; it has no parameters of its own.

    Source: "Bottleneck learning pre-training task", eqs. 7 and 17.
    """

    def forward(
        self,
        cells: Float[Tensor, "cell token width"],
        genes: Float[Tensor, "cell gene dim"],
        *,
        depth: Float[Tensor, " cell"],
        library: Float[Tensor, " cell"],
        padding: Bool[Tensor, "cell gene"] | None,
        parts: DecodingParts,
    ) -> ExpressionOutput:
        """Return the expression of cells with the given embeddings on the given genes."""
        outputs = parts.pooling.decode(cells, genes, trunk=parts.trunk, padding=padding)
        return parts.expression(outputs, depth=depth, library=library, padding=padding)


class MvcConfig(Node):
    """An inner product of cell and gene per parameter of the distribution."""

    kind: Literal["mvc"]

    def build(self, context: BuildContext, *, dim: int) -> "Mvc":
        """Make the module for cell embeddings of width `dim`."""
        return Mvc(context, dim=dim)


class Mvc(nn.Module):
    """Each ZINB parameter of gene i is (W_p g_i) · c, with g_i the gene token and c the mean of the cell's embeddings.

    The W_p start normal(0, 1 / dim): with the deviation of the other weights an inner product of two vectors would start with
    logits so far apart that one gene gets nearly all the counts.

    Source: "Additive benchmark", item 6; Cui et al. 2024 (scGPT), "masked value prediction for cell modeling".
    """

    def __init__(self, context: BuildContext, *, dim: int):
        super().__init__()
        self.projections = nn.Parameter(torch.zeros(3, dim, context.dim))

    def set_initial_values(self, rng: torch.Generator) -> None:
        """Start with logits about as wide as one."""
        nn.init.normal_(self.projections, 0, 1 / self.projections.shape[-1], generator=rng)

    def forward(
        self,
        cells: Float[Tensor, "cell token width"],
        genes: Float[Tensor, "cell gene dim"],
        *,
        depth: Float[Tensor, " cell"],
        library: Float[Tensor, " cell"],
        padding: Bool[Tensor, "cell gene"] | None,
        parts: DecodingParts,
    ) -> ExpressionOutput:
        """Return the expression of cells with the given embeddings on the given genes; depth enters as the library alone."""
        directions = torch.einsum(
            "cw,pwd->cdp", cells.mean(1), self.projections
        )  # first W_p and c: there are fewer cells than genes
        return zinb_output(genes @ directions, library=library, padding=padding)


class NoneConfig(Node):
    """No way from cell embeddings back to expression."""

    kind: Literal["none"]

    def build(self, context: BuildContext, *, dim: int) -> "Absent":
        """Make the module."""
        return Absent()


class Absent(nn.Module):
    """Refuses to decode.

    Source: "Additive benchmark", item 7.
    """

    def forward(
        self,
        cells: Float[Tensor, "cell token width"],
        genes: Float[Tensor, "cell gene dim"],
        *,
        depth: Float[Tensor, " cell"],
        library: Float[Tensor, " cell"],
        padding: Bool[Tensor, "cell gene"] | None,
        parts: DecodingParts,
    ) -> ExpressionOutput:
        """Raise ValueError."""
        raise ValueError(
            "this model has no cell decoder (model.cell_decoder is none), so it cannot generate expression from cell "
            "embeddings; use a model with `transformer` or `mvc`"
        )


CellDecoderConfig = Annotated[TransformerConfig | MvcConfig | NoneConfig, Field(discriminator="kind")]
