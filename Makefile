# Needs Python 3.11 or newer and make. Everything is installed into .venv, once; later runs need no network.
#   make demo PYTHON=python3.12           with another Python
#   make test PYTEST_ARGS="-k filenames"  some of the tests
#   make matrix CELLS="airflow-2.11-py3.11 airflow-3.4-py3.13"

PYTHON ?= python3
PYTEST_ARGS ?=
BENCH ?= --quick
CELLS ?=
# One more than cores: some tests wait for other processes.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
BIN := .venv/bin
INSTALLED := .venv/installed
CLUSTER := .cache/cluster
MODULES := $(basename $(notdir $(wildcard airflow_provider_sei/protocol/[a-z]*.py)))
# Google's provider needs older versions of these than the other packages: google-genai 2.34 requires tenacity<9.2, and
# litellm (of google-cloud-aiplatform) requires openai<3 and importlib-metadata<9.
NOT_BESIDE_GOOGLE := tenacity|openai|importlib-metadata

.DEFAULT_GOAL := help
.PHONY: help demo up down test live-test screenshots coverage mutation lint docs dist release-check wheel-test extras-test bench matrix cluster-test constraints matrix-constraints clean
.DELETE_ON_ERROR:

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# pip uses the machine's own configuration: index, proxy and certificates. Its output is shortened to one line per stage.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=...") if sys.version_info < (3, 11) else None'
	@echo "Installing Airflow and the tools into .venv, once: two to five minutes ..."
	@$(PYTHON) -m venv .venv
	@rm -f $@
	@$(BIN)/python -m pip install -qq --constraint constraints.txt pip
	@{ PYTHONUNBUFFERED=1 $(BIN)/python -m pip install --progress-bar off --constraint constraints.txt \
	  --build-constraint constraints.txt --group dev --editable . && touch $@; } | { found=0; while read -r line; do \
	  case "$$line" in \
	    Collecting*) found=$$((found + 1)); [ $$((found % 50)) -ne 0 ] || echo "  $$found packages found" ;; \
	    "Installing collected"*) echo "  installing $$found packages" ;; \
	  esac; done; }
	@test -e $@

demo: $(INSTALLED) ## run the example DAGs on a real Airflow, and check every delivered file
	@exec $(BIN)/python -m demo run

up: $(INSTALLED) ## start Airflow and the local SEI server, and keep them running
	@exec $(BIN)/python -m demo up

down: ## stop what 'make up' started
	@if [ -e $(INSTALLED) ]; then exec $(BIN)/python -m demo down; fi

test: $(INSTALLED) ## run the tests, except those that need a running Airflow
	@exec $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadscope --no-loadscope-reorder $(PYTEST_ARGS)

live-test: $(INSTALLED) ## run the tests that start a whole Airflow, except those of the cluster
	@exec $(BIN)/python -m pytest -m live --ignore tests/cluster --ignore tests/matrix --ignore tests/packaging $(PYTEST_ARGS)

coverage: $(INSTALLED) ## run the tests, and report the lines and branches that they do not reach
	@rm -f .coverage .coverage.*
	@$(BIN)/coverage run -m pytest -q $(PYTEST_ARGS)
	@$(BIN)/coverage combine --quiet
	@exec $(BIN)/coverage report

mutation: $(INSTALLED) ## change protocol/ in small ways, and report changes that no test detects; MODULES="arguments retry"
	@$(BIN)/python -m pip install -qq --constraint constraints.txt --group mutation
	@$(BIN)/python -m mutmut run $(MODULES:%='airflow_provider_sei.protocol.%.*')
	@exec $(BIN)/python -m mutmut results

lint: $(INSTALLED) ## check style, types and the workflow file
	$(BIN)/ruff check .
	$(BIN)/ruff check --preview --select AIR .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

docs: $(INSTALLED) ## build and check the documentation in docs/_build/html, also as plain text; a warning is an error
	@rm -rf docs/_build
	@$(BIN)/python -m sphinx -b html -d docs/_build/doctrees docs docs/_build/html -W --keep-going -n -q
	@$(BIN)/python -m sphinx -b text -d docs/_build/doctrees docs docs/_build/html/text -W --keep-going -n -q
	@$(BIN)/python -m pytest -q tests/docs/build_checks.py
	@echo "docs/_build/html/index.html"

