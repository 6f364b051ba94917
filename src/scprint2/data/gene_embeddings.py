"""One vector per gene: from a table of protein embeddings, or seeded random ones that orthologs share."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from scprint2.data.vocabulary import GeneVocabulary


@dataclass(frozen=True)
class GeneEmbedding:
    """The vectors that the genes of a vocabulary begin with.

    Attributes
    ----------
    values
        One row per gene of the vocabulary, mean 0 and variance 1 over all entries.
    source
        Where they come from, for the record of a run.
    """

    values: Float[np.ndarray, "gene dim"]
    source: str


def gene_embedding(vocabulary: GeneVocabulary, *, table: Path | None, dim: int, seed: int) -> GeneEmbedding:
    """Pool a table of vectors (parquet, gene id to columns) to `dim` columns; without one draw random vectors.

    A random vector depends on the seed and the ortholog family alone, so genes keep theirs from corpus to corpus. Genes that the
    table lacks get such a vector and are counted in `source`.

    Raises
    ------
    ValueError
        If the table holds values that are not finite or a gene twice, or no gene of the vocabulary.
    """
    values = random_vectors(vocabulary.frame["family"].tolist(), dim=dim, seed=seed)
    if table is None:
        return GeneEmbedding(values, f"seeded random vectors shared by ortholog family (seed {seed})")
    vectors = _read_table(Path(table))
    rows = vectors.index.get_indexer(vocabulary.frame["gene_id"])
    found = rows >= 0
    if not found.any():
        known, needed = list(vectors.index[:3]), vocabulary.frame["gene_id"].tolist()[:3]
        raise ValueError(f"{table}: holds none of the {len(rows)} genes; it names {known}, needed are {needed}.")
    pooled = average_pool(vectors.to_numpy(np.float32)[rows[found]], dim)
    pooled = pooled - pooled.mean(axis=0)
    values[found] = pooled / max(float(pooled.std()), 1e-12)
    return GeneEmbedding(values, f"{Path(table).name}, {vectors.shape[1]} columns; {_missing(found, seed)}")


def random_vectors(families: list[str], *, dim: int, seed: int) -> Float[np.ndarray, "gene dim"]:
    """Standard normal vectors, the same for genes of one family."""
    drawn: dict[str, np.ndarray] = {}
    for family in families:
        if family not in drawn:
            key = hashlib.blake2b(f"{seed} {family}".encode(), digest_size=16).digest()
            drawn[family] = np.random.Generator(np.random.Philox(key=int.from_bytes(key, "big"))).standard_normal(dim)
    return np.stack([drawn[family] for family in families]).astype(np.float32)


def average_pool(vectors: Float[np.ndarray, "gene source"], dim: int) -> Float[np.ndarray, "gene dim"]:
    """Average neighboring columns; column i covers the source columns from i·s/d (rounded down) to (i+1)·s/d (rounded up)."""
    source = vectors.shape[1]
    sums = np.concatenate([np.zeros((len(vectors), 1)), np.cumsum(vectors, axis=1, dtype=np.float64)], axis=1)
    start = np.arange(dim) * source // dim
    stop = -(-(np.arange(1, dim + 1) * source) // dim)
    return ((sums[:, stop] - sums[:, start]) / (stop - start)).astype(np.float32)


def _read_table(path: Path) -> pd.DataFrame:
    vectors = pd.read_parquet(path)
    if not vectors.index.is_unique:
        raise ValueError(
            f"{path}: {int(vectors.index.duplicated().sum())} genes are given more than once; keep one row each."
        )
    if (
        not all(np.issubdtype(kind, np.number) for kind in vectors.dtypes)
        or not np.isfinite(vectors.to_numpy(np.float32)).all()
    ):
        raise ValueError(f"{path}: every column must hold finite numbers, with the gene ids as index.")
    return vectors


def _missing(found: np.ndarray, seed: int) -> str:
    lost = int((~found).sum())
    return (
        f"{lost} of {len(found)} genes are not in it and have seeded random vectors (seed {seed})"
        if lost
        else "all genes"
    )
