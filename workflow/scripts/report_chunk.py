"""Write the report of each dataset of a chunk, and the list of them."""

import sys
from os.path import relpath
from pathlib import Path

from scprint2.data.chunks import place_of
from scprint2.dataset_page import write_chunk_page, write_dataset_page
from scprint2.files import read_json

sys.stderr = open(snakemake.log[0], "w", buffering=1)
target, report = Path(snakemake.output[0]), read_json(snakemake.input.chunk)
links = {}
for name, entry in report.items():
    if entry["status"] == "done":
        page = Path(snakemake.params.folder, f"{name}.html")
        write_dataset_page(place_of(snakemake.wildcards.scale).processed / name, page)
        links[name] = relpath(page, target.parent)
write_chunk_page(report, target, links=links)
