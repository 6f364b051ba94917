import numpy as np
import pytest
import scipy.sparse as sp

from scprint2.simulate.statistics import summarize_counts


def test_poisson_counts_have_the_variance_and_zeros_of_poisson():
    rng = np.random.default_rng(0)
    mean = np.repeat([0.1, 1.0, 10.0], 200)
    summary = summarize_counts(sp.csr_matrix(rng.poisson(mean, (3000, 600))), bins=3)
    assert summary.genes["mean"].to_numpy() == pytest.approx([0.1, 1, 10], rel=0.02)
    assert summary.genes["variance_50"].to_numpy() == pytest.approx([0.1, 1, 10], rel=0.03)
    assert summary.genes["zero_share_50"].to_numpy() == pytest.approx(np.exp([-0.1, -1, -10]), abs=0.01)
    assert summary.cells.loc[summary.cells["percentile"] == 50, "depth"].item() == pytest.approx(mean.sum(), rel=0.01)


def test_variance_is_numpys_and_genes_without_counts_are_left_out():
    counts = np.tile([[4, 0, 1], [0, 0, 3], [2, 0, 2]], (1, 10))
    genes = summarize_counts(sp.csr_matrix(counts), bins=1).genes
    assert genes["number"].item() == 20
    assert genes["variance_90"].item() == pytest.approx(np.var([4, 0, 2], ddof=1))


def test_an_empty_matrix_is_refused():
    with pytest.raises(ValueError, match="0 counts"):
        summarize_counts(sp.csr_matrix((4, 3)))
