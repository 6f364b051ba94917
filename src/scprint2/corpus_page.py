"""The report of a corpus: what it holds, what was left out, and its cells as a map colored by organism (figure 1b)."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from scprint2.data.clusters import NORMALIZED_TOTAL, nearest_neighbors
from scprint2.data.corpus import Corpus
from scprint2.data.gene_embeddings import gene_embedding
from scprint2.data.leakage import ALIKE, COLUMNS, LEAKS, STUDY
from scprint2.data.ontology import UNKNOWN_TERM, label
from scprint2.data.shard import Shard
from scprint2.files import read_json
from scprint2.pages import Page
from scprint2.plots.files import write_figure
from scprint2.plots.quality import depth_histograms, label_bars, organism_map

DRAWN_CELLS = 5000  # in the map and in the distribution of depths
LEAST_CELLS = 100  # of each organism among them, where it has so many
MOST_COUNTED = 5_000_000  # cells in the distribution of expressed genes; of more, every second, third, …
VECTOR_DIM = 256
SHOWN = (
    "organism",
    "assay",
    "tissue",
    "cell_type",
)  # one panel each; the other classes are in the table of unknown labels


@dataclass(frozen=True)
class DrawnCells:
    """Some cells of a corpus.

    Attributes
    ----------
    organism
        Name of each cell's organism.
    depth
        Counts of each cell.
    position
        Mean of the vectors of a cell's genes, weighted by log-normalized expression: the same space for all organisms.
    source
        Where the vectors come from.
    """

    organism: np.ndarray
    depth: Int[np.ndarray, " cell"]
    position: Float[np.ndarray, "cell dim"]
    source: str


def write_corpus_page(
    corpus_path: str | Path, members_path: str | Path, target: str | Path, *, figures: str | Path, vectors: Path | None
) -> None:
    """Write the report of a corpus; the map is also written as `<figures>/<corpus>_organisms.pdf`, `.png` and `.csv`.

    Parameters
    ----------
    vectors
        Table of protein embeddings; None for seeded random vectors that ortholog families share.
    """
    corpus, members = Corpus.load(corpus_path), read_json(members_path)
    repeated = sum(pair["cells"] for pair in members["duplicates"])
    page = Page(
        f"Corpus {corpus.name}",
        f"{len(corpus):,} cells of {len(corpus.shards)} datasets and {len(corpus.organisms)} organisms, {len(corpus.genes):,} "
        f"genes; {repeated:,} duplicates left out, {len(members['failed'])} datasets failed",
    )
    page.heading("Cells")
    counts = {name: count_labels(corpus.shards, name) for name in corpus.labels.classes}
    named = {name.replace("_", " "): _named(counts[name]) for name in SHOWN if name in counts}
    page.figure(label_bars(named), alternative="cells per organism, assay, tissue and cell type")
    _list_unknown(page, counts, len(corpus))
    drawn = draw_cells(corpus, vectors=vectors, seed=0)
    page.heading("Depth")
    step = max(1, -(-len(corpus) // MOST_COUNTED))
    genes = np.concatenate([shard.nnz[::step] for shard in corpus.shards]).astype(np.int64)
    page.figure(depth_histograms(genes, drawn.depth), alternative="distributions of expressed genes and counts")
    page.heading("Organisms")
    places = _umap(drawn.position)
    figure = organism_map(places, drawn.organism, source=_caption(drawn, len(corpus)))
    table = pd.DataFrame({"umap_1": places[:, 0], "umap_2": places[:, 1], "organism": drawn.organism})
    write_figure(figure, table, figures, f"{corpus.name}_organisms")
    page.figure(figure, alternative="map of the cells colored by organism")
    _list_datasets(page, corpus, members)
    _list_leaks(page, corpus)
    page.write(target)


def count_labels(shards: Iterable[Shard], name: str) -> dict[str, int]:
    """Cells of each term of a class, unknown ones too; from the tables of strata, without reading a cell."""
    total: dict[str, int] = {}
    for shard in shards:
        code = np.asarray(shard.stratum_label)[:, shard.header["classes"].index(name)]
        cells = np.asarray(shard.stratum_cells).sum(axis=(0, 2), dtype=np.int64)
        terms = [*shard.terms[name], UNKNOWN_TERM]  # code -1 is the last
        for number in np.unique(code):
            total[terms[number]] = total.get(terms[number], 0) + int(cells[code == number].sum())
    return total


def draw_cells(corpus: Corpus, *, vectors: Path | None, seed: int) -> DrawnCells:
    """Draw cells in proportion to the organisms' numbers, but at least some of each, and place them by their genes' vectors."""
    rng = np.random.default_rng(seed)
    of_shard = np.array([corpus.organisms.index(shard.organism) for shard in corpus.shards])
    chosen = []
    for number in range(len(corpus.organisms)):
        shards = np.flatnonzero(of_shard == number)
        ends = np.cumsum(np.diff(corpus.starts)[shards])
        total = int(ends[-1])
        wanted = max(LEAST_CELLS, round(DRAWN_CELLS * total / len(corpus)))
        place = np.sort(rng.choice(total, min(wanted, total), replace=False))  # among the organism's cells
        within = np.searchsorted(ends, place, side="right")
        chosen.append(place - ends[within] + corpus.starts[shards + 1][within])
    cells = np.concatenate(chosen)
    organism = of_shard[corpus.locate(cells)[0]]
    rows = corpus.read(cells)
    embedding = gene_embedding(corpus.genes, table=vectors, dim=VECTOR_DIM, seed=seed)
    first = np.array([corpus.genes.span(name)[0] for name in corpus.organisms])
    depth, position = np.zeros(len(cells), np.int64), np.zeros((len(cells), VECTOR_DIM))
    for cell, (start, stop) in enumerate(zip(rows.indptr[:-1], rows.indptr[1:], strict=True)):
        count = rows.count[start:stop].astype(np.float64)
        depth[cell] = count.sum()
        weight = np.log1p(count * NORMALIZED_TOTAL / max(depth[cell], 1))
        gene = rows.gene[start:stop].astype(np.int64) + first[organism[cell]]
        position[cell] = weight @ embedding.values[gene] / max(weight.sum(), 1e-9)
    names = np.array([label(corpus.organisms[number]) for number in organism])
    return DrawnCells(names, depth, position, embedding.source)


def _umap(position: Float[np.ndarray, "cell dim"]) -> Float[np.ndarray, "cell 2"]:
    """UMAP on our own neighbors: the search that it would make compiles for 40 seconds, the rest for ten."""
    from umap import UMAP

    number = min(15, len(position) - 1)  # the cell itself is one of them
    found = nearest_neighbors(position, number - 1)
    index = np.column_stack([np.arange(len(position)), found.index])
    distance = np.column_stack([np.zeros(len(position)), found.distance])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that no other cells can be placed later, and that n_jobs is 1
        drawn = UMAP(
            n_neighbors=number,
            precomputed_knn=(index, distance),
            force_approximation_algorithm=True,  # else few cells are searched again
            random_state=0,
            n_jobs=1,
        )
        return np.asarray(drawn.fit_transform(position))


def _caption(drawn: DrawnCells, cells: int) -> str:
    return (
        f"{len(drawn.depth):,} of {cells:,} cells, in proportion to each organism's number, but at least {LEAST_CELLS}.\n"
        f"A cell lies at the expression-weighted mean of its genes' vectors ({drawn.source});\n"
        "no model is involved. Organisms lie apart as far as their genes share no vectors, whatever their cells do."
    )


def _list_unknown(page: Page, counts: dict[str, dict[str, int]], cells: int) -> None:
    rows = [
        {
            "class": name.replace("_", " "),
            "labels": len(terms.keys() - {UNKNOWN_TERM}),
            "unknown cells": terms.get(UNKNOWN_TERM, 0),
            "share": f"{terms.get(UNKNOWN_TERM, 0) / cells:.1%}",
        }
        for name, terms in counts.items()
    ]
    page.table(pd.DataFrame(rows))


def _list_datasets(page: Page, corpus: Corpus, members: dict[str, Any]) -> None:
    page.heading("Datasets")
    shards = pd.DataFrame(
        {
            "dataset": [shard.dataset for shard in corpus.shards],
            "organism": [label(shard.organism) for shard in corpus.shards],
            "cells": [len(shard) for shard in corpus.shards],
            "for training": [int(shard.header["training_cells"]) for shard in corpus.shards],
            "strata": [len(shard.stratum_label) for shard in corpus.shards],
        }
    )
    page.table(shards)
    least = members["compared_genes"]
    page.text(
        f"Duplicates are cells (of at least {least} genes) with the same counts; the first dataset in the registry keeps them."
    )
    if members["duplicates"]:
        page.table(pd.DataFrame(members["duplicates"]).rename(columns={"cells": "cells left out"}))
    if members["failed"]:
        page.text("Datasets that could not be processed and are not in the corpus:")
        page.items([f"{name}: {reason}" for name, reason in members["failed"].items()])


def _list_leaks(page: Page, corpus: Corpus) -> None:
    page.heading("Shared with test sets")
    if not corpus.leakage:
        page.text("This corpus was built without a comparison with test sets.")
        return
    overlaps = pd.DataFrame(corpus.leakage["overlaps"], columns=pd.Index(COLUMNS))
    leaks = int(overlaps["kind"].isin(LEAKS).sum())
    page.text(
        f"Compared by dataset, by donor and by the counts of every cell that has at least {corpus.leakage['compared_genes']} "
        f"genes: {leaks} leaks. A donor's name that two studies use ({ALIKE.replace('_', ' ')}) is no leak, but may be the same "
        f"person. Another dataset of a test set's study ({STUDY}) is none either, but may hold its cells counted again."
    )
    page.table(overlaps.rename(columns=lambda name: name.replace("_", " ")))


def _named(counts: dict[str, int]) -> pd.Series:
    return pd.Series(
        {term if term == UNKNOWN_TERM else label(term): cells for term, cells in counts.items()}, dtype=int
    )
