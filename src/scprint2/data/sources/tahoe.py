"""Tahoe-100M: one h5ad file per plate in the bucket of Arc's Virtual Cell Atlas.

Source: https://github.com/ArcInstitute/arc-virtual-cell-atlas, tahoe-100M/README.md and tutorial-py.ipynb.
"""

import re
from collections.abc import Mapping

from scprint2.data.manifests import Listed
from scprint2.data.sources.google import list_objects, object_url, split_location
from scprint2.data.sources.listing import Listing, Source, count
from scprint2.data.sources.web import Web

PLATE = re.compile(r"plate([0-9]+)_filt_[A-Za-z0-9_]+\.h5ad")
HUMAN = "NCBITaxon:9606"
FORMER = ("arc-ctc-tahoe100", "2025-02-25/h5ad/")  # the paper's; closed by its owner on 2026-03-31
CITATION = "Zhang 2025, doi:10.1101/2025.02.20.639398 (Tahoe-100M)"


def list_datasets(*, endpoint: str, organisms: Mapping[str, str], location: str, web: Web | None = None) -> Listing:
    """List the plates; cells have cell lines and drugs, and no cell types.

    Raises
    ------
    ValueError
        If the service does not answer, or not as documented, or humans are not among the organisms.
    """
    if HUMAN not in organisms.values():
        raise ValueError(f"Tahoe-100M is human, and {HUMAN} is not in the table of organisms; it has {list(organisms)}")
    bucket, prefix = split_location(location)
    datasets, left_out = [], {}
    for stored in list_objects(web or Web(), endpoint, bucket, prefix):
        file = stored.name.rsplit("/", 1)[-1]
        plate = PLATE.fullmatch(file)
        if not plate:
            count(left_out, "objects that are not plates")
            continue
        datasets.append(
            Listed(
                name=f"tahoe_plate{int(plate[1]):02d}",
                organism=HUMAN,
                url=(stored.url(endpoint), object_url(endpoint, FORMER[0], FORMER[1] + file)),
                file=file,
                bytes=stored.bytes,
                md5=stored.md5,
                licence="see source (Tahoe Bio)",
                citation=CITATION,
                batch_key="plate",
                cell_types=0,
                tissue="cell lines",
                assay="Parse GigaLab",
            )
        )
    return Listing(tuple(datasets), left_out)


SOURCE = Source(
    name="tahoe",
    title="Tahoe-100M",
    endpoint="https://storage.googleapis.com",
    settings={"location": "gs://arc-institute-virtual-cell-atlas/tahoe100M/2025-02-25/h5ad/"},
    ask=list_datasets,
)
