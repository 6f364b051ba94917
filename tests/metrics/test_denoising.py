import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.stats import spearmanr

from scprint2.metrics.denoising import (
    CELLS_AT_ONCE,
    per_cell_gain,
    score_by_depth,
    score_denoising,
    spearman,
    spearman_per_cell,
)


def make_counts() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noise-free means, counts drawn from them, and what is left of the counts after a downsampling."""
    rng = np.random.default_rng(0)
    means = rng.gamma(0.6, 4, size=(40, 60))
    full = rng.poisson(means)
    return means, full, rng.binomial(full, 0.4)


def test_spearman_is_that_of_scipy_with_ties():
    rng = np.random.default_rng(0)
    left, right = rng.integers(0, 5, 300), rng.integers(0, 7, 300)
    assert spearman(left, right) == pytest.approx(spearmanr(left, right).statistic, abs=1e-12)


def test_correlations_of_many_cells_are_those_of_one_after_the_other():
    rng = np.random.default_rng(0)
    truth = rng.poisson(1.5, size=(CELLS_AT_ONCE + 9, 30))  # more cells than are sorted in one call, with ties
    values = truth + rng.normal(size=truth.shape).round(1)
    found = spearman_per_cell(values, truth, where=truth > 0)
    for cell, on in enumerate(truth > 0):
        if np.ptp(truth[cell, on]) > 0:
            assert found[cell] == spearman(values[cell, on], truth[cell, on])
    assert np.isfinite(found).sum() > CELLS_AT_ONCE


def test_a_cell_that_is_constant_or_empty_has_no_correlation():
    truth = np.array([[1, 2, 3], [2, 2, 0], [0, 0, 0], [0, 0, 7]])
    assert np.isnan(spearman_per_cell(truth, truth, where=truth > 0)).tolist() == [False, True, True, True]


def test_the_gain_pools_the_entries_that_are_non_zero_in_the_full_profile():
    full = np.array([[1, 2, 0], [3, 0, 4]])
    noisy = np.array([[1, 0, 0], [0, 0, 4]])
    denoised = np.array([[1.0, 2.0, 9.0], [3.0, 9.0, 4.0]])  # right wherever full is not zero
    scores = score_denoising(full, noisy=noisy, denoised=denoised)
    before = spearmanr([1, 0, 0, 4], [1, 2, 3, 4]).statistic
    assert scores["spearman_denoised"].value == pytest.approx(1)
    assert scores["spearman_noisy"].value == pytest.approx(before)
    assert scores["spearman_gain"].value == pytest.approx(100 * (1 - before))
    assert scores["spearman_denoised_all"].value == pytest.approx(spearmanr(full.ravel(), denoised.ravel()).statistic)


def test_perfect_identity_random_and_true_means_are_ordered_as_they_must_be():
    means, full, noisy = make_counts()
    rng = np.random.default_rng(1)

    def gain(denoised: np.ndarray, metric: str = "spearman_gain") -> float:
        value = score_denoising(full, noisy=noisy, denoised=denoised, true_mean=means)[metric].value
        assert value is not None
        return value

    assert gain(noisy) == 0
    assert gain(rng.random(full.shape)) < 0 < gain(means) < gain(full)
    assert score_denoising(full, noisy=noisy, denoised=full)["spearman_denoised"].value == pytest.approx(1)
    assert gain(full, "spearman_gain_true_mean") < gain(means, "spearman_gain_true_mean")


def test_a_constant_or_infinite_profile_fails_with_its_reason():
    _, full, noisy = make_counts()
    scores = score_denoising(full, noisy=noisy, denoised=np.ones(full.shape))
    assert scores["spearman_gain"].value is None
    assert "constant" in scores["spearman_gain"].reason
    assert "constant" in scores["spearman_gain_per_cell"].reason
    broken = noisy.astype(float)
    broken[3, np.flatnonzero(full[3])[0]] = np.nan
    assert (
        "1 entries that are not finite" in score_denoising(full, noisy=noisy, denoised=broken)["spearman_gain"].reason
    )


def test_the_gain_per_cell_is_the_mean_of_the_cells_own():
    _, full, noisy = make_counts()
    gains = []
    for cell in range(len(full)):
        on = full[cell] != 0
        gains.append(100 * (1 - spearmanr(noisy[cell, on], full[cell, on]).statistic))
    assert per_cell_gain(full, noisy=noisy, denoised=full) == pytest.approx(np.mean(gains))


def test_cells_without_an_order_are_left_out_of_the_gain_per_cell():
    full = np.array([[1, 2, 3, 4], [2, 2, 2, 0], [1, 2, 3, 0]])
    noisy = np.array([[1, 0, 0, 2], [1, 0, 2, 0], [0, 0, 0, 0]])  # only the first cell has two counts on both sides
    expected = 100 * (1 - spearmanr(noisy[0], full[0]).statistic)
    assert per_cell_gain(full, noisy=noisy, denoised=full) == pytest.approx(expected)


def test_sparse_counts_score_as_dense_ones():
    means, full, noisy = make_counts()
    dense = score_denoising(full, noisy=noisy, denoised=means, true_mean=means)
    assert score_denoising(csr_matrix(full), noisy=csr_matrix(noisy), denoised=means, true_mean=means) == dense


def test_shapes_that_differ_are_an_error():
    with pytest.raises(ValueError, match=r"noisy has shape \(2, 3\), full has \(2, 4\)"):
        score_denoising(np.ones((2, 4)), noisy=csr_matrix(np.ones((2, 3))), denoised=np.ones((2, 4)))


def test_the_score_of_a_quarter_by_depth_is_the_score_of_its_cells_alone():
    means, full, noisy = make_counts()
    depth = np.random.default_rng(3).permutation(40)
    scores = score_by_depth(full, noisy=noisy, denoised=means, depth=depth)
    assert list(scores) == [f"spearman_gain:depth_{part}" for part in (1, 2, 3, 4)]
    for part in range(4):  # ten cells each, the shallowest first
        cells = (depth >= 10 * part) & (depth < 10 * (part + 1))
        alone = score_denoising(full[cells], noisy=noisy[cells], denoised=means[cells])["spearman_gain"]
        assert scores[f"spearman_gain:depth_{part + 1}"].value == pytest.approx(alone.value)


def test_by_depth_perfect_identity_constant_and_permuted_rows_score_as_they_must():
    _, full, noisy = make_counts()
    depth = noisy.sum(axis=1)

    def gains(denoised: np.ndarray) -> list[float | None]:
        return [score.value for score in score_by_depth(full, noisy=noisy, denoised=denoised, depth=depth).values()]

    assert gains(noisy) == [0, 0, 0, 0]
    perfect, permuted = gains(full), gains(full[np.random.default_rng(1).permutation(40)])
    assert all(best > 0 > other for best, other in zip(perfect, permuted, strict=True))
    assert gains(np.ones(full.shape)) == [None] * 4


def test_a_quarter_without_cells_fails_alone():
    _, full, noisy = make_counts()
    scores = score_by_depth(full[:3], noisy=noisy[:3], denoised=full[:3], depth=np.array([3, 1, 2]))
    assert [score.status for score in scores.values()] == ["ok", "ok", "failed", "ok"]
    assert "constant over 0 entries" in scores["spearman_gain:depth_3"].reason
