"""Name the known edges of a network by the gene ids of its organism's gene table."""

import sys

from scprint2.data.genes import read_gene_table
from scprint2.data.truth import read_truth
from scprint2.files import atomic_path

sys.stderr = open(snakemake.log[0], "w", buffering=1)
edges = read_truth(snakemake.input.truth, read_gene_table(snakemake.input.genes, organism=snakemake.params.organism))
print(edges.attrs, file=sys.stderr)
with atomic_path(snakemake.output[0]) as path:
    edges.to_csv(path, sep="\t", index=False)
