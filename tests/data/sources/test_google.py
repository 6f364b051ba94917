"""Answers have the shape of Google's JSON API for objects: `items` with sizes as text and md5 in base64, and `nextPageToken`."""

import base64
import hashlib
import io

import pyarrow as pa
import pyarrow.parquet
import pytest

from scprint2.data.sources import scbasecount, tahoe
from scprint2.data.sources.google import list_objects, split_location
from scprint2.data.sources.web import Web
from tests.data.web_server import Answer, as_json

ORGANISMS = {"Homo sapiens": "NCBITaxon:9606", "Mus musculus": "NCBITaxon:10090"}
WEB = {"web": Web(backoff_seconds=0.0)}
SAMPLES = scbasecount.SAMPLES


def stored(name, size=10, content=b"x"):
    return {
        "kind": "storage#object",
        "name": name,
        "bucket": "atlas",
        "size": str(size),
        "md5Hash": base64.b64encode(hashlib.md5(content).digest()).decode(),
        "generation": "1",
    }


def serve_bucket(site, *objects, page=2):
    """Answer as a bucket does: objects whose name starts with the prefix, some at a time."""

    def answer(query):
        fitting = [item for item in objects if item["name"].startswith(query["prefix"])]
        start = int(query.get("pageToken", "0"))
        body = {"kind": "storage#objects"} | ({"items": fitting[start : start + page]} if fitting else {})
        if start + page < len(fitting):
            body["nextPageToken"] = str(start + page)
        return as_json(body)

    site.answers["/storage/v1/b/atlas/o"] = answer


def test_all_pages_of_a_bucket_are_read_and_md5_is_given_in_hexadecimal(site):
    serve_bucket(site, *(stored(f"a/{number}", size=number) for number in range(5)), stored("b/1"))
    objects = list(list_objects(WEB["web"], site.url, "atlas", "a/"))
    assert [(item.name, item.bytes) for item in objects] == [(f"a/{number}", number) for number in range(5)]
    assert {item.md5 for item in objects} == {hashlib.md5(b"x").hexdigest()}
    assert [query.get("pageToken") for _, query, _ in site.requests] == [None, "2", "4"]
    assert {query["maxResults"] for _, query, _ in site.requests} == {"1000"}


def test_an_empty_folder_of_a_bucket_has_no_objects(site):
    serve_bucket(site, stored("b/1"))
    assert list(list_objects(WEB["web"], site.url, "atlas", "a/")) == []


def test_an_object_composed_of_parts_has_no_md5(site):
    serve_bucket(site, {"name": "a/1", "size": "3"})
    assert next(list_objects(WEB["web"], site.url, "atlas", "a/")).md5 == ""


@pytest.mark.parametrize("location", ["atlas/x", "gs://atlas", "https://x/y"])
def test_a_location_that_is_no_bucket_is_refused(location):
    with pytest.raises(ValueError, match="gs://bucket/prefix"):
        split_location(location)


def test_tahoe_has_one_row_per_plate_with_size_and_md5(site):
    names = [f"t/h5ad/plate{number}_filt_Vevo_Tahoe100M_WServicesFrom_ParseGigalab.h5ad" for number in (1, 2, 14)]
    serve_bucket(site, *(stored(name, size=29_000_000_000) for name in names), stored("t/h5ad/README.txt"))
    listing = tahoe.list_datasets(endpoint=site.url, organisms=ORGANISMS, location="gs://atlas/t/h5ad", **WEB)
    assert [row.name for row in listing.datasets] == ["tahoe_plate01", "tahoe_plate02", "tahoe_plate14"]
    assert listing.datasets[0].url[0] == f"{site.url}/atlas/{names[0]}"
    assert listing.datasets[0].bytes == 29_000_000_000
    assert listing.datasets[0].md5 == hashlib.md5(b"x").hexdigest()
    assert dict(listing.left_out) == {"objects that are not plates": 1}


def samples(*rows):
    """Return a table of samples as Arc publishes it."""
    columns = [
        "entrez_id",
        "srx_accession",
        "file_path",
        "obs_count",
        "organism",
        "tissue",
        "tech_10x",
        "czi_collection_id",
    ]
    file = io.BytesIO()
    pyarrow.parquet.write_table(pa.table({name: [row.get(name) for row in rows] for name in columns}), file)
    return file.getvalue()


def with_endings(files):
    return [(organism, name if "." in name else f"{name}.h5ad") for organism, name in files]


