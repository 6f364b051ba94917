"""Get one dataset's file: from the configured mirror where it holds it, else from its URLs."""

import sys

from scprint2.data.download import fetch
from scprint2.data.registry import Dataset

sys.stderr = open(snakemake.log[0], "w", buffering=1)
mirror = snakemake.config[
    "mirror"
]  # not a parameter: another place to get the same file from is no reason to get it again
fetch(
    Dataset.from_row(snakemake.params.dataset),
    snakemake.output[0],
    mirrors=[mirror] if mirror else [],
    checksums=snakemake.params.checksums,
)
