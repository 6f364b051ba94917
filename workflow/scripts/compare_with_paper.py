"""Set the directions of Table 1 beside those of the paper."""

import sys

from scprint2.files import atomic_path, write_text
from scprint2.paper import compare_with_paper, lay_out_comparison, read_paper
from scprint2.table import read_table1
from scprint2.table_page import render_html

sys.stderr = open(snakemake.log[0], "w", buffering=1)
compared = compare_with_paper(read_table1(snakemake.input.table), read_paper(snakemake.input.paper))
with atomic_path(snakemake.output.csv) as path:
    compared.to_csv(path, index=False)
write_text(snakemake.output.html, render_html(lay_out_comparison(compared, scale=snakemake.wildcards.scale)))
