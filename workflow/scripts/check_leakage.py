"""Compare the shards of a corpus with all test sets, by dataset, donor and the counts of every cell."""

import sys

from scprint2.data.duplicates import member_paths
from scprint2.data.genes import read_gene_table
from scprint2.data.leakage import Source, compare_with_test_sets
from scprint2.data.shard import Shard

sys.stderr = open(snakemake.log[0], "w", buffering=1)
organisms = snakemake.params.organisms
tables = [read_gene_table(path, organism=name) for path, name in zip(snakemake.input.genes, organisms, strict=True)]
ledger = compare_with_test_sets(
    map(Shard.open, member_paths(snakemake.input.members)),
    tables,
    snakemake.input.tests,
    sources={name: Source(**source) for name, source in snakemake.params.sources.items()},
)
ledger.write(rows=snakemake.output.ledger, seen=snakemake.output.seen)
