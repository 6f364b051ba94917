"""Put the scores of a study's rows into one table."""

import sys
from pathlib import Path

from scprint2.files import atomic_path
from scprint2.tasks.scores import read_all_scores

sys.stderr = open(snakemake.log[0], "w", buffering=1)
files = [path for folder in snakemake.input for path in sorted(Path(folder).glob("*/*.tsv"))]
with atomic_path(Path(snakemake.output[0])) as path:
    read_all_scores(files).to_csv(path, sep="\t", index=False)
