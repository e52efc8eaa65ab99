# Few words: demo, test, docs, bench. Each sets up what it needs in .venv from locked versions.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
export PIP_NO_INPUT := 1

.PHONY: help demo test docs bench clean
help:
	@echo "make demo   run the main job on networks/metro.toml (keeps the network up until Ctrl-C)"
	@echo "make test   run all checks and tests; says what it skipped and how to get it"
	@echo "make docs   build the documentation into site/"
	@echo "make bench  measure, as JSON in bench/results/"
	@echo "make clean  remove the virtual environment and what tools left"

$(VENV)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=..."; exit 3; }
	@echo "setting up $(VENV) (once)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/run-ready: $(VENV)/python requirements/run.lock pyproject.toml
	@echo "installing locked versions: requirements/run.lock"
	@$(PIP) install --require-hashes -r requirements/run.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev-ready: $(VENV)/python requirements/dev.lock pyproject.toml
	@echo "installing locked versions: requirements/dev.lock"
	@$(PIP) install --require-hashes -r requirements/dev.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/run-ready

demo: $(VENV)/run-ready
	@$(BIN)/qanat demo networks/metro.toml $(DEMO_OPTIONS)

test: $(VENV)/dev-ready
	@$(BIN)/ruff check src tests bench design docs examples
	@$(BIN)/ruff format --check --quiet src tests bench design docs examples
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest -rs tests src/qanat

docs: $(VENV)/dev-ready
	@$(BIN)/python docs/make_reference.py
	@$(BIN)/zensical build --strict

bench: $(VENV)/dev-ready
	@$(BIN)/python bench/run_all.py

clean:
	rm -rf $(VENV) site .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis
