"""How many cells get the right type, strictly and along the ontology."""

from collections.abc import Mapping, Sequence, Set

import numpy as np
from jaxtyping import Bool, Shaped
from sklearn.metrics import f1_score

from scprint2.metrics.attempt import attempt
from scprint2.metrics.score import Score

UNKNOWN = frozenset({"unknown", "", "nan", "None", "na"})  # how a missing term is written in obs columns
LISTED = (3, 5)  # K of the top-K accuracies


def score_annotation(
    truth: Shaped[np.ndarray, " cell"], prediction: Shaped[np.ndarray, " cell"], *, ancestors: Mapping[str, Set[str]]
) -> dict[str, Score]:
    """Score predicted ontology terms, each metric times 100.

    `accuracy` is Table 1's: a prediction is right when it is the true term or one of its descendants, and cells with an
    unknown truth or prediction are left out (as the paper does). `coverage` says which share of the cells with a known truth
    got a prediction: a model that abstains from the hard cells shows there. `macro_f1` counts a descendant of the truth as
    the truth; `accuracy_strict` and `macro_f1_strict` take only the same term as right.

    Parameters
    ----------
    truth, prediction
        One term id per cell, in the same order; `unknown` where there is none.
    ancestors
        Term to the terms above it, for every predicted term that has any.

    Source: Methods, "Classification task".
    """
    truth, prediction = truth.astype(str), prediction.astype(str)
    if truth.shape != prediction.shape:
        raise ValueError(
            f"{truth.size} true and {prediction.size} predicted terms: one of each per cell is needed, in order."
        )
    scored = is_known(truth) & is_known(prediction)
    coverage = attempt(_coverage, truth, prediction)
    truth, prediction = truth[scored], prediction[scored]
    right = is_right(truth, prediction, ancestors=ancestors)
    lifted = np.where(right, truth, prediction)
    return {
        "accuracy": attempt(_share, right),
        "accuracy_strict": attempt(_share, truth == prediction),
        "macro_f1": attempt(macro_f1, truth, lifted),
        "macro_f1_strict": attempt(macro_f1, truth, prediction),
        "coverage": coverage,
    }


def score_candidates(
    truth: Shaped[np.ndarray, " cell"],
    candidates: Shaped[np.ndarray, "cell candidate"],
    *,
    types: int,
    ancestors: Mapping[str, Set[str]],
) -> dict[str, Score]:
    """Score listed types, best first: the share of cells (times 100) that have a right one among the first 3, and 5.

    Right is the true term or one of its descendants; with `_strict` the true term alone. Cells of unknown truth are left out. A
    method that knows fewer `types` lists all of them.

    Source: Results, "top-K predictions".
    """
    known = is_known(truth)
    truth, candidates = truth[known].astype(str), candidates[known].astype(str)
    hits = {
        "": [is_right(truth, column, ancestors=ancestors) for column in candidates.T],
        "_strict": [truth == column for column in candidates.T],
    }
    return {
        f"accuracy_top_{number}{suffix}": attempt(_share_listed, columns, min(number, types))
        for suffix, columns in hits.items()
        for number in LISTED
    }


def score_shared_parent(
    truth: Shaped[np.ndarray, " cell"],
    answers: Shaped[np.ndarray, " cell"],
    *,
    leaves: Sequence[str],
    ancestors: Mapping[str, Set[str]],
) -> dict[str, Score]:
    """Score answers that may be inner terms of the ontology, each metric times 100; cells of unknown truth are left out.

    `accuracy_shared_parent`: an answer is right when it is the true term, a descendant, or an ancestor of it. The root of the
    ontology is always right, so `information_shared_parent` says how much an answer excludes: 1 - log(leaf types at or below it)
    / log(leaf types), 1 for a leaf type, 0 for a term that holds all and for `unknown`. `informed_accuracy_shared_parent` is the
    mean over cells of that where the answer is right and 0 where it is wrong; it compares with `accuracy`, whose answers are
    leaf types.

    Parameters
    ----------
    leaves
        The types that are told apart.
    ancestors
        Term to the terms above it, for the leaf types, the answers and the true terms.
    """
    known = is_known(truth)
    truth, answers = truth[known].astype(str), answers[known].astype(str)
    right = is_right(truth, answers, ancestors=ancestors) | is_right(answers, truth, ancestors=ancestors)
    information = _information(answers, leaves, ancestors=ancestors)
    return {
        "accuracy_shared_parent": attempt(_share, right),
        "information_shared_parent": attempt(_share, information),
        "informed_accuracy_shared_parent": attempt(_share, information * right),
    }


