"""Read what some rows reach at an equal budget of training off their scores along it."""

import sys

from scprint2.equal_budget import compare_at_equal_budget, write_equal_budget
from scprint2.plots.score_curves import read_score_curves
from scprint2.tasks.controls import read_column_bands
from scprint2.tasks.scores import read_all_scores

sys.stderr = open(snakemake.log[0], "w", buffering=1)
files, columns = snakemake.input, snakemake.params.columns
drawn = read_score_curves(files.models, read_all_scores(files.scores), columns)
bands = read_column_bands(files.controls, columns)
write_equal_budget(compare_at_equal_budget(drawn, columns, bands=bands), snakemake.output[0])
