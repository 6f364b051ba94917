"""Compare the known networks of each organism with each other (figure 5d): a table and a figure."""

import sys
from pathlib import Path

import pandas as pd

from scprint2.metrics.overlap import compare_truths
from scprint2.plots.files import write_figure
from scprint2.plots.networks import overlap_figure

sys.stderr = open(snakemake.log[0], "w", buffering=1)
tables, files = [], iter(snakemake.input)  # in the order of the names
for organism, names in snakemake.params.truths.items():
    edges = {
        name: frozenset(pd.read_csv(next(files), sep="\t", dtype=str).itertuples(index=False, name=None))
        for name in names
    }
    tables.append(compare_truths(edges).assign(organism=organism))
overlap = pd.concat(tables, ignore_index=True)
overlap = overlap[["organism", *overlap.columns.drop("organism")]]
figure = overlap_figure(overlap, title="Share of the edges of a known network (row)\nthat another one (column) has")
write_figure(figure, overlap, Path(snakemake.output.csv).parent, "truth_overlap")
