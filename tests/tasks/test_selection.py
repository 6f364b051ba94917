import numpy as np
import pytest
import scanpy as sc
from anndata import AnnData
from scipy import sparse

from scprint2.tasks.selection import (
    deepest_cells,
    dense_counts,
    downsample_counts,
    draw_cells,
    log_normalize,
    variable_genes,
)
from tests.tasks.example import make_cells


@pytest.mark.parametrize("removed", [0.35, 0.6, 0.7, 0.8, 1.0])
def test_the_noise_leaves_the_share_of_counts_that_the_formula_says(removed):
    counts = np.random.default_rng(0).poisson(60, size=(400, 300))
    kept = downsample_counts(counts, removed, rng=np.random.default_rng(1))
    assert kept.sum() / counts.sum() == pytest.approx((1 - 0.55 * removed) ** 2, abs=0.005)


def test_noise_never_adds_a_count_nor_goes_below_zero():
    counts = np.random.default_rng(0).poisson(1, size=(100, 50))
    kept = downsample_counts(counts, 0.8, rng=np.random.default_rng(1))
    assert (kept >= 0).all()
    assert (kept <= counts).all()


def test_no_noise_leaves_the_counts():
    counts = np.random.default_rng(0).poisson(1, size=(10, 5))
    np.testing.assert_array_equal(downsample_counts(counts, 0.0, rng=np.random.default_rng(1)), counts)


def test_drawn_cells_are_distinct_in_file_order_and_the_same_each_time():
    adata = make_cells(60)
    rows = draw_cells(adata, 20)
    assert len(set(rows)) == 20
    assert (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(rows, draw_cells(adata, 20))
    np.testing.assert_array_equal(draw_cells(adata, 1000), np.arange(60))


def test_the_deepest_cells_are_taken_and_ties_go_to_the_first():
    depth = np.array([5, 9, 1, 9, 7])
    np.testing.assert_array_equal(deepest_cells(np.array([0, 2, 3, 4]), depth, 2), [3, 4])
    np.testing.assert_array_equal(deepest_cells(np.array([1, 3, 4]), depth, 1), [1])


def test_variable_genes_are_those_that_scanpy_ranks_first():
    counts = np.random.default_rng(0).negative_binomial(2, 0.2, size=(200, 150)).astype(np.float32)
    counts[:, 7] *= np.random.default_rng(1).integers(0, 10, 200)
    adata = AnnData(sparse.csr_matrix(counts))
    expected = sc.pp.highly_variable_genes(adata, flavor="seurat_v3", n_top_genes=30, inplace=False)
    np.testing.assert_array_equal(variable_genes(adata, 30), np.flatnonzero(expected["highly_variable"]))


def test_variable_genes_are_found_where_many_genes_have_one_mean():
    counts = np.zeros((60, 200), dtype=np.float32)
    counts[np.arange(190) % 60, np.arange(190)] = 1  # singletons: one mean, one variance
    counts[:, 190:] = np.random.default_rng(0).negative_binomial(1, 0.05, size=(60, 10))
    adata = AnnData(sparse.csr_matrix(counts))
    with pytest.raises(ValueError, match="singular|svddc"):
        sc.pp.highly_variable_genes(adata, flavor="seurat_v3", n_top_genes=20, inplace=False)
    assert len(variable_genes(adata, 20)) == 20


def test_a_gene_without_counts_is_never_variable():
    adata = make_cells()
    counts = dense_counts(adata)
    counts[:, 3] = 0
    adata.X = sparse.csr_matrix(counts)
    assert 3 not in variable_genes(adata, 1000)


def test_an_empty_cell_normalizes_to_zeros():
    assert (log_normalize(np.array([[0, 0], [1, 3]], dtype=np.float32))[0] == 0).all()
