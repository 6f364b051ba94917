"""Slot `cell_pooling`: from gene tokens to cell embeddings."""

from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from scprint2.config.node import Node
from scprint2.model.context import BuildContext
from scprint2.model.tokens import join
from scprint2.model.trunk import RunTrunk, TrunkConfig
from scprint2.model.xpressor import XPressorConfig


class ClassTokensConfig(Node):
    """Learned tokens that go through the trunk beside the genes."""

    kind: Literal["class_tokens"]

    def build(self, context: BuildContext, *, trunk: TrunkConfig) -> "ClassTokens":
        """Make the module."""
        return ClassTokens(context)


class ClassTokens(nn.Module):
    """One learned token per class and a free one, put before the genes; their outputs are the cell embeddings.

    Source: Kalfon et al. 2025 (scPRINT-1), "Base model and training".
    """

    def __init__(self, context: BuildContext):
        super().__init__()
        self.dim = context.dim
        self.tokens = nn.Parameter(torch.zeros(context.cell_tokens, context.dim))

    def start(
        self, genes: Float[Tensor, "cell gene dim"], *, padding: Bool[Tensor, "cell gene"] | None
    ) -> tuple[Float[Tensor, "cell token dim"], Bool[Tensor, "cell token"] | None]:
        """Return what enters the trunk when genes are encoded, and its padding: cell tokens first, then the genes."""
        return join(self.tokens.expand(len(genes), -1, -1), genes, padding=padding)

    def encode(
        self, genes: Float[Tensor, "cell gene dim"], *, trunk: RunTrunk, padding: Bool[Tensor, "cell gene"] | None
    ) -> tuple[Float[Tensor, "cell token dim"], Float[Tensor, "cell gene dim"]]:
        """Return cell embeddings and output embeddings of the genes."""
        outputs = trunk(*self.start(genes, padding=padding))
        return outputs[:, : len(self.tokens)], outputs[:, len(self.tokens) :]

    def decode(
        self,
        cells: Float[Tensor, "cell token dim"],
        genes: Float[Tensor, "cell gene dim"],
        *,
        trunk: RunTrunk,
        padding: Bool[Tensor, "cell gene"] | None,
    ) -> Float[Tensor, "cell gene dim"]:
        """Run the trunk again on [cell embeddings; genes without expression]."""
        return trunk(*join(cells, genes, padding=padding))[:, cells.shape[1] :]


CellPoolingConfig = Annotated[ClassTokensConfig | XPressorConfig, Field(discriminator="kind")]