def count_leaves(leaves: Sequence[str], *, ancestors: Mapping[str, Set[str]]) -> dict[str, int]:
    """Number of the leaf types at or below each term."""
    below: dict[str, int] = {}
    for leaf in leaves:
        for term in (leaf, *ancestors.get(leaf, ())):
            below[term] = below.get(term, 0) + 1
    return below


def is_known(terms: Shaped[np.ndarray, " cell"]) -> Bool[np.ndarray, " cell"]:
    """Which cells have a term."""
    return ~np.isin(terms.astype(str), list(UNKNOWN))


def is_right(
    truth: Shaped[np.ndarray, " cell"], prediction: Shaped[np.ndarray, " cell"], *, ancestors: Mapping[str, Set[str]]
) -> Bool[np.ndarray, " cell"]:
    """Which predictions are the true term or a descendant of it."""
    pairs, inverse = np.unique(np.stack([truth.astype(str), prediction.astype(str)]), axis=1, return_inverse=True)
    right = [true == predicted or true in ancestors.get(predicted, ()) for true, predicted in pairs.T.tolist()]
    return np.array(right, dtype=bool)[inverse.ravel()]


def expected_accuracy(
    truth: Shaped[np.ndarray, " cell"], calls: Shaped[np.ndarray, " call"], *, ancestors: Mapping[str, Set[str]]
) -> float:
    """Accuracy, times 100, that is expected when calls are dealt to cells by chance: that of every call for every cell."""
    terms, cells = np.unique(truth.astype(str), return_counts=True)
    called, times = np.unique(calls.astype(str), return_counts=True)
    right = is_right(np.repeat(terms, len(called)), np.tile(called, len(terms)), ancestors=ancestors)
    return 100 * float(np.average(right, weights=np.outer(cells, times).ravel()))


def macro_f1(truth: Shaped[np.ndarray, " cell"], prediction: Shaped[np.ndarray, " cell"]) -> float:
    """Mean of the F1 scores of all terms that occur on either side, times 100; scikit-learn's definition and default."""
    _refuse_empty(truth)
    return 100 * float(f1_score(truth, prediction, average="macro", zero_division=0.0))  # pyright: ignore[reportArgumentType]


def _coverage(truth: np.ndarray, prediction: np.ndarray) -> float:
    return _share(is_known(prediction[is_known(truth)]))


def _share_listed(hits: Sequence[Bool[np.ndarray, " cell"]], number: int) -> float:
    """Share of cells with a hit in the first columns."""
    if len(hits) < number:
        raise ValueError(f"{len(hits)} types are listed per cell, {number} are needed; raise `candidates` of the task")
    return _share(np.any(hits[:number], axis=0))


def _information(answers: np.ndarray, leaves: Sequence[str], *, ancestors: Mapping[str, Set[str]]) -> np.ndarray:
    """1 - log(leaf types at or below an answer) / log(leaf types); 0 for a term that holds none of them."""
    counts = count_leaves(leaves, ancestors=ancestors)
    terms, inverse = np.unique(answers, return_inverse=True)
    below = np.array([counts.get(term, 0) for term in terms.tolist()], dtype=float)
    most = np.log(max(len(leaves), 2))
    return np.where(below > 0, 1 - np.log(np.maximum(below, 1)) / most, 0.0)[inverse.ravel()]


def _share(right: np.ndarray) -> float:
    _refuse_empty(right)
    return 100 * float(right.mean())


def _refuse_empty(cells: np.ndarray) -> None:
    if cells.size == 0:
        raise ValueError("no cell is left to score: no cell has both a known truth and a prediction")
