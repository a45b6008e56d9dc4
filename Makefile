# `make night` and `make test` are all that a newcomer needs; both make their own environment in .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete
DEMO ?= demo
DEMO_DATE := 2024-03-04
CORES ?= $(shell nproc 2>/dev/null || echo 1)

export PYTHONNOUSERSITE := 1
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help env night test torture docs lint format bench clean

help:  ## Show this help
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

env: $(STAMP)  ## Make the environment with the exact versions of requirements.lock

$(STAMP): requirements.lock pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
	  echo "Python 3.11 is needed; $(PYTHON) is something else. Try: make PYTHON=/path/to/python3.11"; exit 2; }
	"$(PYTHON)" -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

night: env  ## Make the models of the demo, process its night to photon lists, and look for the source
	@$(BIN)/sst1m demo --output-dir $(DEMO)
	@LUIGI_CONFIG_PATH=$(DEMO)/luigi.cfg $(BIN)/luigi --module tasks MakeProduction --production demo --workers $(CORES)
	@LUIGI_CONFIG_PATH=$(DEMO)/luigi.cfg $(BIN)/luigi --module tasks RunNight --date $(DEMO_DATE) --workers $(CORES)
	@LUIGI_CONFIG_PATH=$(DEMO)/luigi.cfg $(BIN)/luigi --module tasks Calendar
	@for setup in cs1 cs2 stereo; do \
	  store=$(DEMO)/night/20240304/Crab/$$setup/dl3; look=$(DEMO)/quicklook/$$setup; \
	  if [ ! $$look/said.txt -nt $$store/obs-index.fits.gz ]; then mkdir -p $$look && \
	    $(BIN)/sst1m quicklook --index-dir $$store --source Crab --crab-units --output-dir $$look \
	      > $$look/said.part && mv $$look/said.part $$look/said.txt || exit; fi; \
	  echo "$$setup: $$(head -n 1 $$look/said.txt)"; done
	@echo "Pages: night $(DEMO)/night/20240304/report/index.html, all nights $(DEMO)/night/calendar/index.html,"
	@echo "production $(DEMO)/mc/demo/report/index.html; pictures of the source in $(DEMO)/quicklook"

test: env  ## Run the tests, on two cores
	$(BIN)/python -m pytest -n 2 --dist loadfile

torture: env  ## Kill, damage and starve it at length, and say what came of it (40 minutes)
	SST1M_TORTURE=long $(BIN)/python -m pytest -n 2 --dist loadfile -m torture --timeout 7200

lint: env  ## Check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: env  ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: env  ## Renew the generated pages of the documentation and build its site in build/docs
	$(BIN)/python docs/reference
	$(BIN)/mkdocs build --strict

bench: env  ## Measure raw -> DL1 against ctapipe and bare reading (about 15 minutes)
	$(BIN)/python benchmarks/bench_r0_dl1.py

clean:  ## Remove environment, demo and caches
	rm -rf $(VENV) $(DEMO) build *.egg-info .pytest_cache .ruff_cache benchmarks/scratch
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
