# What a person or a build server runs. `make help` lists it. Nothing here needs a terminal or standard input.
.DEFAULT_GOAL := help
.SUFFIXES:
.DELETE_ON_ERROR:
.PHONY: help demo test coverage lint bench crash rotate clients chaos fuzz docs screenshots lock clean

PYTHON ?= python3
BIN := .venv/bin
RUN := scripts/quietly
# Many tests wait for a server or a clock: more of them run at once than there are cores.
JOBS ?= 3
export PYTHON KEEP
# Each command and each server would compile the whole product anew.
unexport PYTHONDONTWRITEBYTECODE

help: ## List the targets
	@sed -n 's/^\([a-z.]*\):[^#]*## /\1 -- /p' Makefile | awk -F' -- ' '{ printf "  make %-11s %s\n", $$1, $$2 }'

# ---------------------------------------------------------------- set-up
.venv: .venv/runtime.stamp ## Make the virtual environment with what the product needs

.venv/runtime.stamp: requirements-runtime.lock pyproject.toml scripts/venv
	@scripts/venv requirements-runtime.lock
	@touch $@

.venv/dev.stamp: requirements.lock .venv/runtime.stamp
	@scripts/venv requirements.lock
	@touch $@

# ---------------------------------------------------------------- what it is for
demo: .venv/runtime.stamp ## Two servers share a folder, step by step (KEEP=1 leaves them running)
	@$(BIN)/python -m demo

# Another implementation of signatures, and the rules of accessible pages, for the tests: pinned in package-lock.json.
# Node does not read the authorities of the system by itself, which curl and pip do.
NPM := $(patsubst %,tests/%/node_modules/.stamp,independent browser)
$(NPM): %/node_modules/.stamp: %/package-lock.json
	@scripts/debian-packages nodejs npm
	@NODE_EXTRA_CA_CERTS="$${NODE_EXTRA_CA_CERTS:-/etc/ssl/certs/ca-certificates.crt}" \
	    $(RUN) "npm ci in $*" npm ci --prefix $* --ignore-scripts --no-audit --no-fund
	@touch $@

# Debian's packages that are counterparts in tests.
COUNTERPARTS := litmus rclone cadaver davfs2 nginx caddy curl postgresql chromium
PYTEST := $(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile
COVERAGE := $(BIN)/python -m coverage report

# Following every line takes half as long again: the protocol's own tests prove that all of it is tested.
test: lint $(NPM) ## Everything, as the build server runs it (ARGS="tests/protocol -x" narrows it)
	@scripts/debian-packages $(COUNTERPARTS)
	@$(if $(ARGS),,$(PYTEST) tests/protocol --cov=opencloudmesh.protocol --cov-report= </dev/null)
	@$(if $(ARGS),,$(RUN) "protocol fully covered" $(COVERAGE) --skip-covered --show-missing --fail-under=100)
	@$(PYTEST) $(or $(ARGS),--ignore=tests/protocol) </dev/null

coverage: lint $(NPM) ## Which lines no test runs: build/coverage.txt (ARGS narrows it; longer than make test)
	@scripts/debian-packages $(COUNTERPARTS)
	@mkdir -p build
	@$(PYTEST) --cov --cov-report= $(ARGS) </dev/null
	@$(COVERAGE) --skip-covered --show-missing >build/coverage.txt
	@echo "coverage: $$($(COVERAGE) --format=total) % (build/coverage.txt)"

lint: .venv/dev.stamp ## Style, types and import layers
	@$(RUN) "ruff check" $(BIN)/ruff check .
	@$(RUN) "ruff format" $(BIN)/ruff format --check .
	@$(RUN) "mypy" $(BIN)/mypy --strict src
	@$(RUN) "import layers" $(BIN)/lint-imports

bench: .venv/dev.stamp ## Speed: one table, and build/bench.json (ARGS=webdav: that part)
	@scripts/debian-packages nginx
	@mkdir -p build
	@$(BIN)/python -m benchmarks $(ARGS)

crash: .venv/dev.stamp ## kill -9 of either server, again and again, during a stream of shares
	@$(BIN)/python -m tests.crash --cycles $(or $(CYCLES),50)

clients: .venv/dev.stamp ## Real WebDAV clients at length: rclone with 1,000 files and 5 GB, cadaver, curl, davfs2
	@scripts/debian-packages rclone cadaver curl davfs2
	@$(BIN)/python -m tests.clients

rotate: .venv/dev.stamp ## Two busy servers change their keys again and again (MINUTES=2 SEED=1)
	@$(BIN)/python -m tests.rotation --minutes $(or $(MINUTES),2) --seed $(or $(SEED),1)

chaos: .venv/dev.stamp ## Six servers, 5,000 shares, every fault there is (SEED=1 MINUTES=10)
	@scripts/debian-packages postgresql
	@$(BIN)/python -m tests.chaos --seed $(or $(SEED),1) --minutes $(or $(MINUTES),10) $(ARGS)

.venv/fuzz.stamp: requirements-fuzz.lock .venv/dev.stamp
	@scripts/venv requirements-fuzz.lock
	@touch $@

fuzz: .venv/fuzz.stamp ## Coverage-guided fuzzing of all that strangers write (MINUTES=5; KEEP=1 adds to the corpus)
	@$(BIN)/python -m tests.fuzz --minutes $(or $(MINUTES),5) $(if $(KEEP),--keep) $(ARGS)

screenshots: .venv/dev.stamp ## Pictures of the web pages, light and dark: docs/screenshots (ARGS=--all: every state, and narrow)
	@scripts/debian-packages chromium
	@$(BIN)/python -m tests.browser $(if $(ARGS),build,docs)/screenshots $(ARGS)

docs: .venv/dev.stamp ## Write the generated pages anew (a test fails when one is stale)
	@$(BIN)/python scripts/conformance.py
	@$(BIN)/python scripts/states.py
	@$(BIN)/python scripts/configuration.py
	@$(BIN)/python scripts/metrics.py
	@$(BIN)/python scripts/signature_vectors.py
	@$(BIN)/python -m opencloudmesh.cli.docs

lock: .venv/dev.stamp ## Write both lock files from pyproject.toml (UPGRADE=1: newest versions)
	@scripts/lock $(if $(UPGRADE),--upgrade)

clean: ## Remove what was built or cached; .venv stays
	@rm -rf build demo-data .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
