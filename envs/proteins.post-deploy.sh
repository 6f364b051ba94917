#!/usr/bin/env bash
# The project itself goes into the environment that Snakemake has just made from the file of the same name; and transformers, which is
# not in the lock: one rule needs it, and whoever has a table of gene vectors does not.
set -euo pipefail
python -m pip install --no-deps --editable .
python -m pip install transformers==4.57.6 tokenizers==0.22.1 huggingface-hub==0.36.0
