"""Slot `cell_decoder`: expression regenerated from cell embeddings alone."""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor, nn

from scprint2.config.node import Node
from scprint2.model.cell_pooling import ClassTokens
from scprint2.model.context import BuildContext
from scprint2.model.expression_decoders import ExpressionDecoder
from scprint2.model.outputs import ExpressionOutput
from scprint2.model.trunk import Trunk


@dataclass(frozen=True)
class DecodingParts:
    """The parts of the model that a cell decoder may use."""

    pooling: ClassTokens
    trunk: Trunk
    expression: ExpressionDecoder


class TransformerConfig(Node):
    """The generation pass: the trunk runs again, on cell embeddings and genes without expression."""

    kind: Literal["transformer"]

    def build(self, context: BuildContext) -> "Transformer":
        """Make the module."""
        return Transformer()


class Transformer(nn.Module):
    """Decode with the trunk and the expression decoder of the model; it has no parameters of its own.

    Source: "Bottleneck learning pre-training task", eqs. 7 and 17.
    """

    def forward(
        self,
        cells: Float[Tensor, "cell token dim"],
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


CellDecoderConfig = TransformerConfig
