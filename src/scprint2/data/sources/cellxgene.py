"""CELLxGENE Discover: all public datasets, each in the version that was public on one day.

Source: the service's description, https://api.cellxgene.cziscience.com/curation/ui/ (GET /v1/datasets,
/v1/datasets/{id}/versions).
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from scprint2.data.manifests import Listed
from scprint2.data.sources.listing import Listing, Source, Unreadable, count, field
from scprint2.data.sources.web import Web

# The census LTS release 2024-07-01 was built on 2024-05-20 (census data releases page): what was public then is what it holds.
CENSUS_BUILD = "2024-05-20"
UNKNOWN = frozenset(["unknown", "na"])
PRIMARY = {(True,): "all", (False,): "none", (False, True): "some"}


def list_datasets(*, endpoint: str, organisms: Mapping[str, str], until: str, web: Web | None = None) -> Listing:
    """List the datasets that were public at the end of a day (UTC, year-month-day), in the version of that day.

    Withdrawn datasets are not told by the service, and so not listed.

    Raises
    ------
    ValueError
        If the service does not answer, or not as documented.
    """
    web = web or Web()
    last = datetime.fromisoformat(until).replace(hour=23, minute=59, second=59, tzinfo=UTC)
    base = f"{endpoint.rstrip('/')}/curation/v1/datasets"
    datasets, left_out = [], {}
    for entry in web.get_json(base):
        name = str(field(entry, "dataset_id", where=base))
        if _moment(field(entry, "published_at", where=name)) > last:
            count(left_out, f"published after {until}")
            continue
        versions = web.get_json(f"{base}/{name}/versions")
        public = [version for version in versions if _moment(field(version, "published_at", where=name)) <= last]
        if not public:
            count(left_out, f"no version of {until} or before")
            continue
        version = max(public, key=lambda version: _moment(version["published_at"]))
        problem = _problem(version, set(organisms.values()))
        if problem:
            count(left_out, problem)
            continue
        ids = [str(field(version, "dataset_version_id", where=name)) for version in versions]
        datasets.append(_listed(name, version, versions=ids, doi=str(entry.get("collection_doi") or "")))
    return Listing(tuple(datasets), left_out)


def _problem(version: Mapping[str, Any], organisms: set[str]) -> str:
    """Say why a dataset cannot be used; empty if it can."""
    found = {term["ontology_term_id"] for term in version.get("organism") or ()}
    if len(found) != 1:
        return "several organisms in one file, or none"
    if not found & organisms:
        return f"organism {found.pop()} is not in the table of organisms"
    return "" if _assets(version) else "no h5ad file"


def _listed(name: str, version: Mapping[str, Any], *, versions: Sequence[str], doi: str) -> Listed:
    asset = _assets(version)[0]
    cell_types = {term["label"].lower() for term in version.get("cell_type") or ()} - UNKNOWN
    primary = tuple(sorted(set(version.get("is_primary_data") or ())))
    if primary and primary not in PRIMARY:
        raise Unreadable(f"dataset {name}: is_primary_data is {primary}; known: {list(PRIMARY)}")
    return Listed(
        name=f"cxg_{name}",
        organism=version["organism"][0]["ontology_term_id"],
        url=(asset["url"],),
        file=asset["url"].rsplit("/", 1)[-1],
        bytes=int(asset["filesize"]) if asset.get("filesize") else None,
        licence="CC BY 4.0 (CELLxGENE)",
        citation=version.get("citation") or " ".join(filter(None, [version.get("title"), doi and f"doi:{doi}"])),
        batch_key="donor_id",
        label_key="cell_type_ontology_term_id",
        cells=version.get("cell_count"),
        cell_types=len(cell_types),
        tissue=_labels(version, "tissue"),
        assay=_labels(version, "assay"),
        schema=version.get("schema_version") or "",
        primary=PRIMARY[primary] if primary else "",
        published=version["published_at"],
        aliases=tuple(sorted({name, *versions})),
        collection=str(version.get("collection_id") or ""),
    )


def _assets(version: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [asset for asset in version.get("assets") or () if asset.get("filetype") == "H5AD"]


def _labels(version: Mapping[str, Any], name: str) -> str:
    return "; ".join(sorted({term["label"] for term in version.get(name) or ()}))


def _moment(text: object) -> datetime:
    moment = datetime.fromisoformat(str(text))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


SOURCE = Source(
    name="cellxgene",
    title="CELLxGENE Discover",
    endpoint="https://api.cellxgene.cziscience.com",
    settings={"until": CENSUS_BUILD},
    ask=list_datasets,
)
