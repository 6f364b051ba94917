"""Gene networks without a foundation model."""

from collections.abc import Callable

import numpy as np
from anndata import AnnData
from jaxtyping import Float

from scprint2.baselines.training_cells import TrainingCells, organism_of
from scprint2.tasks.layout import Group, Network, lay_out
from scprint2.tasks.networks import NetworkSettings, prepare_groups
from scprint2.tasks.selection import dense_counts, log_normalize

Infer = Callable[[Group], Float[np.ndarray, "gene gene"]]


def pearson(train: TrainingCells, adata: AnnData, *, settings: NetworkSettings, seed: int) -> AnnData:
    """Absolute Pearson correlation of log-normalized expression over the same cells: no direction, no model."""

    def correlate(group: Group) -> Float[np.ndarray, "gene gene"]:
        expression = log_normalize(dense_counts(adata[group.rows]))[:, group.genes]
        centered = expression - expression.mean(axis=0)
        norm = np.linalg.norm(centered, axis=0)
        scaled = np.divide(centered, norm, out=np.zeros_like(centered), where=norm > 0)
        return np.abs(scaled.T @ scaled)

    return _infer(adata, settings, "pearson", correlate)


def random_regulators(train: TrainingCells, adata: AnnData, *, settings: NetworkSettings, seed: int) -> AnnData:
    """Random scores for edges that leave a transcription factor, 0 for the others."""
    rng = np.random.default_rng(seed)
    start, stop = train.genes.span(organism_of(adata))
    table = train.genes.frame.iloc[start:stop]
    factors = set(table.loc[table["is_tf"].astype(bool), "gene_id"])

    def draw(group: Group) -> Float[np.ndarray, "gene gene"]:
        regulates = adata.var_names[group.genes].isin(list(factors))
        return rng.random((len(regulates), len(regulates)), dtype=np.float32) * regulates[:, None]

    return _infer(adata, settings, "random_regulators", draw)


def _infer(adata: AnnData, settings: NetworkSettings, method: str, infer: Infer) -> AnnData:
    groups = prepare_groups(adata, settings)
    return lay_out(adata, [Network(group, method, infer(group).astype(np.float32)) for group in groups])
