"""One vector per gene from its protein: the mean of a protein language model's residue vectors."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from jaxtyping import Float

from scprint2.files import atomic_path

GENES_PER_SHARD = 512  # what a kill loses at most
RESIDUES_PER_BATCH = 16_384  # about 16 windows of ESM2; half as many where memory is short
METADATA = b"scprint2"


@runtime_checkable
class Encoder(Protocol):
    """A protein language model.

    Attributes
    ----------
    record
        What identifies the model: name, sha256 of its weights. Shards of another record are not used.
    dim
        Width of its vectors.
    window
        Residues that it reads at once.
    """

    record: dict[str, str]
    dim: int
    window: int

    def encode(self, windows: Sequence[str]) -> Float[np.ndarray, "window dim"]:
        """Sum of the residue vectors of each window."""
        ...


def embed_proteins(
    proteins: pd.DataFrame,
    encoder: Encoder,
    *,
    work: str | Path,
    residues_per_batch: int = RESIDUES_PER_BATCH,
    genes_per_shard: int = GENES_PER_SHARD,
) -> pd.DataFrame:
    """Mean residue vector of each protein: gene ids as index, one column per dimension.

    A protein longer than the model's window is cut into as few windows as possible, of equal length to within one residue; the
    mean is over all residues of all windows (D83). Shards of genes are kept in `work`, and are not computed again after a stop.

    Raises
    ------
    ValueError
        If the model gives a vector that is not finite; the message names the gene.
    """
    parts = []
    for first in range(0, len(proteins), genes_per_shard):
        rows = proteins.iloc[first : first + genes_per_shard]
        path = Path(work) / f"{first:07d}-{_key(rows, encoder)}.parquet"
        if not path.is_file():
            with atomic_path(path) as temporary:
                _embed(rows, encoder, residues_per_batch).to_parquet(temporary)
        parts.append(pd.read_parquet(path))
    return pd.concat(parts)


def cut(sequence: str, window: int) -> list[str]:
    """Cut a sequence into as few windows as possible, of equal length to within one residue."""
    count = -(-len(sequence) // window)
    edges = [place * len(sequence) // count for place in range(count + 1)]
    return [sequence[start:stop] for start, stop in zip(edges[:-1], edges[1:], strict=True)]


def write_vectors(vectors: pd.DataFrame, path: str | Path, *, record: dict[str, str]) -> None:
    """Write a table of gene vectors (parquet, gene id as index) with the record of its making in its metadata, atomically."""
    table = pa.Table.from_pandas(vectors.rename(columns=str))
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), METADATA: json.dumps(record).encode()})
    with atomic_path(path) as temporary:
        pyarrow.parquet.write_table(table, temporary)


def read_record(path: str | Path) -> dict[str, str]:
    """Return the record that `write_vectors` left in a table; empty for a table of anybody else."""
    return json.loads((pyarrow.parquet.read_schema(path).metadata or {}).get(METADATA, b"{}"))


def join_vectors(paths: Sequence[str | Path], target: str | Path) -> None:
    """Put the tables of several organisms into one.

    Raises
    ------
    ValueError
        If they come from different models.
    """
    records = [read_record(path) for path in paths]
    models = {json.dumps({name: record.get(name) for name in ("model", "sha256")}) for record in records}
    if len(models) > 1:
        raise ValueError(
            f"the tables {[str(path) for path in paths]} come from different models: {sorted(models)}. Use one."
        )
    write_vectors(pd.concat([pd.read_parquet(path) for path in paths]), target, record=records[0])


def _key(rows: pd.DataFrame, encoder: Encoder) -> str:
    """Name of a shard: another sequence, gene or model makes another one."""
    text = json.dumps([encoder.record, rows["gene_id"].tolist(), rows["sequence"].tolist()], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _embed(rows: pd.DataFrame, encoder: Encoder, residues_per_batch: int) -> pd.DataFrame:
    owners, windows = [], []
    for row, sequence in enumerate(rows["sequence"]):
        pieces = cut(sequence, encoder.window)
        owners += [row] * len(pieces)
        windows += pieces
    sums = np.zeros((len(rows), encoder.dim), dtype=np.float64)
    for batch in _batches([len(window) for window in windows], residues_per_batch):
        found = encoder.encode([windows[place] for place in batch])
        np.add.at(sums, [owners[place] for place in batch], found)
    means = (sums / rows["sequence"].str.len().to_numpy()[:, None]).astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(means).all(axis=1))
    if len(bad):
        raise ValueError(
            f"gene {rows['gene_id'].iloc[bad[0]]!r}: the model's vector is not finite; compute it in fp32."
        )
    columns = pd.Index([str(column) for column in range(encoder.dim)])
    return pd.DataFrame(means, index=pd.Index(rows["gene_id"].to_numpy(), name="gene_id"), columns=columns)


def _batches(lengths: Sequence[int], residues: int) -> Iterator[list[int]]:
    """Windows of like length together, at most so many residues with padding (one window at least)."""
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: (-lengths[place], place)):
        if batch and lengths[batch[0]] * (len(batch) + 1) > residues:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch
