"""Cell type annotation by classifiers trained on the labeled cells of the corpus that the models see."""

from collections import Counter

import numpy as np
from anndata import AnnData
from jaxtyping import Float
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from scprint2.baselines.training_cells import TrainingCells, cell_types, labeled_cells, organism_of
from scprint2.tasks.annotate import AnnotateSettings, annotation
from scprint2.tasks.layout import TERM, UNKNOWN
from scprint2.tasks.selection import dense_counts, draw_cells, log_normalize

COMPONENTS = 50
NEIGHBORS = 15


def majority(train: TrainingCells, adata: AnnData, *, settings: AnnotateSettings, seed: int) -> AnnData:
    """Call every cell what most labeled cells of the corpus are (of its organism, where there are any)."""
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
    best = min(counts, key=lambda term: (-counts[term], term))
    cells = adata[draw_cells(adata, settings.cells)]
    share = counts[best] / counts.total()
    return annotation(cells, np.full(cells.n_obs, best), confidence=np.full(cells.n_obs, share), known=counts)


def knn(train: TrainingCells, adata: AnnData, *, settings: AnnotateSettings, seed: int) -> AnnData:
    """Vote of the nearest labeled cells in the corpus' principal components."""
    return _classify(train, adata, settings, KNeighborsClassifier(NEIGHBORS), seed=seed)


def logistic_regression(train: TrainingCells, adata: AnnData, *, settings: AnnotateSettings, seed: int) -> AnnData:
    """Logistic regression on the corpus' principal components."""
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    return _classify(train, adata, settings, classifier, seed=seed)


def random_calls(train: TrainingCells, adata: AnnData, *, settings: AnnotateSettings, seed: int) -> AnnData:
    """Call every cell one of the corpus' types, each as likely as another."""
    cells = adata[draw_cells(adata, settings.cells)]
    known = sorted({term for shard in train.shards for term in cell_types(shard)} - {UNKNOWN})
    if not known:
        raise ValueError("the corpus has no labeled cell; this baseline needs some")
    drawn = np.random.default_rng(seed).choice(np.array(known), cells.n_obs)
    return annotation(cells, drawn, confidence=np.full(cells.n_obs, 1 / len(known)), known=known)


def shuffled_calls(train: TrainingCells, adata: AnnData, *, settings: AnnotateSettings, seed: int) -> AnnData:
    """The calls of `knn`, dealt to other cells: the same types as often, and nothing known of the cell."""
    prediction = knn(train, adata, settings=settings, seed=seed)
    order = np.random.default_rng(seed).permutation(prediction.n_obs)
    for column in (f"predicted_{TERM}", "predicted_cell_type", "confidence"):
        prediction.obs[column] = prediction.obs[column].iloc[order].set_axis(prediction.obs_names)
    return prediction


def _classify(train: TrainingCells, adata: AnnData, settings: AnnotateSettings, classifier, *, seed: int) -> AnnData:
    cells = adata[draw_cells(adata, settings.cells)]
    expression, types = labeled_cells(train, list(adata.var_names), organism=organism_of(adata))
    reduce = PCA(min(COMPONENTS, min(expression.shape) - 1), svd_solver="covariance_eigh", random_state=seed)
    classifier.fit(reduce.fit_transform(expression), types)
    probability: Float[np.ndarray, "cell label"] = classifier.predict_proba(
        reduce.transform(log_normalize(dense_counts(cells)))
    )
    predicted = classifier.classes_[probability.argmax(axis=1)]
    return annotation(cells, predicted, confidence=probability.max(axis=1), known=classifier.classes_)
