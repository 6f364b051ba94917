"""A trained model on anybody's AnnData."""

import json
import logging

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from typer.testing import CliRunner

from scprint2.cli import app
from scprint2.tasks import own_cells
from scprint2.tasks.annotate import AnnotateSettings, predict_cell_types
from scprint2.tasks.embed import EmbedSettings, predict_embedding
from scprint2.tasks.layout import read_networks
from tests.helpers import HUMAN, MOUSE
from tests.tasks.conftest import make_pretrained
from tests.tasks.example import ANNOTATE, make_cells

CD4_OR_B = {"CD4 T cell", "B cell"}


@pytest.fixture
def mine(cells):
    """The same cells as somebody else has them: genes by symbol in another order, one of them unknown, no labels."""
    counts = sparse.csr_matrix(cells.X).toarray()[:, ::-1].astype(np.float32)
    counts = np.hstack([counts, np.ones((len(counts), 1), np.float32)])
    names = [*cells.var["symbol"][::-1], "no_such_gene"]
    return anndata.AnnData(
        counts, obs=pd.DataFrame({"sample": cells.obs["batch"]}), var=pd.DataFrame(index=pd.Index(names))
    )


# what is read


def test_genes_by_symbol_in_any_order_become_those_of_the_model(pretrained, cells, mine):
    own = own_cells.read_cells(pretrained, mine, organism="homo sapiens")
    assert list(own.cells.var_names) == list(cells.var_names)
    np.testing.assert_array_equal(own.cells.X.toarray(), cells.X.toarray())
    assert own.organism == HUMAN
    assert own.mapping.report.set_index("name")["status"]["no_such_gene"] == "unknown"


def test_the_organism_is_what_the_file_says_else_what_the_genes_say(pretrained, cells, caplog):
    said = cells.copy()
    del said.obs["organism_ontology_term_id"]
    said.uns["organism_ontology_term_id"] = HUMAN
    assert own_cells.read_cells(pretrained, said).organism == HUMAN
    del said.uns["organism_ontology_term_id"]
    said.var_names = [f"ENSMUSG{number:05d}" for number in range(40)] + [f"x{number}" for number in range(10)]
    del said.var["symbol"]
    with caplog.at_level(logging.INFO, logger="scprint2"):
        assert own_cells.read_cells(pretrained, said).organism == MOUSE
    assert "most gene names are those of Mus musculus" in caplog.text


@pytest.mark.parametrize("place", ["raw.X", "layers['counts']"])
def test_counts_are_found_beside_a_normalized_x(pretrained, mine, cells, place):
    normalized = mine.copy()
    if place == "raw.X":
        normalized.raw = mine
        normalized = normalized[:, :20].copy()
    else:
        normalized.layers["counts"] = mine.X.copy()
    normalized.X = np.log1p(normalized.X)
    own = own_cells.read_cells(pretrained, normalized, organism=HUMAN)
    assert own.place == place
    np.testing.assert_array_equal(own.cells.X.toarray(), cells.X.toarray())


def spoil(mine, what):
    """Cells with one thing wrong."""
    if what == "normalized":
        mine.X = np.log1p(mine.X)
    if what == "two organisms":
        mine.obs["organism_ontology_term_id"] = [HUMAN, MOUSE] * (mine.n_obs // 2)
    if what == "another organism":
        mine.obs["organism_ontology_term_id"] = "NCBITaxon:7955"
    if what == "other genes":
        mine.var_names = [f"gene_{number}" for number in range(mine.n_vars)]
    if what == "twice":
        mine.obs_names = ["cell"] * mine.n_obs
    if what == "transposed":
        mine.var_names = [f"c{number}" for number in range(mine.n_vars)]
        mine.obs_names = [f"ENSG{number:011d}" for number in range(mine.n_obs)]
    return mine


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("normalized", r"no raw counts: X holds numbers that are not whole.*Put raw counts"),
        ("two organisms", r"one organism at a time"),
        ("another organism", r"does not know NCBITaxon:7955; it knows NCBITaxon:9606 \(Homo sapiens\)"),
        ("other genes", r"are protein-coding genes of NCBITaxon:"),
        ("twice", r"given more than once, such as 'cell'"),
        ("transposed", r"cells must be in rows"),
    ],
)
def test_what_cannot_be_read_says_so(pretrained, mine, what, message):
    with pytest.raises(ValueError, match=message):
        own_cells.read_cells(pretrained, spoil(mine, what))


