"""Get a published file that is made into something else: from the configured mirror where it holds it, else from its URLs."""

import sys

from scprint2.data.download import Expected, fetch_file

sys.stderr = open(snakemake.log[0], "w", buffering=1)
source, mirror = snakemake.params.source, snakemake.config["mirror"]
fetch_file(
    Expected(source["file"], source["sha256"], int(source["bytes"]) if source["bytes"] else None, source["md5"]),
    snakemake.output[0],
    urls=source["url"].split(),
    mirrors=[mirror] if mirror else [],
    checksums=snakemake.params.checksums,
)
