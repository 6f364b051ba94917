"""The labeled cells of a corpus, for baselines that learn from them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData
from jaxtyping import Float, Int, Shaped
from scipy import sparse

from scprint2.data.shard import ESCAPE, Shard
from scprint2.data.vocabulary import CLASSES, GeneVocabulary, LabelVocabulary
from scprint2.tasks.layout import UNKNOWN
from scprint2.tasks.selection import DRAW_SEED, log_normalize

MOST_CELLS = 20_000  # per corpus; a nearest-neighbor search or a regression gains little from more


@dataclass(frozen=True)
class TrainingCells:
    """The cells that a corpus is made of.

    Attributes
    ----------
    genes, labels
        What a model trained on the corpus knows.
    shards
        One per dataset. Their cells are read in the order of the file that they came from, not in that of the shard.
    """

    genes: GeneVocabulary
    labels: LabelVocabulary
    shards: tuple[Shard, ...]


def cell_types(shard: Shard) -> Shaped[np.ndarray, " cell"]:
    """Cell type term of each cell of a shard, in the order of its file."""
    terms = np.array([*shard.terms["cell_type"], UNKNOWN], dtype=object)  # code -1 is the last
    return terms[shard.label[np.argsort(shard.source), CLASSES.index("cell_type")]]


def organism_of(adata: AnnData) -> str:
    """NCBITaxon id of the organism of a dataset."""
    return str(adata.obs["organism_ontology_term_id"].iloc[0])


def labeled_cells(
    train: TrainingCells, genes: list[str], *, organism: str
) -> tuple[Float[np.ndarray, "cell gene"], Shaped[np.ndarray, " cell"]]:
    """Log-normalized expression (on the given genes) and cell type of the labeled cells of one organism.

    At most `MOST_CELLS` are taken, as evenly from the datasets as their sizes allow; a gene that a dataset lacks counts 0.

    Raises
    ------
    ValueError
        If the corpus has no labeled cell of the organism.
    """
    rng = np.random.default_rng(DRAW_SEED)
    parts, types = [], []
    shards = [shard for shard in train.shards if shard.organism == organism]
    terms_of = [cell_types(shard) for shard in shards]
    known_of = [np.flatnonzero(terms != UNKNOWN) for terms in terms_of]
    shares = share_out(np.array([len(known) for known in known_of], dtype=np.int64), most=MOST_CELLS)
    for shard, terms, known, share in zip(shards, terms_of, known_of, shares, strict=True):
        rows = np.sort(rng.choice(known, share, replace=False))
        columns = pd.Index(train.genes.gene_ids(organism)).get_indexer(genes)
        parts.append(log_normalize(_on_genes(shard, np.argsort(shard.source)[rows], columns)))
        types.append(terms[rows])
    if not sum(map(len, types)):
        raise ValueError(f"the corpus has no labeled cell of {organism}; this baseline needs some")
    return np.concatenate(parts), np.concatenate(types)


def share_out(sizes: Int[np.ndarray, " dataset"], *, most: int) -> Int[np.ndarray, " dataset"]:
    """How many to take of each size, `most` in all: as even as the sizes allow, what is left over one by one in their order."""
    taken = np.zeros_like(sizes)
    while (left := min(most, sizes.sum()) - taken.sum()) > 0:
        open_to = np.flatnonzero(taken < sizes)
        if left < len(open_to):
            taken[open_to[:left]] += 1
        else:
            taken[open_to] += np.minimum(sizes[open_to] - taken[open_to], left // len(open_to))
    return taken


def _on_genes(shard: Shard, rows: np.ndarray, columns: np.ndarray) -> Float[np.ndarray, "cell gene"]:
    """Counts of some cells, dense; a column -1 is 0."""
    sizes = (shard.indptr[rows + 1] - shard.indptr[rows]).astype(np.int64)
    indptr = np.concatenate([[0], np.cumsum(sizes)])
    entries = np.repeat(shard.indptr[rows] - indptr[:-1], sizes) + np.arange(indptr[-1])
    count = shard.count[entries].astype(np.float32)
    count[count == ESCAPE] = shard.escaped(entries[count == ESCAPE])
    given = sparse.csr_matrix((count, shard.gene[entries], indptr), shape=(len(rows), shard.header["genes"]))
    counts = np.zeros((len(rows), len(columns)), dtype=np.float32)
    counts[:, columns >= 0] = given[:, columns[columns >= 0]].toarray()
    return counts
