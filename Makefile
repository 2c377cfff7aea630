# The words people and CI use. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help run test check bench clean
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help: ## list these words
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

run: .venv/ready ## build what is missing and serve on 127.0.0.1:8000
	@$(BIN)/python -m dinoserve serve

test: .venv/ready-test ## install what the tests need and run all of them
	@$(BIN)/python -m pytest -n 2

check: .venv/ready-check ## lint, format, types, layers, spelling
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/basedpyright
	@$(BIN)/lint-imports
	@$(BIN)/codespell

bench: .venv/ready-bench ## measure over HTTP beside a hand-written server
	@$(BIN)/python benchmarks/http.py

clean: ## remove what was built, not the data
	@rm -rf .venv

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "dinoserve needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || \
	  { echo "python3-venv is missing: apt-get install python3-venv" >&2; exit 1; }

.venv/ready: .venv/bin/python pyproject.toml constraints.txt
	@echo "installing dinoserve (once, a minute or two) …"
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	@touch $@

.venv/ready-test .venv/ready-check .venv/ready-bench: .venv/ready-%: .venv/ready
	@echo "installing what $* needs …"
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test,$*]'
	@touch $@
