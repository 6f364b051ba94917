"""From an annotation to its scores: the calls, the refined calls, the listed types, the shared parents and the confidence."""

from collections.abc import Mapping, Set

import numpy as np
from anndata import AnnData

from scprint2.metrics.annotation import is_known, is_right, score_annotation, score_candidates, score_shared_parent
from scprint2.metrics.confidence import score_confidence
from scprint2.metrics.score import Score, failed
from scprint2.tasks.layout import CANDIDATES, PREDICTED, REFINED, SHARED_PARENT, TERM, read_ancestors

REFINED_METRICS = ("accuracy", "accuracy_strict", "macro_f1", "macro_f1_strict")

Ancestors = Mapping[str, Set[str]]


def score_answers(prediction: AnnData) -> dict[str, Score]:
    """Score every answer of an annotation; refined calls carry the name of the refinement behind the metric.

    `answerable` is the share of cells (in percent) that the types which the method knows could get right. What a prediction does
    not hold, such as refined calls of a method without an embedding, has no scores.
    """
    above, truth = read_ancestors(prediction), read_terms(prediction, "")
    called = read_terms(prediction, PREDICTED)
    rows = score_annotation(truth, called, ancestors=above)
    answerable = float(prediction.uns["answerable"])
    rows["answerable"] = Score(100 * answerable) if np.isfinite(answerable) else failed("no cell has a label")
    scored = is_known(truth) & is_known(called)
    right = is_right(truth[scored], called[scored], ancestors=above)
    rows |= score_confidence(right, prediction.obs["confidence"].to_numpy(dtype=np.float32)[scored])
    for name in prediction.uns.get(REFINED, ()):
        found = score_annotation(truth, read_terms(prediction, name), ancestors=above)
        rows |= {f"{metric}_{name}": found[metric] for metric in REFINED_METRICS}
    return rows | _score_lists(prediction, truth, ancestors=above)


def read_terms(prediction: AnnData, answer: str) -> np.ndarray:
    """Return the terms of one answer; of the truth for an empty name."""
    return prediction.obs[f"{answer}_{TERM}" if answer else TERM].to_numpy(dtype=str)


def _score_lists(prediction: AnnData, truth: np.ndarray, *, ancestors: Ancestors) -> dict[str, Score]:
    """Score what comes from the logits of all types, where there are logits."""
    if CANDIDATES not in prediction.obsm:
        return {}
    leaves = np.asarray(prediction.uns["leaves"], dtype=str)
    listed = leaves[np.asarray(prediction.obsm[CANDIDATES])]
    parents = read_terms(prediction, SHARED_PARENT)
    return {
        **score_candidates(truth, listed, types=len(leaves), ancestors=ancestors),
        **score_shared_parent(truth, parents, leaves=leaves.tolist(), ancestors=ancestors),
    }
