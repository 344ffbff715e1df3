# Genscope. `make help` lists the targets; PYTHON=… names the interpreter to build .venv with.
.DEFAULT_GOAL := help
.PHONY: setup setup-run setup-bench run test check bench bench-long shots clean help

PY := .venv/bin/python
FILE ?=
FIGURE ?=
TESTS ?= tests
# The walls, the wire and the laws: what a change breaks first.
FAST := tests/architecture tests/wire tests/engine/test_laws.py tests/engine/test_skeleton_model.py

run: setup-run  ## Set up what is missing and open the window (FILE=run.safetensors opens that)
	@$(PY) main.py $(FILE)

setup:  ## Make .venv, install the pinned dependencies and the system libraries that Qt lacks
	@.ci/setup test

setup-run:
	@.ci/setup run

setup-bench:
	@.ci/setup bench

test: setup  ## The whole suite, GUI tests on a virtual display (TESTS=… runs a part)
	@$(PY) -m compileall -q app engine widgets  # dozens of children would each compile them anew
	@$(PY) -m pytest -q -n 2 --dist loadscope $(TESTS)

check: setup  ## Lint, types, import contracts and the fast tests
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-cache
	@$(PY) -m pytest -q -n 2 -m "not slow and not gpu" $(FAST)

bench: setup-bench  ## The figures of the README as a table and as bench/results.json
	@$(PY) -m tests.benchmarks

bench-long: setup-bench  ## The figures that need a training budget; resumable; FIGURE=name runs one
	@$(PY) -m tests.benchmarks --long $(if $(FIGURE),--figure $(FIGURE))

shots: setup  ## A screenshot of every panel, both themes, two window sizes, into shots/
	@$(PY) main.py shots

clean:  ## Remove what the other targets made
	rm -rf .venv tour shots bench .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
