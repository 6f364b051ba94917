import numpy as np
import pytest
from scipy.stats import chisquare, nbinom

from scprint2.simulate.counts import draw_counts, dropout_share, expected_counts
from scprint2.simulate.terms import ASSAYS


@pytest.mark.parametrize(("mean", "dispersion"), [(0.3, 2.0), (4.0, 6.0), (50.0, 1.5)])
def test_counts_follow_scipys_negative_binomial(mean, dispersion):
    rng = np.random.default_rng(0)
    counts = draw_counts(rng, np.full((40_000, 1), mean), dispersion=dispersion, zero_share=np.array(0.0)).ravel()
    law = nbinom(dispersion, dispersion / (dispersion + mean))
    assert counts.mean() == pytest.approx(law.mean(), rel=0.03)
    assert counts.var() == pytest.approx(law.var(), rel=0.06)
    edges = np.unique(law.ppf(np.linspace(0, 1, 11)[1:-1]))
    observed = np.bincount(np.searchsorted(edges, counts), minlength=len(edges) + 1)
    expected = np.diff([0, *law.cdf(edges), 1]) * len(counts)
    assert chisquare(observed, expected).pvalue > 1e-3


def test_zeros_beyond_the_negative_binomial_come_at_the_given_rate():
    rng = np.random.default_rng(1)
    counts = draw_counts(rng, np.full((20_000, 2), 200.0), dispersion=50.0, zero_share=np.array([0.0, 0.3]))
    assert (counts == 0).mean(0) == pytest.approx([0, 0.3], abs=0.01)


def test_dropout_falls_with_the_mean_to_half_at_the_assays_scale():
    assay = ASSAYS["Smart-seq2"]
    shares = dropout_share(np.array([[0.0, assay.dropout_mean, 1e6]]), assay).ravel()
    assert shares == pytest.approx([assay.dropout, assay.dropout / 2, 0], abs=1e-4)


def test_expected_counts_sum_to_the_depth_and_bear_large_log_expression():
    mean = expected_counts(np.array([[0.0, np.log(3)], [900.0, 900.0]]), depth=np.array([40.0, 10.0]))
    assert mean == pytest.approx(np.array([[10.0, 30.0], [5.0, 5.0]]))
