PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export NNCF_CI := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast lint clean

help:
	@echo "make demo       find, build and measure a faster INT8 sub-network of the embedded example"
	@echo "make test       all tests;  make test-fast: those that take seconds"
	@echo "make lint       ruff, mypy, and whether every test loads;  make clean: remove .venv and runs"

$(VENV)/installed: pyproject.toml constraints.txt
	@command -v $(PYTHON) > /dev/null || { echo "error: there is no $(PYTHON); install Python 3.11 to 3.14, or call make PYTHON=/path/to/python"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' || { echo "error: Python 3.11 to 3.14 is needed, but $(PYTHON) is $$($(PYTHON) -V); call make PYTHON=/path/to/python"; exit 2; }
	@echo "== installing into $(VENV) (once, some minutes)"
	@$(PYTHON) -m venv $(VENV) || { echo "error: $(PYTHON) cannot make a virtual environment; install its venv package"; exit 2; }
	@$(BIN)/python -m pip install -qq -c constraints.txt -e '.[dev,mlperf]' || { echo "error: the installation failed, see above"; exit 2; }
	@touch $@

demo: $(VENV)/installed
	@echo "== 1/5 super-network: pre-train the example, make it elastic, train it (3 to 10 minutes, once)"
	@$(BIN)/python -m supernet.train
	@echo "== 2/5 profiling: measure sub-networks and their kernels on this machine (about 2 minutes, once)"
	@$(BIN)/python -m profiling.collect
	@echo "== 3/5 predictor: learn latency from the measurements"
	@$(BIN)/python -m predictor.train --predictor xgb
	@$(BIN)/python -m predictor.report
	@echo "== 4/5 search: accuracy evaluated, latency predicted; 5/5: build and measure the finalists"
	@$(BIN)/python -m search.run --predictor xgb

test: $(VENV)/installed
	@echo "== all tests (some minutes; make test-fast leaves out the slow ones)"
	@for part in tests/test_readme.py tests/supernet/test_t*.py "-n 2 tests/supernet --ignore-glob=*/test_t*.py" \
		tests/profiling "-n 2 tests/predictor" tests/search; do \
		echo "== $$part"; $(BIN)/python -m pytest $$part || exit 1; \
	done

test-fast: $(VENV)/installed
	@$(BIN)/python -m pytest -m "not slow"

lint: $(VENV)/installed
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest --collect-only -qq > /dev/null || { $(BIN)/python -m pytest --collect-only -qq; exit 1; }

clean:
	rm -rf $(VENV) runs
