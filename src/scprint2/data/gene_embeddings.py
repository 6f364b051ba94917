"""One vector per gene: from a table of protein embeddings, or seeded random ones that orthologs share."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Float

from scprint2.data.gene_sources import VERSION
from scprint2.data.protein_embeddings import read_record
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
        If the table is no table of finite numbers by gene id, holds a gene twice, gene ids with versions, or no gene of the
        vocabulary.
    """
    values = random_vectors(vocabulary.frame["family"].tolist(), dim=dim, seed=seed)
    if table is None:
        return GeneEmbedding(values, f"seeded random vectors shared by ortholog family (seed {seed})")
    vectors = _read_table(Path(table))
    rows = _find(vectors.index, pd.Series(vocabulary.frame["gene_id"]), Path(table))
    found = rows >= 0
    pooled = average_pool(vectors.to_numpy(np.float32)[rows[found]], dim)
    pooled = pooled - pooled.mean(axis=0)
    values[found] = pooled / max(float(pooled.std()), 1e-12)
    made = ", ".join(f"{name} {value}" for name, value in read_record(table).items())
    parts = [f"{Path(table).name}, {vectors.shape[1]} columns", made, _missing(found, seed)]
    return GeneEmbedding(values, "; ".join(filter(None, parts)))


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
    """A table of vectors of any model; checked here, once."""
    try:
        vectors = pd.read_parquet(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise ValueError(
            f"{path}: cannot be read as parquet ({error}). Give gene ids as index, a column per dimension."
        ) from error
    problem = _problem(vectors)
    if problem:
        raise ValueError(f"{path}: {problem}")
    return vectors


def _problem(vectors: pd.DataFrame) -> str | None:
    """What is wrong with a table of vectors, and what to do; None if nothing is."""
    genes = vectors.index
    if not all(isinstance(gene, str) for gene in genes):
        return f"its index holds {genes.tolist()[0]!r}, not gene ids. Set the column of gene ids as index before writing it."
    if not genes.is_unique:
        repeated = genes[genes.duplicated()]
        return f"{len(repeated)} genes are given more than once, such as {repeated[0]!r}; keep one row each."
    texts = [str(name) for name, kind in vectors.dtypes.items() if not np.issubdtype(kind, np.number)]
    if texts or vectors.shape[1] == 0:
        return f"its columns must hold numbers, at least one; found {vectors.shape[1]}, of which {texts[:5]} hold something else."
    finite = np.isfinite(vectors.to_numpy(np.float32)).all(axis=1)
    if not finite.all():
        return (
            f"{int((~finite).sum())} genes have values that are NaN or infinite, such as {genes[~finite][0]!r}; leave their rows "
            "out, then they get random vectors and are counted."
        )
    return None


def _find(genes: pd.Index, needed: pd.Series, path: Path) -> np.ndarray:
    """Row of each needed gene, -1 for one that the table lacks."""
    rows = genes.get_indexer(needed)
    if (rows >= 0).any():
        return rows
    bare = genes.str.replace(VERSION, "", regex=True)
    if bare.isin(needed).any():
        raise ValueError(
            f"{path}: its gene ids carry versions ({genes[0]!r}); needed are ids without, such as {needed.iloc[0]!r}. "
            "Strip them: vectors.index = vectors.index.str.replace(r'[.][0-9]+$', '', regex=True), and keep one row per gene."
        )
    raise ValueError(
        f"{path}: holds none of the {len(needed)} genes; it names {list(genes[:3])}, needed are {needed.tolist()[:3]}."
    )


def _missing(found: np.ndarray, seed: int) -> str:
    lost = int((~found).sum())
    return (
        f"{lost} of {len(found)} genes are not in it and have seeded random vectors (seed {seed})"
        if lost
        else "all genes"
    )
