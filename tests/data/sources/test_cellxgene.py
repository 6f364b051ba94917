"""Answers have the shape that the service's own description gives: an array of datasets, an array of versions, newest first."""

import pytest

from scprint2.data.sources.cellxgene import list_datasets
from scprint2.data.sources.web import Web
from tests.data.web_server import Answer, as_json

ORGANISMS = {"Homo sapiens": "NCBITaxon:9606", "Mus musculus": "NCBITaxon:10090"}
HUMAN = [{"label": "Homo sapiens", "ontology_term_id": "NCBITaxon:9606"}]
INDEX = "/curation/v1/datasets"


def term(label, identifier="X:1"):
    return {"label": label, "ontology_term_id": identifier}


def version(number, published, *, organism=HUMAN, assets=None, **more):
    url = f"https://datasets.cellxgene.cziscience.com/version-{number}"
    return {
        "dataset_id": "dataset-1",
        "dataset_version_id": f"version-{number}",
        "collection_id": "collection-1",
        "published_at": published,
        "organism": organism,
        "assay": [term("10x 3' v3"), term("Smart-seq2")],
        "tissue": [term("lung") | {"tissue_type": "tissue"}],
        "cell_type": [term("T cell"), term("B cell"), term("unknown")],
        "cell_count": 1200,
        "is_primary_data": [True],
        "schema_version": "5.0.0",
        "title": "A lung",
        "citation": f"Publication: https://doi.org/10.1/x Dataset Version: {url}.h5ad",
        "assets": [
            {"filesize": 2000, "filetype": "RDS", "url": f"{url}.rds"},
            {"filesize": 1000 + number, "filetype": "H5AD", "url": f"{url}.h5ad"},
        ]
        if assets is None
        else assets,
        **more,
    }


def serve(site, *datasets, versions):
    """Answer the index with datasets (id, first publication), and each dataset's versions."""
    site.answers[INDEX] = as_json(
        [
            {"dataset_id": name, "published_at": first, "collection_doi": "10.1/x", "dataset_version_id": "latest"}
            for name, first in datasets
        ]
    )
    for name, _ in datasets:
        site.answers[f"{INDEX}/{name}/versions"] = as_json(versions[name])


def ask(site, until="2024-05-20"):
    return list_datasets(endpoint=site.url, organisms=ORGANISMS, until=until, web=Web(backoff_seconds=0.0))


def test_a_dataset_is_listed_in_the_version_of_the_day_with_all_its_versions_as_aliases(site):
    serve(
        site,
        ("dataset-1", "2022-01-01T00:00:00+00:00"),
        versions={
            "dataset-1": [
                version(3, "2024-05-21T00:00:00.000001+00:00"),
                version(2, "2024-05-20T23:30:00+00:00"),
                version(1, "2022-01-01T00:00:00+00:00"),
            ]
        },
    )
    (row,) = ask(site).datasets
    assert row.name == "cxg_dataset-1"
    assert row.url == ("https://datasets.cellxgene.cziscience.com/version-2.h5ad",)
    assert (row.file, row.bytes, row.organism) == ("version-2.h5ad", 1002, "NCBITaxon:9606")
    assert (row.cells, row.cell_types, row.primary, row.schema) == (1200, 2, "all", "5.0.0")
    assert (row.tissue, row.assay) == ("lung", "10x 3' v3; Smart-seq2")
    assert row.aliases == ("dataset-1", "version-1", "version-2", "version-3")
    assert row.collection == "collection-1"
    assert row.is_known_as({"version-3"}), "a test set may be a later version"
    assert row.citation.startswith("Publication: https://doi.org/10.1/x")


def test_what_was_published_later_is_left_out_without_asking_for_its_versions(site):
    serve(site, ("late", "2024-06-01T00:00:00Z"), versions={"late": []})
    listing = ask(site)
    assert (listing.datasets, dict(listing.left_out)) == ((), {"published after 2024-05-20": 1})
    assert site.paths() == [INDEX]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"organism": [*HUMAN, term("Mus musculus", "NCBITaxon:10090")]}, "several organisms in one file, or none"),
        ({"organism": []}, "several organisms in one file, or none"),
        ({"organism": [term("Callithrix jacchus", "NCBITaxon:9483")]}, "organism NCBITaxon:9483 is not in the table"),
        ({"assets": [{"filesize": 1, "filetype": "RDS", "url": "https://x/y.rds"}]}, "no h5ad file"),
    ],
)
def test_what_cannot_be_used_is_left_out_and_counted(site, change, reason):
    serve(
        site,
        ("a", "2022-01-01T00:00:00Z"),
        ("b", "2022-01-01T00:00:00Z"),
        versions={"a": [version(1, "2022-01-01T00:00:00Z")], "b": [version(2, "2022-01-01T00:00:00Z", **change)]},
    )
    listing = ask(site)
    assert [row.name for row in listing.datasets] == ["cxg_a"]
    assert [(text.startswith(reason), number) for text, number in listing.left_out.items()] == [(True, 1)]


@pytest.mark.parametrize(
    ("primary", "expected"), [([True], "all"), ([False], "none"), ([True, False], "some"), ([], "")]
)
def test_primary_data_is_read_as_the_service_writes_it(site, primary, expected):
    serve(
        site,
        ("a", "2022-01-01T00:00:00Z"),
        versions={"a": [version(1, "2022-01-01T00:00:00Z", is_primary_data=primary)]},
    )
    assert ask(site).datasets[0].primary == expected


def test_a_busy_service_and_a_cut_answer_are_asked_again(site):
    serve(site, ("a", "2022-01-01T00:00:00Z"), versions={"a": [version(1, "2022-01-01T00:00:00Z")]})
    busy = Answer(b"slow down", 429, "text/plain", {"Retry-After": "0"})
    site.before[INDEX] = [busy, Answer(b"", 503)]
    site.before[f"{INDEX}/a/versions"] = [as_json([version(1, "2022-01-01T00:00:00Z")], cut=True)]
    assert len(ask(site).datasets) == 1
    assert site.paths() == [INDEX] * 3 + [f"{INDEX}/a/versions"] * 2


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(b"<!DOCTYPE html><html>sign in</html>", kind="text/html"), "the answer is not JSON: b'<!DOCTYPE"),
        (Answer(b"gone", 404), "status 404"),
        (as_json([{"id": "old name of the field"}]), r"no field 'dataset_id' in the answer; it has \['id'\]"),
        (Answer(b"slow", 429, headers={"Retry-After": "0"}), "status 429"),
    ],
)
def test_what_is_not_a_listing_is_reported_with_its_address(site, answer, message):
    site.answers[INDEX] = answer
    with pytest.raises(ValueError, match=f"{site.url}{INDEX}.*{message}"):
        ask(site)
