"""Put shards together to a corpus, unless they share with the test sets what they must not."""

import sys

from scprint2.data.corpus import build_corpus
from scprint2.data.duplicates import member_paths
from scprint2.data.genes import read_gene_table
from scprint2.data.leakage import Ledger

sys.stderr = open(snakemake.log[0], "w", buffering=1)
name, organisms = snakemake.wildcards.corpus, snakemake.params.organisms
ledger = Ledger.read(rows=snakemake.input.ledger, seen=snakemake.input.seen)
tables = [read_gene_table(path, organism=key) for path, key in zip(snakemake.input.genes, organisms, strict=True)]
corpus = build_corpus(
    name,
    member_paths(snakemake.input.members),
    tables,
    validation_share=snakemake.params.validation_share,
    leakage=ledger.enforce(snakemake.params.leakage, corpus=name),
)
corpus.save(snakemake.output[0])
