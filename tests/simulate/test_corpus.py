import hashlib

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import scprint2.simulate.designs as designs_module
from scprint2.simulate import DESIGNS, SimulationSettings, build_world, network_truth, simulate_dataset, write_corpus
from scprint2.simulate.cells import CONTROL

CLASSES = (
    "assay",
    "cell_type",
    "development_stage",
    "disease",
    "organism",
    "self_reported_ethnicity",
    "sex",
    "tissue",
)
NAMES = list(DESIGNS)


def raw_counts(adata: ad.AnnData) -> sp.csr_matrix:
    return sp.csr_matrix(adata.X if adata.raw is None else adata.raw.X)


def digest(matrix: sp.csr_matrix) -> str:
    parts = (matrix.data, matrix.indices, matrix.indptr)
    return hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest()


@pytest.fixture(scope="module")
def datasets(world):
    return {name: simulate_dataset(world, name) for name in NAMES}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(world, datasets):
    again = simulate_dataset(build_world(world.settings), "sim_lung")
    assert digest(raw_counts(again)) == digest(raw_counts(datasets["sim_lung"]))
    pd.testing.assert_frame_equal(again.obs, datasets["sim_lung"].obs)
    other = simulate_dataset(build_world(SimulationSettings(seed=4, cell_share=0.2)), "sim_lung")
    assert digest(raw_counts(other)) != digest(raw_counts(datasets["sim_lung"]))


def test_a_dataset_does_not_change_when_another_is_added(world, datasets, monkeypatch):
    monkeypatch.setitem(designs_module.DESIGNS, "sim_new", DESIGNS["sim_kidney"])
    simulate_dataset(world, "sim_new")
    assert digest(raw_counts(simulate_dataset(world, "sim_lung"))) == digest(raw_counts(datasets["sim_lung"]))


