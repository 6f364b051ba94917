"""Get one file of a protein language model: from the configured mirror where it holds it, else from its URL."""

import sys

from scprint2.data.download import Expected, fetch_file

sys.stderr = open(snakemake.log[0], "w", buffering=1)
source, mirror = snakemake.params.source, snakemake.config["mirror"]
expected = Expected(f"{snakemake.wildcards.model}/{snakemake.wildcards.file}", source["sha256"], source["bytes"])
fetch_file(expected, snakemake.output[0], urls=[source["url"]], mirrors=[mirror] if mirror else [])
