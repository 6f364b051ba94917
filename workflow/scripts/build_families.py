"""Join the one-to-one orthologs of the organisms that are used to families."""

import sys
from pathlib import Path

import pandas as pd

from scprint2.data.orthologs import build_families, read_homologies, write_families

sys.stderr = open(snakemake.log[0], "w", buffering=1)
pairs = pd.concat([read_homologies(path, species=snakemake.params.species) for path in snakemake.input])
families = build_families(pairs)
write_families(families, genes=Path(snakemake.output.families), audit=Path(snakemake.output.audit))
