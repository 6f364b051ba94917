"""Put the scores and costs of all rows together as Table 1."""

import sys

from scprint2.table import build_table1, read_costs, write_table1
from scprint2.tasks.scores import read_all_scores

sys.stderr = open(snakemake.log[0], "w", buffering=1)
table = build_table1(
    read_all_scores(snakemake.input.scores),
    snakemake.params.rows,
    columns=snakemake.params.columns,
    costs=read_costs(snakemake.input.models),
)
output = snakemake.output
write_table1(
    table,
    csv=output.csv,
    long_csv=output.long,
    comparisons_csv=output.comparisons,
    html=output.html,
    pdf=output.pdf,
)
