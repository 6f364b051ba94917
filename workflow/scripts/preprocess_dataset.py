"""Check one dataset, map its genes, filter, label, embed and cluster its cells."""

import sys

from scprint2.data.genes import read_gene_table
from scprint2.data.preprocess import PreprocessingConfig, preprocess, write_preprocessed
from scprint2.data.registry import Dataset

sys.stderr = open(snakemake.log[0], "w", buffering=1)
dataset = Dataset.from_row(snakemake.params.dataset)
adata = preprocess(
    dataset,
    snakemake.input.raw,
    read_gene_table(snakemake.input.genes, organism=dataset.organism),
    settings=PreprocessingConfig.model_validate(snakemake.params.settings),
)
output = snakemake.output
write_preprocessed(adata, cells=output.cells, genes=output.genes, qc=output.quality)
