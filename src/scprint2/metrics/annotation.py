"""How many cells get the right type, strictly and along the ontology."""

from collections.abc import Mapping, Set

import numpy as np
from jaxtyping import Bool, Shaped
from sklearn.metrics import f1_score

from scprint2.metrics.score import Score, attempt

UNKNOWN = frozenset({"unknown", "", "nan", "None", "na"})  # how a missing term is written in obs columns


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


def macro_f1(truth: Shaped[np.ndarray, " cell"], prediction: Shaped[np.ndarray, " cell"]) -> float:
    """Mean of the F1 scores of all terms that occur on either side, times 100; scikit-learn's definition and default."""
    _refuse_empty(truth)
    return 100 * float(f1_score(truth, prediction, average="macro", zero_division=0.0))  # pyright: ignore[reportArgumentType]


def _coverage(truth: np.ndarray, prediction: np.ndarray) -> float:
    return _share(is_known(prediction[is_known(truth)]))


def _share(right: np.ndarray) -> float:
    _refuse_empty(right)
    return 100 * float(right.mean())


def _refuse_empty(cells: np.ndarray) -> None:
    if cells.size == 0:
        raise ValueError("no cell is left to score: no cell has both a known truth and a prediction")
