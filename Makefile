# Everything a fresh machine needs is installed by these targets: Python 3.10-3.13 and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO := demo
# Environments of their own: other people's programs with pins of theirs, the site, the wheel.
APART := .venv-apart
DOCS := .venv-docs
DIST := .venv-dist

.PHONY: help install demo test test-python test-runs test-parts test-formats test-app test-tutorials attack mutate docs dist lint format clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    the whole chain on generated scenes; ends with a report in $(DEMO)/report.html"
	@echo "make test    the tests: test-python, then test-formats and test-app where what they need can be installed"
	@echo "make test-formats  our files read by the programs they are for, in an environment of its own"
	@echo "make test-app  the page, in a browser where there is one, in the same environment"
	@echo "make test-tutorials  the notebooks of the documentation run from top to bottom"
	@echo "make attack  100 kills and 30 full disks over all stages; a quarter of an hour"
	@echo "make mutate  whether the tests notice changed operators and numbers in the numeric cores"
	@echo "make docs    the documentation as a site, in site/"
	@echo "make dist    wheel and sdist, and the tests of the sdist against the wheel"
	@echo "make lint    ruff and mypy"
	@echo "make clean   remove the environment and the demo"

# $(call into,ENVIRONMENT,PYTHON,WHAT): an environment with packages in it.
define into
if command -v uv >/dev/null 2>&1; then \
  uv venv --quiet --allow-existing --python "$(2)" $(1) && uv pip install --quiet --python $(1)/bin/python $(3); \
else \
  "$(2)" -m venv $(1) && $(1)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1" && \
  $(1)/bin/python -m pip install --quiet --disable-pip-version-check $(3); \
fi
endef

install: $(READY)

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v <= (3, 13) else f"advcam needs Python 3.10 to 3.13, $(PYTHON) is {v[0]}.{v[1]}: name another one with make PYTHON=python3.12")'
	@$(call into,$(VENV),$(PYTHON),-e ".[dev]")
	@touch $@

demo: $(READY)
	$(BIN)/advcam demo --out $(DEMO)

mutate: $(READY)
	$(BIN)/python benchmarks/mutate.py

test: test-python
	@if $(MAKE) --silent --no-print-directory $(APART)/.ready 2>$(APART).log; then \
	  $(MAKE) --no-print-directory test-formats test-app; \
	else \
	  echo "test-formats, test-app: skipped, since what they need could not be installed: $$(grep -v '^make' $(APART).log | tail -n 1)"; \
	fi

# In two halves of about the same time, side by side, each on one core.
LONG := tests/pipeline tests/classify
test-python: $(READY)
	@OMP_NUM_THREADS=1 $(MAKE) --no-print-directory --jobs 2 test-runs test-parts

test-runs: $(READY)
	$(BIN)/python -m pytest -q $(LONG)

test-parts: $(READY)
	$(BIN)/python -m pytest -q tests $(LONG:%=--ignore=%)
	$(BIN)/python -m pytest -q -o addopts= --doctest-modules src/advcam --ignore=src/advcam/app

test-formats: $(APART)/.ready
	$(APART)/bin/python -m pytest -m formats tests/export

test-app: $(APART)/.ready
	$(APART)/bin/python -m pytest tests/app

# On top of the packages of $(VENV), so that torch is not installed twice.
$(APART)/.ready: pyproject.toml | $(READY)
	@$(call into,$(APART),$(BIN)/python,--group apart)
	@$(APART)/bin/python -c 'import sysconfig, pathlib; here, there = (pathlib.Path(sysconfig.get_path("purelib", vars={"base": base})) for base in ("$(CURDIR)/$(APART)", "$(CURDIR)/$(VENV)")); (here / "beside.pth").write_text(f"import site; site.addsitedir({str(there)!r})\n")'
	@touch $@

test-tutorials: $(READY)
	ADVCAM_TUTORIALS=1 $(BIN)/python -m pytest -m tutorials tests/test_site.py

# Kills and full disks: every run ends in the bytes of an undisturbed one.
attack: $(READY)
	$(BIN)/python benchmarks/attack.py --warm

# The site is made from the pages and the docstrings; nothing of the project is run.
docs:
	@$(call into,$(DOCS),$(PYTHON),--group docs)
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict --quiet

# The sdist's own tests, on the wheel as it would be installed: no source beside them.
dist:
	rm -rf dist build $(DIST)
	@$(call into,$(DIST),$(PYTHON),build)
	$(DIST)/bin/python -m build --outdir dist .
	mkdir -p build && tar xzf dist/*.tar.gz -C build && rm -r build/advcam-*/src/advcam
	@$(call into,$(DIST),$(PYTHON),"$$(echo dist/*.whl)[dev]")
	cd build/advcam-* && $(CURDIR)/$(DIST)/bin/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(APART) $(APART).log $(DOCS) $(DIST) $(DEMO) site
