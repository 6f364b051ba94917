"""Turn a published network into a table of regulator and target, named as published."""

import sys

from scprint2.data.truth_sources import convert_truth

sys.stderr = open(snakemake.log[0], "w", buffering=1)
edges = convert_truth(
    snakemake.input.source,
    snakemake.output[0],
    mapping=snakemake.input.get("mapping"),
    **snakemake.params.conversion,
)
print(f"{edges} edges", file=sys.stderr)
