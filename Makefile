# Haldane. `make help` lists the targets.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Bytecode is kept, also where the environment forbids it: each test worker, and each `haldane` that a test starts, would
# compile everything again.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help

help:  ## list these targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The stamp: the environment is made once, and again when pyproject.toml or constraints.txt changes.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m compileall -q controller
	@touch $@

install: $(INSTALLED)  ## make .venv with everything pinned

demo: $(INSTALLED)  ## the whole product on a real Envoy: promoted, rolled back, frozen
	@$(BIN)/haldane demo

ha: $(INSTALLED)  ## several controllers over etcd: one is killed in the middle of a rollout
	@$(BIN)/haldane demo --ha

test: $(INSTALLED)  ## the whole test suite, real Envoy included
	$(BIN)/python -m pytest -m "not soak" -n 3 --dist worksteal

soak: $(INSTALLED)  ## the long tests
	$(BIN)/python -m pytest -m soak --timeout 3600

fuzz: $(INSTALLED)  ## fuzz the xDS parser and streams, for minutes
	FUZZ_EXAMPLES=5000 $(BIN)/python -m pytest tests/xds/test_fuzz.py tests/xds/test_stream_property.py --timeout 3600

check: $(INSTALLED)  ## format, lint, types, import contracts, generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python proto/generate.py --check
	$(BIN)/python docs/draw.py --check
	@! command -v helm >/dev/null || { helm lint --strict deploy/helm/haldane && $(BIN)/python deploy/helm/render.py; }

format: $(INSTALLED)  ## format and sort
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

proto: $(INSTALLED)  ## generate the stubs in controller/pb from proto/
	$(BIN)/python proto/generate.py

docs: $(INSTALLED)  ## generate tables and diagrams of the pages from code and tests
	$(BIN)/python docs/draw.py

bench: $(INSTALLED)  ## the benchmarks: a table, and bench/results.json
	$(BIN)/python -m tests.bench

sbom: $(INSTALLED)  ## the bill of materials (CycloneDX): build/haldane-canary.cdx.json
	@mkdir -p build
	$(BIN)/python release/sbom.py > build/haldane-canary.cdx.json

image:  ## the images, by docker, podman or buildah: haldane, haldane-envoy, haldane-demo
	@deploy/image/build.sh

stack: $(INSTALLED)  ## the demo with charts: deploy/compose without a container engine
	@$(BIN)/python deploy/compose/stack.py

deploy-check: $(INSTALLED)  ## each way of running it, from a fresh machine to a first rollback
	@$(BIN)/python deploy/check

charts: $(INSTALLED)  ## render the Helm chart for the tests (needs helm)
	$(BIN)/python deploy/helm/render.py --write

newest:  ## the checks and the tests on the newest versions of everything, in build/newest
	$(PYTHON) -m venv --clear build/newest
	build/newest/bin/python -m pip install --quiet --editable '.[dev]'
	@touch build/newest/.installed
	build/newest/bin/python -m pip freeze --exclude-editable
	$(MAKE) VENV=build/newest check test

.PHONY: help install demo ha test soak fuzz check format proto docs bench sbom image stack deploy-check charts newest
