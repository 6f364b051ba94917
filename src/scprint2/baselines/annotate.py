"""Cell type annotation by classifiers trained on the labeled cells of the corpus that the models see."""

from collections import Counter

import numpy as np
from anndata import AnnData
from jaxtyping import Float, Shaped
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from scprint2.baselines.training_cells import TrainingCells, cell_types, labeled_cells, organism_of
from scprint2.data.clusters import principal_components
from scprint2.tasks.annotate import AnnotateSettings, Evidence, answer
from scprint2.tasks.answers import call_best
from scprint2.tasks.layout import UNKNOWN
from scprint2.tasks.refinement import CellGraph, VoteConfig, to_logits
from scprint2.tasks.selection import dense_counts, draw_cells, log_normalize

COMPONENTS = 50
NEIGHBORS = 15
# After CellTypist's defaults: penalty, where scaled values are cut, genes per type of the second fit, neighbors of its graph.
PENALTY, LARGEST_SCALED, GENES_PER_TYPE, VOTING_NEIGHBORS = 1e-4, 10, 300, 10
EPOCHS = 30  # its documentation: 10 to 30; until nothing changes, they would be some hundreds
OVER_CLUSTERING = ((5_000, 5), (20_000, 10), (40_000, 15), (100_000, 20), (200_000, 25))  # cells below, resolution
FINEST = 30  # the resolution for more cells


def majority(train: TrainingCells, adata: AnnData, *, settings: AnnotateSettings, seed: int) -> AnnData:
    """Call every cell what most labeled cells of the corpus are (of its organism, where there are any).

    The types' shares are its logits: it lists the most frequent types, and has no embedding.
    """
    organism = organism_of(adata)
    counts, everywhere = Counter[str](), Counter[str]()
    for shard in train.shards:
        types = Counter(cell_types(shard))
        everywhere.update(types)
        if shard.organism == organism:
            counts.update(types)
    del counts[UNKNOWN], everywhere[UNKNOWN]
    counts = counts or everywhere
    if not counts:
        raise ValueError("the corpus has no labeled cell; this baseline needs some")
    leaves = tuple(sorted(counts))
    share = np.array([counts[term] for term in leaves]) / counts.total()
    cells = adata[draw_cells(adata, settings.cells)]
    logits = np.tile(to_logits(share).astype(np.float32), (cells.n_obs, 1))
    return answer(cells, Evidence(leaves, logits, None), settings=settings)


def knn(train: TrainingCells, adata: AnnData, *, settings: AnnotateSettings, seed: int) -> AnnData:
    """Vote of the nearest labeled cells in the corpus' principal components."""
    cells, evidence = _classify(train, adata, settings, KNeighborsClassifier(NEIGHBORS), seed=seed)
    return answer(cells, evidence, settings=settings)


def logistic_regression(train: TrainingCells, adata: AnnData, *, settings: AnnotateSettings, seed: int) -> AnnData:
    """Logistic regression on the corpus' principal components."""
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    cells, evidence = _classify(train, adata, settings, classifier, seed=seed)
    return answer(cells, evidence, settings=settings)


def celltypist_style(train: TrainingCells, adata: AnnData, *, settings: AnnotateSettings, seed: int) -> AnnData:
    """One logistic regression per type on scaled genes, by stochastic gradient descent, and a vote in small clusters.

    In the style of CellTypist, over scikit-learn: log counts per 10,000, scaled and cut at 10; a first fit chooses the 300 genes
    with the largest coefficients of each type, a second one uses these; the calls of the cells in each cluster of a fine Leiden
    clustering of the test cells are put to the vote. A call's confidence is its share of the votes. Listed types, shared parents
    and refinements come from the logits before the vote.

    Source: Dominguez Conde et al. 2022, doi:10.1126/science.abl5197; CellTypist's documentation.
    """
    cells = adata[draw_cells(adata, settings.cells)]
    expression, types = labeled_cells(train, list(adata.var_names), organism=organism_of(adata))
    scaler = StandardScaler().fit(expression)
    leaves, logits = _fit_one_against_rest(
        np.minimum(scaler.transform(expression), LARGEST_SCALED),
        types,
        np.minimum(scaler.transform(log_normalize(dense_counts(cells))), LARGEST_SCALED),
        seed=seed,
    )
    points = principal_components(sparse.csr_matrix(cells.X), COMPONENTS, seed=0)
    resolution = next((fine for most, fine in OVER_CLUSTERING if cells.n_obs < most), FINEST)
    vote = VoteConfig(kind="vote", neighbors=VOTING_NEIGHBORS, resolution=resolution)
    voted = call_best(vote.refine(logits, CellGraph(points)), leaves, least_confidence=settings.least_confidence)
    return answer(cells, Evidence(leaves, logits, points), settings=settings, calls=voted)


