import hashlib
import json
import runpy
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from scprint2.data.genes import build_gene_table, read_gene_table, write_gene_table
from scprint2.data.preprocess import cell_hash, preprocess, processed, write_cells
from scprint2.data.quality_record import write_quality_record
from scprint2.data.registry import Dataset, read_organisms, read_registry
from scprint2.data.vocabulary import CLASSES
from tests.data.raw import B_CELL, CD4, HUMAN, MOUSE, SETTINGS, gene_table, raw_cells, real_data, write
from tests.helpers import ROOT

DATASET = Dataset("set_a", HUMAN, batch_key="donor_id", label_key="cell_type_ontology_term_id")


def run(folder, adata, dataset=DATASET, table=None):
    return preprocess(dataset, write(adata, folder), table or gene_table(), settings=SETTINGS)


def test_processed_cells_have_all_that_is_promised(tmp_path):
    raw = raw_cells()
    found = run(tmp_path, raw)
    assert found.X.dtype == np.int32
    assert found.X.format == "csr"
    assert np.array_equal(found.X.toarray(), raw[found.obs_names].X.toarray())
    assert found.var_names.tolist() == gene_table().frame["gene_id"].tolist()
    assert set(found.obs) == {f"{name}_ontology_term_id" for name in CLASSES} | {
        "batch", "donor_id", "cluster", "cell_type_cluster", "nnz", "depth",
    }  # fmt: skip
    assert found.obs["batch"].tolist() == raw[found.obs_names].obs["donor_id"].tolist()
    assert np.array_equal(found.obs["depth"], found.X.sum(axis=1).A1)
    assert np.array_equal(found.obs["nnz"], (found.X.toarray() > 0).sum(axis=1))
    assert found.obsm["X_pca"].shape == (found.n_obs, 20)
    assert found.obsm["neighbor"].shape == found.obsm["neighbor_distance"].shape == (found.n_obs, 6)
    assert (found.obsm["neighbor"].dtype, found.obsm["neighbor_distance"].dtype) == (np.int32, np.float32)
    record = found.uns["scprint2"]
    assert (record["dataset"], record["organism"], record["counts_place"]) == ("set_a", HUMAN, "X")
    assert record["qc"]["cells_read"] == 120
    assert record["qc"]["cells_kept"] == found.n_obs


def test_neighbors_are_rows_of_the_kept_cells(tmp_path):
    raw = raw_cells()
    raw.obs["is_primary_data"] = np.arange(120) >= 30
    found = run(tmp_path, raw)
    points = found.obsm["X_pca"]
    distance = np.linalg.norm(points[:, None] - points[found.obsm["neighbor"]], axis=2)
    np.testing.assert_allclose(distance, found.obsm["neighbor_distance"], rtol=1e-3, atol=1e-3)


def test_secondary_cells_leave_a_training_dataset_and_stay_in_a_test_set(tmp_path):
    raw = raw_cells()
    raw.obs["is_primary_data"] = np.arange(120) >= 30
    path = write(raw, tmp_path)
    cells = {
        name: set(preprocess(DATASET, path, gene_table(), settings=SETTINGS, secondary=name).obs_names)
        for name in ("drop", "keep")
    }
    secondary = set(raw.obs_names[:30])
    assert not cells["drop"] & secondary
    assert len(cells["keep"] & secondary) > 25
    raw.obs["is_primary_data"] = False
    assert preprocess(DATASET, write(raw, tmp_path), gene_table(), settings=SETTINGS, secondary="keep").n_obs > 100


