"""Slot `gene_encoder`: which gene a token stands for."""

from typing import Literal

from jaxtyping import Float, Int
from torch import Tensor, nn

from scprint2.config.node import Node
from scprint2.model.context import BuildContext


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


GeneEncoderConfig = FrozenConfig