# what is done


def test_embeddings_are_those_of_the_benchmark(pretrained, cells, mine):
    settings = EmbedSettings(batch_size=16, cells=1000, max_genes=30, kinds=("cell_type", "free"))
    expected = predict_embedding(pretrained, cells, settings=settings, seed=0)
    x = mine.X.copy()
    own_cells.embed(pretrained, mine, organism=HUMAN, kinds=("cell_type", "free"), max_genes=30, batch_size=7)
    for key in ("X_scprint2", "X_scprint2_free"):
        np.testing.assert_allclose(mine[expected.obs_names].obsm[key], expected.obsm[key], atol=1e-5)
    np.testing.assert_array_equal(mine.X, x)
    told = json.loads(mine.uns["scprint2"]["embed"])
    assert told["organism"] == HUMAN
    assert told["genes"] == {"mapped": 50, "unknown": 1}
    assert told["counts"] == "X"


def test_a_kind_that_the_model_does_not_have_is_refused_and_nothing_is_added(pretrained, mine):
    with pytest.raises(ValueError, match="no embedding for 'color'"):
        own_cells.embed(pretrained, mine, organism=HUMAN, kinds=("cell_type", "color"))
    assert not list(mine.obsm)
    assert "scprint2" not in mine.uns


def test_labels_are_those_of_the_benchmark_with_terms_and_confidence(pretrained, cells, mine):
    settings = AnnotateSettings.model_validate(ANNOTATE)
    expected = predict_cell_types(pretrained, cells, settings=settings, seed=0).obs
    own_cells.annotate(pretrained, mine, organism=HUMAN, max_genes=30)
    found = mine.obs.loc[expected.index]
    terms = found["scprint2_cell_type_ontology_term_id"].astype(str)
    assert list(terms) == list(expected["predicted_cell_type_ontology_term_id"].astype(str))
    assert set(found["scprint2_cell_type"]) <= CD4_OR_B
    np.testing.assert_allclose(found["scprint2_cell_type_confidence"], expected["confidence"], atol=1e-5)
    assert {"scprint2_disease", "scprint2_sex"} <= set(found)
    assert "scprint2_organism" not in found
    assert "sample" in found


def test_labels_that_are_not_sure_enough_are_unknown(pretrained, mine):
    own_cells.annotate(pretrained, mine, organism=HUMAN, classes=["cell_type"], max_genes=30, least_confidence=1.0)
    assert set(mine.obs["scprint2_cell_type"]) == {"unknown"}
    with pytest.raises(ValueError, match=r"no labels of \['color'\]; it has those of \['cell_type', 'tissue'"):
        own_cells.annotate(pretrained, mine, classes=["color"])


def test_denoised_counts_stand_beside_the_raw_ones(pretrained, cells, mine):
    genes = list(cells.var_names[[3, 10, 4, 7]])
    denoised = own_cells.denoise(pretrained, mine, organism=HUMAN, genes=genes, depth_factor=2.0)
    assert list(denoised.var_names) == genes
    np.testing.assert_array_equal(denoised.X.toarray(), cells[:, genes].X.toarray())
    assert denoised.layers["denoised"].shape == (mine.n_obs, 4)
    assert (denoised.layers["denoised"] <= denoised.layers["denoised_uninflated"] + 1e-6).all()
    deeper = own_cells.denoise(pretrained, mine, organism=HUMAN, genes=genes, depth_factor=20.0)
    assert not np.allclose(deeper.layers["denoised"], denoised.layers["denoised"])
    assert list(denoised.obs["sample"]) == list(mine.obs["sample"])
    assert own_cells.denoise(pretrained, mine, organism=HUMAN, genes=12).n_vars == 12
    with pytest.raises(ValueError, match=r"1 of 2 genes .* such as \['ENSG9'\]"):
        own_cells.denoise(pretrained, mine, organism=HUMAN, genes=[genes[0], "ENSG9"])


