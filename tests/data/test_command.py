"""`scprint2 data`, on a copy of the project's tables."""

import hashlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scprint2.data.checksums import read_checksums
from scprint2.data.command import app
from scprint2.data.inventory import Inventory, Total, show_bytes
from scprint2.data.manifests import read_manifest, write_manifest
from scprint2.data.sources import SOURCES
from tests.data.sources.test_cellxgene import serve, term, version
from tests.data.sources.test_figshare import public_file
from tests.data.web_server import Answer, as_json

ROOT = Path(__file__).parents[2]
DATA = {"one": b"first file", "two": b"second file", "three": b"third"}
COLUMNS = "name\torganism\turl\tfile\tsha256\tbytes\tlicence\tcitation\troles\ttruth"


def run(*arguments, code=0):
    result = CliRunner().invoke(app, [str(value) for value in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def project(tmp_path, monkeypatch, site):
    """A copy of the configuration whose registry names three files of a server on this machine; two are read by tasks."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    rows = [
        f"one\tNCBITaxon:9606\t{site.url}/one\tone.h5ad\t{sha256(DATA['one'])}\t10\tCC0\tA\tlung\tnet",
        f"two\tNCBITaxon:9606\t{site.url}/two\ttwo.h5ad\t\t\tGEO\tB\tpancreas\t",
        f"three\tNCBITaxon:9606\t{site.url}/three\t\t\t\tGEO\tC\tspatial\t",
    ]
    (tmp_path / "config/datasets.tsv").write_text("\n".join([COLUMNS, *rows]) + "\n")
    (tmp_path / "config/truths.tsv").write_text(f"name\tfile\turl\nnet\tnet.csv\t{site.url}/net\n")
    for name, content in DATA.items():
        site.answers[f"/{name}"] = Answer(content, kind="application/octet-stream")
    site.answers["/net"] = Answer(b"source,target\nMYC,TERT\n", kind="text/csv")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_plan_says_files_bytes_and_licences_and_moves_nothing(project, site):
    printed = run("plan", "one", "two", "--files").output.splitlines()
    assert printed[0] == f"dataset\tone\t10 B\tCC0\t{site.url}/one"
    assert printed[1] == f"dataset\ttwo\t?\tGEO\t{site.url}/two"
    assert printed[2:] == [
        "licence CC0: 1 files, 10 B in those of known size",
        "licence GEO: 1 files, 0 B in those of known size, and 1 of unknown size",
        "to fetch: 2 files, 10 B in those of known size, and 1 of unknown size; 0 are there",
    ]
    assert site.requests == []
    assert not (project / "resources").exists()


def test_a_name_of_a_dataset_and_of_its_truth_means_both(project):
    table = project / "config/truths.tsv"
    table.write_text(table.read_text().replace("net\t", "one\t"))
    plan = json.loads(run("plan", "one", "--json").output)
    assert [(row["kind"], row["file"]) for row in plan["files"]] == [("dataset", "one.h5ad"), ("truth", "net.csv")]


def test_a_plan_of_a_scale_holds_its_tests_truths_corpora_and_organisms_and_says_what_is_incomplete(project):
    plan = json.loads(run("plan", "--json").output)
    assert all(row["licence"] and row["citation"] for row in plan["files"] if row["kind"] in ("organism", "model"))
    kinds = [(row["kind"], row["name"]) for row in plan["files"]]
    assert kinds[:2] == [("dataset", "one"), ("dataset", "two")], "three is read by no task"
    assert ("truth", "net") in kinds
    assert sum(name.startswith("tahoe_plate") for _, name in kinds) == 14
    assert ("organism", "Homo_sapiens.GRCh38.114.gtf.gz") in kinds
    assert not any("Zea_mays" in name for _, name in kinds), "no dataset is of maize"
    assert sum(row["bytes"] for row in plan["files"] if row["kind"] == "model") > 2.6e9
    assert len(kinds) == len(set(kinds)), "corpora overlap, files do not"
    assert plan["to_fetch"]["files"] == len(kinds)
    assert set(plan["incomplete"]) == {"curated", "human_200", "cxg_full", "cxg_tahoe", "all"}
    alone = json.loads(run("plan", "--corpus", "tahoe", "--json").output)
    assert (len(alone["files"]), alone["incomplete"]) == (14, {})


def test_a_plan_counts_listed_datasets_that_have_no_primary_cell(project):
    manifest = project / "config/manifests/cellxgene.tsv"
    rows = [replace(row, primary="none") for row in read_manifest(manifest).datasets]
    known = json.loads(run("plan", "--corpus", "cxg_full", "--json").output)
    write_manifest(manifest, rows, comment="all")
    plan = json.loads(run("plan", "--corpus", "cxg_tahoe", "--json").output)
    assert len(plan["files"]) == 14, "those of Tahoe alone"
    assert plan["without_primary_cells"] == {"cxg_tahoe": len(known["files"])}
    printed = run("plan", "--corpus", "cxg_tahoe").output
    assert f"corpus cxg_tahoe: {len(known['files'])} listed datasets without a primary cell are left out" in printed
    assert known["without_primary_cells"] == {}


def test_fetched_files_are_where_the_workflow_looks_and_their_checksums_are_recorded(project):
    run("fetch", "one", "two", "net")
    assert (project / "resources/paper/datasets/one.h5ad").read_bytes() == DATA["one"]
    assert (project / "resources/paper/sources/net.csv").is_file()
    learnt = read_checksums("config/checksums.tsv")
    assert {name: row.sha256 for name, row in learnt.items() if name == "two.h5ad"} == {"two.h5ad": sha256(DATA["two"])}
    assert "one.h5ad" not in learnt, "the registry knows it"
    assert "2 are there" in run("plan", "one", "two").output
    assert json.loads(run("plan", "two", "--json").output)["files"][0]["sha256"] == sha256(DATA["two"])


def test_one_failure_stops_no_other_file_and_is_told_by_the_exit_code(project, site):
    del site.answers["/one"]
    result = run("fetch", "one", "two", "--json", code=1)
    report = json.loads(result.stdout)
    assert report["fetched"] == 1
    assert list(report["failed"]) == ["resources/paper/datasets/one.h5ad"]
    assert "status 404" in report["failed"]["resources/paper/datasets/one.h5ad"]
    assert (project / "resources/paper/datasets/two.h5ad").is_file()


def test_a_mirror_is_asked_first(project, site, tmp_path):
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "one.h5ad").write_bytes(DATA["one"])
    run("fetch", "one", "--mirror", mirror)
    assert site.requests == []


def test_verify_is_quiet_about_right_files_and_has_one_line_per_bad_one(project):
    run("fetch", "one", "two", "three")
    assert run("verify").output == f"{absent(project, 3)} absent, 3 right\n"
    (project / "resources/paper/datasets/two.h5ad").write_bytes(b"second filE")
    (project / "resources/paper/datasets/one.h5ad").write_bytes(b"short")
    printed = run("verify", code=1).output.splitlines()
    assert printed[0] == "resources/paper/datasets/one.h5ad: has 5 bytes, expected 10"
    assert printed[1].startswith("resources/paper/datasets/two.h5ad: has sha256 ")
    assert printed[2].startswith(f"{absent(project, 3)} absent, 2 bad, 1 right")
    assert json.loads(run("verify", "two", "--json", code=1).output)["counts"] == {"bad": 1}


def absent(project, there):
    return str(len(Inventory.read(project / "config", "paper").everything()) - there)


def test_datasets_that_only_a_study_reads_are_fetched_too(project, site):
    table = project / "config/datasets.tsv"
    table.write_text(table.read_text().replace("\tspatial\t", "\topen_problems\t"))
    names = [(row["kind"], row["name"]) for row in json.loads(run("plan", "--json").output)["files"]]
    assert names.count(("dataset", "three")) == 1


def test_a_protein_model_and_files_of_organisms_are_fetched_by_name_to_where_the_workflow_looks(
    project, site, tmp_path
):
    mirror = tmp_path / "mirror"
    for name in ("tiny/config.json", "tiny/vocab.txt", "Homo_sapiens.gene_info.gz"):
        (mirror / name).parent.mkdir(parents=True, exist_ok=True)
        (mirror / name).write_bytes(name.encode())
    rows = [
        f"tiny\t{file}\thttps://host/{file}\t{sha256(f'tiny/{file}'.encode())}\t{len(f'tiny/{file}')}\tMIT\tAnn 2020"
        for file in ("config.json", "vocab.txt")
    ]
    header = "model\tfile\turl\tsha256\tbytes\tlicence\tcitation"
    (project / "config/protein_models.tsv").write_text("\n".join([header, *rows]) + "\n")
    config = project / "config/config.yaml"
    config.write_text(config.read_text().replace("protein_model: esm2_t33_650M_UR50D", "protein_model: tiny"))
    run("fetch", "tiny", "Homo_sapiens.gene_info.gz", "--mirror", mirror)
    assert (project / "resources/paper/models/tiny/vocab.txt").read_bytes() == b"tiny/vocab.txt"
    assert (project / "resources/paper/genes/Homo_sapiens.gene_info.gz").is_file()
    assert run("verify").output == f"{absent(project, 3)} absent, 3 right\n"
    (mirror / "tiny/vocab.txt").write_bytes(b"tiny/vocab.tx_")
    assert "resources/paper/models/tiny/vocab.txt: has sha256 " in run("verify", "tiny", code=1).output


@pytest.mark.parametrize(
    ("table", "old", "new"),
    [
        ("config.yaml", "protein_model: esm2_t33_650M_UR50D", "protein_model: my/esm2"),
        ("scales/paper.yaml", "gene_embedding: results/paper/gene_embedding.parquet", "gene_embedding: my.parquet"),
    ],
)
def test_a_model_or_vectors_of_ones_own_are_not_downloaded(project, table, old, new):
    text = (project / "config" / table).read_text()
    assert text.count(old) == 1
    (project / "config" / table).write_text(text.replace(old, new))
    files = json.loads(run("plan", "--json").output)["files"]
    assert "model" not in {row["kind"] for row in files}
    assert any(".pep.all.fa" in row["name"] for row in files) == (table == "config.yaml"), "proteins are for vectors"


def test_a_mirror_can_be_verified_by_the_names_of_the_registry(project, tmp_path):
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/one.h5ad").write_bytes(b"first filE")
    assert run("verify", "one", "--folder", tmp_path / "mirror", code=1).output.startswith(
        f"{tmp_path}/mirror/one.h5ad: has sha"
    )


def test_a_file_of_which_nothing_is_known_is_counted_as_such(project, tmp_path):
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/two.h5ad").write_bytes(b"x")
    assert run("verify", "two", "--folder", tmp_path / "mirror").output == "1 without a known checksum\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan", "typo"], r"no datasets, truths or files \['typo'\]"),
        (["plan", "--scale", "mini"], "scale 'mini' downloads nothing: the source of its files is 'simulate'"),
        (["fetch", "--corpus", "typo"], r"no corpora \['typo'\]; known: \['all', 'curated'"),
        (["list", "--source", "typo"], r"no source 'typo'; known: \['cellxgene'"),
        (["list", "--source", "tahoe", "--set", "until=2024-01-01"], r"takes \['location=VALUE'\]; found \['until"),
        (["list", "--source", "cellxgene", "--set", "until"], r"takes \['until=VALUE'\]"),
    ],
)
def test_an_unknown_name_is_told_with_those_that_are_known(project, arguments, message):
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, ValueError)
    assert re.search(message, str(result.exception))


def test_list_takes_one_thing_to_list():
    assert run("list", code=2).output
    assert run("list", "--scale", "mini", "--source", "tahoe", code=2).output


def test_a_source_is_listed_and_frozen_and_the_corpora_grow(project, site):
    serve(
        site,
        ("aaa", "2022-01-01T00:00:00Z"),
        ("bbb", "2023-01-01T00:00:00Z"),
        ("ccc", "2025-01-01T00:00:00Z"),
        versions={name: [version(number, "2022-01-01T00:00:00Z")] for number, name in enumerate(("aaa", "bbb", "ccc"))},
    )
    printed = run("list", "--source", "cellxgene", "--endpoint", site.url).output
    assert "datasets: 2" in printed
    assert "{'published after 2024-05-20': 1}" in printed
    manifest = read_manifest("config/manifests/cellxgene.tsv")
    assert ([row.name for row in manifest.datasets], manifest.partial) == (["cxg_aaa", "cxg_bbb"], "")
    first_lines = (project / "config/manifests/cellxgene.tsv").read_text().splitlines()[:2]
    assert first_lines[0].startswith(
        "# CELLxGENE Discover: 2 datasets, listed by `scprint2 data list --source cellxgene`"
    )
    assert first_lines[1] == "# left out: 1 x published after 2024-05-20"
    plan = json.loads(run("plan", "--corpus", "curated", "--json").output)
    assert [row["name"] for row in plan["files"]] == ["cxg_aaa", "cxg_bbb"]
    assert plan["incomplete"] == {}
    before = (project / "config/manifests/cellxgene.tsv").read_bytes()
    run("list", "--source", "cellxgene", "--endpoint", site.url)
    assert (project / "config/manifests/cellxgene.tsv").read_bytes() == before


def test_a_title_with_quotation_marks_is_listed_as_it_is(project, site):
    quoted = version(1, "2022-01-01T00:00:00Z", title='The "whole" lung', citation="", tissue=[term('lung "left"')])
    serve(site, ("aaa", "2022-01-01T00:00:00Z"), versions={"aaa": [quoted]})
    run("list", "--source", "cellxgene", "--endpoint", site.url)
    (row,) = read_manifest("config/manifests/cellxgene.tsv").datasets
    assert (row.citation, row.tissue) == ('The "whole" lung doi:10.1/x', 'lung "left"')
    plan = json.loads(run("plan", "--corpus", "curated", "--json").output)
    assert [file["citation"] for file in plan["files"]] == ['The "whole" lung doi:10.1/x']


def test_a_source_that_has_nothing_leaves_the_manifest_as_it_was(project, site):
    before = (project / "config/manifests/cellxgene.tsv").read_bytes()
    serve(site, versions={})
    result = CliRunner().invoke(app, ["list", "--source", "cellxgene", "--endpoint", site.url])
    assert "The manifest stays as it is" in str(result.exception)
    assert (project / "config/manifests/cellxgene.tsv").read_bytes() == before


def test_figshares_md5_are_written_into_the_table_of_checksums_and_enforced(project, site):
    table = project / "config/datasets.tsv"
    table.write_text(table.read_text().replace(f"{site.url}/two", f"{site.url}/figshare/files/5"))
    site.answers["/figshare/files/5"] = Answer(b"not the file", kind="application/octet-stream")
    for article in (12420968, 20029387, 21632564):
        site.answers[f"/v2/articles/{article}/files"] = as_json([public_file(5)] if article == 12420968 else [])
    run("list", "--source", "figshare", "--endpoint", site.url)
    assert (read_checksums("config/checksums.tsv")["two.h5ad"].bytes) == 105
    assert "has 12 bytes, expected 105" in run("fetch", "two", code=1).output


def test_every_source_has_a_manifest_and_the_other_way_round():
    assert {path.stem for path in (ROOT / "config/manifests").glob("*.tsv")} == set(SOURCES)


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (28_934_897_078, "28.9 GB"), (25e14, "2,500.0 TB")],
)
def test_bytes_are_written_for_people(number, text):
    assert show_bytes(int(number)) == text


def test_a_total_keeps_known_and_unknown_sizes_apart():
    assert Total.of([5, None, 7]) == Total(3, 12, 1)
    assert str(Total.of([])) == "0 files, 0 B in those of known size"
