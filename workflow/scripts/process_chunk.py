"""Fetch, preprocess and write as shards the training datasets of one chunk."""

import logging
import sys
from pathlib import Path

from scprint2.data.chunks import Recipe, place_of, process_chunk
from scprint2.data.genes import read_gene_table
from scprint2.data.label_names import read_label_names
from scprint2.data.preprocess import PreprocessingConfig
from scprint2.data.raw_sources import Downloads, Folder, Simulator
from scprint2.data.registry import Dataset
from scprint2.files import write_json

sys.stderr = open(snakemake.log[0], "w", buffering=1)
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
params, config = snakemake.params, snakemake.config  # places to get a file from are no reason to process it again
sources = {
    "download": Downloads([config["mirror"]] if config["mirror"] else [], params.checksums),
    "folder": Folder(Path(config["data"] or "")),
    "simulate": Simulator(params.simulation),
}
genes = zip(snakemake.input.genes, params.organisms, strict=True)
recipe = Recipe(
    settings=PreprocessingConfig.model_validate(params.settings),
    validation_share=params.validation_share,
    tables={name: read_gene_table(path, organism=name) for path, name in genes},
    labels={Path(path).stem: read_label_names(path) for path in snakemake.input.labels},
    ontologies=params.ontologies,
)
report = process_chunk(
    [Dataset.from_row(row) for row in params.datasets],
    sources[params.source],
    recipe,
    place_of(snakemake.wildcards.scale),
)
write_json(snakemake.output[0], report)