def serve_scbasecount(site, tables, files):
    prefix, feature = "s/2025-02-25/", scbasecount.FEATURE
    metadata = [f"{prefix}metadata/{feature}/{organism}/{SAMPLES}" for organism in tables]
    serve_bucket(
        site,
        *(stored(f"{prefix}h5ad/{feature}/{organism}/{name}", size=7) for organism, name in with_endings(files)),
        *(stored(name) for name in metadata),
        *(stored(name.replace("sample", "obs")) for name in metadata),
    )
    for name, content in zip(metadata, tables.values(), strict=True):
        site.answers[f"/atlas/{name}"] = Answer(content, kind="application/octet-stream")


def ask_scbasecount(site):
    location = "gs://atlas/s/2025-02-25/"
    return scbasecount.list_datasets(endpoint=site.url, organisms=ORGANISMS, location=location, **WEB)


def test_scbasecount_joins_samples_and_files_and_counts_what_does_not_fit(site):
    human = samples(
        {
            "srx_accession": "SRX1",
            "obs_count": 747,
            "tissue": "skin",
            "tech_10x": "3_prime_gex",
            "czi_collection_id": "c1",
        },
        {"srx_accession": "SRX2", "obs_count": None, "tissue": None, "tech_10x": None},
        {"srx_accession": "SRX3", "obs_count": 5},
    )
    serve_scbasecount(
        site,
        {"Homo_sapiens": human, "Zea_mays": samples({"srx_accession": "SRX9"})},
        [("Homo_sapiens", "SRX1"), ("Homo_sapiens", "SRX2"), ("Homo_sapiens", "SRX4"), ("Zea_mays", "SRX9")],
    )
    listing = ask_scbasecount(site)
    first, second = listing.datasets
    assert (first.name, first.organism, first.file) == ("scbase_srx1", "NCBITaxon:9606", "SRX1.h5ad")
    assert (first.cells, first.cell_types, first.tissue, first.assay) == (747, 0, "skin", "10x 3_prime_gex")
    assert first.url[0].startswith(f"{site.url}/atlas/s/2025-02-25/h5ad/{scbasecount.FEATURE}/Homo_sapiens/SRX1")
    assert first.url[1].startswith(f"{site.url}/arc-scbasecount/2025-02-25/h5ad/")
    assert first.is_known_as({"SRX1"})
    assert (first.collection, second.collection) == ("c1", "")
    assert (second.cells, second.tissue, second.bytes) == (None, "", 7)
    assert dict(listing.left_out) == {
        "Zea_mays is not in the table of organisms": 1,
        "samples without a file": 1,
        "files without a sample": 1,
    }


def test_gzipped_files_are_left_out_and_counted(site):
    human = samples({"srx_accession": "SRX1"}, {"srx_accession": "SRX2"})
    serve_scbasecount(site, {"Homo_sapiens": human}, [("Homo_sapiens", "SRX1"), ("Homo_sapiens", "SRX2.h5ad.gz")])
    listing = ask_scbasecount(site)
    assert [row.name for row in listing.datasets] == ["scbase_srx1"]
    assert dict(listing.left_out) == {
        "files that are gzipped as a whole (.h5ad.gz), which nothing unpacks": 1, "samples without a file": 1,
    }  # fmt: skip


def test_files_of_organisms_without_a_table_of_samples_are_counted_by_reason(site):
    serve_scbasecount(
        site,
        {"Homo_sapiens": samples({"srx_accession": "SRX1", "obs_count": 5})},
        [("Homo_sapiens", "SRX1"), ("Mus_musculus", "SRX2"), ("Mus_musculus", "SRX3"), ("Zea_mays", "SRX9")],
    )
    listing = ask_scbasecount(site)
    assert [row.name for row in listing.datasets] == ["scbase_srx1"]
    assert dict(listing.left_out) == {
        "Mus_musculus has no sample_metadata.parquet": 2,
        "Zea_mays is not in the table of organisms": 1,
    }


def test_scbasecount_without_its_tables_or_their_columns_is_refused(site):
    serve_scbasecount(site, {}, [("Homo_sapiens", "SRX1")])
    with pytest.raises(ValueError, match=f"there is no {SAMPLES}"):
        ask_scbasecount(site)
    file = io.BytesIO()
    pyarrow.parquet.write_table(pa.table({"accession": ["SRX1"]}), file)
    serve_scbasecount(site, {"Homo_sapiens": file.getvalue()}, [])
    with pytest.raises(ValueError, match=r"no columns \['srx_accession'.*it has \['accession'\]"):
        ask_scbasecount(site)
