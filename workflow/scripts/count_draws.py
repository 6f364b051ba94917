"""Count the cells that a training has seen."""

import sys
from pathlib import Path

from scprint2.data.corpus import Corpus
from scprint2.data.draws import count_draws, replay_draws
from scprint2.data.loader import DataConfig
from scprint2.files import read_json, write_json

sys.stderr = open(snakemake.log[0], "w", buffering=1)
model, corpus = Path(snakemake.input.model), Corpus.load(snakemake.input.corpus)
experiment, record = read_json(model / "experiment.json"), read_json(model / "record.json")
draws = replay_draws(
    corpus,
    DataConfig.model_validate(experiment["data"]),
    batch_size=experiment["training"]["batch_size"],
    seed=record["seed"],
    steps=record["steps"],
)
write_json(snakemake.output[0], count_draws(corpus, draws))
