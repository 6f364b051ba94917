# `make help` lists the targets. Each sets up .venv first, which takes about a minute once and nothing afterwards.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup table1 table1-quick dry data-report report workflow-report ro-crate test lint format docs lock recover export clean

PYTHON ?= python3
VENV ?= .venv
PROFILE ?= profiles/local
# Values for config/config.yaml, such as CONFIG="scale=pocket data=my_folder"
CONFIG ?=
TARGETS ?= all
TEST_ARGS ?=
# The crate alone, without the pages that fairscape-cli would derive from it.
CRATE := name=scPRINT-2-benchmark license=https://spdx.org/licenses/BSD-3-Clause no-link-inverses no-evidence-graph no-linkml no-datasheet

# Jobs find the environment on PATH. One thread per process unless a rule says more: two jobs share two cores.
export PATH := $(abspath $(VENV))/bin:$(PATH)
export OMP_NUM_THREADS ?= 1
export NUMBA_NUM_THREADS ?= $(OMP_NUM_THREADS)
export PYTHONHASHSEED = 0
export MPLBACKEND = Agg
export JAX_PLATFORMS = cpu

INSTALLED := $(VENV)/.installed
# The targets come before --config, which takes every word that follows it.
SNAKEMAKE := snakemake --profile $(PROFILE)
SETTINGS := $(if $(strip $(CONFIG)),--config $(CONFIG))

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo '  PROFILE=profiles/slurm runs on a cluster; CONFIG="scale=pocket data=DIR variants=base" changes what is run.'

setup: $(INSTALLED)  ## Make .venv with exactly the locked versions

$(INSTALLED): requirements/lock.txt requirements/install.sh pyproject.toml
	@PYTHON='$(PYTHON)' requirements/install.sh '$(VENV)'
	@touch $@

table1: $(INSTALLED)  ## Everything up to results/table1.csv (all rows at mini scale unless CONFIG says otherwise)
	$(SNAKEMAKE) $(TARGETS) $(SETTINGS)
	@echo 'Done: results/table1.csv, results/table1.html, results/table1.pdf, results/figures/'

table1-quick:  ## The same with six rows of one seed each, and of the baselines the controls alone
	$(MAKE) table1 CONFIG="seeds=1 baselines=controls variants=base,negative_control,denoising,no_classification,no_decoder,no_gene_location $(CONFIG)"

dry: $(INSTALLED)  ## Say what would run: jobs per rule
	$(SNAKEMAKE) $(TARGETS) --dry-run --quiet rules $(SETTINGS)

data-report: $(INSTALLED)  ## Write a page per dataset and per corpus: reports/SCALE/{datasets,chunks,corpora}/
	$(SNAKEMAKE) data_report $(SETTINGS)

report: $(INSTALLED)  ## Write everything as a website: reports/SCALE/site, which reports/index.html leads to
	$(SNAKEMAKE) site $(SETTINGS)
	@echo 'Done: reports/index.html'

workflow-report: $(INSTALLED)  ## Write reports/workflow.html, Snakemake's own report: rules, run times, results
	$(SNAKEMAKE) $(TARGETS) --report reports/workflow.html $(SETTINGS)

ro-crate: $(INSTALLED)  ## Write ro-crate-metadata.json, an RO-Crate: what made every file of the last run
	$(SNAKEMAKE) $(TARGETS) --reporter fairscape $(addprefix --report-fairscape-,$(CRATE)) $(SETTINGS)

test: $(INSTALLED)  ## Run the tests (TEST_ARGS="-k zinb" for some)
	python -m pytest $(TEST_ARGS)

lint: $(INSTALLED)  ## Check style, types and the workflow
	ruff check .
	ruff format --check .
	pyright
	snakefmt --check Snakefile rules
	snakemake --lint

format: $(INSTALLED)  ## Put the style right
	ruff format .
	ruff check --fix .
	snakefmt Snakefile rules

docs: $(INSTALLED)  ## Write docs/_build/html: these pages and the Python reference as a website
	python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo 'Done: docs/_build/html/index.html'

lock: $(INSTALLED)  ## Compile requirements/lock.txt and envs/ from requirements/requirements.in
	requirements/compile.sh
	python envs/generate.py

recover: $(INSTALLED)  ## After a kill: cancel this user's jobs on the cluster, unlock, go on
	workflow/scripts/cancel_jobs.sh scprint2
	$(SNAKEMAKE) $(TARGETS) --unlock $(SETTINGS)
	$(SNAKEMAKE) $(TARGETS) --rerun-incomplete $(SETTINGS)

export:  ## Pack results with what Snakemake knows about them: export.tar.gz (a copy without that trains again)
	tar -czf export.tar.gz $(wildcard results reports work resources ro-crate-metadata.json .snakemake/metadata)

clean:  ## Remove results, reports and training state (not .venv, not resources)
	rm -rf work .snakemake results/* reports/*
	@git checkout --quiet -- results/.gitkeep reports/.gitkeep 2>/dev/null || true
