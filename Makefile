# Needs Python 3.11 or newer and make. Everything is installed into .venv, once; later runs need no network.
#   make demo PYTHON=python3.12        another Python
#   make test PYTEST_ARGS="-k naming"  part of the tests

PYTHON ?= python3
PYTEST_ARGS ?=
BIN := .venv/bin
INSTALLED := .venv/installed

.DEFAULT_GOAL := help
.PHONY: help demo up down test lint bench constraints clean
.DELETE_ON_ERROR:

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The installer is whatever pip the machine has set up: its index, proxy and certificates apply.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=...") if sys.version_info < (3, 11) else None'
	@echo "Installing into .venv (about a minute) ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -qq --constraint constraints.txt pip
	@$(BIN)/python -m pip install -qq --constraint constraints.txt --build-constraint constraints.txt --group dev --editable .
	@touch $@

demo: $(INSTALLED) ## run the example DAGs on a real Airflow and check every delivered file
	@exec $(BIN)/python -m demo run

up: $(INSTALLED) ## start Airflow and the local SEI server, and leave them running
	@exec $(BIN)/python -m demo up

down: ## stop what 'make up' started
	@if [ -e $(INSTALLED) ]; then exec $(BIN)/python -m demo down; fi

test: $(INSTALLED) ## run the tests that need no running Airflow
	@exec $(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(INSTALLED) ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(INSTALLED) ## measure; see benchmarks/
	@for script in $(wildcard benchmarks/bench_*.py); do $(BIN)/python $$script || exit 1; done

constraints: $(INSTALLED) ## resolve constraints.txt anew, one version of everything for Python 3.11 to 3.13
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --upgrade \
	  --no-annotate --no-header --no-emit-index-url --no-emit-find-links --group dev pyproject.toml -o .venv/resolved.txt
	sed -E '/emscripten/{/!=/!d;}; s/ ;.*//' .venv/resolved.txt > constraints.txt

clean: down ## remove the environment and everything that runs left behind
	rm -rf .venv .demo demo-output build dist .coverage htmlcov .hypothesis .mypy_cache .pytest_cache .ruff_cache
