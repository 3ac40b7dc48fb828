# Two commands do everything on a fresh machine: `make run` and `make test`. PYTHON names an interpreter, 3.11 or newer.

PYTHON ?= python3
VENV ?= .venv
CORES ?= 2
STAMP := $(VENV)/.installed

.PHONY: run test test-slurm lint report fetch plan bench docs clean

run: $(STAMP)  ## the embedded study and its report
	$(VENV)/bin/snakemake --cores $(CORES)
	$(VENV)/bin/snakemake --report report.zip --report-stylesheet workflow/report/style.css
	rm -rf report && $(VENV)/bin/python -m zipfile -e report.zip .
	@echo "The report: report/report.html"

test: $(STAMP)  ## the test suite; what needs root and Debian's SLURM packages is in test-slurm
	$(VENV)/bin/python -m pytest -q -n $(CORES) -m "not slurm and not gpu and not network"

test-slurm: $(STAMP)  ## whole studies on a one-node SLURM cluster that the tests start (root, Debian's packages)
	$(VENV)/bin/python -m pytest -q -m slurm

lint: $(STAMP)  ## formats, types, the walls between packages, and Snakemake's own checks
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-cache --no-logo
	$(VENV)/bin/snakefmt --check Snakefile workflow/Snakefile rules
	$(VENV)/bin/snakemake --lint
	$(VENV)/bin/snakemake -s workflow/Snakefile --lint

fetch: $(STAMP)  ## all models, indexes and data of a study, on a connected node: make fetch CONFIG=config/paper.yaml
	$(VENV)/bin/snakemake --cores $(CORES) $(if $(CONFIG),--configfile $(CONFIG)) fetch

plan: $(STAMP)  ## jobs and estimated GPU hours by rule: make plan CONFIG=config/paper.yaml
	$(VENV)/bin/python -m layerrank plan $(if $(CONFIG),--configfile $(CONFIG))

bench: $(STAMP)  ## every performance figure of docs/performance.md, in one run: make bench BENCH="--full --collection FOLDER"
	$(VENV)/bin/python -m benchmarks $(BENCH)

docs: $(STAMP)  ## the picture of docs/architecture.md, from the code
	$(VENV)/bin/python docs/house.py

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "layerrank needs Python 3.11 or newer: make PYTHON=python3.11 …")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet torch==2.13.0
	$(VENV)/bin/python -m pip install --quiet -r requirements.lock
	$(VENV)/bin/python -m pip install --quiet --no-deps -e .
	touch $@

clean:  ## what the embedded study computed (models and downloads stay)
	rm -rf results report report.zip .snakemake
