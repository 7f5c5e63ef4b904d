# Two commands, each of which does all of its set-up:  make annotate   make test
# make test-long: 20 kills, 60 minutes of video, every real clip cut in 1, 3 and 10 s, full
# disks, two runs at once; for fewer:
#   FACETRACKS_KILLS=3 FACETRACKS_MEMORY_MINUTES="3 9" FACETRACKS_SEAM_CLIPS=2 make test-long
VENV := .venv
PYTHON ?= python3
SHELL := /bin/bash

FAST := tests/schemas tests/models/test_*.py tests/models/landmarks/datasets \
	tests/models/detection/test_detector_boxes.py tests/models/detection/test_detector_metrics.py \
	tests/models/stabilization/test_bayesian_filter.py tests/transforms/test_progress_board.py \
	tests/transforms/storage/test_atomic_files.py tests/transforms/storage/test_record_codec.py \
	tests/transforms/storage/test_table_reading.py tests/pipeline/test_settings.py \
	tests/pipeline/commands/test_mistakes.py

.PHONY: annotate test test-fast test-long test-engines flink check clean

annotate: $(VENV)/.annotate
	$(VENV)/bin/facetracks demo --output facetracks-sample

test: $(VENV)/.installed
	$(VENV)/bin/python -m pytest -q --numprocesses 2

# The quick part of the tests: no real video, no Beam, no training.
test-fast: $(VENV)/.installed
	$(VENV)/bin/python -m pytest -q --numprocesses 2 -m 'not long and not engines and not realdata' $(FAST)

test-long: $(VENV)/.installed
	$(VENV)/bin/python -m pytest -q -m long

# Flink, Spark, Prism, portable workers, Azurite; what needs Java, Maven, Go or npm is skipped without.
test-engines: $(VENV)/.installed
	$(VENV)/bin/python -m pytest -q -m engines

# A Flink cluster on this machine until Ctrl-C; it prints how to annotate on it.
flink: $(VENV)/.installed
	$(VENV)/bin/python -m tests.engines.flink_cluster

# Lint, types, import contracts; .ci/run calls it first.
check: $(VENV)/.installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/hadolint Dockerfile

# What annotating takes, without torch; `make test` adds what development takes.
$(VENV)/.annotate: pyproject.toml constraints.txt
	@echo "Installing facetracks in $(VENV): 1.1 GB. Once; it takes a minute or two."
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[demo]'
	touch $@

$(VENV)/.installed: pyproject.toml constraints.txt
	@echo "Installing facetracks and all that its tests need in $(VENV): up to 7 GB, 4.6 GB of it torch"
	@echo "with its CUDA libraries (README says how to go without them). Once; it takes some minutes."
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[demo,dev]'
	touch $(VENV)/.annotate $@

clean:
	rm -rf $(VENV) facetracks-sample
