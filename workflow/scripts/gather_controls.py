"""Gather the scores of the controls of a scale."""

import sys

from scprint2.tasks.controls import gather_controls, write_controls

sys.stderr = open(snakemake.log[0], "w", buffering=1)
write_controls(snakemake.output[0], gather_controls(snakemake.input, snakemake.params.controls))
