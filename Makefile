# Every target makes .venv when it is missing or older than what it installs.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.stamp
HARDWARE := not gpu and not multigpu and not tensorrt
# Two workers; whoever is done first takes tests of the other. WORKERS= runs them all in one process.
WORKERS := -n 2 --dist worksteal
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test test-slow check bench gpu mutants catalogue models
.DEFAULT_GOAL := test

# torch by its bare pin takes the CPU build that the tests use; any other way of asking pulls CUDA.
$(STAMP): pyproject.toml constraints.txt
	@date +%s > .setup-begin
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) "$$(grep '^torch==' constraints.txt)"
	$(PIP) --constraint constraints.txt --editable ".[dev]"
	@touch $@
	@echo "== set-up took $$(($$(date +%s) - $$(cat .setup-begin))) s"; rm .setup-begin

demo: $(STAMP)
	PATH="$(CURDIR)/$(BIN):$$PATH" sh .ci/demo

test: $(STAMP)
	$(BIN)/python -m pytest $(WORKERS) -m "not slow and $(HARDWARE)"

# pytest ends with 5 when nothing is selected, which is no failure here.
test-slow: $(STAMP)
	$(BIN)/python -m pytest $(WORKERS) -m "slow and $(HARDWARE)" || test $$? -eq 5

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not slow" tests/test_layout.py tests/test_packaging.py

bench: $(STAMP)
	$(BIN)/python -m bench

# All that only a GPU can tell, unattended and in at most 8 minutes: no set-up, no network, no installation.
# GPU=--dry runs the same on a CPU at the smallest size.
gpu:
	PYTHONPATH=.typing $(PYTHON) -m bench.gpu $(GPU)

mutants: $(STAMP)
	$(BIN)/python -m tests.mutants

catalogue: $(STAMP)
	$(BIN)/python -m tests.catalogue

models: $(STAMP)
	$(BIN)/python -m tests.export.families.page
	$(BIN)/python -m tests.export.families.targets_page
