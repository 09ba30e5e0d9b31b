# Every chore is a verb. `make setup` needs Python 3.11 and nothing else.
PYTHON ?= python3
BIN := .venv/bin
# Tests wait more than they compute: two files at a time halve the suite on two cores.
JOBS ?= 2

.PHONY: help setup rehearse test iac lint format types bench decisions corpus conformance clean

help:                      ## what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: .venv/.ready        ## the project's own environment in .venv

.venv/.ready: uv.lock pyproject.toml scripts/bootstrap.py
	@$(PYTHON) scripts/bootstrap.py

.venv/.ready-dev: .venv/.ready
	@$(PYTHON) scripts/bootstrap.py --dev

rehearse: setup            ## rehearse examples/genba/after; ends with the verdict
	@$(BIN)/hikkoshi rehearse examples/genba/after $(ARGS)

test: .venv/.ready-dev lint types     ## every check and every test
	@$(BIN)/pytest -rs -n $(JOBS) --dist loadfile $(ARGS)

iac: .venv/.ready-iac                 ## set up the extra iac (CDK, 600 MB) and run its tests
	@$(BIN)/pytest tests/iac $(ARGS)

.venv/.ready-iac: .venv/.ready-dev
	@$(PYTHON) scripts/bootstrap.py --iac

lint: .venv/.ready-dev                ## ruff
	@$(BIN)/ruff check src tests bench examples scripts
	@$(BIN)/ruff format --check src tests bench examples scripts

types: .venv/.ready-dev               ## mypy, strict
	@$(BIN)/mypy

format: .venv/.ready-dev              ## let ruff rewrite
	@$(BIN)/ruff check --fix src tests bench examples scripts
	@$(BIN)/ruff format src tests bench examples scripts

bench: .venv/.ready-dev               ## the measures, as ratios, on this machine
	@for b in bench/bench_*.py; do $(BIN)/python $$b || exit 1; done

conformance: .venv/.ready-dev         ## the contract on every engine here; writes docs/conformance.md
	@$(BIN)/pytest tests/contract --conformance $(ARGS)

decisions: .venv/.ready               ## the index of docs/decisions
	@$(BIN)/python scripts/decisions_index.py

corpus: .venv/.ready-dev              ## the rules on services with planted defects, all of them
	@$(BIN)/python tests/corpus/measure.py $(ARGS)

clean:                     ## remove what was made here
	@rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache
