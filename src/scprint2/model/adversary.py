"""Slot `adversary`: heads that a cell embedding must not be of use to."""

from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from scprint2.config.node import Node
from scprint2.data.assay_groups import group_codes
from scprint2.model.context import BuildContext
from scprint2.model.perceptron import perceptron

TOKEN = "cell_type"  # the embedding that is freed from the rest (D36)


class NoneConfig(Node):
    """Nothing is held against the embeddings."""

    kind: Literal["none"]

    def build(self, context: BuildContext, *, dim: int) -> "Absent":
        """Make the module for cell embeddings of width `dim`."""
        return Absent()


class Absent(nn.Module):
    """No heads."""

    def forward(self, cells: Float[Tensor, "cell token dim"]) -> dict[str, Float[Tensor, "cell label"]]:
        """Return no logits."""
        return {}


class ReversedConfig(Node):
    """Perceptrons behind a gradient reversal of the given `strength` (lambda)."""

    kind: Literal["reversed"]
    hidden: int = Field(ge=1)
    strength: float = Field(gt=0)

    def build(self, context: BuildContext, *, dim: int) -> "Reversed":
        """Make the module for cell embeddings of width `dim`."""
        return Reversed(self, context, dim=dim)


class Reversed(nn.Module):
    """Guess the organism and the group of the assay from the cell type embedding, and train that embedding to prevent it.

    Raises
    ------
    ValueError
        If the model has no embedding of the cell type, or no labels of organism and assay.

    Source: "Adversarial classifier loss", algorithms 4 and 5; D36.
    """

    def __init__(self, config: ReversedConfig, context: BuildContext, *, dim: int):
        super().__init__()
        classes = context.labels.classes
        missing = [name for name in (TOKEN, "organism", "assay") if name not in classes]
        if missing:
            raise ValueError(
                f"the adversary needs the classes {missing}; add them to data.classes, which has {classes}"
            )
        self.token = classes.index(TOKEN)
        self.strength = config.strength
        sizes = {
            "organism": len(context.labels["organism"].leaves),
            "assay": len(group_codes(context.labels["assay"])[0]),
        }
        self.heads = nn.ModuleDict({name: perceptron(dim, config.hidden, max(1, size)) for name, size in sizes.items()})

    def forward(self, cells: Float[Tensor, "cell token dim"]) -> dict[str, Float[Tensor, "cell label"]]:
        """Return logits of organisms and assay groups."""
        embedding = reverse_gradient(cells[:, self.token], self.strength)
        return {name: head(embedding).float() for name, head in self.heads.items()}


class GradientReversal(torch.autograd.Function):
    """The identity, whose gradient is multiplied by -strength.

    Source: algorithm 5.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, strength: float) -> Tensor:
        """Return the values."""
        ctx.strength = strength
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Turn the gradient around."""
        return -ctx.strength * gradients[0], None


def reverse_gradient(values: Float[Tensor, "*shape"], strength: float) -> Float[Tensor, "*shape"]:
    """Return the values; their gradient arrives multiplied by -strength."""
    return GradientReversal.apply(values, strength)


AdversaryConfig = Annotated[NoneConfig | ReversedConfig, Field(discriminator="kind")]
