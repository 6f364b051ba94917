"""Write the processed cells of one dataset as a shard."""

import sys

import anndata

from scprint2.data.genes import read_gene_table
from scprint2.data.shard_writer import write_shard

sys.stderr = open(snakemake.log[0], "w", buffering=1)
adata = anndata.read_h5ad(snakemake.input.cells)
table = read_gene_table(snakemake.input.genes, organism=adata.uns["scprint2"]["organism"])
write_shard(
    adata,
    snakemake.output[0],
    gene_ids=table.frame["gene_id"].tolist(),
    validation_share=snakemake.params.validation_share,
)
