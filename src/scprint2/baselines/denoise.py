"""Denoising without a foundation model."""

from collections.abc import Callable

import numpy as np
from anndata import AnnData
from jaxtyping import Float

from scprint2.baselines.optional import require
from scprint2.baselines.smoothing import smooth_neighbors
from scprint2.baselines.training_cells import TrainingCells
from scprint2.baselines.variational import fit_scvi
from scprint2.tasks.denoise import DenoiseSettings, prepare_denoising
from scprint2.tasks.layout import DENOISED
from scprint2.tasks.selection import dense_counts

MAGIC_STEPS = 3  # the package's default, as in the Open Problems benchmark
MAGIC_COMPONENTS = 100

Restore = Callable[[Float[np.ndarray, "cell gene"]], Float[np.ndarray, "cell gene"]]


def identity(train: TrainingCells, adata: AnnData, *, settings: DenoiseSettings, seed: int) -> AnnData:
    """Leave the noisy counts as they are."""
    return _denoise(adata, settings, lambda counts: counts)


def mean_profile(train: TrainingCells, adata: AnnData, *, settings: DenoiseSettings, seed: int) -> AnnData:
    """Give every cell the mean of the noisy profiles, at its depth: what can be had without telling cells apart."""

    def restore(counts: Float[np.ndarray, "cell gene"]) -> Float[np.ndarray, "cell gene"]:
        depth = np.maximum(counts.sum(axis=1, keepdims=True), 1)
        return (counts / depth).mean(axis=0, keepdims=True) * depth

    return _denoise(adata, settings, restore)


def magic(train: TrainingCells, adata: AnnData, *, settings: DenoiseSettings, seed: int) -> AnnData:
    """Diffuse square roots of depth-normalized counts over the cells' neighborhood graph (MAGIC), and undo both."""
    library = require("magic", package="magic-impute")

    def restore(counts: Float[np.ndarray, "cell gene"]) -> Float[np.ndarray, "cell gene"]:
        depth = np.maximum(counts.sum(axis=1, keepdims=True), 1)
        components = min(MAGIC_COMPONENTS, min(counts.shape) - 1)
        operator = library.MAGIC(t=MAGIC_STEPS, n_pca=components, random_state=seed, n_jobs=1, verbose=0)
        smooth = np.asarray(operator.fit_transform(np.sqrt(counts / depth * 1e4)))
        return np.maximum(smooth, 0) ** 2 * depth / 1e4

    return _denoise(adata, settings, restore)


def knn_smoothing(train: TrainingCells, adata: AnnData, *, settings: DenoiseSettings, seed: int) -> AnnData:
    """Add up the counts of like cells (kNN-smoothing 2), at the depth of the noisy cell."""

    def restore(counts: Float[np.ndarray, "cell gene"]) -> Float[np.ndarray, "cell gene"]:
        smooth = smooth_neighbors(counts)
        return smooth * (counts.sum(axis=1, keepdims=True) / np.maximum(smooth.sum(axis=1, keepdims=True), 1))

    return _denoise(adata, settings, restore)


def scvi_denoising(train: TrainingCells, adata: AnnData, *, settings: DenoiseSettings, seed: int) -> AnnData:
    """Train scVI on the noisy counts, and take its expected expression at the depth of the noisy cell."""

    def restore(counts: Float[np.ndarray, "cell gene"]) -> Float[np.ndarray, "cell gene"]:
        seen = np.flatnonzero(counts.any(axis=0))  # a gene without counts has no expression to learn
        shares = fit_scvi(counts[:, seen], batch=None, seed=seed).get_normalized_expression(return_numpy=True)
        restored = np.zeros_like(counts)
        restored[:, seen] = shares * counts.sum(axis=1, keepdims=True)
        return restored

    return _denoise(adata, settings, restore)


def random_profiles(train: TrainingCells, adata: AnnData, *, settings: DenoiseSettings, seed: int) -> AnnData:
    """Uniform random numbers in place of counts."""
    rng = np.random.default_rng(seed)
    return _denoise(adata, settings, lambda counts: rng.random(counts.shape, dtype=np.float32))


def shuffled_profiles(train: TrainingCells, adata: AnnData, *, settings: DenoiseSettings, seed: int) -> AnnData:
    """The noisy profile of another cell, drawn without replacement, at the cell's own depth."""

    def restore(counts: Float[np.ndarray, "cell gene"]) -> Float[np.ndarray, "cell gene"]:
        depth = np.maximum(counts.sum(axis=1, keepdims=True), 1)
        return np.random.default_rng(seed).permutation(counts / depth) * depth

    return _denoise(adata, settings, restore)


def _denoise(adata: AnnData, settings: DenoiseSettings, restore: Restore) -> AnnData:
    """Restore all genes of the noisy cells, and keep those that are scored."""
    problem = prepare_denoising(adata, settings)
    restored = restore(dense_counts(problem.noisy).astype(np.float32))
    columns = problem.noisy.var_names.get_indexer(problem.prediction.var_names)
    problem.prediction.layers[DENOISED] = restored[:, columns].astype(np.float32)
    return problem.prediction
