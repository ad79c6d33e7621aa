# The one door: `make help` lists what there is.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet
# uv does in seconds what takes pip a minute; it does not read pip's configuration, so where it finds no index pip does it.
# Byte code is made when a module is first used.
define install
@$(PIP) install --constraint constraints.txt uv \
	&& $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '$(1)' \
	|| { echo "Installing with pip instead"; $(PIP) install --no-compile --constraint constraints.txt --editable '$(1)'; }
endef
JOBS ?= $(shell nproc 2>/dev/null || echo 2)

.DEFAULT_GOAL := help
.PHONY: help setup demo serve test test-worlds reliability bench lint format clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F'\t' '{ printf "  make %-11s %s\n", $$1, $$2 }'

# Each stamp is newer than what it was made from, so a second call costs nothing.
$(VENV)/.run: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null 2>&1 || { echo "Python 3.11 or newer is needed: set PYTHON=/path/to/python3"; exit 2; }
	@[ -x $(BIN)/python ] || { echo "Making the environment in $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "Installing the program"
	$(call install,.)
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@echo "Installing the test tools"
	$(call install,.[dev])
	@touch $@

$(VENV)/.bench: $(VENV)/.dev
	@echo "Installing what the benchmarks compare with"
	$(call install,.[bench])
	@touch $@

setup: $(VENV)/.run ## Make the environment in .venv, with marketplace-returns in .venv/bin

demo: setup ## Play a whole month through the sandbox and prove it
	@$(BIN)/marketplace-returns demo

serve: setup ## Open the Dagster UI on the current data
	@$(BIN)/marketplace-returns serve

test: $(VENV)/.dev ## Run the tests (test-worlds plays the longer ones)
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -m "not played"

test-worlds: $(VENV)/.dev ## Play the longer tests: a whole month, each returns platform, restores, storms, the console in a browser
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -m "played and not drill"

reliability: $(VENV)/.dev ## Prove the writes under every fault and write docs/reliability.md (hours)
	@$(BIN)/python -m pytest -n $(JOBS) --dist load -m drill
	@$(BIN)/python -m marketplace_returns_tests.reliability all

bench: $(VENV)/.bench ## Measure ingest and month-end beside named alternatives
	@$(BIN)/python -m marketplace_returns_tests.benchmarks

lint: $(VENV)/.dev ## Lint, format check, types, import directions
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.dev ## Format the code and mend what can be mended
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean: ## Remove the environment and caches (data stays)
	@rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
