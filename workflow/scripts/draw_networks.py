"""Draw the scores of all rows in gene networks, beside those against shuffled truths."""

import sys
from pathlib import Path

from scprint2.plots.files import write_figure
from scprint2.plots.networks import score_figure
from scprint2.tasks.controls import read_bands
from scprint2.tasks.network_scores import collect_network_scores, panel_bands

sys.stderr = open(snakemake.log[0], "w", buffering=1)
scores = collect_network_scores(map(Path, snakemake.input.scores), truths=snakemake.params.truths)
bands = panel_bands(read_bands(snakemake.input.controls), truths=snakemake.params.truths)
figure = score_figure(scores, title=f"Gene networks, scale {snakemake.wildcards.scale}", bands=bands)
write_figure(figure, scores, Path(snakemake.output.csv).parent, "networks")
