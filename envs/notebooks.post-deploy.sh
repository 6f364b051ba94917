#!/usr/bin/env bash
# The project itself goes into the environment that Snakemake has just made from the file of the same name.
set -euo pipefail
python -m pip install --no-deps --editable .
