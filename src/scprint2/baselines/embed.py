"""Embeddings without a foundation model."""

import numpy as np
import pandas as pd
from anndata import AnnData
from jaxtyping import Float
from sklearn.decomposition import PCA

from scprint2.baselines.optional import require
from scprint2.baselines.training_cells import TrainingCells
from scprint2.baselines.variational import fit_scvi
from scprint2.tasks.embed import EmbedSettings, prepare_embedding
from scprint2.tasks.layout import EMBEDDING
from scprint2.tasks.predictions import align
from scprint2.tasks.selection import dense_counts, log_normalize, variable_genes

GENES = 2000  # scIB's number of highly variable genes
COMPONENTS = 50
RANDOM_DIMENSIONS = 64


def pca(train: TrainingCells, adata: AnnData, *, settings: EmbedSettings, seed: int) -> AnnData:
    """Principal components of the test cells' log-normalized variable genes."""
    prediction = prepare_embedding(adata, settings)
    return _with_embedding(prediction, _principal_components(adata, prediction))


def harmony(train: TrainingCells, adata: AnnData, *, settings: EmbedSettings, seed: int) -> AnnData:
    """Move the principal components of each batch until clusters hold all batches (Harmony); it is told the batch."""
    library = require("harmonypy", package="harmonypy")
    prediction = prepare_embedding(adata, settings)
    points = _principal_components(adata, prediction)
    batches = pd.DataFrame({"batch": prediction.obs["batch"].to_numpy(dtype=str)})
    moved = library.run_harmony(points, batches, "batch", random_state=seed, verbose=False)
    corrected = np.asarray(moved.Z_corr)  # cells are columns in some versions of the library, rows in others
    return _with_embedding(prediction, corrected if len(corrected) == prediction.n_obs else corrected.T)


def scvi_embedding(train: TrainingCells, adata: AnnData, *, settings: EmbedSettings, seed: int) -> AnnData:
    """Train scVI on the counts of the test cells' variable genes, and take its latent space; it is told the batch."""
    prediction = prepare_embedding(adata, settings)
    cells = align(prediction, adata)
    counts = dense_counts(cells)[:, variable_genes(cells, GENES)].astype(np.float32)
    model = fit_scvi(counts, batch=pd.Series(prediction.obs["batch"]), seed=seed)
    return _with_embedding(prediction, model.get_latent_representation())


def highly_variable_genes(train: TrainingCells, adata: AnnData, *, settings: EmbedSettings, seed: int) -> AnnData:
    """Log-normalized variable genes themselves: scIB's "unintegrated, HVG"."""
    prediction = prepare_embedding(adata, settings)
    return _with_embedding(prediction, _variable_expression(adata, prediction))


def random_embedding(train: TrainingCells, adata: AnnData, *, settings: EmbedSettings, seed: int) -> AnnData:
    """Normal random numbers: batches mix perfectly and nothing of the biology is left (D30)."""
    prediction = prepare_embedding(adata, settings)
    return _with_embedding(prediction, np.random.default_rng(seed).normal(size=(prediction.n_obs, RANDOM_DIMENSIONS)))


def shuffled_pca(train: TrainingCells, adata: AnnData, *, settings: EmbedSettings, seed: int) -> AnnData:
    """The embedding `pca`, its rows dealt to other cells: real clusters that belong to no label and no batch."""
    prediction = pca(train, adata, settings=settings, seed=seed)
    embedding = np.asarray(prediction.obsm[EMBEDDING])
    return _with_embedding(prediction, np.random.default_rng(seed).permutation(embedding))


def _principal_components(adata: AnnData, prediction: AnnData) -> Float[np.ndarray, "cell component"]:
    expression = _variable_expression(adata, prediction)
    return PCA(min(COMPONENTS, min(expression.shape) - 1), svd_solver="full").fit_transform(expression)


def _variable_expression(adata: AnnData, prediction: AnnData) -> Float[np.ndarray, "cell gene"]:
    cells = align(prediction, adata)
    return log_normalize(dense_counts(cells))[:, variable_genes(cells, GENES)]


def _with_embedding(prediction: AnnData, embedding: np.ndarray) -> AnnData:
    prediction.obsm[EMBEDDING] = embedding.astype(np.float32)
    return prediction
