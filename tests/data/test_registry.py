import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from scprint2.config.overlay import read_scale
from scprint2.data.registry import Dataset, read_organisms, read_registry, url_name

ROOT = Path(__file__).parents[2]
HEADER = "name\torganism\turl\tfile\tsha256\tbytes\tsubset\troles\ttruth"
ROW = "set_a\tNCBITaxon:9606\thttps://a.b/c.h5ad file:///d.h5ad\tset_a.h5ad\t\t12\tsplit=train&hash<0.9\tcurated lung\tsome_truth"


def registry(folder: Path, *lines: str) -> Path:
    path = folder / "datasets.tsv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_row_is_read_with_its_lists_split_and_what_is_missing_empty(tmp_path):
    dataset = read_registry(registry(tmp_path, "# a comment", HEADER, "", ROW))["set_a"]
    assert dataset.url == ("https://a.b/c.h5ad", "file:///d.h5ad")
    assert (dataset.bytes, dataset.roles, dataset.subset) == (12, ("curated", "lung"), "split=train&hash<0.9")
    assert (dataset.batch_key, dataset.layers, dataset.sha256) == ("", (), "")


@pytest.mark.parametrize(("file", "archive"), [("a.h5ad", False), ("", False), ("a.zip", True), ("a_RAW.tar", True)])
def test_archives_are_known_by_their_ending(file, archive):
    assert Dataset("a", "NCBITaxon:9606", file=file).is_archive == archive


def test_a_dataset_survives_the_way_through_text():
    dataset = Dataset(
        "a",
        "NCBITaxon:9606",
        ("http://x/y",),
        "f.h5ad",
        "a" * 64,
        7,
        "MIT",
        "me",
        "b",
        "l",
        ("r",),
        "hash>=0.9",
        ("lung",),
        ("t", "u"),
        "b" * 32,
        "study",
        "lung",
        "Smart-seq2",
    )
    assert Dataset.from_row(dataset.to_row()) == dataset


def test_labels_that_are_not_given_are_no_part_of_what_is_made_of_a_file():
    """So that a registry without them makes what it made before there were such columns."""
    dataset = Dataset("a", "NCBITaxon:9606", licence="MIT")
    content = dict.fromkeys(("batch_key", "label_key", "layers", "subset"), "")
    assert dataset.to_content() == {"name": "a", "organism": "NCBITaxon:9606", **content}
    assert replace(dataset, tissue="lung").to_content() == dataset.to_content() | {"tissue": "lung"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("set_a\t", "Set A\t", "a-z"),
        ("NCBITaxon:9606", "human", "NCBITaxon:9606"),
        ("https://a.b", "ftp://a.b", "https://"),
        ("set_a.h5ad", "../set_a.h5ad", "inside"),
        ("set_a.h5ad", "/set_a.h5ad", "inside"),
        ("h5ad\t\t12", "h5ad\tabc\t12", "sha256"),
        ("\t12\t", "\tmany\t", "bytes"),
        ("hash<0.9", "hash<9", "subset"),
        ("hash<0.9", "split", "subset"),
        ("some_truth", "../truth", "truth"),
        ("some_truth", "one two one", "each once"),
        ("\t12\t", "\t12\t\t", "fields"),
    ],
)
def test_a_malformed_field_is_refused_with_its_line_and_what_is_allowed(tmp_path, old, new, message):
    assert old in ROW
    with pytest.raises(ValueError, match=f"datasets.tsv, line 2: .*{message}"):
        read_registry(registry(tmp_path, HEADER, ROW.replace(old, new)))


def test_an_unknown_column_is_refused_and_the_known_ones_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"unknown: \['colour'\].*licence"):
        read_registry(registry(tmp_path, HEADER + "\tcolour", ROW + "\tred"))


def test_a_name_given_twice_is_refused(tmp_path):
    with pytest.raises(ValueError, match="line 3: dataset 'set_a' is given twice"):
        read_registry(registry(tmp_path, HEADER, ROW, ROW))


def test_an_empty_table_is_refused(tmp_path):
    with pytest.raises(ValueError, match="empty"):
        read_registry(registry(tmp_path, ""))


