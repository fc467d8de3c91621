# Two commands matter: `make run` and `make test`. Both make .venv from the lock files first.

# The newest tested Python that can make a virtual environment; `make run PYTHON=…` chooses another.
PYTHON ?= $(shell for python in python3.14 python3.13 python3.12 python3.11 python3 python; do \
	"$$python" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { command -v "$$python"; break; }; done)

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install -qq --no-input --root-user-action=ignore
RUN_STAMP := $(VENV)/.run-installed
DEV_STAMP := $(VENV)/.dev-installed
IDE := $(VENV)/share/callout/ide
NODE_STAMP := $(VENV)/.node-installed
CONSOLE := $(VENV)/share/callout/console
WEB_STAMP := $(VENV)/.web-installed
WEB_SOURCES := $(shell find web -type f -not -path '*/node_modules/*' -not -name operations.ts)
# Deno's cache stays in the environment, and its lock file decides what it loads.
DENO := cd web && DENO_DIR=$(CURDIR)/$(VENV)/deno DENO_NO_UPDATE_CHECK=1 $(CURDIR)/$(BIN)/deno
# Tests start many processes: what they load is compiled once, even where Python is told to leave no compiled files.
TEST := env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest
UV_VERSION := 0.13.9

.DEFAULT_GOAL := help
.PHONY: help run ide try-ide console try-console test test-slow test-node test-web test-pgbouncer test-proxies test-upgrade-database faults mutants corpora lint schema dashboard bench screenshots lock clean

help:  ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{printf "%-21s %s\n", $$1, $$2}'

run: $(RUN_STAMP) try-ide try-console  ## Start Callout with a demo company on 127.0.0.1:8000 (CALLOUT_PORT changes it)
	@$(BIN)/python -m callout serve

ide: $(IDE)/ide.js  ## Build the IDE that browsers get at /graphql; it needs Node 20 or newer, npm and the npm registry

try-ide: $(VENV)/pyvenv.cfg
	@$(MAKE) --silent --no-print-directory ide || echo "Going on without the IDE; make ide tries again." >&2

console: $(CONSOLE)/manifest.json  ## Build the console, the pages at /; it needs the npm registry

try-console: $(RUN_STAMP)
	@$(MAKE) --silent --no-print-directory console || echo "Going on without the console; make console tries again." >&2

test: $(DEV_STAMP)  ## Run the tests but for the slow ones (ARGS="-k name" passes options to pytest)
	@$(TEST) -m "not slow" $(ARGS)

test-slow: $(DEV_STAMP)  ## Run the slow tests: servers and databases that stop, restart, starve or are upgraded
	@$(TEST) -m slow $(ARGS)

test-node: $(DEV_STAMP) $(NODE_STAMP)  ## Run the tests of the JavaScript clients; they need Node 20 or newer, and npm
	@$(TEST) -n0 -rs tests/live/test_graphql_ws.py tests/live/test_stock_clients.py tests/http/test_tus_clients.py \
		tests/http/test_node_clients.py tests/live/test_device_client_in_node.py tests/api/test_federation.py $(ARGS)

test-web: $(DEV_STAMP) try-ide try-console  ## Run the tests in a browser (apt install chromium, or CHROMIUM=/path/to/it)
	@command -v "$${CHROMIUM:-chromium}" >/dev/null || { echo "There is no Chromium: apt install chromium" >&2; exit 1; }
	@[ ! -e $(WEB_STAMP) ] || $(DENO) test --quiet
	@$(TEST) -n2 tests/web $(ARGS)

test-pgbouncer: $(DEV_STAMP)  ## Run the tests behind PgBouncer (apt install pgbouncer, or PGBOUNCER=/path/to/1.21 or newer)
	@$(TEST) -n0 -rs tests/db/test_pgbouncer.py $(ARGS)

test-proxies: $(DEV_STAMP)  ## Run the tests behind the reverse proxies of deploy/ (apt install nginx caddy)
	@$(TEST) -n0 -rs tests/http/test_proxies.py $(ARGS)

test-upgrade-database: $(DEV_STAMP)  ## Run the tests of upgrades from an older PostgreSQL (apt install postgresql-15, or others)
	@$(TEST) -n0 -rs tests/cli/test_upgrade_database.py $(ARGS)

faults: $(DEV_STAMP)  ## Run the tests that take minutes: failovers and restores of databases, many in a row
	@$(TEST) -n0 tests/faults $(ARGS)

mutants: $(DEV_STAMP)  ## Put small faults into a copy, one at a time, and see the tests fail (ARGS="word" chooses)
	@$(BIN)/python -m tests.mutants $(ARGS)

corpora: $(DEV_STAMP)  ## Read public corpora of mail (FOLDERS="../talon …") and print how many read as they say
	@$(BIN)/python -m tests.corpora $(FOLDERS)

lint: $(DEV_STAMP) $(WEB_STAMP)  ## Check style, formatting, types, names, and which room imports which
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { $(BIN)/ruff format --diff --quiet .; exit 1; }
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache --no-logo
	@$(BIN)/python -m tests.helpers.vocabulary
	@$(DENO) fmt --quiet --check
	@$(DENO) lint --quiet
	@$(DENO) run --allow-all codegen.ts
	@$(DENO) check --quiet .