@pytest.mark.parametrize("secondary", ["keep", "drop"])
def test_the_job_of_a_test_set_does_with_secondary_cells_what_its_rule_says(secondary, tmp_path, monkeypatch):
    raw = raw_cells()
    raw.obs["is_primary_data"] = False
    write_gene_table(gene_table(), tmp_path / "genes.tsv")
    snakemake = SimpleNamespace(
        input=SimpleNamespace(raw=write(raw, tmp_path), genes=tmp_path / "genes.tsv", labels=[]),
        output=SimpleNamespace(cells=tmp_path / "cells.h5ad"),
        params=SimpleNamespace(dataset=DATASET.to_content(), settings=SETTINGS.model_dump(), secondary=secondary),
        log=[str(tmp_path / "log")],
    )
    monkeypatch.setattr("sys.stderr", sys.stderr)  # the job writes to its log; put back afterwards
    script = str(ROOT / "workflow/scripts/preprocess_dataset.py")
    if secondary == "drop":
        with pytest.raises(ValueError, match="leaves no cell"):
            runpy.run_path(script, {"snakemake": snakemake})
        return
    runpy.run_path(script, {"snakemake": snakemake})
    assert anndata.read_h5ad(tmp_path / "cells.h5ad").n_obs > 100


def test_clusters_separate_the_cell_types_and_name_the_groups(tmp_path):
    found = run(tmp_path, raw_cells(200))
    kinds = found.obs.groupby("cluster", observed=True)["cell_type_ontology_term_id"].nunique()
    assert (kinds == 1).all()
    sizes = found.obs["cell_type_cluster"].value_counts()
    assert all("|" in group for group in sizes.index[sizes >= 10])
    large = found.obs[found.obs["cell_type_cluster"].str.contains("|", regex=False)]
    assert (
        large["cell_type_cluster"]
        == large["cell_type_ontology_term_id"].astype(str) + "|" + large["cluster"].astype(str)
    ).all()


def test_small_groups_fall_back_to_the_cell_type(tmp_path):
    raw = raw_cells()
    raw.obs.loc[raw.obs_names[:5], "cell_type_ontology_term_id"] = "CL:0000540"
    found = run(tmp_path, raw)
    rare = found.obs["cell_type_ontology_term_id"] == "CL:0000540"
    assert rare.sum() == 5
    assert set(found.obs.loc[rare, "cell_type_cluster"]) == {"CL:0000540"}


def test_columns_of_one_gene_are_summed_and_unknown_genes_left_out_and_reported(tmp_path):
    raw = raw_cells()
    names = raw.var_names.tolist()
    names[1], names[2], names[3] = "GENE0", "OLD0", "nothing"
    raw.var_names = names
    found = run(tmp_path, raw)
    values = raw[found.obs_names].X.toarray()
    assert np.array_equal(found[:, "ENSG00000000000"].X.toarray()[:, 0], values[:, :3].sum(axis=1))
    assert found.n_vars == 117
    quality = found.uns["scprint2"]["qc"]
    assert (quality["genes_mapped"], quality["genes_unknown"], quality["genes_merged"]) == (119, 1, 3)
    assert found.uns["scprint2"]["genes"].set_index("name").loc["nothing", "status"] == "unknown"


def test_genes_come_in_the_order_of_the_table(tmp_path):
    raw = raw_cells()
    order = np.random.default_rng(0).permutation(120)
    found = run(tmp_path, raw[:, order].copy())
    assert found.var_names.tolist() == gene_table().frame["gene_id"].tolist()
    assert np.array_equal(found.X.toarray(), raw[found.obs_names].X.toarray())


def test_ids_in_a_column_of_var_fill_what_the_names_leave_open(tmp_path):
    raw = raw_cells()
    raw.var["ensembl_id"] = raw.var_names
    raw.var_names = ["GENE0"] + [f"local_{gene}" for gene in range(1, 120)]
    found = run(tmp_path, raw)
    assert found.n_vars == 120
    assert found.uns["scprint2"]["genes"]["by"].tolist()[:2] == ["symbol", "var[ensembl_id]"]


def test_layers_of_the_registry_are_kept_and_others_are_not(tmp_path):
    raw = raw_cells()
    raw.layers["reference"] = raw.X * 2
    raw.layers["other"] = raw.X
    found = run(tmp_path, raw, Dataset("set_a", HUMAN, layers=("reference",)))
    assert list(found.layers) == ["reference"]
    assert np.array_equal(found.layers["reference"].toarray(), found.X.toarray() * 2)


