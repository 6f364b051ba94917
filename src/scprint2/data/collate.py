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
    counts = _dense(ragged.cells, width=space.width, device=device).float()
    candidates = Candidates(
        expressed=_left_aligned(ragged.cells, filler=2 * space.width, device=device),
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
    counts = _dense(ragged.neighbors, width=width, device=chosen.device)
    return counts.view(cells, number, width).gather(2, chosen[:, None].expand(cells, number, genes)).float()


def _dense(rows: Rows, *, width: int, device: torch.device) -> Shaped[Tensor, "row width"]:
    """Return counts over the whole table, in the type that they come in: a byte where that is enough."""
    small = np.int32 if len(rows) * width < 2**31 else np.int64
    place = np.repeat(np.arange(len(rows), dtype=small) * small(width), np.diff(rows.indptr))
    place += rows.gene
    count = torch.from_numpy(rows.count).to(device)
    dense = count.new_zeros(len(rows) * width)
    return dense.scatter_(0, torch.from_numpy(place).to(device).long(), count).view(len(rows), width)


def _left_aligned(rows: Rows, *, filler: int, device: torch.device) -> Int32[Tensor, "row longest"]:
    """Return the genes of each row one after the other, filled up to the longest."""
    lengths = np.diff(rows.indptr)
    longest = int(lengths.max(initial=0))
    aligned = np.full(len(rows) * longest, filler, np.int32)
    shift = np.arange(len(rows)) * longest - rows.indptr[:-1]
    aligned[np.arange(len(rows.gene)) + np.repeat(shift, lengths)] = rows.gene
    return torch.from_numpy(aligned).to(device).view(len(rows), longest)
