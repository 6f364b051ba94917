"""A small processed dataset, as the contract of `cells.h5ad` has it."""

from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse
from sklearn.decomposition import PCA

from scprint2.data.shard import Shard
from scprint2.data.shard_writer import write_shard
from scprint2.data.vocabulary import CLASSES
from scprint2.tasks.denoise import DenoiseSettings, Downsampled
from tests.helpers import HUMAN, make_genes

DENOISE = DenoiseSettings(
    batch_size=16,
    noise=Downsampled(kind="downsampled", removed=0.7),
    cells=40,
    genes=30,
    depth_of="noisy",
    depth_factor=5,
)
T_CELL, CD4, B_CELL = "CL:0000084", "CL:0000624", "CL:0000236"
ANNOTATE = {
    "batch_size": 16, "cells": 1000, "max_genes": 30, "candidates": 5, "rival_odds": 0.5, "least_confidence": 0.0,
    "refinements": {
        "smoothed": {"kind": "smooth", "neighbors": 6, "strength": 0.1, "weights": "equal"},
        "cluster_mean": {"kind": "pool", "neighbors": 15, "resolution": 1, "statistic": "mean"},
        "cluster_max": {"kind": "pool", "neighbors": 15, "resolution": 1, "statistic": "max"},
    },
}  # fmt: skip


def make_cells(
    cells: int = 60, genes: int = 50, *, types: tuple[str, ...] = (CD4, B_CELL), seed: int = 0, unknown: int = 0
) -> AnnData:
    """Cells of some types with programs of their own, in two batches; the first `unknown` cells have no label."""
    rng = np.random.default_rng(seed)
    vocabulary = make_genes()
    start, _ = vocabulary.span(HUMAN)
    ids = vocabulary.frame["gene_id"].to_numpy()[start : start + genes]
    programs = np.random.default_rng(99).gamma(0.6, 4.0, size=(len(types), genes)) + 0.05
    kind = np.arange(cells) % len(types)
    depth = rng.lognormal(0, 0.4, size=(cells, 1))
    mean = programs[kind] * depth
    counts = rng.poisson(mean).astype(np.int32)
    obs = pd.DataFrame(index=[f"cell{seed}_{i}" for i in range(cells)])
    for name in CLASSES:
        obs[f"{name}_ontology_term_id"] = "unknown"
    obs["cell_type_ontology_term_id"] = np.where(np.arange(cells) < unknown, "unknown", np.array(types)[kind])
    obs["organism_ontology_term_id"] = HUMAN
    obs["batch"] = np.where(np.arange(cells) // len(types) % 2, "b1", "b2")
    obs["cluster"] = kind.astype(str)
    obs["depth"] = counts.sum(1)
    var = pd.DataFrame({"symbol": [f"G{i}" for i in range(genes)]}, index=pd.Index(ids, name="gene_id"))
    adata = AnnData(sparse.csr_matrix(counts), obs=obs, var=var)
    adata.layers["true_mean"] = mean.astype(np.float32)
    expression = np.log1p(counts / np.maximum(counts.sum(1, keepdims=True), 1) * 1e4)
    adata.obsm["X_pca"] = PCA(5, svd_solver="full").fit_transform(expression).astype(np.float32)
    square = ((counts[:, None, :].astype(float) - counts[None]) ** 2).sum(-1) + np.eye(cells) * 1e9
    nearest = np.argsort(square, axis=1)[:, :6]
    adata.obsm["neighbor"] = nearest.astype(np.int32)
    adata.obsm["neighbor_distance"] = np.sqrt(np.take_along_axis(square, nearest, 1)).astype(np.float32)
    return adata


def write_cells(cells: AnnData, folder: Path, *, organism: str = HUMAN) -> Shard:
    """Write such cells as a shard."""
    cells.obs["cell_type_cluster"] = cells.obs["cell_type_ontology_term_id"]
    cells.uns["scprint2"] = {"dataset": folder.name, "organism": organism}
    gene_ids = make_genes().gene_ids(HUMAN).tolist()
    write_shard(cells, folder, gene_ids=gene_ids, validation_share=0.1)
    return Shard.open(folder)
