"""Real cells of three organisms, from a folder of h5ad files to Table 1: `pocket` with fewer sets and seconds of training."""

import json
from pathlib import Path

import anndata
import pandas as pd
import pytest
import yaml

from tests.data.raw import real_data
from tests.workflow.project import ROOT, TINY_BASELINE_ROWS, TINY_CONSTANTS, Project, copy_project, keep_tiny_baselines

ROLES = {  # the smallest sets of each kind
    "pbmc68k_reduced": "curated",
    "baron_mouse1": "curated",
    "zebrafish_kidney_smartseq": "curated",
    "baron_human": "lung pancreas context",
    "hesc_liu": "denoise",
    "hesc_chen": "gwps",
    "pbmc3k": "omni",
}
ORGANISMS = {"NCBITaxon:9606", "NCBITaxon:10090", "NCBITaxon:7955"}
NETWORK_GENES = {
    "network_genes_perturbation": 400,
    "network_genes_curated": 400,
}  # so many that known edges are among them
PREPROCESSING = {"principal_components": 20}


def describe_folder(folder: Path) -> None:
    """Lay out a folder as a user would: the files, and the two tables that describe them."""
    for path in filter(Path.is_file, real_data().rglob("*")):
        link = folder / path.relative_to(real_data())
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
    table = pd.read_csv(ROOT / "config/pocket/datasets.tsv", sep="\t", comment="#", dtype=str, keep_default_na=False)
    table = table[table["name"].isin(list(ROLES))]
    table.assign(roles=table["name"].map(ROLES)).to_csv(folder / "datasets.tsv", sep="\t", index=False)
    (folder / "organisms.tsv").write_text((ROOT / "config/pocket/organisms.tsv").read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    describe_folder(folder)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory, folder) -> Project:
    """A finished run of base and the untrained control."""
    project = copy_project(tmp_path_factory.mktemp("pocket") / "project")
    scale = yaml.safe_load((project / "config/scales/pocket.yaml").read_text())
    scale["constants"] |= TINY_CONSTANTS | NETWORK_GENES
    scale["preprocessing"] |= PREPROCESSING
    (project / "config/scales/pocket.yaml").write_text(yaml.safe_dump(scale, sort_keys=False))
    keep_tiny_baselines(project)
    settings = ("scale=pocket", f"data={folder}", "variants=base,negative_control", "seeds=1")
    project.run("results/table1.csv", "--config", *settings)
    return project


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.timeout(1200)
def test_every_cell_of_the_table_is_filled_or_failed_with_its_reason(run):
    table = pd.read_csv(run / "results/table1.csv", dtype=str, keep_default_na=False)
    assert set(table["variant"]) == {"base", "negative_control", *TINY_BASELINE_ROWS}
    assert (table != "").all(axis=None)
    long = pd.read_csv(run / "results/pocket/table1_long.csv", keep_default_na=False)
    base = long[(long["variant"] == "base") & (long["column"] != "")]
    assert set(base["status"]) == {"ok"}, base.loc[base["status"] != "ok", ["metric", "dataset", "reason"]].to_string()
    assert set(base["dataset"]) >= {"baron_human", "hesc_liu", "hesc_chen", "pbmc3k"}


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.timeout(1200)
def test_the_corpus_holds_three_organisms_and_no_test_cell(run):
    manifest = json.loads((run / "results/pocket/corpora/curated.json").read_text())
    assert {shard["dataset"] for shard in manifest["shards"]} == {name for name in ROLES if ROLES[name] == "curated"}
    assert {shard["organism"] for shard in manifest["shards"]} == ORGANISMS
    leaks = pd.read_csv(run / "results/pocket/corpora/curated_leakage.tsv", sep="\t")
    assert set(leaks["test_set"]) == {name for name in ROLES if ROLES[name] != "curated"}
    assert (leaks[["shared_cells", "corpus_cells"]] == 0).all(axis=None)
    assert set(leaks["kind"]) == {"none"}


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.timeout(1200)
def test_predictions_are_about_the_real_cells(run):
    cells = anndata.read_h5ad(run / "results/pocket/datasets/baron_human/cells.h5ad", backed="r")
    prediction = anndata.read_h5ad(run / "results/pocket/predictions/base/seed_0/embed/baron_human.h5ad")
    assert set(prediction.obs_names) <= set(cells.obs_names)
    assert prediction.obsm["X_scprint2"].shape[1] == TINY_CONSTANTS["dim"]
