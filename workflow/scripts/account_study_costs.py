"""Put the costs of all that is trained, predicted and evaluated beside Table 1 into one table."""

import sys
from pathlib import Path

from scprint2.costs import (
    collect_study_costs,
    read_evaluation_cost,
    read_prediction_cost,
    read_study_costs,
    read_sweep_cost,
    read_training_cost,
    write_costs,
)

sys.stderr = open(snakemake.log[0], "w", buffering=1)
files = snakemake.input
shorter = [read_training_cost(folder) for folder in files.models]
shorter += [read_prediction_cost(path) for path in files.predictions]
shorter += [read_evaluation_cost(path) for path in files.evaluations]
jobs = [{"study": "score_curves", **job} for job in shorter]
jobs += [read_sweep_cost(path) for path in files.sweeps]
for folder in sorted({Path(folder).parent for folder in files.studies}):
    jobs += read_study_costs(folder)
write_costs(collect_study_costs(jobs), snakemake.output[0])
