"""Get a table that a registry names: from the configured mirror where it holds the file, else from its URL."""

import sys
from pathlib import Path

from scprint2.data.download import Expected, fetch_file

sys.stderr = open(snakemake.log[0], "w", buffering=1)
target, url, mirror = Path(snakemake.output[0]), snakemake.params.url, snakemake.config["mirror"]
fetch_file(
    Expected(target.name),
    target,
    urls=[url] if url else [],
    mirrors=[mirror] if mirror else [],
    checksums=snakemake.params.checksums,
)
