# make setup: the environment in .venv    make test: that and the suite    make lint: the linters    make docs: the site    make fuzz: a minute
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup test lint docs fuzz torture format clean
setup: $(VENV)/.made

$(VENV)/.made: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "vqspeech needs Python 3.11 or newer, $(PYTHON) is $$($(PYTHON) --version); try: make setup PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || \
		{ echo "$(PYTHON) cannot make environments; on Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[recipe,dev]'
	@# torchaudio's wheel is linked to CUDA and does not import beside a CPU-only torch; without its lib/ it
	@# runs in its documented pure-Python mode (datasets, resampling), which is all that is used of it.
	@$(BIN)/python -c 'import torchaudio' 2> /dev/null || rm -rf $(VENV)/lib/python3.*/site-packages/torchaudio/lib
	@$(BIN)/python -c 'import torchaudio'
	@# compiled once, kept beside the sources
	@$(BIN)/python -c 'from vqspeech.engines import numba_engine; numba_engine.warm("bfloat16")'
	@touch $@

test: setup
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright

# the site, build/docs/index.html, with warnings as errors; to search it: python -m http.server -d build/docs
docs: setup
	@$(BIN)/python -c 'import mkdocs, mkdocstrings' 2> /dev/null || $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

SECONDS_OF_FUZZ ?= 60
fuzz: setup
	@$(BIN)/python -c 'import atheris' 2> /dev/null || $(BIN)/python -m pip install --quiet --constraint constraints.txt atheris
	$(BIN)/python tests/campaigns/fuzz/fuzz_vqs.py -max_total_time=$(SECONDS_OF_FUZZ) -verbosity=0

# hours: what docs/explanation/reliability.md reports
torture: setup
	$(BIN)/python tests/campaigns/torture.py kill
	$(BIN)/python tests/campaigns/torture.py disk
	$(BIN)/python tests/campaigns/torture.py hostile
	$(BIN)/python tests/campaigns/torture.py memory
	$(BIN)/python tests/campaigns/environments.py
	$(BIN)/python tests/campaigns/crowd.py

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
