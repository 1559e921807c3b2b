# `make quickstart` and `make test` are all a newcomer needs: each makes .venv if it is missing and installs into it.
# torch goes first and alone: asked for together with the rest, pip may choose another build of it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
export OMP_NUM_THREADS ?= 1

.PHONY: help quickstart examples test lint types contracts openapi bench bench-learning bench-peers bench-growth clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 18

$(VENV)/server.stamp: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("lmaas needs Python 3.11 or newer; say: make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (about a minute, once)"
	@$(PIP) torch
	@$(PIP) --editable '.[server,progress]'
	@touch $@

$(VENV)/dev.stamp: $(VENV)/server.stamp
	@echo "installing the test tools into $(VENV)"
	@$(PIP) --editable '.[dev]'
	@touch $@

quickstart: $(VENV)/server.stamp  ## train, deploy, correct and improve a model on real digits
	@$(BIN)/python examples/quickstart.py $(ARGS)

test: $(VENV)/dev.stamp  ## the whole suite, under 5 minutes on two cores
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(VENV)/dev.stamp  ## format, lint
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .

types: $(VENV)/dev.stamp  ## mypy --strict and pyright strict
	@$(BIN)/mypy && $(BIN)/pyright

contracts: $(VENV)/dev.stamp  ## the floors of the house: who may import whom
	@$(BIN)/lint-imports

openapi: $(VENV)/server.stamp  ## write openapi.json anew from the types
	@$(BIN)/python -m lmaas_server.openapi > openapi.json

bench: $(VENV)/dev.stamp  ## measure training and the client; figures are ratios from one run
	@$(BIN)/python -m benchmarks $(ARGS)

bench-learning: $(VENV)/dev.stamp  ## hold learning from feedback to its floors, on real data
	@$(BIN)/python -m benchmarks.learning $(ARGS)

bench-growth: $(VENV)/dev.stamp  ## how cost grows with rows, requests, parameters and files; draws docs/growth.png
	@$(BIN)/python -m benchmarks.growth $(ARGS)

bench-peers: $(VENV)/dev.stamp  ## measure beside other servers, trainers and clients, each installed into .venvs
	@$(BIN)/python -m benchmarks.peers $(ARGS)

clean:  ## remove what was built and measured, not .venv
	@rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
