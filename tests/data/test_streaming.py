"""Large datasets take another path than small ones. Here small ones take it too, and must come out the same."""

import numpy as np
import pandas as pd
import pytest
import scanpy
import scipy.sparse

from scprint2.data import clusters, preprocess, streamed_components
from scprint2.data.clusters import approximate_neighbors, nearest_neighbors, principal_components
from scprint2.data.count_store import MatrixCounts
from scprint2.data.genes import build_gene_table
from scprint2.data.preprocess import processed
from scprint2.data.registry import Dataset, read_organisms, read_registry
from scprint2.data.shard import Shard
from scprint2.data.shard_writer import write_processed_shard, write_shard
from scprint2.data.streamed_components import streamed_components as components_of
from scprint2.data.streamed_components import variable_genes
from tests.data.raw import HUMAN, SETTINGS, gene_table, raw_cells, real_data, write
from tests.helpers import ROOT

DATASET = Dataset("set_a", HUMAN, batch_key="donor_id", label_key="cell_type_ontology_term_id")


@pytest.fixture
def stream(monkeypatch):
    """Make every dataset a large one that is read in small pieces; neighbors stay exact."""

    def start():
        monkeypatch.setattr(preprocess, "EXACT_CELLS", 0)
        monkeypatch.setattr(streamed_components, "DENSE_CELLS", 17)
        monkeypatch.setattr(clusters, "BLOCK", 13)
        for module in ("count_store", "raw_cells"):
            monkeypatch.setattr(f"scprint2.data.{module}.BLOCK_ENTRIES", 900)

    return start


@pytest.mark.parametrize("form", [scipy.sparse.csr_matrix, scipy.sparse.csc_matrix, np.asarray])
def test_in_pieces_the_same_cells_neighbors_clusters_and_shard_come_out(tmp_path, stream, form):
    raw = raw_cells(300)
    raw.X = form(raw.X.toarray())
    raw.obs["is_primary_data"] = np.arange(300) % 10 != 3
    path, table = write(raw, tmp_path), gene_table()
    at_once = preprocess.preprocess(DATASET, path, table, settings=SETTINGS)
    gene_ids = table.frame["gene_id"].tolist()
    write_shard(at_once, tmp_path / "at_once", gene_ids=gene_ids, validation_share=0.1)
    stream()
    with processed(DATASET, path, table, settings=SETTINGS, scratch=tmp_path) as cells:
        in_pieces = cells.to_anndata()
        write_processed_shard(cells, tmp_path / "in_pieces", gene_ids=gene_ids, validation_share=0.1)
    _compare(in_pieces, at_once)
    shards = [Shard.open(tmp_path / name) for name in ("at_once", "in_pieces")]
    for name in set(shards[0].header["arrays"]) - {"distance"}:
        assert np.array_equal(*(getattr(shard, name) for shard in shards)), name
    assert not list(tmp_path.glob("counts-*")), "temporary counts are removed"


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["baron_human", "retina"])
def test_real_cells_come_out_the_same_in_pieces(tmp_path, monkeypatch, stream, name):
    folder, config = real_data(), ROOT / "config/pocket"
    dataset = read_registry(config / "datasets.tsv")[name]
    row = read_organisms(config / "organisms.tsv")[dataset.organism]
    table = build_gene_table(folder / row.genes, organism=row.organism)
    settings = SETTINGS.model_copy(update={"minimum_genes": 200, "principal_components": 30})
    at_once = preprocess.preprocess(dataset, folder / dataset.file, table, settings=settings)
    # the covariance of all 17,000 genes would take minutes: both paths get the same 3,000
    some = table.frame[table.frame["gene_id"].isin(at_once.var_names[::6])].reset_index(drop=True)
    monkeypatch.setattr(preprocess, "MINIMUM_MAPPED", 0.0)
    small = type(table)(table.organism, some)
    at_once = preprocess.preprocess(dataset, folder / dataset.file, small, settings=settings)
    stream()
    monkeypatch.setattr(streamed_components, "DENSE_CELLS", 500)
    for module in ("count_store", "raw_cells"):
        monkeypatch.setattr(f"scprint2.data.{module}.BLOCK_ENTRIES", 200_000)
    in_pieces = preprocess.preprocess(dataset, folder / dataset.file, small, settings=settings)
    _compare(in_pieces, at_once)


def _compare(found, expected):
    pd.testing.assert_frame_equal(found.obs, expected.obs)
    assert np.array_equal(found.X.toarray(), expected.X.toarray())
    assert np.array_equal(found.obsm["neighbor"], expected.obsm["neighbor"])
    np.testing.assert_allclose(found.obsm["neighbor_distance"], expected.obsm["neighbor_distance"], rtol=1e-3)
    # which end of a component is positive has no meaning
    signs = np.sign((found.obsm["X_pca"] * expected.obsm["X_pca"]).sum(axis=0))
    np.testing.assert_allclose(found.obsm["X_pca"] * signs, expected.obsm["X_pca"], atol=5e-3)


@pytest.mark.parametrize(("cells", "genes"), [(90, 60), (40, 120)])
def test_streamed_components_are_the_exact_ones(cells, genes):
    counts = scipy.sparse.csr_matrix(raw_cells(cells, genes).X.astype(np.int32))
    exact = principal_components(counts, 10, seed=0)
    found = components_of(MatrixCounts(counts), 10)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.abs(found), np.abs(exact), atol=2e-3)


@pytest.mark.parametrize("cells", [1, 2])
def test_streamed_components_of_hardly_any_cells_are_few(cells):
    counts = np.random.default_rng(0).poisson(3, size=(cells, 9)).astype(np.int32)
    assert components_of(MatrixCounts(scipy.sparse.csr_matrix(counts)), 5).shape == (cells, 1)


def test_variable_genes_are_those_of_scanpy():
    adata = raw_cells(400, 300)
    scanpy.pp.normalize_total(adata, target_sum=10_000)
    normalized = adata.X.toarray().astype(np.float64)
    scanpy.pp.log1p(adata)
    scanpy.pp.highly_variable_genes(adata, flavor="seurat", n_top_genes=60)
    found = variable_genes(normalized.mean(axis=0), normalized.var(axis=0, ddof=1), 60)
    assert len(found) == 60
    assert set(found) == set(np.flatnonzero(adata.var["highly_variable"]))


def test_genes_without_variance_are_never_chosen():
    assert variable_genes(np.array([1.0, 2, 3]), np.array([0.5, 0, 1]), 3).tolist() == [0, 2]


@pytest.mark.slow
def test_approximate_neighbors_are_nearly_all_of_the_nearest_other_cells_and_always_the_same():
    rng = np.random.default_rng(0)
    points = (rng.normal(size=(4000, 30)) + rng.normal(size=(8, 30))[rng.integers(8, size=4000)] * 4).astype(np.float32)
    points[1] = points[0]
    found, exact = approximate_neighbors(points, 15), nearest_neighbors(points, 15)
    assert not (found.index == np.arange(4000)[:, None]).any()
    shared = [len(set(a) & set(b)) for a, b in zip(found.index.tolist(), exact.index.tolist(), strict=True)]
    assert np.mean(shared) / 15 > 0.97
    assert (np.diff(found.distance, axis=1) >= 0).all()
    assert np.array_equal(approximate_neighbors(points, 15).index, found.index)
