"""Small raw inputs as people have them: gene tables, h5ad files."""

import os
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from scprint2.data.genes import GeneTable, build_gene_table
from scprint2.data.preprocess import PreprocessingConfig

HUMAN, MOUSE = "NCBITaxon:9606", "NCBITaxon:10090"
T_CELL, B_CELL, CD4 = "CL:0000084", "CL:0000236", "CL:0000624"
SETTINGS = PreprocessingConfig(
    minimum_genes=20,
    principal_components=20,
    neighbors=6,
    cluster_neighbors=15,
    resolution=1.0,
    merge_correlation=0.94,
    deviations=5,
)


def real_data() -> Path:
    """Return the folder of real files, or skip the test."""
    folder = os.environ.get("SCPRINT2_DATA")
    if not folder:
        pytest.skip("SCPRINT2_DATA does not name a folder of real h5ad files")
    return Path(folder)


def gene_table(genes: int = 120) -> GeneTable:
    """Invent a normalized gene table."""
    return GeneTable(HUMAN, _normalized(genes))


def raw_gene_table(folder: Path, genes: int = 120) -> GeneTable:
    """Write an invented raw gene table and build the normalized one from it."""
    path = folder / "raw_genes.tsv"
    frame = _normalized(genes)[["gene_id", "symbol", "aliases", "biotype", "chromosome", "start"]]
    frame.to_csv(path, sep="\t", index=False)
    return build_gene_table(path, organism=HUMAN)


def raw_cells(cells: int = 120, genes: int = 120, *, seed: int = 0) -> anndata.AnnData:
    """Invent raw cells of two cell types, three batches, with Ensembl ids that have versions."""
    rng = np.random.default_rng(seed)
    kind = np.arange(cells) % 2
    rate = rng.gamma(1.0, 2.0, size=(2, genes))
    counts = rng.poisson(rate[kind] * rng.gamma(20, 1 / 20, size=(cells, 1)))
    obs = pd.DataFrame(index=[f"cell_{cell}" for cell in range(cells)])
    obs["cell_type_ontology_term_id"] = np.where(kind == 0, CD4, B_CELL)
    obs["donor_id"] = [f"donor_{cell % 3}" for cell in range(cells)]
    obs["organism_ontology_term_id"] = HUMAN
    obs["assay_ontology_term_id"] = "EFO:0009922"
    obs["is_primary_data"] = True
    var = pd.DataFrame(index=[f"ENSG{gene:011d}.{gene % 3 + 1}" for gene in range(genes)])
    return anndata.AnnData(scipy.sparse.csr_matrix(counts.astype(np.float32)), obs=obs, var=var)


def write(adata: anndata.AnnData, folder: Path) -> Path:
    """Write an h5ad file."""
    path = folder / "input.h5ad"
    adata.write_h5ad(path)
    return path


def _normalized(genes: int) -> pd.DataFrame:
    number = np.arange(genes)
    return pd.DataFrame(
        {
            "gene_id": [f"ENSG{gene:011d}" for gene in number],
            "symbol": [f"GENE{gene}" for gene in number],
            "aliases": [f"OLD{gene}" for gene in number],
            "biotype": "protein_coding",
            "chromosome": "1",
            "start": number * 20_000,
            "location": number,
            "family": [f"ENSG{gene:011d}" for gene in number],
            "is_tf": number % 10 == 0,
        }
    )
