"""Write the gene tables of the simulated organisms and their protein-embedding-like vectors."""

import sys
from pathlib import Path

from scprint2.simulate import SimulationSettings, build_world, write_corpus

sys.stderr = open(snakemake.log[0], "w", buffering=1)
folder = Path(snakemake.output.embedding).parent
write_corpus(build_world(SimulationSettings(**snakemake.params.simulation)), folder, names=())