@pytest.mark.parametrize("name", NAMES)
def test_counts_are_whole_numbers_where_cellxgene_puts_them(datasets, name):
    adata = datasets[name]
    counts = raw_counts(adata)
    assert (counts.data == np.round(counts.data)).all()
    assert counts.data.min() >= 0
    assert (adata.raw is not None) == (DESIGNS[name].counts_in == "raw")
    if adata.raw is not None:
        values = sp.csr_matrix(adata.X)
        assert np.expm1(values.data).sum() / adata.n_obs == pytest.approx(1e4, rel=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_every_class_has_a_term_and_a_label(datasets, name):
    obs = datasets[name].obs
    for column in CLASSES:
        assert f"{column}_ontology_term_id" in obs
        assert obs.groupby(f"{column}_ontology_term_id", observed=True)[column].nunique().max() == 1
        assert not obs[column].isna().any()
    assert {"donor_id", "is_primary_data", "suspension_type", "tissue_type", "library_id"} <= set(obs)
    assert obs.index.is_unique
    assert obs["is_primary_data"].dtype == bool


@pytest.mark.parametrize("name", NAMES)
def test_only_test_sets_keep_the_noise_free_means(datasets, name):
    assert ("true_mean" in datasets[name].layers) == (DESIGNS[name].role == "test")


def test_counts_scatter_around_the_noise_free_means(datasets):
    adata = datasets["sim_denoise"]
    mean = np.asarray(adata.layers["true_mean"])
    assert mean.dtype == np.float32
    high = mean > 20  # dropout is negligible there
    ratio = raw_counts(adata).toarray()[high] / mean[high]
    assert ratio.mean() == pytest.approx(1, abs=0.02)


def test_one_training_set_leaves_work_for_quality_control(datasets):
    adata = datasets["sim_blood"]
    rows = [row.tobytes() for row in raw_counts(adata).toarray()]
    assert len(set(rows)) < len(rows)
    assert (~adata.obs["is_primary_data"]).any()
    assert (np.diff(raw_counts(adata).indptr) < 20).any()
    clean = raw_counts(datasets["sim_brain"])
    assert np.diff(clean.indptr).min() > 50


def test_some_labels_are_unknown_and_some_are_less_specific(datasets):
    labels = set(datasets["sim_blood"].obs["cell_type"])
    assert {"unknown", "T cell", "CD4-positive, alpha-beta T cell"} <= labels


def test_no_donor_occurs_in_two_datasets(datasets):
    donors = [set(adata.obs["donor_id"]) for adata in datasets.values()]
    assert len(set.union(*donors)) == sum(map(len, donors))


def test_the_truth_of_the_kidney_is_the_network(world):
    network = world.networks["NCBITaxon:9606"]
    truth = network_truth(world, "sim_kidney")
    assert len(truth) == (network.on_targets != 0).sum() + (network.among != 0).sum()
    assert truth["regulator"].isin(world.genomes["NCBITaxon:9606"].frame["gene_id"][:60]).all()


def test_knocked_down_cells_show_the_truth_of_the_screen():
    world = build_world(SimulationSettings(seed=3))
    adata, truth = simulate_dataset(world, "sim_perturb"), network_truth(world, "sim_perturb")
    counts = raw_counts(adata).toarray()
    expression = np.log1p(1e3 * counts / counts.sum(1, keepdims=True))
    guide = adata.obs["perturbation"].to_numpy()
    change = pd.DataFrame(
        {gene: expression[guide == gene].mean(0) - expression[guide == CONTROL].mean(0) for gene in set(guide)},
        index=adata.var_names,
    )
    own = [change.loc[gene, gene] for gene in change.columns.intersection(change.index)]
    assert np.mean(np.array(own) < 0) > 0.95
    strong = truth[
        (truth["weight"].abs() > 1) & truth["target"].isin(change.index) & truth["regulator"].isin(change.columns)
    ]
    observed = np.array([change.loc[t, r] for r, t in zip(strong["regulator"], strong["target"], strict=True)])
    assert len(strong) > 100
    assert np.mean(np.sign(observed) == np.sign(strong["weight"])) > 0.9


def test_a_dataset_without_a_network_has_no_truth(world):
    with pytest.raises(ValueError, match=r"no network truth.*sim_kidney"):
        network_truth(world, "sim_blood")


def test_correlation_recovers_the_network_of_the_cell_line_far_above_chance():
    from sklearn.metrics import average_precision_score

    world = build_world(SimulationSettings(seed=5))
    adata, truth = simulate_dataset(world, "sim_k562"), network_truth(world, "sim_k562")
    counts = raw_counts(adata).toarray()
    expression = np.log1p(1e3 * counts / counts.sum(1, keepdims=True))
    kept = expression.std(0) > 0
    row = {gene: n for n, gene in enumerate(adata.var_names[kept])}
    edges = truth[truth["regulator"].isin(row) & truth["target"].isin(row)]
    is_edge = np.zeros((len(row), len(row)), dtype=bool)
    is_edge[edges["regulator"].map(row), edges["target"].map(row)] = True
    score = np.abs(np.corrcoef(expression[:, kept].T))
    sources = is_edge.any(1)
    universe = ~np.eye(len(row), dtype=bool)[sources]
    precision = average_precision_score(is_edge[sources][universe], score[sources][universe])
    assert precision > 5 * is_edge[sources][universe].mean()


def test_a_section_has_places_and_layers(datasets):
    adata = datasets["sim_spatial"]
    assert adata.obsm["spatial"].shape == (adata.n_obs, 2)
    depth = pd.Series(adata.obsm["spatial"][:, 1], index=adata.obs["cell_type"].to_numpy()).groupby(level=0).median()
    assert depth.max() - depth.min() > 300


def test_a_corpus_is_written_where_the_workflow_looks_for_it(world, tmp_path):
    write_corpus(world, tmp_path, names=["sim_kidney", "sim_blood"])
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {
        "datasets/sim_kidney.h5ad",
        "datasets/sim_blood.h5ad",
        "truth/sim_kidney.tsv.gz",
        "genes/NCBITaxon_9606.tsv.gz",
        "genes/NCBITaxon_10090.tsv.gz",
        "genes/NCBITaxon_10116.tsv.gz",
        "genes/NCBITaxon_7955.tsv.gz",
        "gene_embedding.parquet",
    }
    truth = pd.read_csv(tmp_path / "truth/sim_kidney.tsv.gz", sep="\t")
    assert list(truth) == ["regulator", "target", "weight"]
    embedding = pd.read_parquet(tmp_path / "gene_embedding.parquet")
    assert embedding.shape == (4 * 800, 96)
    assert embedding.index.name == "gene_id"
    read = ad.read_h5ad(tmp_path / "datasets/sim_kidney.h5ad")
    assert digest(raw_counts(read)) == digest(raw_counts(simulate_dataset(world, "sim_kidney")))
