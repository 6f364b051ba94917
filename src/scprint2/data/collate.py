"""From ragged rows of counts to a `CellBatch`, on the device."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, Int32, Shaped
from torch import Tensor

from scprint2.data.batch import CellBatch
from scprint2.data.context import Candidates, GeneSpace, Selector
from scprint2.data.shard import Rows


@dataclass(frozen=True)
class RaggedCells:
    """Cells as they come from the disk.

    Attributes
    ----------
    cells
        Counts of each cell.
    neighbors
        Counts of the neighbors: the same number for each cell, cell after cell.
    neighbor_distances
        Distance of each neighbor.
    profile
        Row of `space` for each cell.
    labels
        Codes of the labels.
    space
        What genes there are; its device is where the batch is made.
    first, total
        Place of these cells in the global batch of `total` cells.
    """

    cells: Rows
    neighbors: Rows
    neighbor_distances: Float[np.ndarray, "cell neighbor"]
    profile: Int[np.ndarray, " cell"]
    labels: Int[np.ndarray, "cell label"]
    space: GeneSpace
    first: int
    total: int

    def __len__(self) -> int:
        return len(self.profile)


def collate(ragged: RaggedCells, *, selector: Selector, generator: torch.Generator | None = None) -> CellBatch:
    """Choose genes and make the tensors of a batch, on the device of `ragged.space`.

    A fixed or random choice of genes must not ask for more genes than the smallest table holds.
    """
    space, device = ragged.space, ragged.space.tier.device
    profile = torch.from_numpy(ragged.profile).to(device)
    gene = _genes(ragged.cells, device)
    counts = _dense(ragged.cells, gene, width=space.width).float()
    candidates = Candidates(
        expressed=_left_aligned(ragged.cells, gene),
        lengths=torch.from_numpy(np.diff(ragged.cells.indptr)).to(device),
        counts=counts,
        tier=space.tier,
        profile=profile,
        fewest_measured=int(space.measured[ragged.profile].min(initial=space.width)),
        first=ragged.first,
        total=ragged.total,
    )
    chosen = selector.choose(candidates, generator)
    return CellBatch(
        genes=chosen + space.first[profile][:, None],
        counts=counts.gather(1, chosen),
        neighbor_counts=_neighbor_counts(ragged, chosen),
        neighbor_distances=torch.from_numpy(ragged.neighbor_distances.astype(np.float32)).to(device),
        depth=counts.sum(dim=1),
        labels=torch.from_numpy(ragged.labels.astype(np.int64)).to(device),
    )


def _neighbor_counts(ragged: RaggedCells, chosen: Int[Tensor, "cell gene"]) -> Float[Tensor, "cell neighbor gene"]:
    """Return the neighbors' counts on the chosen genes."""
    cells, genes = chosen.shape
    number, width = ragged.neighbor_distances.shape[1], ragged.space.width
    if number == 0:
        return torch.zeros(cells, 0, genes, device=chosen.device)
    counts = _dense(ragged.neighbors, _genes(ragged.neighbors, chosen.device), width=width)
    return counts.view(cells, number, width).gather(2, chosen[:, None].expand(cells, number, genes)).float()


def _genes(rows: Rows, device: torch.device) -> Int32[Tensor, " entry"]:
    return torch.from_numpy(rows.gene).int().to(device)


def _dense(rows: Rows, gene: Int32[Tensor, " entry"], *, width: int) -> Shaped[Tensor, "row width"]:
    """Return counts over the whole table, in the type that they come in: a byte where that is enough."""
    place = _row_values(rows, np.arange(len(rows)) * width, gene.device) + gene
    count = torch.from_numpy(rows.count).to(gene.device)
    return count.new_zeros(len(rows) * width).scatter_(0, place, count).view(len(rows), width)


def _left_aligned(rows: Rows, gene: Int32[Tensor, " entry"]) -> Int[Tensor, "row longest"]:
    """Return the genes of each row one after the other, filled up with zeros."""
    longest = int(np.diff(rows.indptr).max(initial=0))
    shift = _row_values(rows, np.arange(len(rows)) * longest - rows.indptr[:-1], gene.device)
    place = shift + torch.arange(len(gene), device=gene.device)
    return place.new_zeros(len(rows) * longest).scatter_(0, place, gene.long()).view(len(rows), longest)


def _row_values(rows: Rows, values: Int[np.ndarray, " row"], device: torch.device) -> Int[Tensor, " entry"]:
    """Return each row's value for each of its entries."""
    lengths = torch.from_numpy(np.diff(rows.indptr)).to(device)
    return torch.repeat_interleave(torch.from_numpy(values).to(device), lengths, output_size=len(rows.gene))
