"""Views: pure functions of a batch that show it to the model in one way or another."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor

from scprint2.config.node import Node
from scprint2.data.batch import CellBatch
from scprint2.model.context import BuildContext
from scprint2.model.outputs import CellOutput
from scprint2.model.scprint2 import ScPrint2

Outputs = Mapping[str, CellOutput]
REMOVED_PER_HALF = 0.55  # eq. 19: "0.55 instead of 0.5 for numerical reasons"


class WholeConfig(Node):
    """Show a cell as it is."""

    kind: Literal["whole"]

    def build(self, context: BuildContext) -> "Whole":
        """Make the view."""
        return Whole()


class Whole:
    """The batch as it is, as at inference.

    Source: "Fine-tuning Task".
    """

    def __call__(self, model: ScPrint2, batch: CellBatch, outputs: Outputs, rng: torch.Generator) -> CellOutput:
        """Show the batch."""
        return model(batch)


class MaskConfig(Node):
    """Hide a share of the genes' counts; `scored` says whether the losses read all genes or the hidden ones (D40)."""

    kind: Literal["mask"]
    share: float = Field(gt=0, lt=1)
    scored: Literal["all", "hidden"]

    def build(self, context: BuildContext) -> "Mask":
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


class MaskRegulatorsConfig(Node):
    """Hide a share of the genes' counts, transcription factors `factor` times as often as others (D5)."""

    kind: Literal["mask_regulators"]
    share: float = Field(gt=0, lt=1)
    factor: float = Field(gt=0)
    scored: Literal["all", "hidden"]

    def build(self, context: BuildContext) -> "MaskRegulators":
        """Make the view."""
        return MaskRegulators(self, context)


class MaskRegulators:
    """Mask as `Mask` does, but choose transcription factors more often; the expected share of a cell's genes stays.

    Source: "TF masking"; D5.
    """

    def __init__(self, config: MaskRegulatorsConfig, context: BuildContext):
        self.share, self.factor, self.scored = config.share, config.factor, config.scored
        self.is_regulator = torch.tensor(context.genes.frame["is_tf"].to_numpy(dtype=bool))

    def __call__(self, model: ScPrint2, batch: CellBatch, outputs: Outputs, rng: torch.Generator) -> CellOutput:
        """Show the masked batch."""
        self.is_regulator = self.is_regulator.to(batch.genes.device)
        rate = regulator_rates(self.is_regulator[batch.genes], share=self.share, factor=self.factor)
        hidden = torch.rand(batch.counts.shape, device=batch.counts.device, generator=rng) < rate
        output = model(batch, hidden=hidden)
        return replace(output, scored=hidden) if self.scored == "hidden" else output


def regulator_rates(
    is_regulator: Bool[Tensor, "cell gene"], *, share: float, factor: float
) -> Float[Tensor, "cell gene"]:
    """Rates at which genes are hidden: `factor` times as high for regulators, with `share` as each cell's mean.

    A rate ends at 1; what regulators cannot take then falls to the other genes.
    """
    genes = is_regulator.shape[1]
    regulators = is_regulator.sum(dim=1, keepdim=True).float()
    other = share * genes / (genes + (factor - 1) * regulators)
    rest = (share * genes - regulators) / (genes - regulators).clamp(min=1.0)
    other = torch.where(factor * other > 1, rest, other)
    return torch.where(is_regulator, factor * other, other).clamp(max=1.0)


class FixedLevel(Node):
    """One noise level for all batches (D31)."""

    kind: Literal["fixed"]
    value: float = Field(ge=0, le=1)

    def draw(self, rng: torch.Generator) -> Float[Tensor, ""]:
        """Return the level, on the device of the generator."""
        return torch.full((), self.value, device=rng.device)


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
    level: Annotated[UniformLevel | FixedLevel, Field(discriminator="kind")]

    def build(self, context: BuildContext) -> "Downsample":
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
        depth = batch.depth - (batch.counts - counts).sum(-1)  # what the noisy cell shows
        return model(replace(batch, counts=counts, depth=depth), depth=batch.depth, library=batch.counts.sum(-1))


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


