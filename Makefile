# Everything a fresh machine needs is installed by these targets: Python 3.10-3.13 and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO := demo

.PHONY: help install demo test test-formats test-tutorials docs dist lint format clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    the whole chain on generated scenes; ends with a report in $(DEMO)/report.html"
	@echo "make test    the tests"
	@echo "make test-formats  our files read by the programs they are for, in an environment of its own"
	@echo "make test-tutorials  the notebooks of the documentation run from top to bottom"
	@echo "make docs    the documentation as a site, in site/"
	@echo "make dist    wheel and sdist, and the tests of the sdist against the wheel"
	@echo "make lint    ruff and mypy"
	@echo "make clean   remove the environment and the demo"

install: $(READY)

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v <= (3, 13) else f"advcam needs Python 3.10 to 3.13, $(PYTHON) is {v[0]}.{v[1]}: name another one with make PYTHON=python3.12")'
	@if command -v uv >/dev/null 2>&1; then \
	  uv venv --quiet --allow-existing --python "$(PYTHON)" $(VENV) && uv pip install --quiet --python $(BIN)/python -e ".[dev]"; \
	else \
	  $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"; \
	fi
	@touch $@

demo: $(READY)
	$(BIN)/advcam demo --out $(DEMO)

test: $(READY)
	$(BIN)/python -m pytest

# Programs of other people, whose pins are theirs.
FORMATS := .venv-formats
test-formats:
	$(PYTHON) -m venv $(FORMATS)
	$(FORMATS)/bin/python -m pip install --quiet --disable-pip-version-check -e ".[formats]"
	$(FORMATS)/bin/python -m pytest -m formats tests/export

test-tutorials: $(READY)
	ADVCAM_TUTORIALS=1 $(BIN)/python -m pytest -m tutorials tests/test_site.py

# The site is made from the pages and the docstrings; nothing of the project is run.
DOCS := .venv-docs
docs:
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check --group docs
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict --quiet

# The sdist's own tests, on the wheel as it would be installed: no source beside them.
DIST := .venv-dist
dist:
	rm -rf dist build
	$(PYTHON) -m venv $(DIST)
	$(DIST)/bin/python -m pip install --quiet --disable-pip-version-check build
	$(DIST)/bin/python -m build --outdir dist .
	mkdir -p build && tar xzf dist/*.tar.gz -C build && rm -r build/advcam-*/src/advcam
	$(DIST)/bin/python -m pip install --quiet --disable-pip-version-check "$$(echo dist/*.whl)[dev]"
	cd build/advcam-* && $(CURDIR)/$(DIST)/bin/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(FORMATS) $(DOCS) $(DIST) $(DEMO) site
