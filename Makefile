# Everything a person types here. Needs Python 3.11 or newer, nothing else.

PYTHON ?= python3
ARGS ?=
VENV := .venv
RUN := $(VENV)/bin/python
POSTGRES_15 := /usr/lib/postgresql/15/bin/postgres
# $(call GET,package): on Debian, as root; what it installs is not to start a server by itself.
GET = { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo "Installing $(1) ..." && \
	export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 && apt-get update -qq && \
	apt-get install -y -qq --no-install-recommends $(1) >/dev/null; }
INSTALL := $(RUN) -m pip install --quiet --disable-pip-version-check --root-user-action ignore

.DEFAULT_GOAL := help
.PHONY: help run test test-postgres-15 browser pgbouncer postgres-15 test-real lint bench clean

help: ## show this list
	@awk -F ' *## *' '/^[a-z0-9-]+:.*##/ { sub(":.*", "", $$1); printf "make %-16s %s\n", $$1, $$2 }' Makefile

run: $(VENV)/installed ## run Headspace on this machine (ARGS="--port 9000" changes the port)
	@$(RUN) manage.py up $(ARGS)

test: $(VENV)/installed-for-tests browser pgbouncer postgres-15 ## run all tests on a PostgreSQL of their own (ARGS="tests/locks -x" runs some)
	@$(RUN) -m pytest $(ARGS)

test-postgres-15: $(VENV)/installed-for-tests browser pgbouncer postgres-15 ## the same on Debian's PostgreSQL 15
	@$(RUN) -m tests.servers $(RUN) -m pytest $(ARGS)

browser: ## make Chromium available to the tests that look at pages (on Debian, as root)
	@command -v chromium >/dev/null || $(call GET,chromium) || \
		echo "There is no Chromium: tests in a browser will be skipped (on Debian: apt install chromium)."

pgbouncer: ## make PgBouncer available to the tests that look through a pooler (on Debian, as root)
	@PATH="$$PATH:/usr/sbin" command -v pgbouncer >/dev/null || $(call GET,pgbouncer) || \
		echo "There is no PgBouncer: tests through a pooler will be skipped (on Debian: apt install pgbouncer)."

postgres-15: ## make PostgreSQL 15 available to the tests that need an old server (on Debian, as root)
	@[ -x $(POSTGRES_15) ] || $(call GET,postgresql-15) || \
		echo "There is no PostgreSQL 15: tests on an old server will be skipped (on Debian: apt install postgresql-15)."

test-real: $(VENV)/installed-for-tests ## drive a real coding agent's client against a running Headspace (needs npm)
	@$(RUN) -m pytest tests/real -m real $(ARGS)

lint: $(VENV)/installed-for-tests ## check style, format, types, imports and packages
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy .
	@$(VENV)/bin/lint-imports
	@$(RUN) -m pip check --disable-pip-version-check

bench: $(VENV)/installed-for-tests ## measure hooks and locks, and print tables with ratios (ARGS="--only locks" measures one)
	@$(RUN) -m tests.bench $(ARGS)

clean: ## remove what was installed or cached; the data in .headspace/ stays
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A link to a Python that is gone counts as missing: then all is made anew.
$(RUN):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Headspace needs Python 3.11 or newer. Name one: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV) || { \
		rm -rf $(VENV); echo "This Python cannot make a virtual environment (on Debian: apt install python3-venv)."; exit 1; }

$(VENV)/installed: requirements.txt | $(RUN)
	@echo "Installing what Headspace needs into $(VENV) ..."
	@$(INSTALL) -r requirements.txt
	@touch $@

$(VENV)/installed-for-tests: tests/requirements.txt requirements.txt | $(RUN)
	@echo "Installing what Headspace and its tests need into $(VENV) ..."
	@$(INSTALL) -r tests/requirements.txt
	@touch $@ $(VENV)/installed
