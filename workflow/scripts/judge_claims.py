"""Hold every claim of the paper against Table 1, and against what else was made."""

import sys
from pathlib import Path

from scprint2.claims_checks import read_ledger
from scprint2.claims_further import read_further
from scprint2.claims_page import render_claims
from scprint2.claims_results import read_long, read_results
from scprint2.claims_verdicts import judge_claims, to_frame
from scprint2.files import atomic_path, write_text
from scprint2.paper import read_paper

sys.stderr = open(snakemake.log[0], "w", buffering=1)
params = snakemake.params
ledger = read_ledger(Path(snakemake.input.ledger).parents[1])
results = read_results(
    read_long(snakemake.input.table),
    ledger,
    columns=params.columns,
    roles=params.roles,
    further=read_further(
        experiments=params.experiments,
        partial=params.partial,
        counted=params.counted,
        absent=params.absent,
        **params.further,
    ),
    paper=read_paper(snakemake.input.paper),
)
judged = judge_claims(ledger, results)
with atomic_path(snakemake.output.csv) as path:
    to_frame(judged, scale=results.scale).to_csv(path, index=False)
write_text(snakemake.output.html, render_claims(judged, ledger, scale=results.scale))
