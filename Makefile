# Two commands, each of which does all of its set-up:  make annotate   make test
# make test-long: 20 kills, 60 minutes of video, full disks, two runs at once; for fewer:
#   FACETRACKS_KILLS=3 FACETRACKS_MEMORY_MINUTES="1 3" make test-long
VENV := .venv
PYTHON ?= python3
SHELL := /bin/bash

.PHONY: annotate test test-long check clean

annotate: $(VENV)/.installed
	$(VENV)/bin/facetracks demo --output facetracks-sample

test: $(VENV)/.installed
	$(VENV)/bin/python -m pytest -q --numprocesses 2

test-long: $(VENV)/.installed
	$(VENV)/bin/python -m pytest -q -m long

# Lint, types and import contracts; .ci/run calls it after the tests.
check: $(VENV)/.installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[demo,dev]'
	touch $@

clean:
	rm -rf $(VENV) facetracks-sample
