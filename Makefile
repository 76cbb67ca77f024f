# Each target does its own set-up: .venv is made once, and brought up to date when pyproject.toml changes.
STUDY ?= reversal
BACKEND ?= torch
N ?= 100
SEED ?= 0
VENV ?= .venv
PYTHON := $(VENV)/bin/python
# Of the shell's settings of Python, none reaches what is started here but where it may write its caches.
CACHES := PYTHON PYTHONDONTWRITEBYTECODE PYTHONPYCACHEPREFIX
unexport $(filter-out $(CACHES),$(filter PYTHON%,$(.VARIABLES)))

.PHONY: study check test lab report readme gallery bench bench-gpu chaos environment

study: environment  ## runs a study and prints its verdict: make study STUDY=reversal
	@$(PYTHON) -m mmrc_helpers.run $(STUDY)

check: environment  ## looks at data, formats, rewards and pairs before training: make check STUDY=spatial BACKEND=torch (or mlx, none)
	@$(PYTHON) -m mmrc_helpers.check $(STUDY) --backend $(BACKEND)

test: environment  ## the fast tests, in two processes
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lab: environment  ## opens working copies of the notebooks, in artifacts/lab, in JupyterLab
	@PYTHONPATH="$(CURDIR)" $(PYTHON) -m mmrc_helpers.execution.lab

report: environment  ## writes the report of a study again: make report STUDY=reversal
	@$(PYTHON) -m mmrc_helpers.run $(STUDY) --redo report

readme: environment  ## writes the results of finished studies into README.md: make readme STUDY="reversal why_reverse"
	@$(PYTHON) -m mmrc_helpers.readme $(STUDY)

gallery: environment  ## draws every world: artifacts/studies/gallery.html
	@$(PYTHON) -m mmrc_helpers.gallery

bench: environment  ## measures what this machine does
	@$(PYTHON) tests/bench.py

bench-gpu: environment  ## measures one GPU at real sizes with random weights, in 8 minutes
	@$(PYTHON) tests/bench_gpu.py

chaos: environment  ## breaks a very small study in N ways and says what was lost: make chaos N=100 SEED=0
	@$(PYTHON) tests/chaos/driver.py --count $(N) --seed $(SEED)

environment:
	@for python in $(PYTHON) python3 python3.13 python3.12 python3.11 none; do \
		"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && break; \
	done; \
	if [ "$$python" = none ]; then echo "needs Python 3.11, 3.12 or 3.13; none is on the PATH" >&2; exit 2; fi; \
	"$$python" -I .ci/environment.py "$(VENV)"
