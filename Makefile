# The commands a person runs, the README's and CI's are the same commands.
VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3)
DIR ?= demo-run
PORT ?= 4200
WHOLE_CYCLE := tests/integration/nemo/test_whole_cycle.py
MATRIX ?= .matrix
BIN := $(VENV)/bin
# Set-up is done again only when what it depends on has changed.
STAMP := $(VENV)/.set-up-$(shell cat pyproject.toml constraints.txt | sha256sum | cut -c1-16)

.PHONY: setup demo test test-all test-integration test-nightly lint bench matrix gpu-bundle engine engine-down standin-image site \
  site-down screenshots clean

# uv takes a fifth of pip's time. Where only pip's own settings lead to a registry, pip does it.
PINNED := --quiet --constraint constraints.txt --editable ".[dev]"

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	rm -f $(VENV)/.set-up-*
	$(BIN)/python -m pip install --quiet --constraint constraints.txt uv "torch==2.13.0"
	$(BIN)/python -m uv pip install $(PINNED) || $(BIN)/python -m pip install $(PINNED)
	touch $@

demo: setup
	$(BIN)/asr-flywheel demo --dir "$(DIR)"

# For every commit: lint, and side by side the unit tests and one real cycle (speech, training,
# decision), which leaves half of two cores idle. A unit test may take 3 s here, whatever the
# machine, and 1 s in test-all.
test: lint
	@said=$$(mktemp); $(BIN)/python -m pytest $(WHOLE_CYCLE) >"$$said" 2>&1 & cycle=$$!; \
	trap 'kill $$cycle; exit 130' INT TERM; code=0; \
	FLYWHEEL_UNIT_SECONDS=3 $(BIN)/python -m pytest tests/unit -n 2 --dist loadscope --timeout=120 || code=$$?; \
	wait $$cycle || code=$$?; cat "$$said"; rm -f "$$said"; exit $$code

# Every tier that this machine has the tools for; skipped tests name what they need.
test-all: lint
	$(BIN)/python -m pytest tests/unit -n 2 --dist loadscope --timeout=120
	$(MAKE) test-integration

# In three processes, by files (tests/conftest.py). Idle threads sleep: those that spin take the
# processor from the other processes.
test-integration: setup
	OMP_WAIT_POLICY=passive $(BIN)/python -m pytest tests/integration -n 3 --dist loadgroup

# What takes long by its nature: slow clocks, large simulations, ten times the examples.
test-nightly: lint
	FLYWHEEL_BY_NIGHT=1 $(BIN)/python -m pytest tests/nightly tests/integration -m "nightly or by_night"
	FLYWHEEL_UNIT_SECONDS=60 $(BIN)/python -m pytest tests/unit -n 2 --dist loadscope \
	  --hypothesis-profile=nightly

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --num-workers 2
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m lint.class_names
	$(BIN)/python -m lint.documentation

# Ours against the alternatives; JSON=FILE writes the table too, NEMO=PATH adds NeMo's own script,
# AGAINST=PATH an older tree of this project with an environment of its own.
bench: setup
	$(BIN)/python -m benchmarks $(if $(JSON),--json "$(JSON)") $(if $(NEMO),--nemo "$(NEMO)") \
	  $(if $(AGAINST),--against "$(AGAINST)")

# A whole cycle and the decoding tests with each version of NeMo, each in an environment of its own.
matrix: setup
	$(BIN)/python -m benchmarks.matrix --folder "$(MATRIX)" $(if $(VERSIONS),--versions "$(VERSIONS)") \
	  $(if $(PYTHONS),--python "$(PYTHONS)") $(if $(CYCLES),--cycles "$(CYCLES)") \
	  $(if $(JSON),--json "$(JSON)")

# Wheels for a GPU host without a network, in parts; HAVE=freeze.txt is what the host holds
# (docs/rehearsal.md). docs/air-gap.md has the command for an environment with everything.
PART_MIB ?= 60
OUT ?= gpu-bundle
gpu-bundle: setup
	$(BIN)/asr-flywheel bundle make --out "$(OUT)" $(addprefix --have ,$(HAVE)) \
		--part-mib "$(PART_MIB)" --nemo "$(if $(NEMO),$(NEMO),3.0.0)"

# A Docker Engine where there is none (root, Debian).
engine:
	deployments/engine/engine.sh up

engine-down:
	deployments/engine/engine.sh down

# An image that stands in for NVIDIA's where that cannot be had; NEMO=2.6.0 is the version in it.
standin-image: setup
	$(if $(NEMO),python=$$($(BIN)/python -m benchmarks.environments "$(NEMO)" --folder "$(MATRIX)") && \
	  deployments/engine/standin-image.sh "$${python%/bin/python}",\
	  deployments/engine/standin-image.sh $(VENV))

# Server, UI, GPU pool, deployments, blocks and a worker, on loopback.
site: setup
	$(BIN)/asr-flywheel site up --port $(PORT)

site-down:
	$(BIN)/asr-flywheel site down --port $(PORT)

# The pictures of README and docs, from a site of their own in a headless Chromium.
screenshots: setup
	$(BIN)/python -m tests.support.screenshots

clean:
	rm -rf $(VENV) $(MATRIX) demo-run .site build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
