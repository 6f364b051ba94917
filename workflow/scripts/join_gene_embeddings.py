"""Put the gene vectors of all organisms into one table."""

import sys

from scprint2.data.protein_embeddings import join_vectors

sys.stderr = open(snakemake.log[0], "w", buffering=1)
join_vectors(snakemake.input, snakemake.output[0])
