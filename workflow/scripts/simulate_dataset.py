"""Write one simulated dataset as CELLxGENE would publish it."""

import sys

from scprint2.files import atomic_path
from scprint2.simulate import SimulationSettings, build_world, simulate_dataset

sys.stderr = open(snakemake.log[0], "w", buffering=1)
world = build_world(SimulationSettings(**snakemake.params.simulation))
adata = simulate_dataset(world, snakemake.wildcards.dataset)
with atomic_path(snakemake.output[0]) as path:
    adata.write_h5ad(path, compression="gzip", compression_opts=1)
