# One command for each thing done with this repository; `make help` lists them.
# They need Python 3.11 or newer, pip, make and a POSIX shell (on Windows: Git Bash).
# Each makes the virtual environment .venv if it is not there, installs what is missing,
# and runs. Another Python: `make test PYTHON=python3.13` (after `make clean`).

VENV ?= .venv
ifeq ($(OS),Windows_NT)
PYTHON ?= python
BIN = Scripts
else
PYTHON ?= python3
BIN = bin
endif
PY = $(VENV)/$(BIN)/python
PIP = $(PY) -m pip --disable-pip-version-check --quiet

# GNU gettext has an environment variable LANGUAGE too: only the command line's counts.
ifeq ($(origin LANGUAGE),command line)
DEMO_FLAGS = --lang $(LANGUAGE)
endif
# What `make test` passes to pytest; ARGS replaces it.
PYTEST_FLAGS ?= --numprocesses auto --maxprocesses 4 --dist worksteal
# A wheel is the sources, to be read: of nearly 500,000 bytes the compiled engine takes 150,000,
# `npconv bench` 36,000, `npconv demo` 27,000, and docstrings and comments of all a quarter.
# Files are compressed one by one, and stronger compression gives nothing (zlib's level 9: 400
# bytes; LZMA takes more). Below 300,000 the compiled engine would be a distribution of its own.
MAX_WHEEL_BYTES = 500000
# The peers whose own cases judge npconv; some gigabytes, so not with the developers' tools.
REFEREES = .venv-referees
# The peers that `make bench` times; the same is true of them.
BENCH = .venv-bench
# Installed by `make package` with NumPy alone.
PLAIN = build/plain
PLAIN_PY = $(PLAIN)/$(BIN)/python

.PHONY: help
help:
	@echo "make demo              everything npconv does, on real data, as a page in npconv-demo/"
	@echo "make demo LANGUAGE=ko  the same in Korean"
	@echo "make test              the tests, examples in docstrings and docs included"
	@echo "make test ARGS='-k im2col tests/test_core.py'   some of them"
	@echo "make problems          all 10,000 random problems against the reference (a test run takes 1,000)"
	@echo "make lint              ruff: rules and format"
	@echo "make types             mypy, strict"
	@echo "make check             lint, types and test"
	@echo "make format            let ruff mend what it can"
	@echo "make docs              bring the blocks that quote sources up to date"
	@echo "make package           sdist and wheel; the wheel installed with NumPy alone"
	@echo "make referees          PyTorch's, JAX's, ONNX's and SciPy's cases, and ONNX Runtime, against npconv"
	@echo "make bench             npconv beside its peers: speed, memory, errors (an hour, nothing beside it)"
	@echo "make bench ARGS='--layers vgg.5 --peers torch'   some of it, on the screen alone"
	@echo "make bench-import      import npconv against import numpy"
	@echo "make fit-cost          fit the planner's rates to this machine (ten minutes, nothing beside it)"
	@echo "make errors            the largest errors seen, beside the stated bounds (twenty minutes)"
	@echo "make hooks             run lint and types before each commit"
	@echo "make clean             remove all that these commands made"

.PHONY: demo
demo: $(VENV)/demo.stamp
	$(PY) -m npconv demo $(DEMO_FLAGS)

.PHONY: test
test: $(VENV)/dev.stamp
	$(PY) -m pytest $(or $(ARGS),$(PYTEST_FLAGS))

.PHONY: problems
problems: $(VENV)/dev.stamp
	NPCONV_EVERY_PROBLEM=1 $(PY) -m pytest $(PYTEST_FLAGS) tests/test_random_problems.py

.PHONY: lint
lint: $(VENV)/dev.stamp
	$(PY) -m ruff check
	$(PY) -m ruff format --check

.PHONY: types
types: $(VENV)/dev.stamp
	$(PY) -m mypy

.PHONY: check
check: lint types test

.PHONY: format
format: $(VENV)/dev.stamp
	$(PY) -m ruff check --fix-only
	$(PY) -m ruff format

.PHONY: docs
docs: $(VENV)/dev.stamp
	$(PY) tests/requote.py

