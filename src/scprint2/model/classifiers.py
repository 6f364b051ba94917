"""Slot `classifier`: from what a class' cell embedding holds to logits over its leaf labels."""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from scprint2.config.node import Node
from scprint2.model.context import BuildContext
from scprint2.model.perceptron import perceptron


class LinearConfig(Node):
    """One linear layer per class."""

    kind: Literal["linear"]
    output_bias: float

    def build(self, context: BuildContext, *, widths: Sequence[int]) -> "ClassHeads":
        """Make the module."""
        return ClassHeads(context, nn.Linear, widths=widths, output_bias=self.output_bias)


class MlpConfig(Node):
    """One perceptron per class, with a hidden layer of `hidden`."""

    kind: Literal["mlp"]
    hidden: int = Field(ge=1)
    output_bias: float

    def build(self, context: BuildContext, *, widths: Sequence[int]) -> "ClassHeads":
        """Make the module."""
        return ClassHeads(
            context,
            lambda width, labels: perceptron(width, self.hidden, labels),
            widths=widths,
            output_bias=self.output_bias,
        )


class ClassHeads(nn.Module):
    """One head per class on that class' latents; parents have no logits of their own.

    Parameters
    ----------
    make_head
        From the width of the latents and the number of leaves to a module.
    widths
        Width of the latents of each class.

    Source: "Class Decoders"; the base and item 5 of "Additive benchmark".
    """

    def __init__(
        self,
        context: BuildContext,
        make_head: Callable[[int, int], nn.Module],
        *,
        widths: Sequence[int],
        output_bias: float,
    ):
        super().__init__()
        self.classes = context.labels.classes
        leaves = (max(1, len(table.leaves)) for table in context.labels.tables)
        self.heads = nn.ModuleList(
            make_head(width, number) for width, number in zip(widths[: len(self.classes)], leaves, strict=True)
        )
        self.output_bias = output_bias

    def set_initial_values(self, rng: torch.Generator) -> None:
        """Start unlikely: few of many labels are true."""
        for head in self.heads:
            last = [layer for layer in head.modules() if isinstance(layer, nn.Linear)][-1]
            nn.init.constant_(last.bias, self.output_bias)

    def forward(self, latents: Sequence[Float[Tensor, "cell _"]]) -> dict[str, Float[Tensor, "cell leaf"]]:
        """Return logits of each class; a class without labels in the corpus has one idle logit."""
        heads = zip(self.classes, self.heads, latents[: len(self.classes)], strict=True)
        return {name: head(latent).float() for name, head, latent in heads}


ClassifierConfig = Annotated[LinearConfig | MlpConfig, Field(discriminator="kind")]