dist: $(INSTALLED) ## build the wheel and the source distribution into dist/, and check their metadata
	@rm -rf dist
	@$(BIN)/python -m hatchling build
	@exec $(BIN)/python -m twine check --strict dist/*

release-check: dist ## check that dist/ can be published as it is: version, changelog, builds, the wheel on an Airflow
	@$(BIN)/python -m pytest -q -m "live or not live" tests/packaging/release_checks.py tests/packaging/test_dist.py \
	  tests/packaging/test_wheel.py $(PYTEST_ARGS)
	@cd dist && sha256sum *
	@echo "Nothing was published. To publish: $(BIN)/python -m twine upload dist/*"

wheel-test: $(INSTALLED) ## check the distributions, and run an example DAG by the wheel in an empty environment
	@exec $(BIN)/python -m pytest -m live tests/packaging/test_dist.py tests/packaging/test_wheel.py $(PYTEST_ARGS)

extras-test: $(INSTALLED) ## install each extra into an empty environment, and use it (some minutes)
	@exec $(BIN)/python -m pytest -m live tests/packaging/test_extras.py $(PYTEST_ARGS)

bench: $(INSTALLED) ## compare with other providers; BENCH=--full for all sizes; JSON in benchmarks/results/
	@$(BIN)/python -m pip install -qq --constraint constraints.txt --group bench
	@PYTHONPATH=. $(BIN)/python benchmarks/imports.py $(BENCH)
	@PYTHONPATH=. $(BIN)/python benchmarks/calls.py
	@PYTHONPATH=. $(BIN)/python benchmarks/download.py $(BENCH)
	@PYTHONPATH=. $(BIN)/python benchmarks/triggers.py $(BENCH)
	@PYTHONPATH=. exec $(BIN)/python benchmarks/organisation.py $(BENCH)

matrix: $(INSTALLED) ## run the tests on each supported Airflow, each in its own environment
	@exec $(BIN)/python -m tests.matrix $(CELLS)

# PostgreSQL and Redis must be installed: on Debian and Ubuntu, the packages postgresql and redis-server. constraints.txt
# applies to this environment, too; constraints/cluster.txt has the packages that are not in it.
$(CLUSTER)/installed: pyproject.toml constraints.txt constraints/cluster.txt
	@echo "Installing into $(CLUSTER) (a minute or two) ..."
	@$(PYTHON) -m venv --clear $(CLUSTER)
	@$(CLUSTER)/bin/python -m pip install -qq --constraint constraints.txt pip
	@$(CLUSTER)/bin/python -m pip install -qq --constraint constraints.txt --constraint constraints/cluster.txt \
	  --build-constraint constraints.txt --group cluster --editable .
	@touch $@

screenshots: $(INSTALLED) ## take the pictures in docs/images/ again; needs chromium
	@exec $(BIN)/python -m tests.screens

cluster-test: $(CLUSTER)/installed ## kill processes of a Celery cluster while twenty exports are running
	@exec $(CLUSTER)/bin/python -m pytest -s -p no:cacheprovider --tb=short -m live tests/cluster $(PYTEST_ARGS)

constraints: $(INSTALLED) ## update constraints.txt, with one version of each package for Python 3.11 to 3.14
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --upgrade \
	  --no-annotate --no-header --no-emit-index-url --no-emit-find-links --group dev --group bench --group mutation \
	  pyproject.toml -o .venv/resolved.txt
	sed -E '/emscripten/{/!=/!d;}; s/ ;.*//' .venv/resolved.txt > constraints.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --constraint constraints.txt \
	  --no-annotate --no-header --no-emit-index-url --no-emit-find-links --group cluster pyproject.toml -o .venv/resolved.txt
	sed -E '/emscripten/{/!=/!d;}; s/ ;.*//' .venv/resolved.txt | grep -vxFf constraints.txt > constraints/cluster.txt
	grep -vE '^($(NOT_BESIDE_GOOGLE))==' constraints.txt > .venv/constraints.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --constraint .venv/constraints.txt \
	  --no-annotate --no-header --no-emit-index-url --no-emit-find-links --extra gcs pyproject.toml -o .venv/resolved.txt
	sed -E '/emscripten/{/!=/!d;}; s/ ;.*//' .venv/resolved.txt | grep -vxFf constraints.txt > constraints/gcs.txt

matrix-constraints: $(INSTALLED) ## update constraints/, each to the day of its Airflow's release
	@exec $(BIN)/python -m tests.matrix --resolve $(CELLS)

clean: down ## remove the environment and all generated files
	rm -rf .venv .cache/matrix $(CLUSTER) .demo demo-output docs/_build build dist .coverage .coverage.* htmlcov .hypothesis .mypy_cache .pytest_cache .ruff_cache
