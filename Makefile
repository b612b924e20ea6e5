# `make run` and `make test` work on a fresh clone: they make .venv and install what is locked.
PYTHON ?= python3
DOMAIN ?= elearning
RAW ?=
BIN := .venv/bin

# Each domain has its own warehouse: one warehouse holds one domain.
ifeq ($(DOMAIN),elearning)
CHURNHOUSE_HOME ?= data
else
CHURNHOUSE_HOME ?= data-$(DOMAIN)
endif
export CHURNHOUSE_HOME

.PHONY: help run test test-spark lint format unit nightly bench clean

help: ## List the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

run: .venv/installed ## The main job: make run [DOMAIN=online_retail RAW=/path/to/files]
	@$(BIN)/churnhouse run --domain $(DOMAIN) $(if $(RAW),--raw $(RAW))

test: lint unit ## Everything that must be green before a change lands.

lint: .venv/installed ## ruff, sqlfluff and yamllint.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/sqlfluff lint --processes 2 --disable-progress-bar models tests/generic tests/gates domains
	$(BIN)/yamllint --strict .

format: .venv/installed ## Format Python and SQL in place.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/sqlfluff fix --processes 2 --disable-progress-bar models tests/generic tests/gates domains

unit: .venv/installed ## dbt parse, dbt unit tests and pytest (which runs both).
	$(BIN)/pytest -m "not nightly and not spark"

test-spark: .venv-spark/installed ## The second engine: the main job on a Spark cluster of this machine.
	.venv-spark/bin/pytest -m spark

nightly: .venv/installed ## The exhaustive variants.
	$(BIN)/pytest -m nightly

clean: ## Remove the virtual environment and what dbt left. Data stays.
	rm -rf .venv .venv-spark target logs

.venv/installed: requirements.lock pyproject.toml
.venv-spark/installed: requirements-spark.lock pyproject.toml
.venv/installed .venv-spark/installed:
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
