"""Write the report of a test dataset's preprocessing."""

import sys
from pathlib import Path

from scprint2.dataset_page import write_dataset_page

sys.stderr = open(snakemake.log[0], "w", buffering=1)
write_dataset_page(Path(snakemake.input.quality).parent, snakemake.output[0])
