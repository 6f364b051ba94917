"""Write the report of a corpus."""

import sys
from pathlib import Path

from scprint2.corpus_page import write_corpus_page

sys.stderr = open(snakemake.log[0], "w", buffering=1)
files, output = snakemake.input, snakemake.output
write_corpus_page(
    files.corpus,
    files.members,
    output.page,
    figures=Path(output.png).parent,
    vectors=Path(str(files.vectors)) if files.vectors else None,
)
