# Needs GNU make and Python 3.10 or newer. `make` alone lists the targets.

PYTHON ?= python3
# Which TensorFlow to install: the extra `cpu` (tensorflow-cpu) or `tensorflow`.
TENSORFLOW ?= cpu
# How many processes share the tests.
WORKERS ?= 2
# How long `make fuzz` searches.
MINUTES ?= 10

# Nothing is written outside the project, by pip, Keras or a test either.
export TMPDIR := $(CURDIR)/.venv/tmp
export PIP_CACHE_DIR := $(CURDIR)/.venv/pip-cache
export KERAS_HOME := $(CURDIR)/.venv/keras

# Every test, in the virtual environment $(1). Two folders need two CPUs and their own collectives: a process each.
define run_tests
	$(1)/bin/python -m pytest -q tests/scenarios
	$(1)/bin/python -m pytest -q tests/strategy
	$(1)/bin/python -m pytest -n $(WORKERS) --dist loadfile -m 'not slow' --ignore=tests/scenarios --ignore=tests/strategy $(2)
endef

.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help .venv demo test test-oldest check bench bench-scale bench-memory fuzz mutate reference format clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z.-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' Makefile

.venv: .venv/.installed  ## Make the virtual environment (PYTHON=python3.12, TENSORFLOW=cpu or tensorflow)

demo: .venv/.installed  ## Show what tfreuse does on small models
	.venv/bin/python -m tools.demo

test: check  ## Run every check and every test; CI runs this
	$(call run_tests,.venv,--ignore=tests/engine)

test-oldest: .venv-oldest/.installed  ## Run every test on the oldest supported TensorFlow and Keras (Python up to 3.12)
	$(call run_tests,.venv-oldest)

check: .venv/.installed  ## Run what is quick, before a commit: lint, types, imports, the engine's tests
	.venv/bin/python -m ruff check .
	.venv/bin/python -m ruff format --check .
	.venv/bin/python -m mypy
	.venv/bin/lint-imports --no-logo
	.venv/bin/python -m pytest -q -n $(WORKERS) tests/engine

mutate: .venv/.installed  ## Optimise 10,000 damaged models, which takes minutes (ARGS="--count 500 --seed 7")
	.venv/bin/python -m tools.mutate $(ARGS)

bench: .venv/.installed  ## Time programs with duplicate work (ARGS="--quick")
	.venv/bin/python -m tools.bench.run $(ARGS)

bench-scale: .venv/.installed  ## Time the engine on graphs of growing size (ARGS="--nodes 1000")
	.venv/bin/python -m tools.bench.scale $(ARGS)

bench-memory: .venv/.installed  ## Hold the estimated peaks of memory against measured ones (ARGS="--threads 2")
	.venv/bin/python -m tools.bench.memory $(ARGS)

fuzz: .venv/.installed  ## Search with random programs for wrong rewrites (MINUTES=10)
	.venv/bin/python -m tools.fuzz --minutes $(MINUTES) $(ARGS)

reference: .venv/.installed  ## Write the generated pages of the documentation
	.venv/bin/python -m tools.reference

format: .venv/.installed  ## Format the code and fix what ruff can fix
	.venv/bin/python -m ruff check --fix-only .
	.venv/bin/python -m ruff format .

clean:  ## Remove what tests and builds left; .venv and .venv-oldest stay
	rm -rf build dist *.egg-info .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -path './.venv*' -prune -o -type d -name __pycache__ -prune -exec rm -rf {} +

.venv/.installed: EXTRAS = dev,$(TENSORFLOW)
.venv-oldest/.installed: EXTRAS = dev,oldest
.venv/.installed .venv-oldest/.installed: %/.installed: setup.cfg pyproject.toml | %/bin/python
	@mkdir -p '$(TMPDIR)'
	$*/bin/python -m pip install --disable-pip-version-check -e '.[$(EXTRAS)]'
	@touch $@

.venv/bin/python .venv-oldest/bin/python: %/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null \
		|| { echo '$(PYTHON) is not Python 3.10 or newer; name one that is: make PYTHON=python3.12' >&2; exit 1; }
	@mkdir -p '$(TMPDIR)'
	$(PYTHON) -m venv $*
