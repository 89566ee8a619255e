# Everything runs in .venv; PYTHON=python3.12 make setup picks another interpreter.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A torch that is in .venv already (a CPU or CUDA build of this version) is kept: see README, "Install".
TORCH := torch==2.13.0

# What 'make lab' opens: NB=file.ipynb, else the newest investigation, else the newest notebook that is shipped.
NB ?= $(firstword $(shell ls -t investigations/*.ipynb 2>/dev/null) $(shell ls -t notebooks/*.ipynb))

.PHONY: setup demo test test-slow lint bench lab notebooks screenshot

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: PYTHON=/path/to/python make setup" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (a minute or two, once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check '$(TORCH)'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: setup
	@$(BIN)/maia run

test: setup
	$(BIN)/pytest --numprocesses 2 --dist loadgroup -m 'not slow'

test-slow: setup
	$(BIN)/pytest --numprocesses 2 --dist loadgroup -m slow

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: setup
	@for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

lab: setup
	$(BIN)/maia lab $(NB)

# The picture in the README; needs a chromium.
screenshot: setup
	$(BIN)/python docs/screenshot.py

notebooks: setup
	$(BIN)/python notebooks/make.py
