"""The labeled cells of a corpus, for baselines that learn from them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import anndata
import numpy as np
from anndata import AnnData
from jaxtyping import Float, Shaped
from scipy import sparse

from scprint2.data.vocabulary import GeneVocabulary, LabelVocabulary
from scprint2.tasks.layout import TERM, UNKNOWN
from scprint2.tasks.selection import DRAW_SEED, log_normalize

MOST_CELLS = 20_000  # per corpus; a nearest-neighbor search or a regression gains little from more


@dataclass(frozen=True)
class TrainingCells:
    """The processed datasets that a corpus is made of.

    Attributes
    ----------
    genes, labels
        What a model trained on the corpus knows.
    paths
        The `cells.h5ad` of each dataset.
    """

    genes: GeneVocabulary
    labels: LabelVocabulary
    paths: tuple[Path, ...]

    def __iter__(self) -> Iterator[AnnData]:
        for path in self.paths:
            yield anndata.read_h5ad(path)


def cell_types(adata: AnnData) -> Shaped[np.ndarray, " cell"]:
    """Cell type term of each cell."""
    return adata.obs[TERM].astype(str).to_numpy()


def organism_of(adata: AnnData) -> str:
    """NCBITaxon id of the organism of a dataset."""
    return str(adata.obs["organism_ontology_term_id"].iloc[0])


def labeled_cells(
    train: TrainingCells, genes: list[str], *, organism: str
) -> tuple[Float[np.ndarray, "cell gene"], Shaped[np.ndarray, " cell"]]:
    """Log-normalized expression (on the given genes) and cell type of the labeled cells of one organism.

    At most `MOST_CELLS` are taken, as many from each dataset as its size allows; a gene that a dataset lacks counts 0.

    Raises
    ------
    ValueError
        If the corpus has no labeled cell of the organism.
    """
    rng = np.random.default_rng(DRAW_SEED)
    parts, types = [], []
    share = MOST_CELLS // max(len(train.paths), 1)
    for adata in train:
        if organism_of(adata) != organism:
            continue
        known = np.flatnonzero(cell_types(adata) != UNKNOWN)
        rows = np.sort(rng.choice(known, min(share, len(known)), replace=False))
        part = adata[rows]
        parts.append(log_normalize(_on_genes(part, genes)))
        types.append(cell_types(part))
    if not sum(map(len, types)):
        raise ValueError(f"the corpus has no labeled cell of {organism}; this baseline needs some")
    return np.concatenate(parts), np.concatenate(types)


def _on_genes(adata: AnnData, genes: list[str]) -> Float[np.ndarray, "cell gene"]:
    columns = adata.var_names.get_indexer(genes)  # type: ignore[arg-type]
    counts = np.zeros((adata.n_obs, len(genes)), dtype=np.float32)
    counts[:, columns >= 0] = sparse.csr_matrix(adata.X)[:, columns[columns >= 0]].toarray()
    return counts
