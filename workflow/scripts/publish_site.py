"""Write the page that leads to the site of the scale that was run last."""

import sys

from scprint2.files import write_text
from scprint2.pages import render_template

sys.stderr = open(snakemake.log[0], "w", buffering=1)
write_text(snakemake.output[0], render_template("lead.html", page=snakemake.params.page[0]))
