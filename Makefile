# `make` sets up everything in .venv; `make help` lists the targets.
SHELL := /bin/sh
.SHELLFLAGS := -eu -c
MAKEFLAGS += --no-print-directory
.DELETE_ON_ERROR:
.NOTPARALLEL:
.DEFAULT_GOAL := setup

# To choose the interpreter, or the index torch comes from: make setup PYTHON=... TORCH_PIP_ARGS="--index-url ..."
export PYTHON TORCH_PIP_ARGS

BIN := .venv/bin
STAMP := .venv/.complete
INPUTS := requirements/build.txt requirements/lock.txt requirements/torch.txt pyproject.toml \
          clients/python/pyproject.toml scripts/setup.sh
SOURCES := batching model planning server clients/python/tickserve benchmarks scripts tests
# More arguments for pytest: make test ARGS="-k deadline -x"
ARGS ?=
# pytest's exit code where ARGS chose none of the tests: they may be among the others.
NOTHING_CHOSEN := 5

# No more: a phony target would hide the pattern bench-%.
.PHONY: setup demo serve test test-unit test-chaos test-cluster docs bench lint format protos contract stubs test-clients test-migration test-image lock clean distclean help

setup: $(STAMP)  ## Make .venv with every pinned package (the default; every target runs it first)

$(STAMP): $(INPUTS)
	@rm -f $(STAMP)
	@scripts/setup.sh
	@touch $(STAMP)

demo: setup  ## Train if needed, serve, replay real bars, show predictions, stop
	@$(BIN)/tickserve demo

serve: setup  ## Serve until Ctrl-C
	@exec $(BIN)/tickserve serve

test: setup  ## Run all tests
	@scripts/test_servers.sh
	@$(MAKE) test-unit
	@$(BIN)/python -m pytest tests/integration $(ARGS) || [ $$? -eq $(NOTHING_CHOSEN) ]

test-unit: setup  ## Run the tests that need no Ray: unit, property and contract, two at a time
	@$(BIN)/python -m pytest -n 2 --dist loadfile tests/unit tests/property tests/contract $(ARGS) || [ $$? -eq $(NOTHING_CHOSEN) ]

docs: setup  ## Build the documentation site into build/docs
	@$(BIN)/python -m scripts.docs_site
	@echo 'docs: ok build/docs/index.html'

test-chaos: setup  ## Break a running service in ten ways and judge every answer, in 3 minutes (bench-chaos: all)
	@scripts/test_servers.sh
	@$(BIN)/python -m pytest tests/chaos $(ARGS)

test-cluster: setup  ## Run a Ray cluster of network namespaces, as root, and lose a node (docs/cluster.md)
	@scripts/test_servers.sh
	@$(BIN)/python -m pytest tests/cluster $(ARGS)

test-migration: setup  ## Walk through docs/migration.md: old service, split, mirror, 20/50/100 %, back; and with Envoy
	@scripts/test_migration.sh $(ARGS)

test-clients: setup  ## Build the clients in other languages and run them against a live service
	@scripts/test_clients.sh $(ARGS)

test-image: setup  ## Run the Dockerfile's commands in a clean folder and serve from what they install (minutes)
	@$(BIN)/python -m scripts.dockerfile_run $(ARGS)

bench: setup  ## Measure tickserve beside its alternatives: 32 minutes on an idle machine, QUICK=1: 6
	@$(BIN)/python -m benchmarks.comparison $(if $(QUICK),--quick) $(ARGS)

# benchmarks/NAME is a package that runs as a module: autoscaling, capacity, chaos, comparison, core, drill, engine,
# fuzz, outlier, overload, refusals, scheduling, soak, stages, streams, telemetry, threads.
bench-%: setup
	@$(BIN)/python -m benchmarks.$* $(ARGS)

lint: setup  ## Check style, types, the contract, its stubs and the import rules
	@echo 'lint: ruff check'
	@$(BIN)/ruff check --quiet .
	@echo 'lint: ruff format'
	@$(BIN)/ruff format --quiet --check .
	@echo 'lint: mypy --strict'
	@$(BIN)/mypy --no-error-summary $(SOURCES)
	@echo 'lint: import rules and file sizes'
	@$(BIN)/python scripts/layering.py
	@echo 'lint: generated dashboard'
	@$(BIN)/python -m scripts.dashboard check
	@echo 'lint: generated pages'
	@$(BIN)/python -m scripts.contract_reference check
	@echo 'lint: generated configurations'
	@$(BIN)/python -m scripts.serve_examples check
	@$(BIN)/python -m scripts.helm_chart check
	@echo 'lint: generated stubs'
	@$(BIN)/python scripts/protos.py check
	@echo 'lint: the contract as promised'
	@$(BIN)/python -m scripts.baseline check
	@echo 'lint: buf'
	@scripts/buf.sh
	@echo 'lint: ok'

format: setup  ## Format the sources and apply the linter's safe fixes
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .

protos: setup  ## Regenerate the Python stubs from protos/
	@$(BIN)/python scripts/protos.py generate

contract: setup  ## Promise the contract as it is now (protos/tickserve-v1.binpb); refuses what breaks callers
	@$(BIN)/python -m scripts.baseline renew $(ARGS)

stubs: setup  ## Make the stubs for other languages, into build/stubs (docs/clients.md)
	@scripts/toolchains.sh
	@$(BIN)/python -m scripts.stubs
	@echo 'stubs: ok build/stubs clients/node/build/stubs'

LOCK_BIN := build/lock-venv/bin
# Not on the stamp: while the lock lacks what pyproject.toml asks for, the set-up cannot succeed.
$(LOCK_BIN)/pip-compile:
	@$(BIN)/python -m venv --clear build/lock-venv
	@$(LOCK_BIN)/python -m pip --disable-pip-version-check install --quiet pip==26.3 pip-tools==7.6.2

lock: $(LOCK_BIN)/pip-compile  ## Recompile requirements/lock.txt (ARGS=--upgrade lets versions move)
	@$(LOCK_BIN)/python scripts/lock.py $(ARGS)

clean:  ## Remove caches and build products
	@rm -rf build dist node_modules clients/node/build clients/node/dist clients/node/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
	@find batching model planning server clients benchmarks scripts tests -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean  ## Remove .venv too
	@rm -rf .venv clients/python/*.egg-info

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
