import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from scprint2.metrics.confidence import (
    accuracy_answered,
    calibrate,
    calibration_error,
    risk_coverage_area,
    risk_coverage_curve,
    score_confidence,
)


def make_calls(cells=500, *, seed=0):
    """Calls that are right as often as their confidence says."""
    rng = np.random.default_rng(seed)
    confidence = rng.random(cells).astype(np.float32)
    return rng.random(cells) < confidence, confidence


def test_the_risk_is_the_error_rate_among_the_answered_cells_by_hand():
    right = np.array([True, False, True, True])
    confidence = np.array([0.9, 0.6, 0.8, 0.1])
    coverage, risk = risk_coverage_curve(right, confidence)
    np.testing.assert_allclose(coverage, [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(risk, [0, 0, 1 / 3, 1 / 4])
    assert risk_coverage_area(right, confidence) == pytest.approx(100 * (1 / 3 + 1 / 4) / 4)


def test_the_curve_is_that_of_every_threshold():
    right, confidence = make_calls()
    coverage, risk = risk_coverage_curve(right, confidence)
    for threshold in np.quantile(confidence, [0.1, 0.5, 0.9]):
        answered = confidence >= threshold
        at = np.searchsorted(coverage, answered.mean() - 1e-9)
        assert risk[at] == pytest.approx(1 - right[answered].mean())


def test_cells_of_one_confidence_count_their_mean_whatever_their_order():
    right = np.array([True, True, False, False, True])
    confidence = np.array([0.5, 0.9, 0.5, 0.5, 0.5])
    order = np.random.default_rng(0).permutation(5)
    assert risk_coverage_area(right, confidence) == pytest.approx(risk_coverage_area(right[order], confidence[order]))
    np.testing.assert_allclose(risk_coverage_curve(right, confidence)[1], [0, 0.25, 1 / 3, 0.375, 0.4])


@pytest.mark.parametrize(
    ("confidence", "area"), [("perfect", 0.0), ("constant", 30.0), ("permuted", 30.0), ("inverted", None)]
)
def test_golden_areas(confidence, area):
    rng = np.random.default_rng(0)
    right = rng.permutation(np.arange(1000) < 700)
    values = {
        "perfect": right * 1.0,
        "constant": np.full(1000, 0.4),
        "permuted": rng.random(1000),
        "inverted": 1.0 - right,
    }[confidence]
    found = risk_coverage_area(right, values)
    if confidence == "perfect":  # the wrong cells come last: 1/701 + 2/702 + ... + 300/1000
        area = 100 * sum((count - 700) / count for count in range(701, 1001)) / 1000
    if confidence == "inverted":
        assert found > 60
    else:
        assert found == pytest.approx(area, abs=3 if confidence == "permuted" else 1e-9)


def test_accuracy_of_the_answered_leaves_out_the_least_sure():
    right = np.arange(10) > 0
    confidence = np.linspace(0.1, 1, 10)  # the wrong cell is the least sure
    assert accuracy_answered(right, confidence, share=0.9) == 100
    assert accuracy_answered(right, confidence, share=1.0) == 90
    assert accuracy_answered(right, np.full(10, 0.5), share=0.9) == pytest.approx(90)


def test_calibration_is_scikit_learns():
    right, confidence = make_calls()
    ours = calibrate(right, confidence)
    found, stated = calibration_curve(right, confidence, n_bins=10, strategy="uniform")
    np.testing.assert_allclose(ours.found, found)
    np.testing.assert_allclose(ours.stated, stated, rtol=1e-6)
    assert ours.cells.sum() == 500


def test_calibration_error_by_hand_and_near_zero_where_the_confidence_is_honest():
    right, confidence = np.array([True, True, False, True]), np.array([0.95, 0.97, 0.35, 0.35])
    assert calibration_error(right, confidence) == pytest.approx(100 * (0.5 * 0.04 + 0.5 * 0.15))
    assert calibration_error(*make_calls(20000)) < 1.5
    right, confidence = make_calls(20000)
    assert calibration_error(right, np.ones(20000)) == pytest.approx(100 * (1 - right.mean()))


def test_a_confidence_of_one_belongs_to_the_last_bin():
    assert calibrate(np.array([True]), np.array([1.0])).cells.tolist() == [1]


def test_no_cells_and_logits_in_place_of_probabilities_fail_with_the_reason():
    empty = score_confidence(np.array([], dtype=bool), np.array([]))
    logits = score_confidence(np.array([True, False]), np.array([3.0, -1.0]))
    assert all("no cell is left" in score.reason for score in empty.values())
    assert all("probabilities in [0, 1]" in score.reason for score in logits.values())
    assert len(empty) == len(logits) == 3
