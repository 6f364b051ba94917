"""scBaseCount: one h5ad file per SRA experiment in the bucket of Arc's Virtual Cell Atlas, one table of samples per organism.

Source: https://github.com/ArcInstitute/arc-virtual-cell-atlas, scBaseCount/README.md and tutorial-py.ipynb (folders h5ad and
metadata, in each FEATURE/ORGANISM; columns srx_accession, file_path, obs_count, organism, tissue, tech_10x, czi_collection_id
and more).
"""

import io
from collections.abc import Iterable, Mapping
from typing import Any

from scprint2.data.manifests import Listed, stem
from scprint2.data.sources.google import StoredObject, list_objects, object_url, split_location
from scprint2.data.sources.listing import Listing, Source, Unreadable, count
from scprint2.data.sources.web import Web

FEATURE = "GeneFull_Ex50pAS"  # counts of exons and introns; the one that Arc's tutorials use
SAMPLES = "sample_metadata.parquet"
COLUMNS = ("srx_accession", "obs_count", "tissue", "tech_10x", "czi_collection_id")
PACKED = "files that are gzipped as a whole (.h5ad.gz), which nothing unpacks"
UNUSED = "is not in the table of organisms"
FORMER = ("arc-scbasecount", "2025-02-25/")  # the paper's; closed by its owner on 2026-03-31
CITATION = "Youngblut 2025, doi:10.1101/2025.02.27.640494 (scBaseCount)"


def list_datasets(*, endpoint: str, organisms: Mapping[str, str], location: str, web: Web | None = None) -> Listing:
    """List the samples of the project's organisms that have a file; there are no cell types.

    Raises
    ------
    ValueError
        If the service does not answer, or not as documented.
    """
    web = web or Web()
    bucket, prefix = split_location(location)
    datasets: list[Listed] = []
    left_out: dict[str, int] = {}
    stored_objects = list(list_objects(web, endpoint, bucket, f"{prefix}h5ad/{FEATURE}/"))
    left_out[PACKED] = sum(stored.name.endswith(".h5ad.gz") for stored in stored_objects)
    files = _files_by_organism(stored_objects)
    tables = [
        stored
        for stored in list_objects(web, endpoint, bucket, f"{prefix}metadata/{FEATURE}/")
        if stored.name.endswith(f"/{SAMPLES}")
    ]
    if not tables:
        raise Unreadable(f"gs://{bucket}/{prefix}metadata/{FEATURE}/: there is no {SAMPLES}")
    for table in tables:
        organism = table.name.split("/")[-2]
        stored_files = files.pop(organism, {})
        taxon = organisms.get(organism.replace("_", " "))
        if taxon is None:
            left_out[f"{organism} {UNUSED}"] = len(stored_files)
            continue
        for sample in _read_samples(web.get(table.url(endpoint)), where=table.name):
            stored = stored_files.pop(sample["srx_accession"], None)
            if stored is None:
                count(left_out, "samples without a file")
                continue
            former = object_url(endpoint, FORMER[0], FORMER[1] + stored.name[len(prefix) :])
            datasets.append(_listed(sample, organism=taxon, url=(stored.url(endpoint), former), stored=stored))
        left_out["files without a sample"] = left_out.get("files without a sample", 0) + len(stored_files)
    for organism, stored_files in files.items():
        known = organism.replace("_", " ") in organisms
        left_out[f"{organism} {'has no ' + SAMPLES if known else UNUSED}"] = len(stored_files)
    return Listing(tuple(datasets), {reason: number for reason, number in left_out.items() if number})


def _files_by_organism(objects: Iterable[StoredObject]) -> dict[str, dict[str, StoredObject]]:
    files: dict[str, dict[str, StoredObject]] = {}
    for stored in objects:
        if stored.name.endswith(".h5ad"):
            files.setdefault(stored.name.split("/")[-2], {})[stem(stored.name)] = stored
    return files


def _read_samples(content: bytes, *, where: str) -> list[dict[str, Any]]:
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(io.BytesIO(content))
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise Unreadable(f"{where}: no columns {missing}; it has {table.column_names}")
    return table.select(list(COLUMNS)).to_pylist()


def _listed(sample: Mapping[str, Any], *, organism: str, url: tuple[str, ...], stored: StoredObject) -> Listed:
    accession = sample["srx_accession"]
    collection = sample["czi_collection_id"]
    return Listed(
        name=f"scbase_{accession.lower()}",
        organism=organism,
        url=url,
        file=stored.name.rsplit("/", 1)[-1],
        bytes=stored.bytes,
        md5=stored.md5,
        licence="see source (SRA; curated by Arc Institute)",
        citation=f"{CITATION}, {accession}",
        cells=None if sample["obs_count"] is None else int(sample["obs_count"]),
        cell_types=0,
        tissue=sample["tissue"] or "",
        assay=f"10x {sample['tech_10x']}" if sample["tech_10x"] else "",
        aliases=(accession, *([collection] if collection else [])),
        collection=collection or "",
    )


SOURCE = Source(
    name="scbasecount",
    title="scBaseCount",
    endpoint="https://storage.googleapis.com",
    settings={"location": "gs://arc-institute-virtual-cell-atlas/scbasecount/2025-02-25/"},
    ask=list_datasets,
)
