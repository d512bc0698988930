# Two commands do all: `make demo` and `make test`. Both install what they need into .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check

.PHONY: demo test parity bench crash faults fuzz reference lint clean
.DEFAULT_GOAL := demo

demo: $(STAMPS)/all ## install and train on a bundled data set
	@$(BIN)/chainrule fit digits

test: $(STAMPS)/dev ## the tests
	@$(BIN)/ruff check --quiet chainrule tests benchmarks docs
	@$(BIN)/python -m pytest -n auto --doctest-modules chainrule tests --ignore tests/parity -m "not peers"

parity: $(STAMPS)/peers ## values and gradients beside PyTorch and Keras; the benchmark's peers learn
	@KERAS_BACKEND=torch $(BIN)/python -m pytest -n auto tests/parity tests/benchmarks -m peers

bench: $(STAMPS)/peers ## speed beside PyTorch, Keras, scikit-learn, Flax and hand-written JAX; BENCH=--quick for a look
	@$(BIN)/python benchmarks/run.py $(BENCH)

crash: $(STAMPS)/dev ## 1,000 processes killed at random moments; CRASH="--kills 40" for a look
	@$(BIN)/python -m tests.crash.kills --kills 1000 $(CRASH)

faults: $(STAMPS)/dev ## a fault at every call that changes a file of a run; FAULTS="--sample 40" for a look
	@$(BIN)/python -m tests.crash.faults $(FAULTS)

fuzz: $(STAMPS)/dev ## 100,000 files changed at random, given to every reader
	@$(BIN)/python -m tests.saving.fuzz $(FUZZ)

reference: $(STAMPS)/dev ## write docs/reference.md from the docstrings
	@$(BIN)/python docs/make_reference.py

clean: ## remove what was installed and built
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache

# A virtual environment, after a plain word where Python is missing or too old.
$(STAMPS)/venv:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "chainrule needs Python 3.11 or newer, and there is no '$(PYTHON)' here. Install it, or name another: make demo PYTHON=python3.12"; \
	  exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "chainrule needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) -V 2>&1). Name a newer one: make demo PYTHON=python3.12"; \
	  exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "'$(PYTHON)' has no venv module. Install it (on Debian: apt-get install python3-venv)."; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) -V)"
	@$(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMPS) && touch $@

# What builds the kernels, in .venv itself: so they are compiled once, whatever is installed after it.
$(STAMPS)/build: $(STAMPS)/venv pyproject.toml
	@$(INSTALL) cmake ninja $$($(BIN)/python -c \
	  'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"])')
	@touch $@

$(STAMPS)/all: $(STAMPS)/build CMakeLists.txt $(wildcard chainrule/kernels/*.cc chainrule/kernels/*.h)
	@echo "Installing chainrule and all its extras (once; some 700 MB), and building its kernels"
	@$(INSTALL) --no-build-isolation --editable '.[all]'
	@$(BIN)/python -m chainrule.kernels
	@touch $@

$(STAMPS)/dev: $(STAMPS)/all
	@echo "Installing what the tests need"
	@$(INSTALL) --no-build-isolation --editable '.[all,dev]'
	@touch $@

$(STAMPS)/peers: $(STAMPS)/dev
	@echo "Installing PyTorch, Keras, Flax and scikit-learn, to compare with"
	@$(INSTALL) --no-build-isolation --editable '.[all,dev,peers]'
	@touch $@