def _fit_one_against_rest(
    expression: Float[np.ndarray, "cell gene"],
    types: Shaped[np.ndarray, " cell"],
    test: Float[np.ndarray, "test gene"],
    *,
    seed: int,
) -> tuple[tuple[str, ...], Float[np.ndarray, "test leaf"]]:
    """Fit twice, the second time on the genes with the largest coefficients; return the types and the test cells' logits."""
    leaves = tuple(np.unique(types).tolist())
    if len(leaves) < 2:
        raise ValueError(f"the corpus has one type of cell, {leaves}; this baseline needs two to tell apart")
    settings = {"loss": "log_loss", "alpha": PENALTY, "max_iter": EPOCHS, "tol": None, "random_state": seed}
    first = SGDClassifier(**settings).fit(expression, types)
    strongest = np.argsort(-np.abs(np.asarray(first.coef_)), axis=1, kind="stable")[:, :GENES_PER_TYPE]
    genes = np.unique(strongest)
    second = SGDClassifier(**settings).fit(expression[:, genes], types)
    logits = second.decision_function(test[:, genes])
    logits = np.column_stack([-logits, logits]) if len(leaves) == 2 else logits
    return leaves, logits.astype(np.float32)


def random_calls(train: TrainingCells, adata: AnnData, *, settings: AnnotateSettings, seed: int) -> AnnData:
    """Give every type of the corpus a random share in every cell: each is called as often as another."""
    cells = adata[draw_cells(adata, settings.cells)]
    leaves = tuple(sorted({term for shard in train.shards for term in cell_types(shard)} - {UNKNOWN}))
    if not leaves:
        raise ValueError("the corpus has no labeled cell; this baseline needs some")
    drawn = np.random.default_rng(seed).random((cells.n_obs, len(leaves)))
    logits = to_logits(drawn / drawn.sum(axis=1, keepdims=True)).astype(np.float32)
    return answer(cells, Evidence(leaves, logits, None), settings=settings)


def shuffled_calls(train: TrainingCells, adata: AnnData, *, settings: AnnotateSettings, seed: int) -> AnnData:
    """What `knn` says, dealt to other cells: the same types as often, and nothing known of the cell."""
    cells, evidence = _classify(train, adata, settings, KNeighborsClassifier(NEIGHBORS), seed=seed)
    order = np.random.default_rng(seed).permutation(cells.n_obs)
    points = None if evidence.embedding is None else evidence.embedding[order]
    return answer(cells, Evidence(evidence.leaves, evidence.logits[order], points), settings=settings)


def _classify(
    train: TrainingCells, adata: AnnData, settings: AnnotateSettings, classifier, *, seed: int
) -> tuple[AnnData, Evidence]:
    """Fit on the corpus' principal components; return the test cells and what the classifier says of them."""
    cells = adata[draw_cells(adata, settings.cells)]
    expression, types = labeled_cells(train, list(adata.var_names), organism=organism_of(adata))
    reduce = choose_reduction(expression.shape, seed=seed)
    classifier.fit(reduce.fit_transform(expression), types)
    points = reduce.transform(log_normalize(dense_counts(cells))).astype(np.float32)
    logits = to_logits(classifier.predict_proba(points)).astype(np.float32)
    return cells, Evidence(tuple(classifier.classes_.tolist()), logits, points)


def choose_reduction(shape: tuple[int, int], *, seed: int) -> PCA:
    """Principal components of so many cells and genes, by the covariance of genes where there are no more of them than cells.

    The square matrix of 12,000 genes took five minutes and 7 GB; ARPACK needs 7 s and 1 GB for the same components.
    """
    cells, genes = shape
    solver = "covariance_eigh" if genes <= cells else "arpack"
    return PCA(min(COMPONENTS, min(shape) - 1), svd_solver=solver, random_state=seed)
