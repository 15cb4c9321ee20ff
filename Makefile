# The commands a person runs, the README's and CI's are the same commands.
VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3)
DIR ?= demo-run
PORT ?= 4200
BIN := $(VENV)/bin
# Set-up is done again only when what it depends on has changed.
STAMP := $(VENV)/.set-up-$(shell cat pyproject.toml constraints.txt | sha256sum | cut -c1-16)

.PHONY: setup demo test lint bench gpu-bundle engine engine-down standin-image site site-down screenshots clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	rm -f $(VENV)/.set-up-*
	$(BIN)/python -m pip install --quiet --constraint constraints.txt "torch==2.13.0"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

demo: setup
	$(BIN)/asr-flywheel demo --dir "$(DIR)"

test: lint
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Ours against the alternatives; JSON=FILE writes the table too, NEMO=PATH adds NeMo's own script.
bench: setup
	$(BIN)/python -m benchmarks $(if $(JSON),--json "$(JSON)") $(if $(NEMO),--nemo "$(NEMO)")

# Wheels for a GPU host without a network, in parts; HAVE=freeze.txt is what the host holds
# (docs/rehearsal.md).
PART_MIB ?= 60
OUT ?= gpu-bundle
gpu-bundle: setup
	$(BIN)/python deployments/gpu_bundle.py --out "$(OUT)" --have $(HAVE) \
		--part-mib "$(PART_MIB)" --nemo "$(if $(NEMO),$(NEMO),3.0.0)"

# A Docker Engine where there is none (root, Debian).
engine:
	deployments/engine/engine.sh up

engine-down:
	deployments/engine/engine.sh down

# An image that stands in for NVIDIA's where that cannot be had.
standin-image: setup
	deployments/engine/standin-image.sh $(VENV)

# Server, UI, GPU pool, deployments, blocks and a worker, on loopback.
site: setup
	$(BIN)/asr-flywheel site up --port $(PORT)

site-down:
	$(BIN)/asr-flywheel site down --port $(PORT)

# The README's pictures, from a site of their own in a headless Chromium.
screenshots: setup
	$(BIN)/python -m tests.screenshots

clean:
	rm -rf $(VENV) demo-run .site build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
