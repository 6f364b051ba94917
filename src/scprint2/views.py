"""Views: pure functions of a batch that show it to the model in one way or another."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from scprint2.config.node import Node
from scprint2.data.batch import CellBatch
from scprint2.model.outputs import CellOutput
from scprint2.model.scprint2 import ScPrint2

Outputs = Mapping[str, CellOutput]
REMOVED_PER_HALF = 0.55  # eq. 19: "0.55 instead of 0.5 for numerical reasons"


class MaskConfig(Node):
    """Hide a share of the genes' counts; `scored` says whether the losses read all genes or the hidden ones (D40)."""

    kind: Literal["mask"]
    share: float = Field(gt=0, lt=1)
    scored: Literal["all", "hidden"]

    def build(self) -> "Mask":
        """Make the view."""
        return Mask(self)


class Mask:
    """The counts of a random share of genes are hidden: their expression vector is zero.

    Source: "Base model and training".
    """

    def __init__(self, config: MaskConfig):
        self.share, self.scored = config.share, config.scored

    def __call__(self, model: ScPrint2, batch: CellBatch, outputs: Outputs, rng: torch.Generator) -> CellOutput:
        """Show the masked batch."""
        hidden = torch.rand(batch.counts.shape, device=batch.counts.device, generator=rng) < self.share
        output = model(batch, hidden=hidden)
        return replace(output, scored=hidden) if self.scored == "hidden" else output


class UniformLevel(Node):
    """A noise level drawn for each batch (D14, D31)."""

    kind: Literal["uniform"]
    least: float = Field(ge=0, le=1)
    most: float = Field(ge=0, le=1)

    def draw(self, rng: torch.Generator) -> Float[Tensor, ""]:
        """Return one level, on the device of the generator."""
        return self.least + (self.most - self.least) * torch.rand((), device=rng.device, generator=rng)


class DownsampleConfig(Node):
    """Remove counts at random."""

    kind: Literal["downsample"]
    level: UniformLevel

    def build(self) -> "Downsample":
        """Make the view."""
        return Downsample(self)


class Downsample:
    """The model sees noisier counts and is asked for the counts, at the depth, of the cell as it was.

    Source: "Denoising pre-training task", eq. 19.
    """

    def __init__(self, config: DownsampleConfig):
        self.level = config.level

    def __call__(self, model: ScPrint2, batch: CellBatch, outputs: Outputs, rng: torch.Generator) -> CellOutput:
        """Show the downsampled batch."""
        counts = downsample(batch.counts, self.level.draw(rng), rng=rng)
        return model(replace(batch, counts=counts), depth=batch.depth, library=batch.counts.sum(-1))


def downsample(
    counts: Float[Tensor, "cell gene"], level: Float[Tensor, ""] | float, *, rng: torch.Generator
) -> Float[Tensor, "cell gene"]:
    """Remove counts by Poisson draws, and whole genes by dropout; `level` 0 removes none, 1 about 78 % of the counts.

    Source: eq. 19.
    """
    rate = REMOVED_PER_HALF * level
    removed = torch.poisson(counts * rate, generator=rng)
    kept = torch.rand(counts.shape, device=counts.device, generator=rng) >= rate
    return ((counts - removed) * kept).clamp(min=0)


class DecodeConfig(Node):
    """Regenerate expression from the cell embeddings of an earlier view."""

    kind: Literal["decode"]
    source: str

    def build(self) -> "Decode":
        """Make the view."""
        return Decode(self)


class Decode:
    """The generation pass: all genes of the batch, from another view's cell embeddings alone.

    Source: "Bottleneck learning pre-training task", eqs. 7 and 17.
    """

    def __init__(self, config: DecodeConfig):
        self.source = config.source

    def __call__(self, model: ScPrint2, batch: CellBatch, outputs: Outputs, rng: torch.Generator) -> CellOutput:
        """Return the source's output with regenerated expression."""
        source = outputs[self.source]
        return replace(source, expression=model.decode(source.cell_embeddings, batch), scored=None)


View = Mask | Downsample | Decode
ViewConfig = Annotated[MaskConfig | DownsampleConfig | DecodeConfig, Field(discriminator="kind")]
