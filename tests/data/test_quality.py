import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from scprint2.data.quality import quality_filter


def counts(cells=100, genes=300, *, seed=0):
    return np.random.default_rng(seed).poisson(2, size=(cells, genes))


def keep(matrix, obs=None, *, minimum_genes=20, deviations=5.0):
    obs = pd.DataFrame(index=range(len(matrix))) if obs is None else obs
    return quality_filter(
        scipy.sparse.csr_matrix(matrix.astype(np.int32)), obs, minimum_genes=minimum_genes, deviations=deviations
    )


def test_good_cells_are_all_kept():
    kept, removed = keep(counts())
    assert kept.all()
    assert removed == {
        "minimum_genes": 6,  # 2 % of 300 genes are fewer than 20
        "removed_not_primary": 0, "removed_few_genes": 0, "removed_duplicates": 0, "removed_outliers": 0,
    }  # fmt: skip


def test_cells_with_few_genes_and_empty_cells_go():
    matrix = counts(genes=2000)
    matrix[3, 10:] = 0
    matrix[4] = 0
    kept, removed = keep(matrix)
    assert np.flatnonzero(~kept).tolist() == [3, 4]
    assert (removed["minimum_genes"], removed["removed_few_genes"]) == (20, 2)


def test_of_equal_cells_the_first_stays():
    matrix = counts()
    matrix[50] = matrix[7]
    kept, removed = keep(matrix)
    assert np.flatnonzero(~kept).tolist() == [50]
    assert removed["removed_duplicates"] == 1


def test_outliers_in_depth_and_in_the_share_of_the_top_genes_go():
    matrix = counts()
    matrix[5] *= 50
    matrix[6, :20] += 60
    kept, removed = keep(matrix)
    assert np.flatnonzero(~kept).tolist() == [5, 6]
    assert removed["removed_outliers"] == 2
    assert keep(matrix, deviations=1e6)[0].all()


def test_cells_that_are_copies_of_other_datasets_go():
    obs = pd.DataFrame({"is_primary_data": [True] * 90 + [False] * 10})
    kept, removed = keep(counts(), obs)
    assert kept.sum() == 90
    assert removed["removed_not_primary"] == 10


def test_cells_without_spread_have_no_outliers():
    assert keep(np.eye(30, dtype=int) + 1, minimum_genes=1)[0].all()


def test_where_no_cell_is_left_the_reasons_are_counted():
    obs = pd.DataFrame({"is_primary_data": [False] * 100})
    with pytest.raises(ValueError, match=r"leaves no cell of 100: .*'removed_not_primary': 100.*is_primary_data"):
        keep(counts(), obs)
