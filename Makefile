# Needs only make, coreutils, Python 3.11 or newer, and PyPI.
.DEFAULT_GOAL := help
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
# Some images disable bytecode; then each of the many processes here would compile everything again.
unexport PYTHONDONTWRITEBYTECODE
PARALLEL := --numprocesses logical --maxprocesses 4 --dist loadfile
MEMBERS := shared services/ingest services/search services/notify services/operations cli
SOURCES := $(wildcard shared services cli tests bench)
# uv installs in a third of pip's time; if it reaches no index, pip is used.
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

help: ## list the targets
	@grep -hE '^[a-z -]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | while IFS="$$(printf '\t')" read -r t d; do printf '  %-14s %s\n' "$$t" "$$d"; done

install: .venv/installed ## set up .venv with everything that is needed

.venv/installed: requirements.lock VERSION $(MEMBERS:%=%/pyproject.toml)
	@test -n "$(PYTHON)" || { echo "Newswire needs Python 3.11 or newer with venv (on Debian: python3-venv)." >&2; exit 1; }
	@echo "Setting up .venv (once, half a minute) ..."
	@$(PYTHON) -m venv .venv
	@sed -n '/^uv==/,/^ *# via/p' requirements.lock > .venv/uv.lock && $(PIP) install --require-hashes -r .venv/uv.lock
	@$(UV) --no-deps --require-hashes -r requirements.lock || $(PIP) install --no-deps --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation $(MEMBERS:%=-e %)
	@touch $@

run: install ## run all of Newswire on this machine, at http://127.0.0.1:8000
	@exec $(BIN)/newswire run

# All tests of a file run in one process; long files start first.
test: install ## run every test, on real servers, on up to four processors
	$(BIN)/python -m pytest $(PARALLEL) --no-loadscope-reorder

# The tests of one part, for quick feedback; `make test` is the complete check. FAST=1 leaves out those that start services,
# Elasticsearch or a browser (marked "slow").
SELECTION := $(if $(FAST),-m "not slow")
TESTS_ingest := tests/ingest
TESTS_search := tests/search
TESTS_notify := tests/notify
TESTS_shared := tests/shared tests/contract
TESTS_cli := tests/cli tests/operations
test-ingest test-search test-notify test-shared test-cli: test-%: install ## run the tests of one part, e.g. make test-notify, or make test-notify FAST=1
	$(BIN)/python -m pytest $(TESTS_$*) $(PARALLEL) $(SELECTION)

test-fast: install ## run the tests of shared code and contracts, without Elasticsearch
	$(BIN)/python -m pytest tests/shared tests/contract tests/test_boundaries.py tests/test_lock.py tests/test_compose.py $(PARALLEL) -m "not slow"

# Only shared code, whose tests need neither Elasticsearch nor processes of their own: measuring all tests would take a fifth longer,
# and would miss what runs in processes. On Python 3.12 and newer it costs next to nothing.
coverage: install ## measure what the tests of shared code run of it, against the floor of pyproject.toml
	$(BIN)/coverage run -m pytest tests/shared tests/contract -p no:xdist --quiet
	$(BIN)/coverage report

# Lua is checked where luacheck is installed (Debian: lua-check); .ci/run installs it.
lint: install ## check style, format, types, unused code and declared dependencies
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy $(SOURCES)
	$(BIN)/vulture
	@$(BIN)/python .ci/lint_lua.py
	@for member in $(MEMBERS); do (cd $$member && $(CURDIR)/$(BIN)/deptry newswire*) || exit 1; done

format: install ## format the sources
	$(BIN)/ruff check --fix-only --quiet $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

bench: install ## measure the hot paths against their floors
	$(BIN)/python -m bench

pictures: install ## make the pictures of docs/desk.md again, from the real pages
	$(BIN)/python -m docs.make_pictures

fuzz: install ## send some thousand generated requests to every operation of the three services
	NEWSWIRE_FUZZ_EXAMPLES=$${NEWSWIRE_FUZZ_EXAMPLES:-50} $(BIN)/python -m pytest tests/fuzz --timeout 3600 -s

fuzz-importers: install ## import damaged files for ten minutes: no crash, no hang, no silent loss
	$(BIN)/python -m tests.fuzz.importers

drill: install ## run all fault drills on a complete installation, for half an hour
	$(BIN)/python -m tests.faults

drill-mails: install ## send 20,000 mails of a newsletter while notify is killed ten times, for some minutes
	$(BIN)/python -m tests.faults.mail_drill

drill-alerts: install ## break a complete installation in many ways, and check which alerts fire in a real Prometheus, for half an hour
	$(BIN)/python -m tests.faults.alert_drill

up: .env ## run the full stack in Docker, at http://127.0.0.1:8000
	docker compose up --build --wait

# COMPOSE_FILE in .env makes every later `docker compose` use both files.
up-ha: .env ## run the highly available setup in Docker: two or three of everything, at http://127.0.0.1:8000 and 8010
	@grep -q '^COMPOSE_FILE=' .env || echo 'COMPOSE_FILE=docker-compose.yml:docker-compose.ha.yml' >> .env
	docker compose up --build --wait

drill-compose: install ## build the full stack, kill parts of it under load, and check the results
	$(BIN)/python -m tests.faults.compose_drill $(DRILL)

drill-compose-ha: install ## build the highly available setup, kill one of everything under load, and check the results
	$(BIN)/python -m tests.faults.compose_ha_drill $(DRILL)

# Adds missing passwords only: an .env of an earlier release lacks some, and the stores already use the existing ones.
.env: FORCE
	@umask 077 && touch .env && for name in ELASTIC_PASSWORD SEARCH_INDEX_PASSWORD REDIS_PASSWORD; do \
		grep -q "^$$name=" .env || printf '%s=%s\n' "$$name" "$$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')" >> .env; done

audit: install ## compare the pinned dependencies with known advisories, if these are available
	@$(BIN)/python .ci/audit.py requirements.lock

sbom: install ## write the contents of the images as a CycloneDX document into dist/
	@mkdir -p dist
	$(BIN)/python .ci/release.py --contents dist/newswire.cdx.json

release: install ## check everything, and build the release of VERSION into dist/ (docs/releases.md)
	@$(BIN)/python .ci/release.py --check
	@$(MAKE) lint audit test
	@$(BIN)/python .ci/release.py

pin-images: ## pin the images of the compose files and Dockerfile by their current digests
	@.ci/pin-images docker-compose.yml docker-compose.ha.yml Dockerfile

FORCE:

.PHONY: help install run test test-ingest test-search test-notify test-shared test-cli test-fast coverage lint format bench pictures fuzz drill drill-mails drill-alerts drill-compose drill-compose-ha up up-ha audit sbom release pin-images FORCE