class NeighborsOnlyConfig(Node):
    """Show the neighbors of a cell without the cell."""

    kind: Literal["neighbors_only"]

    def build(self, context: BuildContext) -> "NeighborsOnly":
        """Make the view."""
        return NeighborsOnly()


class NeighborsOnly:
    """The center cell shows zeros, its neighbors stay; the model is asked for the center cell.

    Source: eq. 20, the pass with a denoising level of 1.
    """

    def __call__(self, model: ScPrint2, batch: CellBatch, outputs: Outputs, rng: torch.Generator) -> CellOutput:
        """Show the neighbors."""
        emptied = replace(batch, counts=torch.zeros_like(batch.counts))
        return model(emptied, depth=batch.depth, library=batch.counts.sum(-1))


class ShortenConfig(Node):
    """Now and then show fewer genes to another view; `most` is the largest number of genes taken away (D13)."""

    kind: Literal["shorten"]
    share: float = Field(gt=0, le=1)
    most: int = Field(ge=1)
    view: "MaskConfig | MaskRegulatorsConfig | DownsampleConfig | NeighborsOnlyConfig" = Field(discriminator="kind")

    def build(self, context: BuildContext) -> "Shorten":
        """Make the view."""
        return Shorten(self, self.view.build(context))


class Shorten:
    """In a share of the batches 0 to `most` genes of each cell are not in the input of the inner view, nor scored there.

    What is regenerated from the cell embeddings of this view still has all genes.

    Source: "Variable context length"; D13.
    """

    def __init__(self, config: ShortenConfig, view: "View"):
        self.share, self.most, self.view = config.share, config.most, view

    def __call__(self, model: ScPrint2, batch: CellBatch, outputs: Outputs, rng: torch.Generator) -> CellOutput:
        """Show the batch, or a part of its genes."""
        genes = batch.genes.shape[1]
        # Drawn on the CPU: the number of genes is the shape of a tensor.
        draw = torch.rand(2, generator=torch.Generator().manual_seed(rng.initial_seed()))
        dropped = int(draw[1] * (min(self.most, genes - 1) + 1)) if draw[0] < self.share else 0
        if dropped == 0:
            return self.view(model, batch, outputs, rng)
        order = torch.rand(batch.genes.shape, device=batch.genes.device, generator=rng).argsort(dim=1)
        kept = order[:, : genes - dropped]
        return spread(self.view(model, batch.take_genes(kept), outputs, rng), kept=kept, genes=genes)


def spread(output: CellOutput, *, kept: Int[Tensor, "cell kept"], genes: int) -> CellOutput:
    """Put what was predicted for some genes back to their places among `genes`; the others are not scored.

    Their parameters are 1, which every likelihood bears; their embeddings are zero.
    """

    def widen(values: Tensor, fill: float = 0.0) -> Tensor:
        index = kept.view(*kept.shape, *[1] * (values.ndim - 2)).expand_as(values)
        return values.new_full((len(values), genes, *values.shape[2:]), fill).scatter(1, index, values)

    wide = {field.name: widen(getattr(output.expression, field.name), 1.0) for field in fields(output.expression)}
    seen = torch.ones_like(kept, dtype=torch.bool) if output.scored is None else output.scored
    return replace(
        output,
        expression=type(output.expression)(**wide),
        gene_embeddings=widen(output.gene_embeddings),
        scored=widen(seen),
    )


class DecodeConfig(Node):
    """Regenerate expression from the cell embeddings of an earlier view."""

    kind: Literal["decode"]
    source: str

    def build(self, context: BuildContext) -> "Decode":
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


View = Whole | Mask | MaskRegulators | Downsample | NeighborsOnly | Shorten | Decode
ViewConfig = Annotated[
    WholeConfig
    | MaskConfig
    | MaskRegulatorsConfig
    | DownsampleConfig
    | NeighborsOnlyConfig
    | ShortenConfig
    | DecodeConfig,
    Field(discriminator="kind"),
]
