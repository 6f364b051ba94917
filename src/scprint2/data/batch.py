"""What a model sees: a batch of cells on a device."""

from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class CellBatch:
    """Cells with their genes in context, the same number of genes in each.

    Attributes
    ----------
    genes
        Index of each gene in the `GeneVocabulary`.
    counts
        Raw counts (not normalized) of the center cell.
    neighbor_counts
        Raw counts of the nearest neighbors on the same genes; the axis `neighbor` may have length 0.
    neighbor_distances
        Distance of each neighbor in the space of the principal components.
    depth
        Total counts of the cell over all genes of its organism's table, not only those in context.
    labels
        Code of each class in the order of the `LabelVocabulary`; -1 is unknown.
    padding
        True where a gene is a filler that must not be seen; None when there is none.
    domains
        Number of the experimental batch, dataset or organism that each cell comes from, for losses that make domains alike; -1 is
        unknown. None where no such loss reads them.
    """

    genes: Int[Tensor, "cell gene"]
    counts: Float[Tensor, "cell gene"]
    neighbor_counts: Float[Tensor, "cell neighbor gene"]
    neighbor_distances: Float[Tensor, "cell neighbor"]
    depth: Float[Tensor, " cell"]
    labels: Int[Tensor, "cell label"]
    padding: Bool[Tensor, "cell gene"] | None = None
    domains: Int[Tensor, " cell"] | None = None

    def __len__(self) -> int:
        return self.genes.shape[0]

    def to(self, device: torch.device | str) -> "CellBatch":
        """Copy to a device."""
        moved = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{name: t.to(device, non_blocking=True) for name, t in moved.items() if t is not None})

    def select(self, cells: slice) -> "CellBatch":
        """Return the cells of a slice (a micro-batch)."""
        parts = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{name: t[cells] for name, t in parts.items() if t is not None})

    def take_genes(self, place: Int[Tensor, "cell kept"]) -> "CellBatch":
        """Return some genes of each cell, by their places in the context; depth and labels stay."""
        over_neighbors = place[:, None].expand(-1, self.neighbor_counts.shape[1], -1)
        return replace(
            self,
            genes=self.genes.gather(1, place),
            counts=self.counts.gather(1, place),
            neighbor_counts=self.neighbor_counts.gather(2, over_neighbors),
            padding=None if self.padding is None else self.padding.gather(1, place),
        )
