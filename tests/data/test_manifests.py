from dataclasses import replace

import pytest

from scprint2.data.manifests import Listed, read_manifest, stem, write_manifest

ROW = Listed(
    name="cxg_a",
    organism="NCBITaxon:9606",
    url=("https://x/a.h5ad", "https://y/a.h5ad"),
    file="a.h5ad",
    bytes=5,
    md5="0" * 32,
    citation="Ann\tB. and\nothers",
    cells=7,
    primary="some",
    aliases=("a", "b"),
)


def test_a_listing_survives_the_way_through_the_file_and_is_sorted(tmp_path):
    other = Listed(name="cxg_0", organism="NCBITaxon:10090", url=("https://x/0",), file="0.h5ad")
    path = tmp_path / "source.tsv"
    write_manifest(path, [ROW, other], comment="one\ntwo")
    manifest = read_manifest(path)
    assert [row.name for row in manifest.datasets] == ["cxg_0", "cxg_a"]
    assert manifest.datasets[0] == other
    assert manifest.datasets[1].citation == "Ann B. and others", "tabs and line ends would break the table"
    assert manifest.datasets[1] == replace(ROW, citation="Ann B. and others")
    assert (manifest.source, manifest.partial) == ("source", "")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('"Atlas" of the lung', '"Atlas" of the lung'),
        ('the "atlas"', 'the "atlas"'),
        ("5\" and 3'", "5\" and 3'"),
        ('a ""quoted"" word', 'a ""quoted"" word'),
        ('"half', '"half'),
        ('tabs\tin "it"', 'tabs in "it"'),
        ('lines\nin\r\n"it"\u2028', 'lines in "it"'),
        ("\\t \\", "\\t \\"),
    ],
)
def test_quotation_marks_of_titles_and_citations_survive_and_white_space_becomes_one_space(tmp_path, text, kept):
    rows = [replace(ROW, citation=text, tissue=text, assay=text), replace(ROW, name="cxg_b", citation=text)]
    write_manifest(tmp_path / "s.tsv", rows, comment="c")
    first, second = read_manifest(tmp_path / "s.tsv").datasets
    assert first == replace(ROW, citation=kept, tissue=kept, assay=kept)
    assert second.citation == kept, "a mark that is not closed takes no other row with it"


def test_listing_the_same_again_changes_no_byte(tmp_path):
    other = Listed(name="cxg_0", organism="NCBITaxon:10090", url=("https://x/0",), file="0.h5ad")
    write_manifest(tmp_path / "a", [ROW, other], comment="c")
    write_manifest(tmp_path / "b", [other, ROW], comment="c")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_partial_manifest_says_what_is_missing(tmp_path):
    write_manifest(tmp_path / "s.tsv", [ROW], comment="title\npartial: 1 of 2")
    assert read_manifest(tmp_path / "s.tsv").partial == "1 of 2"


def test_a_missing_manifest_says_how_to_get_it(tmp_path):
    with pytest.raises(ValueError, match="`scprint2 data list --source tahoe` writes it"):
        read_manifest(tmp_path / "tahoe.tsv")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("cxg_a\t", "Cxg A\t", "name"),
        ("NCBITaxon:9606", "human", "NCBITaxon"),
        ("https://x", "gs://x", "https://"),
        ("\t5\t", "\tbig\t", "bytes"),
        ("\t7\t", "\t7.5\t", "cells"),
        ("some", "mostly", "primary"),
        ("0" * 32, "0" * 31, "md5"),
        ("a.h5ad\t5", "../a.h5ad\t5", "inside"),
    ],
)
def test_a_malformed_row_is_refused_with_its_line(tmp_path, old, new, message):
    path = tmp_path / "s.tsv"
    write_manifest(path, [ROW], comment="c")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=f"s.tsv, line 3: .*{message}"):
        read_manifest(path)


def test_a_dataset_given_twice_is_refused(tmp_path):
    write_manifest(tmp_path / "s.tsv", [ROW, ROW], comment="c")
    with pytest.raises(ValueError, match="line 4: dataset 'cxg_a' is given twice"):
        read_manifest(tmp_path / "s.tsv")


@pytest.mark.parametrize(
    ("file", "expected"), [("a/b.h5ad", "b"), ("b.h5ad.gz", "b"), ("b", "b"), ("https://x/y/v-1.h5ad", "v-1")]
)
def test_the_stem_is_the_name_without_folder_and_endings(file, expected):
    assert stem(file) == expected


def test_the_workflow_learns_of_a_listed_dataset_what_it_needs():
    dataset = ROW.to_dataset()
    assert (dataset.name, dataset.url, dataset.bytes, dataset.md5, dataset.roles) == (
        "cxg_a",
        ROW.url,
        5,
        "0" * 32,
        (),
    )