def test_a_dataset_without_keys_is_one_batch_without_labels(tmp_path):
    raw = raw_cells()
    raw.obs = pd.DataFrame(index=raw.obs_names)
    found = run(tmp_path, raw, Dataset("set_a", HUMAN))
    assert set(found.obs["batch"]) == {"set_a"}
    assert set(found.obs["cell_type_ontology_term_id"]) == {"unknown"}
    assert set(found.obs["organism_ontology_term_id"]) == {HUMAN}


def test_a_subset_by_column_and_by_hash_takes_the_cells_that_meet_both(tmp_path):
    raw = raw_cells(200)
    parts = [
        run(tmp_path, raw, Dataset("set_a", HUMAN, subset=f"cell_type_ontology_term_id={CD4}&{part}"))
        for part in ("hash<0.7", "hash>=0.7")
    ]
    assert not set(parts[0].obs_names) & set(parts[1].obs_names)
    cells = sum(part.uns["scprint2"]["qc"]["cells_read"] for part in parts)
    assert cells == 100
    assert {term for part in parts for term in part.obs["cell_type_ontology_term_id"]} == {CD4}


def test_the_hash_of_a_cell_depends_on_its_name_alone_and_is_uniform():
    names = [f"cell_{number}" for number in range(20_000)]
    numbers = cell_hash(names)
    assert np.array_equal(numbers[::-1], cell_hash(names[::-1]))
    assert abs((numbers < 0.1).mean() - 0.1) < 0.01
    first = int.from_bytes(hashlib.blake2b(b"a", digest_size=8).digest(), "big")
    assert cell_hash(["a"])[0] == pytest.approx(first / 2**64, abs=1e-12)


def test_the_same_input_gives_the_same_bytes(tmp_path):
    path = write(raw_cells(), tmp_path)
    for name in ("one", "two"):
        folder = tmp_path / name
        with processed(DATASET, path, gene_table(), settings=SETTINGS, scratch=None) as found:
            write_quality_record(found, folder)
            write_cells(found.to_anndata(), folder / "cells.h5ad")
    for file in ("cells.h5ad", "genes.tsv", "labels.tsv", "qc.json", "read.parquet", "drawn.parquet"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_written_cells_come_back_as_they_were_with_report_and_record_beside_them(tmp_path):
    path = write(raw_cells(), tmp_path)
    with processed(DATASET, path, gene_table(), settings=SETTINGS, scratch=None) as cells:
        found = cells.to_anndata()
        write_quality_record(cells, tmp_path)
        write_cells(found, tmp_path / "cells.h5ad")
    again = anndata.read_h5ad(tmp_path / "cells.h5ad")
    assert (again.X != found.X).nnz == 0
    assert again.X.dtype == np.int32
    pd.testing.assert_frame_equal(again.obs, found.obs)
    assert np.array_equal(again.obsm["neighbor"], found.obsm["neighbor"])
    assert json.loads((tmp_path / "qc.json").read_text())["qc"] == found.uns["scprint2"]["qc"]
    report = pd.read_csv(tmp_path / "genes.tsv", sep="\t")
    assert list(report.columns) == ["name", "status", "by", "gene_id", "merged"]
    assert len(report) == 120
    labels = pd.read_csv(tmp_path / "labels.tsv", sep="\t").set_index(["class", "label"])
    assert labels.loc[("cell_type", CD4), ["status", "cells"]].tolist() == ["mapped", 60]
    read, drawn = (pd.read_parquet(tmp_path / f"{name}.parquet") for name in ("read", "drawn"))
    assert (read["reason"] == "kept").sum() == len(drawn) == found.n_obs
    assert read.loc[read["reason"] == "kept", "depth"].tolist() == found.obs["depth"].tolist()
    assert drawn["cluster"].tolist() == found.obs["cluster"].tolist()


def negative(raw):
    raw.X[0, 0] = -1


def fractions(raw):
    raw.X = raw.X * 0.5


def duplicated(raw):
    raw.var_names = ["ENSG00000000000"] * 2 + raw.var_names[2:].tolist()


def unknown(raw):
    raw.var_names = [f"bin_{gene}" for gene in range(raw.n_vars)]


def mouse_symbols(raw):
    raw.var_names = [f"Gene{gene}" for gene in range(raw.n_vars)]


def no_label(raw):
    del raw.obs["cell_type_ontology_term_id"]


def no_batch(raw):
    del raw.obs["donor_id"]


def mouse_cells(raw):
    raw.obs["organism_ontology_term_id"] = MOUSE


def mouse_in_uns(raw):
    del raw.obs["organism_ontology_term_id"]
    raw.uns["organism_ontology_term_id"] = MOUSE


def copies(raw):
    raw.obs["is_primary_data"] = False


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (negative, "negative values such as -1"),
        (fractions, "not whole, such as 0.5"),
        (duplicated, "1 genes .* more than once"),
        (unknown, "0.0% of 120 gene names"),
        (mouse_symbols, "genes of another organism"),
        (no_label, "no label column 'cell_type_ontology_term_id'"),
        (no_batch, "no batch column 'donor_id'"),
        (mouse_cells, r"holds cells of \['NCBITaxon:10090'\], the registry says NCBITaxon:9606"),
        (mouse_in_uns, r"holds cells of \['NCBITaxon:10090'\]"),
        (copies, "'removed_not_primary': 120"),
    ],
)
def test_each_bad_input_ends_in_one_message_that_names_the_file(tmp_path, spoil, message):
    raw = raw_cells()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spoil(raw)
        with pytest.raises(ValueError, match=f"^{tmp_path}/input.h5ad: .*{message}") as error:
            run(tmp_path, raw)
    assert "\n" not in str(error.value)


