"""Take one protein per gene: that of Ensembl's canonical transcript, else the longest."""

import sys

from scprint2.data.genes import read_gene_table
from scprint2.data.gtf import canonical_transcripts
from scprint2.data.proteins import choose_proteins, read_fasta, write_proteins

sys.stderr = open(snakemake.log[0], "w", buffering=1)
table = read_gene_table(snakemake.input.genes, organism=snakemake.params.organism)
found = choose_proteins(
    read_fasta(snakemake.input.proteins),
    genes=table.frame["gene_id"].tolist(),
    canonical=canonical_transcripts(snakemake.input.annotation),
)
write_proteins(found.table, snakemake.output[0])
counts = found.table["chosen"].value_counts().to_dict()
print(f"{counts} of {len(table)} genes; no protein: {len(found.missing)} {found.missing[:5]}", file=sys.stderr)
