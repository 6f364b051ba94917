"""Check one test set, map its genes, filter, label, embed and cluster its cells."""

import sys
from pathlib import Path

from scprint2.data.genes import read_gene_table
from scprint2.data.label_names import read_label_names
from scprint2.data.labels import NO_LABELS
from scprint2.data.preprocess import PreprocessingConfig, processed, write_cells
from scprint2.data.quality_record import write_quality_record
from scprint2.data.registry import Dataset

sys.stderr = open(snakemake.log[0], "w", buffering=1)
dataset = Dataset.from_row(snakemake.params.dataset)
table = read_gene_table(snakemake.input.genes, organism=dataset.organism)
settings = PreprocessingConfig.model_validate(snakemake.params.settings)
folder = Path(snakemake.output.cells).parent
names = read_label_names(snakemake.input.labels) if snakemake.input.labels else NO_LABELS
raw, secondary = snakemake.input.raw, snakemake.params.secondary
with processed(dataset, raw, table, settings=settings, scratch=folder, label_names=names, secondary=secondary) as cells:
    write_quality_record(cells, folder)
    write_cells(cells.to_anndata(), snakemake.output.cells)
