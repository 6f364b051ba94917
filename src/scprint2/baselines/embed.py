"""Embeddings without a foundation model."""

import numpy as np
from anndata import AnnData
from jaxtyping import Float
from sklearn.decomposition import PCA

from scprint2.baselines.training_cells import TrainingCells
from scprint2.tasks.embed import EmbedSettings, prepare_embedding
from scprint2.tasks.predictions import align
from scprint2.tasks.selection import dense_counts, log_normalize, variable_genes

GENES = 2000  # scIB's number of highly variable genes
COMPONENTS = 50
RANDOM_DIMENSIONS = 64


def pca(train: TrainingCells, adata: AnnData, *, settings: EmbedSettings, seed: int) -> AnnData:
    """Principal components of the test cells' log-normalized variable genes."""
    prediction = prepare_embedding(adata, settings)
    expression = _variable_expression(adata, prediction)
    components = min(COMPONENTS, min(expression.shape) - 1)
    embedding = PCA(components, svd_solver="full").fit_transform(expression)
    return _with_embedding(prediction, embedding)


def highly_variable_genes(train: TrainingCells, adata: AnnData, *, settings: EmbedSettings, seed: int) -> AnnData:
    """Log-normalized variable genes themselves: scIB's "unintegrated, HVG"."""
    prediction = prepare_embedding(adata, settings)
    return _with_embedding(prediction, _variable_expression(adata, prediction))


def random_embedding(train: TrainingCells, adata: AnnData, *, settings: EmbedSettings, seed: int) -> AnnData:
    """Normal random numbers: batches mix perfectly and nothing of the biology is left (D30)."""
    prediction = prepare_embedding(adata, settings)
    return _with_embedding(prediction, np.random.default_rng(seed).normal(size=(prediction.n_obs, RANDOM_DIMENSIONS)))


def _variable_expression(adata: AnnData, prediction: AnnData) -> Float[np.ndarray, "cell gene"]:
    cells = align(prediction, adata)
    return log_normalize(dense_counts(cells))[:, variable_genes(cells, GENES)]


def _with_embedding(prediction: AnnData, embedding: np.ndarray) -> AnnData:
    prediction.obsm["X_scprint2"] = embedding.astype(np.float32)
    return prediction
