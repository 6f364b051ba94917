"""Get one file that an organism's row names by its URL."""

import sys

from scprint2.data.download import Expected, fetch_file

sys.stderr = open(snakemake.log[0], "w", buffering=1)
mirror = snakemake.config["mirror"]
fetch_file(
    Expected(snakemake.wildcards.file, "", None),
    snakemake.output[0],
    urls=[snakemake.params.url],
    mirrors=[mirror] if mirror else [],
)
