"""Put the costs of all trainings, predictions and evaluations into one table."""

import sys

from scprint2.costs import collect_costs, read_evaluation_cost, read_prediction_cost, read_training_cost, write_costs

sys.stderr = open(snakemake.log[0], "w", buffering=1)
jobs = [read_training_cost(folder) for folder in snakemake.input.models]
jobs += [read_prediction_cost(path) for path in snakemake.input.predictions]
jobs += [read_evaluation_cost(path) for path in snakemake.input.evaluations]
write_costs(collect_costs(jobs, snakemake.params.rows), snakemake.output[0])
