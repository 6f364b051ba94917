"""From ragged rows of counts to a `CellBatch`, on the device."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
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
    cells, width = len(ragged), space.width
    profile = torch.from_numpy(ragged.profile).to(device)
    cell, gene, count = _entries(ragged.cells, device)
    counts = torch.zeros(cells * width, device=device).scatter_(0, cell * width + gene, count).view(cells, width)
    lengths = np.diff(ragged.cells.indptr)
    longest = int(lengths.max(initial=0))
    slot = torch.arange(len(gene), device=device) - torch.from_numpy(ragged.cells.indptr).to(device)[cell]
    expressed = gene.new_zeros(cells * longest).scatter_(0, cell * longest + slot, gene).view(cells, longest)
    candidates = Candidates(
        expressed=expressed,
        lengths=torch.from_numpy(lengths).to(device),
        counts=counts,
        tier=space.tier,
        profile=profile,
        fewest_measured=int(space.measured[ragged.profile].min(initial=width)),
        first=ragged.first,
        total=ragged.total,
    )
    chosen = selector.choose(candidates, generator)
    return CellBatch(
        genes=chosen + space.first[profile][:, None],
        counts=counts.gather(1, chosen),
        neighbor_counts=_gather_neighbors(ragged, chosen),
        neighbor_distances=torch.from_numpy(ragged.neighbor_distances.astype(np.float32)).to(device),
        depth=counts.sum(dim=1),
        labels=torch.from_numpy(ragged.labels.astype(np.int64)).to(device),
    )


def _entries(rows: Rows, device: torch.device) -> tuple[Int[Tensor, " e"], Int[Tensor, " e"], Float[Tensor, " e"]]:
    """Return row, gene and count of each entry."""
    lengths = torch.from_numpy(np.diff(rows.indptr)).to(device)
    row = torch.repeat_interleave(lengths, output_size=len(rows.gene))
    gene = rows.gene.view(np.int16) if rows.gene.dtype == np.uint16 else rows.gene.astype(np.int64)
    index = torch.from_numpy(gene).to(device).long()
    return (
        row,
        index & 0xFFFF if rows.gene.dtype == np.uint16 else index,
        torch.from_numpy(rows.count).to(device).float(),
    )


def _gather_neighbors(ragged: RaggedCells, chosen: Int[Tensor, "cell gene"]) -> Float[Tensor, "cell neighbor gene"]:
    """Return the neighbors' counts on the chosen genes."""
    cells, genes = chosen.shape
    device, width, number = chosen.device, ragged.space.width, ragged.neighbor_distances.shape[1]
    if number == 0:
        return torch.zeros(cells, 0, genes, device=device)
    places = torch.arange(genes, device=device).expand(cells, genes)
    place = torch.full((cells, width), genes, device=device).scatter_(1, chosen, places).view(-1)
    row, gene, count = _entries(ragged.neighbors, device)
    found = place[row.div(number, rounding_mode="floor") * width + gene]  # `genes` where a gene was not chosen
    counts = torch.zeros(cells * number * (genes + 1), device=device)
    counts.scatter_(0, row * (genes + 1) + found, count)
    return counts.view(cells, number, genes + 1)[:, :, :genes]
