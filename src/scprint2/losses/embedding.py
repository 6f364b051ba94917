"""What cell embeddings should look like."""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn.functional import normalize

from scprint2.config.node import Node
from scprint2.data.batch import CellBatch
from scprint2.data.vocabulary import LabelVocabulary
from scprint2.model.outputs import CellOutput


class IndependenceConfig(Node):
    """Push the embeddings of one cell apart (D11)."""

    kind: Literal["independence"]
    views: list[str] = Field(min_length=1)
    weight: float = Field(ge=0)

    def build(self, labels: LabelVocabulary) -> "Independence":
        """Make the loss."""
        return Independence(self.views)


class Independence:
    """Mean over cells of the mean squared cosine between different embeddings of a cell, summed over views.

    Source: eq. 14, which as printed pulls them together (D11).
    """

    compares_cells = False

    def __init__(self, views: list[str]):
        self.views = views

    def __call__(self, outputs: Mapping[str, CellOutput], batch: CellBatch) -> Float[Tensor, ""]:
        """Return the loss."""
        return torch.stack([squared_cosines(outputs[view].cell_embeddings.float()) for view in self.views]).sum()


def squared_cosines(embeddings: Float[Tensor, "cell token dim"]) -> Float[Tensor, ""]:
    """Mean squared cosine over the ordered pairs of different tokens; 0 when they are orthogonal, 1 when parallel."""
    unit = normalize(embeddings, dim=-1)
    tokens = unit.shape[1]
    with torch.autocast(unit.device.type, enabled=False):  # losses are computed in fp32 (D3)
        squares = (unit @ unit.transpose(1, 2)).square()
    own = squares.diagonal(dim1=1, dim2=2).sum(-1)
    return ((squares.sum((1, 2)) - own) / (tokens * (tokens - 1))).mean()
