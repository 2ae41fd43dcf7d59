# One entry for each chore; `make help` lists them. From a bare clone each does the set-up that it needs and no more.
#
# All is installed into $(VENV), in the versions of tests/requirements.lock, and again when that file or pyproject.toml changes.

VENV ?= .venv
PYTHON ?=
MODEL ?=
ARGS ?=
export MODEL

BIN := $(VENV)/bin
LOCK := tests/requirements.lock
INSTALL := $(BIN)/python -m pip --disable-pip-version-check --no-input --quiet install --constraint $(LOCK)
MODULES := packaging/vendor.py packaging/web/package-lock.json
LARGEST := 600

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test lint format bench soak starter docs wheel clean

help: ## list what can be done
	@echo "make TARGET [MODEL=FILE] [ARGS='...'] [PYTHON=python3.12] [VENV=.venv]"
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "  %-8s %s\n", $$1, $$2 }'

run: $(VENV)/.for-run ## start the server, with MODEL=FILE.gguf if given; the built-in guide is always there
	@exec $(BIN)/hausgeist serve $${MODEL:+"$$MODEL"} $(ARGS)

test: $(VENV)/.for-test ## run all tests but the soak runs; ARGS go to pytest
	$(BIN)/python -m pytest -m "not soak" -n logical --maxprocesses 4 --dist loadfile $(ARGS)

lint: $(VENV)/.for-test ## check style, types, import layers and the size of modules
	@failed=0; \
	for check in "ruff check ." "ruff format --check ." mypy lint-imports; do \
	  echo "$$check"; $(BIN)/$$check || failed=1; \
	done; \
	echo "The largest modules, in lines (aim 300, limit $(LARGEST)):"; \
	find src -name '*.py' -exec wc -l {} + | grep -v ' total$$' | sort -rn | head -n 12; \
	find src -name '*.py' -exec wc -l {} + | awk '$$2 != "total" && $$1 > $(LARGEST) { print $$2 " has " $$1 " lines: split it"; bad = 1 } END { exit bad }' || failed=1; \
	exit $$failed

format: $(VENV)/.for-test ## format the code and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.for-bench ## measure and write the figures to docs/lab.md (takes a while; leave the machine alone)
	$(BIN)/python -m benchmarks --keep $(ARGS)

soak: $(VENV)/.for-soak ## the long runs: kills at random moments, malformed requests
	$(BIN)/python -m pytest -m soak --timeout=0 $(ARGS)

starter: $(VENV)/.for-starter ## train the built-in guide (76 minutes of two cores) and put it into the package; docs/guide.md tells how
	$(BIN)/python -m starter.train build/guide $(ARGS)
	$(BIN)/python -m starter.export build/guide src/hausgeist/library/guide/guide.gguf
	$(BIN)/python -m starter.curve build/guide docs/guide-loss.svg

docs: $(VENV)/.for-test ## generate the pages of docs/ that come from the code
	$(BIN)/python -m hausgeist.cli.reference docs
	$(BIN)/python -m hausgeist.gateway.coverage docs/coverage.md tests/data/openai_surface.py
	$(BIN)/python -m benchmarks.accuracy_page docs/accuracy.md

wheel: $(VENV)/.for-run ## build the wheel into dist/
	@$(BIN)/python -m pip --disable-pip-version-check --no-input --quiet wheel --no-deps --wheel-dir dist .
	@ls -1t dist/*.whl | head -n 1

clean: ## remove what was built here: environment, caches, build folders
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/.for-run: pyproject.toml $(LOCK) $(MODULES) | $(VENV)/.ready
	@echo "Installing Hausgeist and what it needs into $(VENV) (the first time takes a minute or two) ..."
	@$(INSTALL) --editable .
	@touch $@

$(VENV)/.for-test: pyproject.toml $(LOCK) $(MODULES) | $(VENV)/.ready
	@echo "Installing Hausgeist, what it needs and the tools for tests into $(VENV) (the first time takes a minute or two) ..."
	@$(INSTALL) --editable . --group test --group lint
	@touch $(VENV)/.for-run $@

$(VENV)/.for-bench: $(VENV)/.for-test
	@echo "Installing what measurements need ..."
	@$(INSTALL) --group bench
	@touch $@

$(VENV)/.for-soak: $(VENV)/.for-test
	@echo "Installing what the long runs need ..."
	@$(INSTALL) --group soak
	@touch $@

$(VENV)/.for-starter: $(VENV)/.for-test
	@echo "Installing what training needs ..."
	@$(INSTALL) --group starter
	@touch $@

# Dependency groups need pip 25.1; what Python brings along is often older.
$(VENV)/.ready:
	@found=; \
	for candidate in $(PYTHON) python3 python3.13 python3.12 python3.11 python3.14; do \
	  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$candidate; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "Hausgeist needs Python 3.11 or newer, and there is none on the PATH (python3 is: $$(python3 --version 2>&1 || true))." >&2; \
	  echo "Install one (Debian, Ubuntu: apt install python3 python3-venv) or say where it is: make PYTHON=/path/to/python3 ..." >&2; \
	  exit 1; \
	fi; \
	version=$$("$$found" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	if ! "$$found" -c 'import ensurepip, venv' 2>/dev/null; then \
	  echo "Python $$version cannot make virtual environments: its module ensurepip is missing. Debian, Ubuntu: apt install python$$version-venv" >&2; \
	  exit 1; \
	fi; \
	echo "Making $(VENV) with Python $$version ..."; \
	clear=--clear; \
	if $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then clear=; fi; \
	"$$found" -m venv $$clear $(VENV)
	@$(BIN)/python -m pip --disable-pip-version-check --no-input --quiet install --upgrade 'pip>=25.1'
	@touch $@
