# make demo   build outputs/quickstart      make test   run the tests      make check   format, lint, types
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test check format setup clean

demo: $(READY)
	$(BIN)/datagen build

test: $(READY)
	$(BIN)/python -m pytest

check: $(READY)
	$(BIN)/ruff format --check datagen tests benchmarks
	$(BIN)/ruff check datagen tests benchmarks
	$(BIN)/mypy
	$(BIN)/datagen check

format: $(READY)
	$(BIN)/ruff format datagen tests benchmarks
	$(BIN)/ruff check --fix datagen tests benchmarks

setup: $(READY)

# Without a GPU the pinned torch is installed first, so that nothing pulls the CUDA build.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	@if ! command -v nvidia-smi >/dev/null 2>&1; then $(BIN)/pip install --quiet --disable-pip-version-check torch==2.13.0; fi
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(READY)

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
