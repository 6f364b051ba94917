import json
import warnings

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from typer.testing import CliRunner

from scprint2.cli import app
from scprint2.metrics.networks import match_edges, score_network
from scprint2.tasks.layout import Group, Network, lay_out
from scprint2.tasks.network_files import export_networks, read_network, score_network_file
from scprint2.tasks.predictions import write_prediction
from tests.metrics.bengrn_scores import assert_same_as_bengrn
from tests.tasks.example import B_CELL, CD4, make_cells


@pytest.fixture
def networks():
    rng = np.random.default_rng(0)
    groups = [Group(CD4, np.arange(4), np.arange(0, 30)), Group(B_CELL, np.arange(5), np.arange(10, 50))]
    return [Network(group, "some", rng.random((len(group.genes),) * 2, dtype=np.float32)) for group in groups]


@pytest.fixture
def prediction(networks, tmp_path):
    path = tmp_path / "networks" / "set.h5ad"
    write_prediction(path, lay_out(make_cells(), networks), about={"task": "networks", "dataset": "set"})
    return path


@pytest.fixture
def truth():
    rng = np.random.default_rng(1)
    pairs = [(f"ENSG{i:05d}", f"ENSG{j:05d}") for i in range(0, 30, 3) for j in rng.choice(50, 6, replace=False)]
    return pd.DataFrame(pairs, columns=["regulator", "target"])


def grnndata():
    """The library, which warns when it is imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("grnndata")


def test_every_network_becomes_a_file_of_its_own_over_its_genes(prediction, networks, tmp_path):
    written = export_networks(prediction, tmp_path / "out")
    assert [path.name for path in written] == ["set_CL_0000624_some.h5ad", "set_CL_0000236_some.h5ad"]
    for path, network in zip(written, networks, strict=True):
        genes, scores = read_network(path)
        assert genes == list(make_cells().var_names[network.group.genes])
        np.testing.assert_array_equal(scores, network.scores)
    told = json.loads(anndata.read_h5ad(written[0]).uns["scprint2"])
    assert (told["dataset"], told["group"], told["method"]) == ("set", CD4, "some")


def test_grnndata_reads_what_is_written_regulators_as_rows(prediction, networks, tmp_path):
    library = grnndata()
    path, _ = export_networks(prediction, tmp_path / "out")
    read = library.read_h5ad(path)
    assert isinstance(read, library.GRNAnnData)
    np.testing.assert_array_equal(read.grn.to_numpy(), networks[0].scores)
    links = read.extract_links()
    assert {"regulator", "target", "weight"} <= {name.rstrip("s") for name in links}
    first = links.iloc[1]
    row, column = read.var_names.get_indexer([first["regulators"], first["targets"]])
    assert first["weight"] == networks[0].scores[row, column]


@pytest.mark.filterwarnings("ignore")
def test_bengrn_scores_what_is_written_as_we_score_it(tmp_path):
    """Against a truth of which every gene is a source and without tied scores; the rest is where it differs, see docs."""
    benchmark, library = pytest.importorskip("bengrn").BenGRN, grnndata()
    names = list(make_cells().var_names)
    rng = np.random.default_rng(3)
    true = rng.random((len(names), len(names))) < 0.08
    true[np.arange(len(names)), np.roll(np.arange(len(names)), 1)] = True
    np.fill_diagonal(true, False)
    scores = (rng.random(true.shape) + 0.4 * true).astype(np.float32)
    np.fill_diagonal(scores, 0)
    group = Group(CD4, np.arange(4), np.arange(len(names)))
    about = {"task": "networks", "dataset": "set"}
    write_prediction(tmp_path / "set.h5ad", lay_out(make_cells(), [Network(group, "some", scores)]), about=about)
    (path,) = export_networks(tmp_path / "set.h5ad", tmp_path)
    known = library.GRNAnnData(
        AnnData(np.ones((2, len(names)), dtype=np.float32), var=pd.DataFrame(index=names)), grn=true.astype(float)
    )
    theirs = benchmark(library.read_h5ad(path), doplot=False).compare_to(other=known)
    pairs = pd.DataFrame(np.array(names)[np.argwhere(true)], columns=["regulator", "target"])
    ours = {name: score.value for name, score in score_network_file(path, pairs).items()}
    assert_same_as_bengrn(ours, theirs, true_edges=true.sum())
    assert ours["auprc"] > 0.1


@pytest.mark.parametrize("store", [np.asarray, sparse.csr_matrix])
def test_what_grnndata_writes_is_scored_like_the_matrix_that_it_holds(truth, tmp_path, store):
    library = grnndata()
    names = [f"ENSG{number:05d}" for number in range(50)]
    scores = np.random.default_rng(2).random((50, 50)).astype(np.float32)
    cells = AnnData(np.ones((3, 50), dtype=np.float32), var=pd.DataFrame(index=names))
    library.GRNAnnData(cells, grn=store(scores)).write_h5ad(tmp_path / "theirs.h5ad")
    found = score_network_file(tmp_path / "theirs.h5ad", truth)
    edges = match_edges(names, sources=list(truth["regulator"]), targets=list(truth["target"]))
    plain = score_network(scores, edges)
    assert {name: found[name] for name in plain} == plain
    assert found["shuffled_kept"].status == "ok"


def test_the_command_line_exports_and_scores(prediction, truth, tmp_path):
    done = CliRunner().invoke(
        app, ["networks", "export", "--prediction", str(prediction), "--out", str(tmp_path / "o")]
    )
    path = done.output.split()[0]
    truth.to_csv(tmp_path / "truth.tsv", sep="\t", index=False)
    command = ["networks", "score", "--network", path, "--truth", str(tmp_path / "truth.tsv")]
    lines = dict(line.split("\t") for line in CliRunner().invoke(app, command).output.strip().split("\n"))
    values = json.loads(CliRunner().invoke(app, [*command, "--json"]).output)
    assert float(lines["auprc"]) == pytest.approx(values["auprc"]["value"], rel=1e-5)
    assert values["odds_ratio_shuffled"]["status"] == "ok"


def test_what_is_no_network_is_refused_with_what_is_there(tmp_path):
    write_prediction(tmp_path / "x.h5ad", make_cells(), about={"task": "embed", "dataset": "x"})
    with pytest.raises(ValueError, match="the task is 'embed'"):
        export_networks(tmp_path / "x.h5ad", tmp_path)
    with pytest.raises(ValueError, match=r"no varp\['GRN'\], only \[\]"):
        read_network(tmp_path / "x.h5ad")
