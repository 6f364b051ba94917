"""Link to a file of the user's folder, after checking that it is the one that the registry means."""

import sys
from pathlib import Path

from scprint2.data.raw_sources import link_file

sys.stderr = open(snakemake.log[0], "w", buffering=1)
link_file(Path(snakemake.input[0]), Path(snakemake.output[0]), sha256=snakemake.params.sha256)
