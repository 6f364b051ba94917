"""Small processed datasets, shards and corpora with known content."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import scipy.sparse

from scprint2.data.corpus import Corpus
from scprint2.data.loader import DataConfig
from scprint2.data.shard import Shard
from scprint2.data.shard_writer import write_shard
from scprint2.data.vocabulary import CLASSES, GeneVocabulary, LabelTable, LabelVocabulary

HUMAN, MOUSE = "NCBITaxon:9606", "NCBITaxon:10090"
CELL_TYPES = ("CL:0000236", "CL:0000084", "CL:0000624", "unknown")


def gene_ids(organism: str, genes: int) -> list[str]:
    """Invent gene ids."""
    prefix = {HUMAN: "ENSG", MOUSE: "ENSMUSG"}[organism]
    return [f"{prefix}{gene:011d}" for gene in range(genes)]


def processed_cells(
    *, cells: int, genes: int, seed: int = 0, dataset: str = "set_a", organism: str = HUMAN, measured: int | None = None
) -> anndata.AnnData:
    """Invent processed cells whose expressed genes and counts vary widely, with neighbors at random."""
    rng = np.random.default_rng(seed)
    share = rng.uniform(0.05, 0.6, size=(cells, 1))
    counts = rng.negative_binomial(1, 0.1, size=(cells, genes)) * (rng.random((cells, genes)) < share)
    large = rng.random((cells, genes)) < 0.01  # above what a byte holds
    counts[large] = rng.integers(250, 100_000, size=large.sum())
    kept = np.sort(rng.choice(genes, size=measured or genes, replace=False))
    obs = pd.DataFrame(index=[f"{dataset}_{cell}" for cell in range(cells)])
    for name in CLASSES:
        obs[f"{name}_ontology_term_id"] = "unknown"
    obs["cell_type_ontology_term_id"] = rng.choice(CELL_TYPES, size=cells, p=[0.6, 0.25, 0.1, 0.05])
    obs["sex_ontology_term_id"] = rng.choice(["PATO:0000383", "PATO:0000384"], size=cells, p=[0.8, 0.2])
    obs["organism_ontology_term_id"] = organism
    obs["cluster"] = rng.choice(["0", "1"], size=cells)
    obs["cell_type_cluster"] = obs["cell_type_ontology_term_id"] + "|" + obs["cluster"]
    obs["donor_id"] = rng.choice(["donor_1", "donor_2"], size=cells)
    adata = anndata.AnnData(scipy.sparse.csr_matrix(counts[:, kept].astype(np.int32)), obs=obs)
    adata.var_names = [gene_ids(organism, genes)[gene] for gene in kept]
    neighbor, distance = np.full((cells, 6), -1, np.int32), np.zeros((cells, 6), np.float32)
    known = min(cells - 1, 6)
    for cell in range(cells):
        neighbor[cell, :known] = rng.permutation(np.delete(np.arange(cells), cell))[:known]
    distance[:, :known] = np.sort(rng.uniform(1, 9, size=(cells, known)), axis=1)
    adata.obsm["neighbor"], adata.obsm["neighbor_distance"] = neighbor, distance
    adata.uns["scprint2"] = {"dataset": dataset, "organism": organism}
    return adata


def vocabulary(tables: dict[str, int]) -> GeneVocabulary:
    """Put invented gene tables one after the other: organism to number of genes."""
    parts = [
        pd.DataFrame(
            {
                "organism": organism,
                "gene_id": gene_ids(organism, genes),
                "symbol": gene_ids(organism, genes),
                "location": np.arange(genes),
                "family": gene_ids(organism, genes),
                "is_tf": False,
            }
        )
        for organism, genes in tables.items()
    ]
    return GeneVocabulary(pd.concat(parts, ignore_index=True))


def label_tables(shards: list[Shard]) -> LabelVocabulary:
    """Make flat label tables of all terms, but for T cells, which are a parent of helper T cells alone."""
    tables = []
    for name in CLASSES:
        terms = sorted({term for shard in shards for term in shard.terms[name]})
        leaves = tuple(term for term in terms if term != "CL:0000084")
        parents, members = (), ()
        if "CL:0000084" in terms and "CL:0000624" in leaves:
            parents, members = ("CL:0000084",), ((leaves.index("CL:0000624"),),)
        tables.append(LabelTable(name, leaves, parents, members, {term: term for term in terms}))
    return LabelVocabulary(tuple(tables))


def small_corpus(
    folder: Path, *, validation_share: float = 0.1, cells: int = 300, tables: dict[str, int] | None = None
) -> Corpus:
    """Write two shards of each organism and put them together."""
    tables = {HUMAN: 60, MOUSE: 50} if tables is None else tables
    shards = []
    for organism, genes in tables.items():
        for number in range(2):
            dataset = f"{'human' if organism == HUMAN else 'mouse'}_{number}"
            adata = processed_cells(
                cells=cells + 20 * number, genes=genes, seed=len(shards), dataset=dataset, organism=organism
            )
            write_shard(adata, folder / dataset, gene_ids=gene_ids(organism, genes), validation_share=validation_share)
            shards.append(Shard.open(folder / dataset))
    return Corpus(
        name="small",
        shards=tuple(shards),
        genes=vocabulary(tables),
        labels=label_tables(shards),
        validation_share=validation_share,
        leakage={},
    )


def data_config(**changes: object) -> DataConfig:
    """Return a configuration with some values replaced."""
    values: dict[str, object] = {
        "corpus": "small",
        "classes": ["cell_type", "sex", "organism"],
        "genes": {"kind": "random_expressed", "max_genes": 20},
        "sampling": {
            "kind": "grouped",
            "groups": ["cell_type_cluster", "sex", "organism"],
            "saturation": {"kind": "constant", "value": 50},
            "depth": {"kind": "none"},
        },
        "neighbors": {"kind": "none"},
        "metacells": {"kind": "none"},
    }
    return DataConfig.model_validate(values | changes)
