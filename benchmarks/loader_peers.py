"""Other ways to read batches of raw rows from disk: anndata's backed mode, annbatch and scDataset, as far as they are installed.

annbatch (Python 3.12 or newer, `annbatch[zarrs]`) and scDataset read blocks of neighboring cells in random order, each cell once:
less than weighted draws of single cells ask for. Their settings are those of their documentation, with blocks of 64 and 16 cells.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import anndata
import numpy as np
import scipy.sparse

from scprint2.data.shard import hash_rows

BATCH = 64
FETCH = 32  # batches that the block readers fetch at once
ANNBATCH_BLOCK, SCDATASET_BLOCK = 64, 16  # cells


class RowPeer(Protocol):
    """Reads batches of rows."""

    def batch(self, step: int) -> scipy.sparse.csr_matrix:
        """Return the rows of a batch."""
        ...

    def check(self) -> bool:
        """Tell whether it reads the rows that were written."""
        ...


class Backed:
    """`adata[rows].X` of an h5ad file in backed mode: the rows that our loader draws."""

    def __init__(self, file: Path, matrix: scipy.sparse.csr_matrix, draw: Callable[[int], np.ndarray]):
        self.adata = anndata.read_h5ad(file, backed="r")
        self.matrix = matrix
        self.draw = draw

    def batch(self, step: int) -> scipy.sparse.csr_matrix:
        """Return the rows of a batch."""
        rows, place = np.unique(self.draw(step), return_inverse=True)  # backed mode wants them in order, each once
        return self.adata[rows].X[place]  # pyright: ignore[reportOptionalSubscript, reportReturnType]

    def check(self) -> bool:
        """Compare a batch with the matrix."""
        return (self.batch(1) != self.matrix[self.draw(1)]).nnz == 0


class Epochs:
    """A loader that yields every row once, in batches, again and again."""

    def __init__(self, epoch: Iterable[Any], matrix: scipy.sparse.csr_matrix, take: Callable[[Any], Any]):
        self.epoch, self.matrix, self.take = epoch, matrix, take
        self.batches = self._forever()

    def _forever(self) -> Iterator[scipy.sparse.csr_matrix]:
        while True:
            yield from map(self.take, self.epoch)

    def batch(self, step: int) -> scipy.sparse.csr_matrix:
        """Return the next batch."""
        return next(self.batches)

    def check(self) -> bool:
        """Compare the rows of an epoch, in any order, with those of the matrix."""
        found = scipy.sparse.vstack([self.take(batch) for batch in self.epoch]).tocsr()
        hashes = [np.sort(hash_rows(m.indptr, m.indices, m.data.astype(np.int64))) for m in (found, self.matrix)]
        return np.array_equal(*hashes)


def open_annbatch(file: Path, matrix: scipy.sparse.csr_matrix) -> RowPeer:
    """Write annbatch's shuffled collection and open it, on one thread."""
    import annbatch  # pyright: ignore[reportMissingImports]
    import zarr

    one = {"threading.max_workers": 1, "codec_pipeline.chunk_concurrent_maximum": 1}
    zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline", **one})
    collection = annbatch.DatasetCollection(file.with_name("collection.zarr"))
    collection.add_adatas([file])
    loader = annbatch.Loader(batch_size=BATCH, chunk_size=ANNBATCH_BLOCK, preload_nchunks=FETCH, shuffle=True)
    return Epochs(loader.use_collection(collection), matrix, lambda batch: batch["X"])


def open_scdataset(file: Path, matrix: scipy.sparse.csr_matrix) -> RowPeer:
    """Open the h5ad file through scDataset."""
    import scdataset  # pyright: ignore[reportMissingImports]

    def fetch(adata: anndata.AnnData, rows: np.ndarray) -> Any:
        order = np.argsort(rows)
        return adata[rows[order]].X[np.argsort(order)]  # pyright: ignore[reportOptionalSubscript]

    blocks = scdataset.BlockShuffling(block_size=SCDATASET_BLOCK)
    backed = anndata.read_h5ad(file, backed="r")
    dataset = scdataset.scDataset(backed, blocks, batch_size=BATCH, fetch_factor=FETCH, fetch_callback=fetch)
    return Epochs(dataset, matrix, lambda batch: batch)


OPTIONAL: Mapping[str, Callable[[Path, scipy.sparse.csr_matrix], RowPeer]] = {
    "annbatch": open_annbatch,
    "scdataset": open_scdataset,
}


def find_peers(
    adata: anndata.AnnData, folder: Path, *, draw: Callable[[int], np.ndarray]
) -> tuple[dict[str, RowPeer], list[str]]:
    """Return the readers that there are, and the names of those that are not installed; `draw` says which cells we read."""
    file, matrix = folder / "cells.h5ad", scipy.sparse.csr_matrix(adata.X)
    anndata.AnnData(matrix, var=adata.var).write_h5ad(file)
    peers: dict[str, RowPeer] = {"anndata_backed": Backed(file, matrix, draw)}
    missing = [name for name in OPTIONAL if find_spec(name) is None]
    peers |= {name: make(file, matrix) for name, make in OPTIONAL.items() if name not in missing}
    return peers, missing
