"""Put the scores of a study's rows into one table."""

import sys
from pathlib import Path

import pandas as pd

from scprint2.files import atomic_path
from scprint2.tasks.scores import read_scores

sys.stderr = open(snakemake.log[0], "w", buffering=1)
files = [path for folder in snakemake.input for path in sorted(Path(folder).glob("*/*.tsv"))]
with atomic_path(Path(snakemake.output[0])) as path:
    pd.concat([read_scores(file) for file in files]).to_csv(path, sep="\t", index=False)