def test_a_truncated_file_ends_in_one_message(tmp_path):
    path = write(raw_cells(), tmp_path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match=f"^{path}: cannot be read as h5ad.*truncated"):
        preprocess(DATASET, path, gene_table(), settings=SETTINGS)


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (Dataset("a", HUMAN, subset="split=train"), "subset needs obs column 'split'"),
        (Dataset("a", HUMAN, subset="donor_id=nobody"), "no cell of 120 meets subset 'donor_id=nobody'"),
        (Dataset("a", HUMAN, layers=("reference",)), r"has no layers \['reference'\]"),
    ],
)
def test_a_registry_that_does_not_fit_the_file_is_refused(tmp_path, dataset, message):
    with pytest.raises(ValueError, match=f"input.h5ad: .*{message}"):
        run(tmp_path, raw_cells(), dataset)


@pytest.mark.parametrize("cells", [1, 2, 5, 12])
def test_very_few_cells_are_processed_all_the_same(tmp_path, cells):
    found = run(tmp_path, raw_cells(cells), Dataset("set_a", HUMAN))
    assert found.n_obs >= 1
    assert (found.obsm["neighbor"] >= 0).sum(axis=1).tolist() == [min(found.n_obs - 1, 6)] * found.n_obs


def test_one_cell_type_and_dense_input_are_no_matter(tmp_path):
    raw = raw_cells()
    raw.obs["cell_type_ontology_term_id"] = B_CELL
    raw.X = raw.X.toarray()
    assert scipy.sparse.issparse(run(tmp_path, raw).X)


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["retina", "baron_human", "hesc_chen", "worm_embryo", "zebrafish_kidney_smartseq"])
def test_real_sets_are_processed(tmp_path, name):
    folder, config = real_data(), Path(__file__).parents[2] / "config/pocket"
    dataset = read_registry(config / "datasets.tsv")[name]
    row = read_organisms(config / "organisms.tsv")[dataset.organism]
    write_gene_table(build_gene_table(folder / row.genes, organism=row.organism), tmp_path / "genes.tsv")
    table = read_gene_table(tmp_path / "genes.tsv", organism=row.organism)
    found = preprocess(
        dataset, folder / dataset.file, table, settings=SETTINGS.model_copy(update={"minimum_genes": 200})
    )
    quality = found.uns["scprint2"]["qc"]
    assert quality["cells_kept"] > 0.9 * quality["cells_read"]
    assert quality["genes_mapped"] > 0.6 * (
        quality["genes_mapped"] + quality["genes_ambiguous"] + quality["genes_unknown"]
    )