.PHONY: package
package: $(VENV)/dev.stamp
	rm -rf dist $(PLAIN)
	$(PY) -m build
	$(PY) -c "import pathlib, sys; w, = pathlib.Path('dist').glob('*.whl'); n = w.stat().st_size; print(w, n, 'bytes'); sys.exit(n > $(MAX_WHEEL_BYTES) and 'a wheel stays below $(MAX_WHEEL_BYTES) bytes')"
	$(PY) -m venv --without-pip $(PLAIN)
	$(PIP) --python $(PLAIN_PY) install .
	$(PLAIN_PY) -I -c "import npconv, importlib.metadata as m, sys; have = sorted(d.name for d in m.distributions()); print(*have); sys.exit(have != ['npconv', 'numpy'] and 'npconv needs NumPy and nothing else')"
	$(PLAIN_PY) -I -m npconv check

.PHONY: referees
referees: $(REFEREES)/referees.stamp
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(REFEREES)/$(BIN)/python -m referees $(ARGS)

# An idle machine, or the figures of two threads mean nothing. ARGS replaces it all.
.PHONY: bench
bench: $(BENCH)/bench.stamp
	$(BENCH)/$(BIN)/python -m npconv bench $(or $(ARGS),--all --lang en --output benchmarks/results)

.PHONY: bench-import
bench-import: $(VENV)/demo.stamp
	$(PY) benchmarks/import_time.py

.PHONY: fit-cost
fit-cost: $(VENV)/dev.stamp
	OPENBLAS_NUM_THREADS=1 $(PY) benchmarks/fit_cost.py $(ARGS)

.PHONY: errors
errors: $(VENV)/dev.stamp
	OPENBLAS_NUM_THREADS=1 $(PY) tests/error_table.py $(ARGS)

.PHONY: hooks
hooks: $(VENV)/dev.stamp
	$(PY) -m pre_commit install

.PHONY: clean
clean:
	rm -rf $(VENV) $(VENV).log $(REFEREES) $(REFEREES).log $(BENCH) $(BENCH).log build dist npconv-demo .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find src tests benchmarks referees -name __pycache__ -prune -exec rm -rf {} +

# Stamps depend on pyproject.toml: a second call is immediate, a new requirement is
# installed. npconv itself is installed editable, so that its sources need no stamp.

# Some systems (Debian without python3-venv) have pip but not ensurepip, which venv needs;
# there, the system's pip puts one into the environment.
$(VENV)/made.stamp:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'npconv needs Python 3.11 or newer, and $(PYTHON) is ' + sys.version.split()[0] + '; name another one: make PYTHON=python3.11')"
	@echo "Making the virtual environment $(VENV)"
	@$(PYTHON) -m venv $(VENV) >$(VENV).log 2>&1 \
	  || { $(PYTHON) -m venv --without-pip $(VENV) \
	    && $(PYTHON) -m pip --disable-pip-version-check --quiet --python $(PY) install pip; } >>$(VENV).log 2>&1 \
	  || { cat $(VENV).log; rm -rf $(VENV) $(VENV).log; \
	    echo "No virtual environment could be made: $(PYTHON) needs ensurepip (on Debian and Ubuntu: apt install python3-venv) or pip 22.3 and newer."; exit 1; } >&2
	@rm -f $(VENV).log
	@touch $@

$(VENV)/demo.stamp: pyproject.toml $(VENV)/made.stamp
	@echo "Installing npconv and what the demo needs (once, about a minute)"
	@$(PIP) install --editable ".[demo]"
	@touch $@

$(VENV)/dev.stamp: pyproject.toml $(VENV)/made.stamp
	@echo "Installing npconv and what its developers need (once, about a minute)"
	@$(PIP) install --editable ".[dev]"
	@touch $(VENV)/demo.stamp $@

$(REFEREES)/referees.stamp: pyproject.toml referees/requirements.txt
	@echo "Installing the referees (PyTorch, JAX, ONNX, ONNX Runtime, SciPy; once, some minutes)"
	@$(MAKE) --no-print-directory VENV=$(REFEREES) $(REFEREES)/made.stamp
	@$(REFEREES)/$(BIN)/python -m pip --disable-pip-version-check --quiet install --editable . --requirement referees/requirements.txt
	@touch $@

$(BENCH)/bench.stamp: pyproject.toml benchmarks/requirements.txt
	@echo "Installing the peers (PyTorch, ONNX Runtime, ncnn, OpenVINO, JAX; once, some minutes)"
	@$(MAKE) --no-print-directory VENV=$(BENCH) $(BENCH)/made.stamp
	@$(BENCH)/$(BIN)/python -m pip --disable-pip-version-check --quiet install --editable ".[bench]" --requirement benchmarks/requirements.txt
	@touch $@
