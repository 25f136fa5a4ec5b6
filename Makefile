# Quagga on a fresh machine: `make demo`. It needs make and Python 3.11 or newer, nothing else.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
# What installs, and what it is asked for besides: another torch, or the oldest of everything (CONTRIBUTING.md).
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check
WITH :=
# Two processes of one thread each: what a small machine has. (tests/conftest.py sets the thread.)
PYTEST := $(BIN)/pytest -n 2
# Laws that start processes or compile: `make quick` leaves them to `make test`.
LONG := one_process_equals_two or spawn or compile or test_several_processes

.PHONY: help demo test quick slow trainings lint types

help:
	@echo "make demo    train a CycleGAN on the embedded horses and zebras and look at the result"
	@echo "make quick   lint and the fast laws, in less than 90 seconds"
	@echo "make test    lint, types and all laws but the slow ones"
	@echo "make slow    the slow laws: hundreds of kills, several processes"
	@echo "make trainings   whole trainings, and whether their samples are what was asked for: an hour or two"
	@echo "make lint    ruff alone"

demo: $(VENV)/installed
	$(BIN)/quagga demo
	@echo "to type quagga yourself: source $(BIN)/activate"

test: lint types
	$(PYTEST) -m "not slow"

quick: lint
	$(PYTEST) -m "not slow" -k "not ($(LONG))"

# One test at a time for each worker: some take seconds and some minutes.
slow: $(VENV)/installed-dev
	$(PYTEST) --maxschedchunk 1 -m "slow and not training"

trainings: $(VENV)/installed-dev
	OMP_NUM_THREADS=$$(getconf _NPROCESSORS_ONLN) $(BIN)/pytest -m training

lint: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-cache

types: $(VENV)/installed-dev
	$(BIN)/pyright --pythonpath $(BIN)/python

# Stamps: nothing is installed again until pyproject.toml or setup.py changes.
$(VENV)/installed: pyproject.toml setup.py | $(VENV)/pyvenv.cfg
	@echo "installing torch and what else Quagga stands on: a few minutes, once"
	VIRTUAL_ENV=$(abspath $(VENV)) $(INSTALL) -e . $(WITH)
	@touch $@

$(VENV)/installed-dev: pyproject.toml setup.py | $(VENV)/pyvenv.cfg
	@echo "installing torch, what else Quagga stands on, and the tools of the tests: a few minutes, once"
	VIRTUAL_ENV=$(abspath $(VENV)) $(INSTALL) -e ".[dev]" $(WITH)
	@touch $(VENV)/installed $@

$(VENV)/pyvenv.cfg:
	@$(or $(PYTHON),false) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "quagga: error: Python 3.11 or newer is needed, and '$(or $(PYTHON),python3)' is none:" \
			"install one, or name it with make PYTHON=/path/to/python3.11"; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "quagga: error: $(PYTHON) cannot make a virtual environment: install its venv module" \
			"(Debian, Ubuntu: sudo apt install python3-venv)"; exit 2; }