def test_a_network_for_each_group_of_cells(pretrained, mine):
    networks = own_cells.infer_networks(pretrained, mine, organism=HUMAN, group_key="sample", genes=20)
    found = {group: network for group, _, network in read_networks(networks)}
    assert set(found) == {"b1", "b2"}
    assert all(network.varp["GRN"].shape == (20, 20) for network in found.values())
    assert all(np.isfinite(network.varp["GRN"]).all() for network in found.values())
    with pytest.raises(ValueError, match="no column 'tissue' to group cells by"):
        own_cells.infer_networks(pretrained, mine, organism=HUMAN, group_key="tissue")


def test_a_model_that_reads_neighbors_gets_them(mine):
    own_cells.embed(make_pretrained("gnn"), mine, organism=HUMAN, max_genes=30)
    assert np.isfinite(mine.obsm["X_scprint2"]).all()


def test_a_backed_file_is_read(pretrained, mine, tmp_path):
    mine.write_h5ad(tmp_path / "mine.h5ad")
    backed = anndata.read_h5ad(tmp_path / "mine.h5ad", backed="r")
    assert own_cells.read_cells(pretrained, backed, organism=HUMAN).cells.n_obs == mine.n_obs


# the command line


@pytest.fixture
def command(pretrained, mine, tmp_path, monkeypatch):
    """Run a verb on the cells; return its result and the file or folder that it wrote."""
    mine.write_h5ad(tmp_path / "mine.h5ad")
    monkeypatch.setattr("scprint2.tasks.predict.load_pretrained", lambda folder, device: pretrained)

    def run(verb, *options, cells="mine.h5ad"):
        out = tmp_path / "out.h5ad"
        arguments = [verb, "--model", str(tmp_path), "--cells", str(tmp_path / cells), "--out", str(out), *options]
        return CliRunner().invoke(app, arguments), out

    return run


@pytest.mark.parametrize(
    ("verb", "options", "key"),
    [
        ("embed", ["--kind", "free", "--kind", "all"], "obsm/X_scprint2_all"),
        ("annotate", ["--label", "cell_type", "--least-confidence", "0.1"], "obs/scprint2_cell_type_confidence"),
        ("denoise", ["--genes", "10", "--depth-factor", "3"], "layers/denoised"),
    ],
)
def test_a_verb_writes_the_cells_with_what_it_added(command, verb, options, key):
    result, out = command(verb, "--organism", HUMAN, *options)
    assert result.exit_code == 0, result.output
    part, name = key.split("/")
    written = anndata.read_h5ad(out)
    assert name in getattr(written, part)
    assert "sample" in written.obs
    assert verb in written.uns["scprint2"]


def test_grn_writes_a_file_for_each_group(command):
    result, out = command("grn", "--organism", HUMAN, "--group-key", "sample", "--genes", "10")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in out.iterdir()) == ["b1.h5ad", "b2.h5ad"]
    assert anndata.read_h5ad(out / "b1.h5ad").varp["GRN"].shape == (10, 10)


def test_groups_whose_names_are_no_file_names_do_not_share_a_file(command, mine, tmp_path):
    mine.obs["sample"] = mine.obs["sample"].map({"b1": "T/B", "b2": "T:B"}).astype(str)
    mine.write_h5ad(tmp_path / "named.h5ad")
    result, out = command("grn", "--organism", HUMAN, "--group-key", "sample", "--genes", "10", cells="named.h5ad")
    assert result.exit_code == 0, result.output
    assert len(list(out.iterdir())) == 2


def test_a_file_that_is_none_is_an_error_and_nothing_is_written(command, tmp_path):
    (tmp_path / "broken.h5ad").write_bytes(b"<html>")
    result, out = command("embed", cells="broken.h5ad")
    assert result.exit_code == 1
    assert "not with an HDF5 signature" in str(result.exception)
    assert not out.exists()


def test_cells_of_the_workflow_can_be_given_too(pretrained):
    cells = make_cells()
    cells.uns["scprint2"] = {"dataset": "x", "organism": HUMAN}
    own_cells.embed(pretrained, cells, max_genes=30)
    assert cells.uns["scprint2"]["dataset"] == "x"
    assert "embed" in cells.uns["scprint2"]
