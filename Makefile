# Everything a person or a pipeline runs. `make` alone lists it.
#
# Set-up is held by stamps inside .venv: a second run of any target compares file times and
# goes on, which is what keeps the second `make run` within seconds.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
RUST_SOURCES := Cargo.toml Cargo.lock $(shell find rust/*/src rust/*/Cargo.toml -type f)

# One interpreter for every build of the extension, so that cargo never rebuilds it in vain.
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python
# pip finds maturin, and tests find the tools, where the lock installed them.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z][a-z-]*:.*##' $(MAKEFILE_LIST) \
		| awk -F ':.*## ' '{ printf "  %-14s %s\n", $$1, $$2 }'

# --- set-up ---------------------------------------------------------------------------------

.PHONY: setup
setup: $(STAMPS)/native ## Make the virtual environment, install the lock, build the extension

$(STAMPS)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Turnout needs Python 3.11 or newer; '$(PYTHON)' is older or missing." >&2; \
		echo "Name another one: make PYTHON=python3.12 setup" >&2; exit 1; }
	@command -v cargo >/dev/null || { \
		echo "Turnout needs a stable Rust toolchain: cargo is not on PATH." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/lock: requirements.lock $(STAMPS)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--require-hashes -r requirements.lock
	@touch $@

# --no-deps: what the package needs was installed above, by hash, and nothing else may come in.
$(STAMPS)/package: pyproject.toml $(STAMPS)/lock $(RUST_SOURCES)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--no-deps --no-build-isolation --editable .
	@touch $@

$(STAMPS)/native: $(STAMPS)/package
	@$(BIN)/python -c 'import turnout._native'
	@touch $@

# npm carries exactly one thing: buf, the linter of the contract.
node_modules/.stamp: package.json package-lock.json .npmrc
	npm ci --no-audit --no-fund --loglevel=error
	@touch $@

# --- running --------------------------------------------------------------------------------

.PHONY: run demo
run: setup ## Start the whole system on loopback: gRPC, HTTP edge, sandbox providers, record
	@exec $(BIN)/turnout up

demo: setup ## Tour the running system against the sandbox, checking every claim (JSON=1: figures)
	@exec $(BIN)/turnout demo

# --- proving --------------------------------------------------------------------------------

.PHONY: ci test test-python test-rust lint lint-python lint-rust lint-proto types stubs
ci: lint types stubs gen-check test ## What the pipeline runs: all of the checks below

# Random tests begin from one seed, so that a pipeline that passed says the same tomorrow.
# SEED=random looks elsewhere each time, and prints where.
SEED ?= 1
FIRST_SEED := $(if $(filter random,$(SEED)),$(shell od -An -N4 -tu4 /dev/urandom | tr -d ' '),$(SEED))
test: test-rust test-python ## Every test (PYTEST_ARGS="-k vault" narrows Python's; SEED=random)

test-rust: setup
	PROPTEST_RNG_SEED=$(FIRST_SEED) cargo test --workspace --locked --quiet

test-python: setup $(STAMPS)/load
	$(BIN)/python -m pytest --hypothesis-seed=$(FIRST_SEED) $(PYTEST_ARGS)

# One seed is one world, from FIRST on; a failing one names the command that lives it again. The
# same ones every time, but with SEED=random.
.PHONY: sim mutants
SEEDS ?= 1000
sim: setup ## Simulate SEEDS worlds: crashes, lost answers, clocks that jump (JSON=1: figures)
	$(BIN)/python -m tests.sim --seeds $(SEEDS) \
		--first $(or $(FIRST),$(if $(filter random,$(SEED)),$(FIRST_SEED),0))

mutants: setup ## Plant known bugs one by one: the simulation must catch each
	$(BIN)/python -m tests.sim.mutants

# Not part of `make test`: it takes minutes, and kills, fills up and starves what it starts.
.PHONY: chaos
chaos: setup ## Break real processes under load and compare the books (CHAOS_FULL=1: longer stops)
	$(BIN)/python -m pytest tests/chaos $(PYTEST_ARGS)

.PHONY: house
house: setup ## Only the rules of the house: floors, sizes, banned calls, generated code
	$(BIN)/python -m pytest -q tests/house

lint: lint-python lint-rust lint-proto ## ruff, rustfmt, clippy, buf

lint-python: $(STAMPS)/lock
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lint-rust: $(STAMPS)/lock
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked --quiet -- -D warnings

ifneq ($(shell command -v npm),)
lint-proto: node_modules/.stamp $(STAMPS)/package
	$(BIN)/python scripts/gen.py --image - \
		| node_modules/.bin/buf lint --config buf.yaml -#format=binpb
else
lint-proto:
	@echo "=== SKIPPED: buf lint (npm is missing); the contract in proto/ was NOT checked ===" >&2
	@test "$${CI:-}" != true || { echo "In CI npm must be there." >&2; exit 1; }
endif

types: setup ## mypy --strict
	$(BIN)/mypy --strict

stubs: setup ## Compare _native.pyi with the compiled extension
	$(BIN)/python -m mypy.stubtest turnout._native

# --- measuring ------------------------------------------------------------------------------

.PHONY: bench bench-recovery bench-setup bench-check bench-baseline bench-soak bench-profile bench-steps load
$(STAMPS)/load: loadtests/requirements.lock $(STAMPS)/lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--require-hashes -r loadtests/requirements.lock
	@touch $@

# h2load vouches for our own load client; perf tells by library. Neither is needed for a figure.
bench-setup: setup $(STAMPS)/load ## Install Locust and py-spy; h2load too, where apt and root are
	@command -v h2load >/dev/null || { [[ $$(id -u) = 0 ]] && command -v apt-get >/dev/null \
		&& apt-get update -qq && apt-get install -y -qq nghttp2-client; } \
		|| echo "=== SKIPPED: h2load (needs root and apt); the load client is not vouched for ===" >&2

bench: setup ## The ratios that matter (ONLY=instant,added RUNS=5 SECONDS_EACH=3 JSON=1)
	@$(BIN)/python -m loadtests.bench

bench-recovery: setup ## Seconds to ready after kill -9 with 100,000 payments in flight (JSON=1)
	@$(BIN)/python loadtests/bench_recovery.py

bench-check: setup ## Fail where bench-steps' ratios fell below loadtests/baseline.json's
	@$(BIN)/python -m loadtests.bench.check

bench-baseline: setup ## Measure anew what bench-check compares with
	@$(BIN)/python -m loadtests.bench.check --write

bench-soak: setup ## Memory, files, loop lag, p99 over COUNT payments (the goal speaks of 1000000)
	@$(BIN)/python -m loadtests.bench.soak --count $(or $(COUNT),20000)

bench-profile: bench-setup ## CPU of an authorization by thread, stage, library; flame graph
	@$(BIN)/python -m loadtests.bench.profile

bench-steps: setup ## Machine instructions per call, under valgrind: what neighbours cannot change
	@$(BIN)/python -m loadtests.bench.steps --calls $(or $(COUNT),300)

load: setup $(STAMPS)/load ## Locust for two minutes on a Turnout of its own (DURATION, USERS, SHAPE)
	@$(BIN)/python -m loadtests.run --duration $(or $(DURATION),2m) --users $(or $(USERS),60) \
		--shape $(or $(SHAPE),steady)

.PHONY: bench-world bench-core
bench-world: setup ## The router against a clairvoyant (TURNOUT_WORLD: the world's folder)
	@$(BIN)/python loadtests/bench_world.py

bench-core: setup ## What decisions and outcomes cost, by accounts and rules; and in plain Python
	@cargo bench --quiet --locked -p turnout-core --bench medians $(if $(JSON),>&2)
	@cargo bench --quiet --locked -p turnout-core --bench hot_path
	@$(BIN)/python -m loadtests.bench_core
	@$(BIN)/python -m loadtests.bench_rules

# --- generating -----------------------------------------------------------------------------

.PHONY: gen gen-check lock wheel format clean
gen: setup ## Regenerate src/turnout/v1 and its kin from proto/, and documents from code
	$(BIN)/python scripts/gen.py
	$(BIN)/python scripts/docs.py

gen-check: setup ## Fail where committed generated code differs from proto/
	$(BIN)/python scripts/gen.py --check
	$(BIN)/python scripts/docs.py --check

# uv resolves for every platform at once and hashes each file; pip installs what it wrote.
# Existing pins stay unless UPGRADE=1.
lock: $(STAMPS)/lock ## Pin the dependencies of pyproject.toml again (UPGRADE=1: newest allowed)
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-emit-find-links --quiet \
		--custom-compile-command "make lock" $(if $(UPGRADE),--upgrade) \
		--output-file requirements.lock
	$(BIN)/uv pip compile --group load --constraint requirements.lock \
		--universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --quiet \
		--custom-compile-command "make lock" $(if $(UPGRADE),--upgrade) \
		--output-file loadtests/requirements.lock

wheel: setup ## Build dist/*.whl and prove it in a fresh environment
	rm -rf dist
	$(BIN)/maturin build --release --locked --quiet --out dist
	scripts/check_wheel.sh $(PYTHON) dist/*.whl

format: $(STAMPS)/lock ## Let ruff and rustfmt write the layout
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .
	cargo fmt --all

clean: ## Remove what was built, but not var/ (the record)
	rm -rf $(VENV) target dist node_modules .mypy_cache .pytest_cache .ruff_cache .hypothesis
