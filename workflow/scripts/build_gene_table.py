"""Normalize the gene table of one organism."""

import sys

from scprint2.data.genes import build_gene_table, write_gene_table

sys.stderr = open(snakemake.log[0], "w", buffering=1)
table = build_gene_table(
    snakemake.input.genes,
    organism=snakemake.params.organism,
    aliases=snakemake.input.get("aliases"),
    transcription_factors=snakemake.input.get("transcription_factors"),
    families=snakemake.input.get("orthologs"),
)
write_gene_table(table, snakemake.output[0])
