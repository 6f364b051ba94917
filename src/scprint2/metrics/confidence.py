"""Whether the confidence of a call is worth something: to abstain by, and as a probability."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from scprint2.metrics.attempt import attempt
from scprint2.metrics.score import Score

ANSWERED = 0.9  # the paper calls a tenth of the cells unknown
BINS = 10  # of equal width (Naeini et al. 2015; Guo et al. 2017 take 15)


@dataclass(frozen=True)
class Calibration:
    """Bins of confidence that hold any cell.

    Attributes
    ----------
    stated
        Mean confidence.
    found
        Share of right calls.
    """

    stated: Float[np.ndarray, " bin"]
    found: Float[np.ndarray, " bin"]
    cells: Int[np.ndarray, " bin"]


def score_confidence(right: Bool[np.ndarray, " cell"], confidence: Float[np.ndarray, " cell"]) -> dict[str, Score]:
    """Score the confidence of calls that are right or wrong, each metric times 100.

    `accuracy_answered_90`: accuracy on the 90 % of the cells with the highest confidence, the others being called unknown.
    `risk_coverage_area`: mean over all shares of answered cells of the error rate among them (0 is best, the error rate is what a
    confidence without information gets). `calibration_error`: mean over cells of |confidence - share right| in their bin.
    """
    return {
        "accuracy_answered_90": attempt(accuracy_answered, right, confidence, share=ANSWERED),
        "risk_coverage_area": attempt(risk_coverage_area, right, confidence),
        "calibration_error": attempt(calibration_error, right, confidence),
    }


def accuracy_answered(
    right: Bool[np.ndarray, " cell"], confidence: Float[np.ndarray, " cell"], *, share: float
) -> float:
    """Accuracy, times 100, when at least this share of the cells is answered, those of highest confidence first."""
    errors = expected_errors(right, confidence)
    return 100 - 100 * float(errors[: int(np.ceil(share * len(errors)))].mean())


def risk_coverage_area(right: Bool[np.ndarray, " cell"], confidence: Float[np.ndarray, " cell"]) -> float:
    """Area under the curve of the error rate among the answered cells over their share, times 100.

    Source: Geifman et al. 2019, "Bias-reduced uncertainty estimation for deep neural classifiers" (AURC).
    """
    return 100 * float(risk_coverage_curve(right, confidence)[1].mean())


def risk_coverage_curve(
    right: Bool[np.ndarray, " cell"], confidence: Float[np.ndarray, " cell"]
) -> tuple[Float[np.ndarray, " cell"], Float[np.ndarray, " cell"]]:
    """Share of answered cells, and the error rate among them, when one more cell is answered at a time by falling confidence."""
    errors = expected_errors(right, confidence)
    answered = np.arange(1, len(errors) + 1)
    return answered / len(errors), np.cumsum(errors) / answered


def expected_errors(
    right: Bool[np.ndarray, " cell"], confidence: Float[np.ndarray, " cell"]
) -> Float[np.ndarray, " cell"]:
    """Error of each cell, 0 or 1, by falling confidence; cells of one confidence have their mean, as their order is luck.

    Raises
    ------
    ValueError
        If there is no cell, or a confidence is not in [0, 1].
    """
    _check(right, confidence)
    _, group = np.unique(-confidence, return_inverse=True)
    return (np.bincount(group, ~right) / np.bincount(group))[np.sort(group)]


def calibrate(
    right: Bool[np.ndarray, " cell"], confidence: Float[np.ndarray, " cell"], *, bins: int = BINS
) -> Calibration:
    """Sort cells into bins of confidence, all of one width; an edge belongs to the bin above it, 1 to the last.

    Raises
    ------
    ValueError
        As `expected_errors`.
    """
    _check(right, confidence)
    which = np.minimum((confidence.astype(np.float64) * bins).astype(int), bins - 1)
    cells = np.bincount(which, minlength=bins)
    filled = cells > 0
    sums = (np.bincount(which, values, bins)[filled] for values in (confidence, right))
    stated, found = (total / cells[filled] for total in sums)
    return Calibration(stated, found, cells[filled])


def calibration_error(right: Bool[np.ndarray, " cell"], confidence: Float[np.ndarray, " cell"]) -> float:
    """Expected calibration error, times 100.

    Source: Naeini et al. 2015, "Obtaining well calibrated probabilities using Bayesian binning".
    """
    found = calibrate(right, confidence)
    return 100 * float(np.average(np.abs(found.stated - found.found), weights=found.cells))


def _check(right: np.ndarray, confidence: np.ndarray) -> None:
    if len(right) == 0:
        raise ValueError("no cell is left to score: no cell has both a known truth and a prediction")
    if not ((confidence >= 0) & (confidence <= 1)).all():
        raise ValueError(
            f"confidence from {confidence.min():g} to {confidence.max():g}: probabilities in [0, 1] are needed"
        )
