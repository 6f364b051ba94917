"""Gene networks without a foundation model, and controls that know nothing of single edges."""

from collections.abc import Callable

import numpy as np
from anndata import AnnData
from jaxtyping import Bool, Float

from scprint2.baselines.training_cells import TrainingCells, organism_of
from scprint2.tasks.layout import Group, Network, lay_out
from scprint2.tasks.networks import NetworkSettings, prepare_groups
from scprint2.tasks.selection import dense_counts, log_normalize

Infer = Callable[[Group], Float[np.ndarray, "gene gene"]]


def pearson(train: TrainingCells, adata: AnnData, *, settings: NetworkSettings, seed: int) -> AnnData:
    """Absolute Pearson correlation of log-normalized expression over the same cells: no direction, no model."""
    return _infer(adata, settings, "pearson", lambda group: _correlate(_expression(adata, group)))


def spearman(train: TrainingCells, adata: AnnData, *, settings: NetworkSettings, seed: int) -> AnnData:
    """Absolute Spearman correlation of log-normalized expression; cells of equal expression share their mean rank."""
    from scipy.stats import rankdata

    def correlate(group: Group) -> Float[np.ndarray, "gene gene"]:
        return _correlate(rankdata(_expression(adata, group), axis=0))

    return _infer(adata, settings, "spearman", correlate)


def genie3(train: TrainingCells, adata: AnnData, *, settings: NetworkSettings, seed: int) -> AnnData:
    """Importance of each other gene for predicting a gene's log-normalized expression, by extremely randomized trees.

    Targets are scaled to variance 1, every gene may regulate, each split looks at the square root of their number: GENIE3 with
    few trees (`settings.trees` for each gene) and random thresholds in place of the best ones, which costs less.

    Source: Huynh-Thu et al. 2010, doi:10.1371/journal.pone.0012776.
    """
    from sklearn.ensemble import ExtraTreesRegressor

    def grow(group: Group) -> Float[np.ndarray, "gene gene"]:
        expression = _expression(adata, group)
        scores = np.zeros((expression.shape[1],) * 2, dtype=np.float32)
        for target in np.flatnonzero(np.ptp(expression, axis=0) > 0):
            regulators = expression.copy()
            regulators[:, target] = 0  # a constant is never split on
            forest = ExtraTreesRegressor(settings.trees, max_features="sqrt", random_state=seed)  # pyright: ignore[reportArgumentType]
            forest.fit(regulators, expression[:, target] / expression[:, target].std())
            scores[:, target] = forest.feature_importances_
        return scores

    return _infer(adata, settings, "genie3", grow)


def expression_prior(train: TrainingCells, adata: AnnData, *, settings: NetworkSettings, seed: int) -> AnnData:
    """Product of the two genes' mean log-normalized expression: what is known about edges from how much there is of each gene."""

    def multiply(group: Group) -> Float[np.ndarray, "gene gene"]:
        level = _expression(adata, group).mean(axis=0)
        return np.outer(level, level)

    return _infer(adata, settings, "expression_prior", multiply)


def regulator_prior(train: TrainingCells, adata: AnnData, *, settings: NetworkSettings, seed: int) -> AnnData:
    """1 for every edge that leaves a transcription factor, 0 for the others; ties count by their expected value."""

    def mark(group: Group) -> Float[np.ndarray, "gene gene"]:
        regulates = _regulates(train, adata, group)
        return np.repeat(regulates[:, None], len(regulates), axis=1).astype(np.float32)

    return _infer(adata, settings, "regulator_prior", mark)


def shuffled_pearson(train: TrainingCells, adata: AnnData, *, settings: NetworkSettings, seed: int) -> AnnData:
    """The network `pearson`, its genes dealt other names: the same edges, and nothing known of the genes."""
    rng = np.random.default_rng(seed)

    def shuffle(group: Group) -> Float[np.ndarray, "gene gene"]:
        scores, order = _correlate(_expression(adata, group)), rng.permutation(len(group.genes))
        return scores[order][:, order]

    return _infer(adata, settings, "shuffled_pearson", shuffle)


def random_regulators(train: TrainingCells, adata: AnnData, *, settings: NetworkSettings, seed: int) -> AnnData:
    """Random scores for edges that leave a transcription factor, 0 for the others."""
    rng = np.random.default_rng(seed)

    def draw(group: Group) -> Float[np.ndarray, "gene gene"]:
        regulates = _regulates(train, adata, group)
        return rng.random((len(regulates), len(regulates)), dtype=np.float32) * regulates[:, None]

    return _infer(adata, settings, "random_regulators", draw)


def _expression(adata: AnnData, group: Group) -> Float[np.ndarray, "cell gene"]:
    """Log-normalized expression of a group's genes in its cells; their depth is that of all genes."""
    return log_normalize(dense_counts(adata[group.rows]))[:, group.genes]


def _correlate(values: Float[np.ndarray, "cell gene"]) -> Float[np.ndarray, "gene gene"]:
    """Absolute correlation between columns; 0 where one of them is constant."""
    centered = values - values.mean(axis=0)
    norm = np.linalg.norm(centered, axis=0)
    scaled = np.divide(centered, norm, out=np.zeros_like(centered), where=norm > 0)
    return np.abs(scaled.T @ scaled)


def _regulates(train: TrainingCells, adata: AnnData, group: Group) -> Bool[np.ndarray, " gene"]:
    """Which of a group's genes are transcription factors."""
    start, stop = train.genes.span(organism_of(adata))
    table = train.genes.frame.iloc[start:stop]
    factors = table.loc[table["is_tf"].astype(bool), "gene_id"].tolist()
    return adata.var_names[group.genes].isin(factors)


def _infer(adata: AnnData, settings: NetworkSettings, method: str, infer: Infer) -> AnnData:
    groups = prepare_groups(adata, settings)
    return lay_out(adata, [Network(group, method, infer(group).astype(np.float32)) for group in groups])
