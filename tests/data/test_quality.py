import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from scprint2.data.quality import Measures, measure_cells, quality_filter


def counts(cells=100, genes=300, *, seed=0):
    return np.random.default_rng(seed).poisson(2, size=(cells, genes))


def keep(matrix, obs=None, *, minimum_genes=20, deviations=5.0):
    obs = pd.DataFrame(index=range(len(matrix))) if obs is None else obs
    measures = measure(matrix)
    found = quality_filter(measures, obs, genes=matrix.shape[1], minimum_genes=minimum_genes, deviations=deviations)
    return found.keep, found.removed


def measure(matrix, mitochondrial=()):
    on_it = np.isin(np.arange(matrix.shape[1]), mitochondrial)
    return measure_cells(scipy.sparse.csr_matrix(matrix.astype(np.int32)), mitochondrial=on_it)


def test_cells_are_measured_as_numpy_does_and_block_by_block_the_same():
    matrix = counts(cells=40, genes=90) * (np.random.default_rng(1).random((40, 90)) < 0.5)
    matrix[7] = 0
    found = measure(matrix, mitochondrial=[3, 80])
    assert found.genes.tolist() == (matrix > 0).sum(axis=1).tolist()
    assert found.depth.tolist() == matrix.sum(axis=1).tolist()
    assert found.top.tolist() == np.sort(matrix, axis=1)[:, -20:].sum(axis=1).tolist()
    assert found.mitochondrial.tolist() == matrix[:, [3, 80]].sum(axis=1).tolist()
    parts = Measures.join([measure(matrix[:13], [3, 80]), measure(matrix[13:], [3, 80])])
    for name in Measures.__dataclass_fields__:
        assert np.array_equal(getattr(parts, name), getattr(found, name)), name


def test_every_cell_has_the_reason_why_it_went_or_stayed():
    matrix = counts()
    matrix[50] = matrix[7]
    matrix[5] *= 50
    obs = pd.DataFrame({"is_primary_data": np.arange(100) != 2})
    found = quality_filter(measure(matrix), obs, genes=300, minimum_genes=20, deviations=5.0)
    assert {int(row): found.reason[row] for row in np.flatnonzero(~found.keep)} == {
        2: "not_primary", 5: "outliers", 50: "duplicates",
    }  # fmt: skip


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


def test_a_test_set_keeps_cells_that_are_copies_of_other_datasets():
    obs = pd.DataFrame({"is_primary_data": [False] * 100})
    settings = {"genes": 300, "minimum_genes": 20, "deviations": 5.0}
    found = quality_filter(measure(counts()), obs, **settings, secondary="keep")
    assert (found.keep.all(), found.removed["removed_not_primary"]) == (True, 0)


def test_cells_without_spread_have_no_outliers():
    assert keep(np.eye(30, dtype=int) + 1, minimum_genes=1)[0].all()


def test_where_no_cell_is_left_the_reasons_are_counted():
    obs = pd.DataFrame({"is_primary_data": [False] * 100})
    with pytest.raises(ValueError, match=r"leaves no cell of 100: .*'removed_not_primary': 100.*is_primary_data"):
        keep(counts(), obs)
