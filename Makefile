# Each target does its own set-up: .venv is made once, and brought up to date when pyproject.toml changes.
STUDY ?= reversal
N ?= 100
SEED ?= 0
VENV := .venv
PYTHON := $(VENV)/bin/python

.PHONY: study test lab report bench chaos environment

study: environment  ## runs a study and prints its verdict: make study STUDY=reversal
	@$(PYTHON) -m mmrc_helpers.run $(STUDY)

test: environment  ## the fast tests
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m pytest

lab: environment  ## opens the notebooks in JupyterLab
	@$(PYTHON) -m jupyter lab --notebook-dir=notebooks \
		--LabApp.news_url=None --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate

report: environment  ## writes the report of a study again: make report STUDY=reversal
	@$(PYTHON) -m mmrc_helpers.run $(STUDY) --redo report

bench: environment  ## measures what this machine does
	@$(PYTHON) tests/bench.py

chaos: environment  ## breaks a very small study in N ways and says what was lost: make chaos N=100 SEED=0
	@$(PYTHON) tests/chaos/driver.py --count $(N) --seed $(SEED)

environment:
	@stamp="$$(cksum < pyproject.toml)"; \
	if [ "$$(cat $(VENV)/stamp 2>/dev/null)" = "$$stamp" ]; then exit 0; fi; \
	for python in python3 python3.13 python3.12 python3.11 none; do \
		"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && break; \
	done; \
	if [ "$$python" = none ]; then echo "needs Python 3.11, 3.12 or 3.13; none is on the PATH" >&2; exit 2; fi; \
	echo "setting up $(VENV) with $$($$python --version); this is done once and takes some minutes"; \
	{ [ -x $(PYTHON) ] || "$$python" -m venv $(VENV); } && \
	$(PYTHON) -m pip install -qq --disable-pip-version-check --editable '.[test]' && \
	echo "$$stamp" > $(VENV)/stamp
