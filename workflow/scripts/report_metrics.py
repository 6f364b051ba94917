"""Write the cards of the metrics as a page."""

import sys

import pandas as pd

from scprint2.cards import write_cards_page

sys.stderr = open(snakemake.log[0], "w", buffering=1)
write_cards_page(snakemake.params.cards, snakemake.output[0], drift=pd.read_csv(snakemake.input.drift, sep="\t"))
