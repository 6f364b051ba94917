"""Check one dataset, map its genes, filter, label, embed and cluster its cells."""

import sys

from scprint2.data.genes import read_gene_table
from scprint2.data.label_names import read_label_names
from scprint2.data.labels import NO_LABELS
from scprint2.data.preprocess import PreprocessingConfig, preprocess, write_preprocessed
from scprint2.data.registry import Dataset

sys.stderr = open(snakemake.log[0], "w", buffering=1)
dataset = Dataset.from_row(snakemake.params.dataset)
adata = preprocess(
    dataset,
    snakemake.input.raw,
    read_gene_table(snakemake.input.genes, organism=dataset.organism),
    settings=PreprocessingConfig.model_validate(snakemake.params.settings),
    label_names=read_label_names(snakemake.input.labels) if snakemake.input.labels else NO_LABELS,
)
output = snakemake.output
write_preprocessed(adata, cells=output.cells, genes=output.genes, labels=output.labels, qc=output.quality)
