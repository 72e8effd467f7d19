# Every target sets up .venv first; `make mnist` and `make test` are all that a fresh machine needs.
PYTHON ?= python3
BIN := .venv/bin
# what the linter looks for, here and in no configuration file
LINT := --isolated --target-version py310 --line-length 110 \
	--select E,F,W,I,B,UP,C4,SIM,PIE,NPY,PLE,RUF \
	--ignore B007,B905,RUF005,RUF021,RUF001,RUF002,RUF003,RUF012,RUF043,SIM105,SIM108,SIM300,SIM905 \
	--per-file-ignores "__init__.py:F401"

# an interpreter of a version, on the path or pyenv's, if there is one; what is tested with each, without what
# repeats itself in a torture
python_of = $(shell for python in python$(1) $(HOME)/.pyenv/versions/$(1).*/bin/python; do \
	"$$python" -c "" 2> /dev/null && echo "$$python" && break; done)
MATRIX := 3.10 3.11 3.12 3.13 3.14
MATRIX_TESTS := -m 'not torture' $(addprefix tests/test_,architecture.py numba.py threads.py gradients.py checkpoint.py)

.PHONY: mnist cifar-birds cifar10 mnist-cnn test test-browser torture test-oldest test-matrix bench bench-peers figures docs dist audit coverage mutants lint types clean

mnist: .venv/plots
	$(BIN)/nnjit book $(ARGS)

cifar-birds: .venv/plots
	$(BIN)/nnjit train --data cifar10 --classes airplane,bird --model cnn --dtype float32 $(ARGS)

cifar10: .venv/plots
	$(BIN)/nnjit train --data cifar10 --model cnn --dtype float32 $(ARGS)

mnist-cnn: .venv/plots
	$(BIN)/nnjit train --data mnist --model cnn --dtype float32 $(ARGS)

test: .venv/test
	$(BIN)/python -m pytest --numprocesses 2 $(ARGS)
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest --numprocesses 2 $(ARGS)

# what is random, thousands of times; and all tests with Numba's own look at each index
torture: .venv/test
	NNJIT_TORTURE=1 $(BIN)/python -m pytest --numprocesses 2 -o norecursedirs='.*' -m torture $(ARGS)
	NUMBA_BOUNDSCHECK=1 $(BIN)/python -m pytest --numprocesses 2 -m 'not torture' $(ARGS)

test-browser: .venv/test .venv/browser
	command -v chromium chromedriver > /dev/null || { apt-get update -q && apt-get install -q -y chromium chromium-driver; }
	$(BIN)/python -m pytest tests/test_page_in_browser.py $(ARGS)

test-oldest: .venv-oldest/test
	.venv-oldest/bin/python -m pytest --numprocesses 2 $(MATRIX_TESTS) $(ARGS)

# the newest packages with every Python that is here, the oldest, and code for a processor of which nothing is known
test-matrix: test-oldest .venv/test
	$(foreach version,$(MATRIX),$(if $(call python_of,$(version)),$(MAKE) test-python-$(version) &&,\
		echo "Python $(version): not here, skipped" &&)) true
	NUMBA_CPU_NAME=generic NUMBA_CPU_FEATURES= $(BIN)/python -m pytest --numprocesses 2 $(MATRIX_TESTS) $(ARGS)

.SECONDARY:
test-python-%: .venv-%/test
	.venv-$*/bin/python -m pytest --numprocesses 2 $(MATRIX_TESTS) $(ARGS)

bench: .venv/plots
	$(BIN)/nnjit bench $(ARGS)

bench-peers: .venv/bench
	$(BIN)/nnjit bench --work all --against all $(ARGS)

figures: .venv/plots
	$(BIN)/nnjit figures --out-dir docs/figures $(ARGS)

docs: .venv/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build -q -f docs/site/mkdocs.yml
	@echo "saved    build/site/index.html"

# the lines that the tests run: kernels as Python, the rest compiled, too
COVERAGE := $(BIN)/python -m coverage
coverage: .venv/test .venv/coverage
	rm -f build/coverage*
	NUMBA_DISABLE_JIT=1 $(COVERAGE) run --rcfile=tests/coverage.ini -m pytest --numprocesses 2 $(ARGS)
	$(COVERAGE) run --rcfile=tests/coverage.ini -m pytest --numprocesses 2 $(ARGS)
	$(COVERAGE) combine --quiet --rcfile=tests/coverage.ini
	$(COVERAGE) report --rcfile=tests/coverage.ini

# whether the tests find small faults: a sample of them, each tried by itself
mutants: .venv/test .venv/mutants
	$(BIN)/python tests/mutants.py $(ARGS)

# known faults of the packages that are installed, the core's and those of the extras that the tests use
audit: .venv/test .venv/plots .venv/audit
	$(BIN)/pip-audit --strict --local --skip-editable

dist: .venv/dist
	$(BIN)/python scripts/dist.py

lint: .venv/lint
	$(BIN)/ruff check $(LINT) nnjit scripts tests

types: .venv/test .venv/types
	$(BIN)/mypy --config-file tests/mypy.ini

clean:
	rm -rf .venv .venv-* build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find nnjit scripts tests -name __pycache__ -prune -exec rm -rf {} +

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "nnjit: Python 3.10 or later is needed, got " + sys.version.split()[0])'
	$(PYTHON) -m venv .venv

# one set of optional packages each; pip is quick where nothing is missing
.venv/plots .venv/test .venv/browser .venv/docs .venv/bench .venv/dist .venv/audit .venv/coverage .venv/mutants .venv/lint .venv/types: .venv/%: setup.cfg | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[$*]'
	touch $@

.venv-%/test: setup.cfg
	$(call python_of,$*) -m venv .venv-$*
	.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $@

.venv-oldest/test: setup.cfg tests/oldest.txt
	$(or $(call python_of,$(firstword $(MATRIX))),$(PYTHON)) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet --disable-pip-version-check --constraint tests/oldest.txt -e '.[test]'
	touch $@
