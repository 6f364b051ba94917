"""Make h5ad of a dataset that is published as an archive of 10x files."""

import sys

from scprint2.data.archives import unpack_dataset

sys.stderr = open(snakemake.log[0], "w", buffering=1)
unpack_dataset(snakemake.input[0], snakemake.output[0])