schema: $(DEV_STAMP)  ## Print schema/schema.graphql and the tables of docs/roles.md anew
	@$(BIN)/python -m callout schema > schema/schema.graphql
	@$(BIN)/python -m tests.helpers.role_tables

dashboard: $(DEV_STAMP)  ## Make deploy/grafana-dashboard.json and deploy/alerts.yaml of deploy/monitoring.toml
	@$(BIN)/python -m tests.helpers.dashboard

bench: $(DEV_STAMP)  ## Measure, on an embedded database of its own, and print the tables
	@$(BIN)/python -m bench $(ARGS)

screenshots: $(DEV_STAMP) console  ## Take the pictures in docs/ anew; needs Chromium (apt install chromium, or CHROMIUM=/path/to/it)
	@$(BIN)/python -m tests.helpers.mail_pictures
	@$(BIN)/python -m tests.helpers.console_pictures

lock: $(VENV)/pyvenv.cfg  ## Choose the newest versions that pyproject.toml allows and lock them
	@$(INSTALL) --target $(VENV)/lock --upgrade uv==$(UV_VERSION)
	@$(LOCK) --extra embedded --extra redis --group build --output-file requirements.lock
	@$(LOCK) --all-extras --group build --group dev --constraint requirements.lock --output-file requirements-dev.lock
	@$(LOCK_GROUP) web --output-file web/requirements.lock
	@echo "Locked: requirements.lock, requirements-dev.lock, web/requirements.lock"

LOCK_WITH := --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
LOCK := $(VENV)/lock/bin/uv pip compile pyproject.toml $(LOCK_WITH)
LOCK_GROUP := $(VENV)/lock/bin/uv pip compile $(LOCK_WITH) --group

clean:  ## Remove .venv and what the tools left; the database in .data stays
	@rm -rf $(VENV) build dist web/node_modules .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	@find . -name __pycache__ -type d -not -path './.data/*' -prune -exec rm -rf {} +

$(VENV)/pyvenv.cfg:
	@test -n "$(PYTHON)" || { \
		echo "Callout needs Python 3.11 or newer that can make virtual environments, and found none." >&2; \
		echo "On Debian and Ubuntu: apt install python3-venv. Or name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; \
		exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is not a Python of version 3.11 or newer." >&2; exit 1; }
	@echo "Making $(VENV) with $(PYTHON)"
	@rm -rf $(VENV)
	@"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

$(RUN_STAMP): requirements.lock pyproject.toml $(VENV)/pyvenv.cfg
	@echo "Installing what Callout needs"
	@$(INSTALL) --require-hashes -r requirements.lock
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV_STAMP): requirements-dev.lock $(RUN_STAMP)
	@echo "Installing what the tests need"
	@$(INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@

$(IDE)/ide.js: $(addprefix callout/ide/,ide.js package.json package-lock.json) $(VENV)/pyvenv.cfg
	@command -v npm >/dev/null && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' || { \
		echo "The IDE needs Node 20 or newer, and npm." >&2; exit 1; }
	@echo "Building the IDE"
	@rm -rf $(VENV)/ide && mkdir -p $(VENV)/ide $(dir $(IDE)) && cp callout/ide/* $(VENV)/ide
	@npm ci --prefix $(VENV)/ide --ignore-scripts --no-audit --no-fund --silent --fetch-retry-mintimeout=1000 || { \
		echo "The npm registry cannot be reached, or has other files than callout/ide/package-lock.json says." >&2; exit 1; }
	@npm run build --prefix $(VENV)/ide --silent
	@rm -rf $(IDE) && mv $(VENV)/ide/dist $(IDE) && rm -rf $(VENV)/ide

$(WEB_STAMP): web/requirements.lock web/deno.json web/deno.lock $(VENV)/pyvenv.cfg
	@echo "Installing what the console is built with (some 70 MB, once)"
	@$(INSTALL) --require-hashes -r web/requirements.lock || { \
		echo "Deno, which builds the console, cannot be installed here." >&2; exit 1; }
	@$(DENO) install --quiet --frozen || { \
		echo "The npm registry cannot be reached, or has other files than web/deno.lock says." >&2; exit 1; }
	@touch $@

$(CONSOLE)/manifest.json: $(WEB_STAMP) $(WEB_SOURCES) examples/device.ts schema/schema.graphql
	@echo "Building the console"
	@$(DENO) run --allow-all build.ts $(CURDIR)/$(CONSOLE)

$(NODE_STAMP): tests/node/package.json tests/node/package-lock.json $(VENV)/pyvenv.cfg
	@command -v npm >/dev/null && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' || { \
		echo "The JavaScript client needs Node 20 or newer, and npm." >&2; exit 1; }
	@echo "Installing the JavaScript client"
	@mkdir -p $(VENV)/node && cp tests/node/package.json tests/node/package-lock.json $(VENV)/node
	@npm ci --prefix $(VENV)/node --ignore-scripts --no-audit --no-fund --silent
	@touch $@
