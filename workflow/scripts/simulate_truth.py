"""Write the true network behind one simulated dataset."""

import sys
from pathlib import Path

from scprint2.simulate import SimulationSettings, build_world, network_truth
from scprint2.simulate.corpus import write_table

sys.stderr = open(snakemake.log[0], "w", buffering=1)
world = build_world(SimulationSettings(**snakemake.params.simulation))
write_table(network_truth(world, snakemake.wildcards.truth), Path(snakemake.output[0]))