def test_an_organism_given_twice_is_refused(tmp_path):
    path = registry(tmp_path, "organism\tname\tgenes", *["NCBITaxon:9606\tHomo sapiens\tgenes.tsv"] * 2)
    with pytest.raises(ValueError, match="NCBITaxon:9606 is given twice"):
        read_organisms(path)


def test_homologies_need_the_name_of_the_species(tmp_path):
    path = registry(tmp_path, "organism\tname\tgenes\thomologies", "NCBITaxon:9606\tHomo sapiens\tgenes.tsv\tpairs.tsv")
    with pytest.raises(ValueError, match="line 2: homologies need the organism's name in Ensembl"):
        read_organisms(path)


def test_a_downloaded_file_is_kept_under_its_name_and_homologies_under_that_of_their_species():
    assert url_name("https://host/gtf/homo_sapiens/Homo_sapiens.GRCh38.114.gtf.gz") == "Homo_sapiens.GRCh38.114.gtf.gz"
    assert url_name("https://host/homologies/mus_musculus/Compara.114.x.tsv.gz") == "mus_musculus.Compara.114.x.tsv.gz"


def test_the_organisms_of_the_papers_scale_name_one_release_and_no_two_files_alike():
    organisms = read_organisms(ROOT / "config/organisms.tsv")
    urls = [file for row in organisms.values() for file in row.files.values()]
    assert len({url_name(url) for url in urls}) == len(urls)
    assert len(organisms) >= 17
    for row in organisms.values():
        assert {"genes", "proteins", "homologies"} <= set(row.files)
        for column in ("genes", "proteins", "homologies"):
            assert re.search(r"/(release-114|plants/release-61)/", row.files[column]), row
        assert f"/{row.species}/" in row.genes
        assert row.genes.endswith((".114.gtf.gz", ".61.gtf.gz"))


@pytest.mark.parametrize("folder", ["config", "config/pocket", "config/mini"])
def test_every_registry_of_this_project_is_valid_and_its_organisms_are_described(folder):
    datasets = read_registry(ROOT / folder / "datasets.tsv")
    organisms = read_organisms(ROOT / folder / "organisms.tsv")
    assert {dataset.organism for dataset in datasets.values()} <= set(organisms)


def test_no_test_dataset_is_in_a_corpus_by_role_file_or_url():
    datasets = read_registry(ROOT / "config/pocket/datasets.tsv").values()
    corpora = set(read_scale(ROOT / "config", "pocket")["corpora"])
    trained = [dataset for dataset in datasets if corpora & set(dataset.roles)]
    tests = [dataset for dataset in datasets if not corpora & set(dataset.roles)]
    used, tested = ({source for row in rows for source in (row.file, *row.url)} for rows in (trained, tests))
    assert {corpus for dataset in trained for corpus in dataset.roles} == corpora, "no other role, and no empty corpus"
    assert used
    assert tested
    assert not used & tested


def test_the_real_corpus_spans_three_organisms_and_leaves_one_unseen():
    datasets = read_registry(ROOT / "config/pocket/datasets.tsv").values()
    corpus = {dataset.organism for dataset in datasets if "curated" in dataset.roles}
    unseen = {dataset.organism for dataset in datasets if "unseen_organism" in dataset.roles}
    assert len(corpus) >= 3
    assert unseen
    assert not unseen & corpus


def test_reading_a_registry_imports_nothing_heavy():
    code = "import sys, scprint2.data.registry; print([m for m in ('torch', 'pandas', 'numpy', 'scanpy') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


@pytest.mark.real_data
def test_the_registry_of_real_sets_names_files_that_are_there_with_their_checksums():
    from scprint2.data.download import sha256_of
    from tests.data.raw import real_data

    folder = real_data()
    for dataset in read_registry(ROOT / "config/pocket/datasets.tsv").values():
        assert sha256_of(folder / dataset.file) == dataset.sha256, dataset.name
        assert (folder / dataset.file).stat().st_size == dataset.bytes
    for organism in read_organisms(ROOT / "config/pocket/organisms.tsv").values():
        for file in filter(None, (organism.genes, organism.transcription_factors, organism.orthologs)):
            assert (folder / file).is_file(), file
