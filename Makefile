# Every target sets up what it needs; `make` alone lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up

# Tests start some hundred processes, which load compiled modules wherever these may be written.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast deploy-check deploy-lint check docs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fedrec needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

setup: $(STAMP) ## make .venv with fedrec and everything its tests need

demo: $(STAMP) ## generate the shop, train privately, print quality and ten recommendations, write out/demo/report.html
	$(BIN)/fedrec demo --out out/demo

# Three processes for two cores: tests of Flower's own runtime wait for its polls most of the time.
test: $(STAMP) ## run the whole test suite
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test-fast: $(STAMP) ## run the tests that take little time: none that trains at length, none of Flower's own runtime
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow and not flower"

deploy-check: $(STAMP) ## a server and three devices with TLS and keys: train by secure aggregation, rank, then try what must be refused
	rm -rf out/deploy-check
	mkdir -p out/deploy-check
	$(BIN)/python -m server.deploy.check out/deploy-check

deploy-lint: ## lint what a server is deployed with: Dockerfile, compose file, chart, units; in an environment of its own
	test -x out/lint/bin/python || $(PYTHON) -m venv out/lint
	out/lint/bin/pip install --quiet --disable-pip-version-check --requirement server/deploy/lint-requirements.txt
	out/lint/bin/python server/deploy/lint.py

check: $(STAMP) ## lint, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(STAMP) ## build the documentation site into out/site; a link or name that leads nowhere is an error
	$(BIN)/zensical build --clean --strict

clean: ## remove the virtual environment and all outputs
	rm -rf $(VENV) out build dist .cache
