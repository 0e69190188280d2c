# `make train` and `make test` work on a fresh machine: they need make and Python 3.11 or newer.

PYTHON ?= python3
BIN := .venv/bin
BENCH := .venv-bench/bin
CODE := src tests tools benchmarks
PIP_INSTALL := -m pip --disable-pip-version-check install -q -c constraints.txt

.PHONY: train test check pages bench soak clean
.DELETE_ON_ERROR:

train: .venv/.installed
	$(BIN)/fitwell train digits

test: .venv/.installed-for-test
	@$(MAKE) --no-print-directory check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

check: .venv/.installed-for-test
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/interrogate --quiet src
	$(BIN)/python tools/sizes.py $(CODE)

# The pages of docs/rules are made from the rules.
pages: .venv/.installed
	$(BIN)/fitwell rules --markdown docs/rules

bench: .venv-bench/.installed
	$(BENCH)/python benchmarks/startup.py
	$(BENCH)/python benchmarks/loop.py
	$(BENCH)/python benchmarks/memory.py
	$(BENCH)/python benchmarks/learning_rate.py
	$(BENCH)/python benchmarks/mnist.py --accuracies
	$(BENCH)/python benchmarks/tune.py

# How well faults are told and mended, on programs whose faults are known: half an hour.
lab: .venv/.installed-for-test
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/diagnosis.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/treat.py

# Fifty trainings killed at random steps; each must resume to the very same weights. A thousand forks of a training.
soak: .venv/.installed-for-test
	FITWELL_FORKS=1000 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/treating/forks/test_arms.py -k soak -rP
	FITWELL_KILLS=50 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/training/test_resume.py --timeout=0

clean:
	rm -rf .venv .venv-bench build dist src/*.egg-info .*_cache .hypothesis
	find $(CODE) -name __pycache__ -prune -exec rm -rf {} +

# The stamps are older than pyproject.toml when what is needed may have changed.
.venv/.installed: pyproject.toml constraints.txt | .venv/bin/pip
	$(BIN)/python $(PIP_INSTALL) -e .
	@touch $@

.venv/.installed-for-test: pyproject.toml constraints.txt | .venv/bin/pip
	$(BIN)/python $(PIP_INSTALL) -e '.[test]'
	@touch .venv/.installed $@

.venv-bench/.installed: pyproject.toml constraints.txt benchmarks/requirements.txt | .venv-bench/bin/pip
	$(BENCH)/python $(PIP_INSTALL) -e . -r benchmarks/requirements.txt
	@touch $@

%/bin/pip:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "$(PYTHON) was not found: install Python 3.11 or newer, or name one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "fitwell needs Python 3.11 or newer, $(PYTHON) is $$($(PYTHON) -V 2>&1):" \
	    "install one, or name one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) can't make environments with pip in them:" \
	    "install its venv package (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv $*
