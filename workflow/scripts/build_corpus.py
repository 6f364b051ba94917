"""Put shards together to a corpus, and check that no test cell is among them."""

import sys

from scprint2.data.corpus import build_corpus
from scprint2.data.duplicates import member_paths
from scprint2.data.genes import read_gene_table
from scprint2.files import read_json

sys.stderr = open(snakemake.log[0], "w", buffering=1)
organisms = snakemake.params.organisms
tables = [read_gene_table(path, organism=name) for path, name in zip(snakemake.input.genes, organisms, strict=True)]
corpus = build_corpus(
    snakemake.wildcards.corpus,
    member_paths(snakemake.input.members, read_json(snakemake.input.members)["members"]),
    tables,
    test_sets=snakemake.input.tests,
    validation_share=snakemake.params.validation_share,
)
corpus.save(snakemake.output[0])
