# What people and CI type. Each target's line of help stands behind its name.

SHELL := /bin/sh
LAUNCH := sh opsweb/launch/launch.sh
PY := .venv/bin/python
PYTEST := .venv/bin/pytest
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo --preserve-env=PYTEST_ADDOPTS)
# Hosts and guests of a test live in a network of their own; a mount of the test stays its own too.
ISOLATED := $(SUDO) unshare --net --mount --fork -- sh -c 'ip link set lo up && exec "$$@"' isolated
# Checks read the settings, which need some key; this one opens nothing.
CHECKED := SECRET_KEY=checks-only-no-panel-ever-uses-this-key-0123456789abcdefghij OPSWEB_STATE_DIR=/nonexistent OPSWEB_URL=https://localhost
CODE := opsweb instances networks tests manage.py .ci

.DEFAULT_GOAL := help
.PHONY: help up restart status logs down admin-password clean-host develop check format lint golden lock bench test \
	unit test-postgres test-contract test-host test-browser \
	lint-format lint-code lint-templates lint-imports lint-types lint-migrations lint-deploy

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- the panel ---------------------------------------------------------------------------------------------------

up: ## install what is missing, start the panel, print its address
	@$(LAUNCH) up

restart: ## restart the panel's parts with the settings of now; no VM is touched
	@$(LAUNCH) restart

status: ## the parts, and whether they are ready
	@$(LAUNCH) status

logs: ## follow all logs (LINES=50 of each first)
	@$(LAUNCH) logs

down: ## end VMs and panel; make up brings back what ran
	@$(LAUNCH) down

admin-password: ## a new one-time password for the first admin
	@$(LAUNCH) admin-password

clean-host: ## remove this panel and its data from the host (asks; CONFIRM=yes)
	@$(LAUNCH) clean-host

# --- working on it -----------------------------------------------------------------------------------------------

develop: ## what tests and linters need: packages, .venv, front-end files
	@$(LAUNCH) develop

check: lint unit ## before a commit: lint and unit, no installs

format: ## ruff and djlint rewrite what they can
	.venv/bin/ruff format $(CODE)
	.venv/bin/ruff check --fix $(CODE)
	.venv/bin/djlint templates --reformat --quiet || true

lint: lint-format lint-code lint-templates lint-imports lint-types lint-migrations lint-deploy ## every check that runs no test

lint-format:
	.venv/bin/ruff format --check $(CODE)
lint-code:
	.venv/bin/ruff check $(CODE)
lint-templates:
	.venv/bin/djlint templates --check --lint --quiet
lint-imports:
	.venv/bin/lint-imports
lint-types:
	$(CHECKED) .venv/bin/mypy opsweb instances networks manage.py
lint-migrations:
	$(CHECKED) DATABASE_URL=sqlite://:memory: $(PY) manage.py makemigrations --check --dry-run
lint-deploy:
	$(CHECKED) DATABASE_URL=sqlite://:memory: $(PY) manage.py check --deploy --fail-level WARNING

unit: ## fast tests: no root, no network, no QEMU
	$(PYTEST) tests/unit tests/contract -m "not host" -n 2

test-postgres: ## what writes, against a PostgreSQL of its own (as root, or with its group's rights)
	$(PY) -m tests.postgres tests/unit/services tests/unit/networks tests/unit/reconcile tests/unit/teams tests/unit/core -q -n 2

test-contract: ## both drivers against one suite; the real one needs root
	$(ISOLATED) $(PYTEST) tests/contract

test-host: ## real QEMU and kernel, in a network of its own
	$(ISOLATED) $(PYTEST) tests/host tests/contract -m host -n 2 --dist loadfile --no-loadscope-reorder

test-browser: ## real Chromium against a real panel and a fake one
	$(PYTEST) tests/browser

test: develop ## everything, with the time of each stage
	@$(PY) .ci/stages.py

bench: develop ## ours, the reference, the ratio
	$(ISOLATED) $(PY) -m tests.bench

golden: ## write anew the texts that tests compare with
	GOLDEN=write $(PYTEST) tests/unit -q

lock: ## resolve the lock files anew
	.venv/bin/uv pip compile -q --generate-hashes --no-emit-index-url --no-header -p 3.11 --extra panel pyproject.toml -o requirements.lock
	.venv/bin/uv pip compile -q --generate-hashes --no-emit-index-url --no-header -p 3.11 -c requirements.lock tests/requirements.in -o tests/requirements.lock
	.venv/bin/uv pip compile -q --generate-hashes --no-emit-index-url --no-header -p 3.11 opsweb/launch/node.in -o opsweb/launch/node.lock
	npm install --package-lock-only --ignore-scripts
