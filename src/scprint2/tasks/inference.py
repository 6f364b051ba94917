"""Cells of an AnnData through a trained model: batches that a model understands, run on its device."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from jaxtyping import Int
from scipy import sparse

from scprint2.data.batch import CellBatch
from scprint2.data.clusters import nearest_neighbors, principal_components
from scprint2.data.collate import RaggedCells, collate
from scprint2.data.context import FixedGenes, GeneSpace, Selector, TopExpressedGenes
from scprint2.data.neighbors import fill_neighbors
from scprint2.data.shard import Rows
from scprint2.data.vocabulary import UNKNOWN
from scprint2.training.checkpoint import PretrainedModel
from scprint2.training.step import Numerics

Result = TypeVar("Result")
SMALLEST_SHARE = 16  # a batch is halved at most until it has a 16th of the cells asked for
STORED_NEIGHBORS = 6


class Reader:
    """Cells of a processed dataset as a model reads them.

    Attributes
    ----------
    rows
        Rows of the dataset to run; all of them by default. Neighbors are looked up in the whole dataset.

    Raises
    ------
    ValueError
        If the model does not know the organism or any of its genes, or needs neighbors that the dataset does not have.
    """

    def __init__(
        self, pretrained: PretrainedModel, adata: AnnData, *, rows: Int[np.ndarray, " cell"] | None = None
    ) -> None:
        self.pretrained = pretrained
        self.rows = np.arange(adata.n_obs) if rows is None else rows
        self.device = next(pretrained.model.parameters()).device
        organism = str(adata.obs["organism_ontology_term_id"].iloc[0])
        self._table = pd.Index(pretrained.genes.gene_ids(organism))
        place = self._table.get_indexer(adata.var_names)
        if (place < 0).all():
            raise ValueError(
                f"the model knows none of the {adata.n_vars} genes of the dataset, such as {list(adata.var_names[:3])}; "
                f"its genes look like {list(self._table[:3])}. Preprocess the dataset with the gene table of the model"
            )
        counts = sparse.csr_matrix(adata.X)[:, place >= 0]
        counts.sort_indices()
        counts.eliminate_zeros()
        self._counts, self._place = counts, place[place >= 0]
        self._space = GeneSpace.build(pretrained.genes, [(organism, np.sort(self._place))], device=self.device)
        self._neighbors = count_neighbors(pretrained)
        if self._neighbors and "neighbor" not in adata.obsm:
            raise ValueError("the model reads neighbors, obsm['neighbor'] is missing; preprocess the dataset first")
        if self._neighbors:
            self._neighbor = np.asarray(adata.obsm["neighbor"])
            self._distance = np.asarray(adata.obsm["neighbor_distance"])

    def top_expressed(self, most: int) -> Selector:
        """Choose the `most` genes with the highest counts of each cell, among those that the dataset measured."""
        return TopExpressedGenes(min(most, len(self._place)))

    def fixed(self, genes: pd.Index) -> Selector:
        """Choose these genes, in this order, for every cell.

        Raises
        ------
        ValueError
            If the model does not know one of them.
        """
        place = self._table.get_indexer(genes)
        if (place < 0).any():
            unknown = list(genes[place < 0][:3])
            raise ValueError(
                f"the model does not know {int((place < 0).sum())} of {len(genes)} genes, such as {unknown}"
            )
        return FixedGenes(tuple(place.tolist()))

    def batch(self, rows: Int[np.ndarray, " cell"], selector: Selector) -> CellBatch:
        """Make the batch of some rows of the dataset, on the device of the model; its labels are unknown."""
        neighbor, distance = np.empty(0, np.int64), np.zeros((len(rows), 0), np.float32)
        if self._neighbors:
            place = fill_neighbors(self._neighbor[rows], number=self._neighbors)
            known = place >= 0
            neighbor = np.where(known, np.take_along_axis(self._neighbor[rows], place, axis=1), -1).ravel()
            distance = np.where(known, np.take_along_axis(self._distance[rows], place, axis=1), 0).astype(np.float32)
        ragged = RaggedCells(
            cells=self._ragged(rows),
            neighbors=self._ragged(neighbor),
            neighbor_distances=distance,
            profile=np.zeros(len(rows), dtype=np.int64),
            labels=np.full((len(rows), len(self.pretrained.labels.classes)), UNKNOWN),
            space=self._space,
            first=0,
            total=len(rows),
        )
        return self.pretrained.experiment.data.genes.pad(collate(ragged, selector=selector))

    def _ragged(self, rows: Int[np.ndarray, " row"]) -> Rows:
        """Read rows of counts; the row -1 is empty."""
        part = self._counts[np.maximum(rows, 0)]
        lengths = np.where(rows < 0, 0, np.diff(part.indptr))
        kept = np.repeat(rows >= 0, np.diff(part.indptr))
        indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return Rows(indptr, self._place[part.indices[kept]], part.data[kept])


def run(
    reader: Reader, step: Callable[[CellBatch], Result], *, selector: Selector, batch_size: int
) -> Iterator[tuple[Int[np.ndarray, " cell"], Result]]:
    """Yield (rows, what `step` returns for their batch) in order; see `run_rows`."""

    def without_rows(rows: Int[np.ndarray, " cell"], batch: CellBatch) -> Result:
        return step(batch)

    return run_rows(reader, without_rows, selector=selector, batch_size=batch_size)


def run_rows(
    reader: Reader,
    step: Callable[[Int[np.ndarray, " cell"], CellBatch], Result],
    *,
    selector: Selector,
    batch_size: int,
) -> Iterator[tuple[Int[np.ndarray, " cell"], Result]]:
    """Yield (rows, what `step` returns for them and their batch) in order; a batch that memory does not hold is run in halves.

    No gradients; on a GPU under bf16 autocast. `step` must not change anything when it runs out of memory.

    Raises
    ------
    torch.OutOfMemoryError
        If a 16th of the batch does not fit either.
    """
    size, start = batch_size, 0
    while start < len(reader.rows):
        rows = reader.rows[start : start + size]
        try:
            with torch.inference_mode(), inference_numerics(reader.device).context():
                result = step(rows, reader.batch(rows, selector))
        except torch.OutOfMemoryError:
            if size // 2 < max(batch_size // SMALLEST_SHARE, 1):
                raise
            torch.cuda.empty_cache()
            size //= 2
            continue
        yield rows, result
        start += len(rows)


def count_neighbors(pretrained: PretrainedModel) -> int:
    """Neighbors that come with each cell at inference: the most that the model was trained with."""
    return pretrained.experiment.data.neighbors.most


def add_neighbors(adata: AnnData, *, components: int) -> None:
    """Find nearest neighbors as preprocessing does, and put them where it puts them."""
    points = principal_components(sparse.csr_matrix(adata.X), components, seed=0)
    found = nearest_neighbors(points, STORED_NEIGHBORS)
    adata.obsm["neighbor"], adata.obsm["neighbor_distance"] = found.index, found.distance


def inference_numerics(device: torch.device) -> Numerics:
    """Return the precision of inference: bf16 on a GPU, whatever the model was trained in."""
    return Numerics(device, "bf16" if device.type == "cuda" else "fp32")
