"""Which genes of a cell a model sees: selectors that run on the device of the cells."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int, Int32, UInt8
from pydantic import Field
from torch import Tensor

from scprint2.config.node import Node
from scprint2.data.batch import CellBatch
from scprint2.data.vocabulary import GeneVocabulary

OUTSIDE, UNMEASURED, MEASURED, EXPRESSED = 0, 1, 2, 3  # a selector takes genes of a higher tier first


class RandomExpressed(Node):
    """At most `max_genes` random expressed genes, filled up with random unexpressed ones.

    Source: Methods, "Encoder / Tokenizer".
    """

    kind: Literal["random_expressed"]
    max_genes: int = Field(ge=1)

    def pad(self, batch: CellBatch) -> CellBatch:
        """Return the batch as a model sees it: all of it."""
        return batch


class OnlyExpressed(Node):
    """At most `max_genes` random expressed genes; where a cell has fewer, the rest is padding that is neither seen nor scored.

    Source: "Additive benchmark", "using only expressed genes"; D6.
    """

    kind: Literal["only_expressed"]
    max_genes: int = Field(ge=1)

    def pad(self, batch: CellBatch) -> CellBatch:
        """Return the batch as a model sees it: zero counts are padding."""
        return replace(batch, padding=batch.counts == 0)


GenesConfig = Annotated[RandomExpressed | OnlyExpressed, Field(discriminator="kind")]


@dataclass(frozen=True)
class GeneSpace:
    """Which genes there are to choose from, for each profile (usually a dataset) that cells come from, on a device.

    Genes are counted inside the table of the profile's organism; `width` is the longest table.

    Attributes
    ----------
    first
        Index in the vocabulary of the organism's first gene.
    tier
        `MEASURED`, `UNMEASURED` (no count of the dataset can say anything about the gene), or `OUTSIDE` the table.
    measured
        Number of measured genes of each profile (kept on the host).
    """

    first: Int[Tensor, " profile"]
    tier: UInt8[Tensor, "profile width"]
    measured: Int[np.ndarray, " profile"]

    @property
    def width(self) -> int:
        """Genes of the longest table."""
        return self.tier.shape[1]

    @classmethod
    def build(
        cls,
        vocabulary: GeneVocabulary,
        profiles: Sequence[tuple[str, Int[np.ndarray, " _"]]],
        *,
        device: torch.device | str = "cpu",
    ) -> "GeneSpace":
        """Build from the organism and the measured genes of each profile."""
        spans = {organism: vocabulary.span(organism) for organism in vocabulary.organisms}
        tier = np.full((len(profiles), max(stop - start for start, stop in spans.values())), OUTSIDE, np.uint8)
        for row, (organism, measured) in enumerate(profiles):
            start, stop = spans[organism]
            tier[row, : stop - start] = UNMEASURED
            tier[row, measured] = MEASURED
        return cls(
            first=torch.tensor([spans[organism][0] for organism, _ in profiles], device=device),
            tier=torch.from_numpy(tier).to(device),
            measured=np.array([len(measured) for _, measured in profiles]),
        )


@dataclass(frozen=True)
class Candidates:
    """The cells of a batch, as a selector sees them.

    Attributes
    ----------
    expressed
        Expressed genes of each cell, at the left; what follows is twice the width of the table.
    counts
        Counts over the whole table.
    tier
        `GeneSpace.tier` of all profiles.
    profile
        Row of `tier` for each cell.
    fewest_measured
        Smallest number of measured genes of the cells' profiles.
    first, total
        Place of these cells in the global batch of `total` cells, for draws that do not depend on the number of ranks.
    """

    expressed: Int32[Tensor, "cell entry"]
    counts: Float[Tensor, "cell width"]
    tier: UInt8[Tensor, "profile width"]
    profile: Int[Tensor, " cell"]
    fewest_measured: int
    first: int
    total: int


@runtime_checkable
class Selector(Protocol):
    """Chooses the same number of genes for each cell, as indices in the table of the cell's organism."""

    def choose(self, cells: Candidates, generator: torch.Generator | None) -> Int[Tensor, "cell gene"]:
        """Return the genes of each cell."""
        ...


@dataclass(frozen=True)
class RandomExpressedGenes:
    """`size` random expressed genes, filled up with random unexpressed ones that were measured (others come last).

    Equal to taking the `size` highest keys tier + random number of all genes of the table, but only the expressed genes and
    the best of the others are looked at. The random number of gene g in cell c is rank[(g + turn[c]) mod width] / width, with one
    random permutation `rank` for the batch and a random turn for each cell: uniform in each cell, the same gene in two cells
    has unrelated keys, and a batch needs `width` random numbers instead of cells × width.
    """

    size: int

    def choose(self, cells: Candidates, generator: torch.Generator | None) -> Int[Tensor, "cell gene"]:
        """Return the genes of each cell."""
        device, width = cells.counts.device, cells.counts.shape[1]
        order = torch.randperm(width, generator=generator, device=device)
        turns = torch.randint(width, (cells.total, 1), generator=generator, device=device, dtype=torch.int32)
        turn = turns[cells.first : cells.first + len(cells.counts)]
        rank = torch.empty_like(order).scatter_(0, order, torch.arange(width, device=device)).int()
        rank.add_(EXPRESSED * width)
        keys = torch.cat(
            [rank, rank, torch.full_like(rank, -1)]
        )  # of gene + turn, which is past the second where there is none
        expressed_key = keys.index_select(0, (cells.expressed + turn).view(-1)).view(cells.expressed.shape)
        # Among the `steps` best ranks at most width - fewest_measured genes were not measured and the others are measured,
        # expressed or not: enough to fill up to `size` whatever the cell expresses.
        steps = min(width, self.size + width - cells.fewest_measured)
        walk = order[width - steps :] - turn
        walk.add_(walk.lt(0), alpha=width)
        walk_key = cells.tier.view(-1).take(walk + cells.profile[:, None] * width).int().mul_(width)
        walk_key.add_(torch.arange(width - steps, width, device=device))
        walk_key.masked_fill_(cells.counts.gather(1, walk) > 0, -1)
        best = torch.cat([expressed_key, walk_key], dim=1).topk(self.size, dim=1, sorted=False).values
        gene = order.repeat(EXPRESSED + 1).take(best.long()) - turn  # a key says which gene it is of, whatever its tier
        return gene.add_(gene.lt(0), alpha=width)


@dataclass(frozen=True)
class TopExpressedGenes:
    """The `size` genes with the highest counts; equal counts in the order of the table, unmeasured genes last."""

    size: int

    def choose(self, cells: Candidates, generator: torch.Generator | None) -> Int[Tensor, "cell gene"]:
        """Return the genes of each cell."""
        key = cells.counts + torch.clamp(cells.tier[cells.profile].float() - MEASURED, max=0)
        return key.sort(dim=1, descending=True, stable=True).indices[:, : self.size]


@dataclass(frozen=True)
class FixedGenes:
    """A given list of genes for every cell, as indices in the table of their organism."""

    genes: tuple[int, ...]

    def choose(self, cells: Candidates, generator: torch.Generator | None) -> Int[Tensor, "cell gene"]:
        """Return the genes of each cell."""
        genes = torch.tensor(self.genes, device=cells.counts.device)
        return genes.expand(len(cells.counts), -1)
