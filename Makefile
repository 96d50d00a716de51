# Commands people type. Each makes the environment it needs; `make help` lists them.
SHELL := /bin/bash
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3,$(shell command -v $(name))))
# Another Python, as in `make test PYTHON=python3.13`, gets an environment of its own beside the usual one.
VENV := .venv$(if $(filter command,$(firstword $(origin PYTHON))),-$(notdir $(PYTHON)))
PY := $(VENV)/bin/python
IMAGE ?=
T ?=
OUT ?= out

# Photographs and pairs for the tests that need them; without, those tests are skipped with a reason.
ifneq ($(wildcard ../shared/data),)
export RETINEXRT_DATA ?= $(abspath ../shared/data)
endif

.PHONY: help setup demo test test-fast lint format gpu bench clean

help:
	@echo "make demo [IMAGE=night.jpg]  export a network, build what this machine can, enhance samples, write out/demo.html"
	@echo "make test [T=tests/export]   run every test that this machine can, or those of a path; names the ten slowest"
	@echo "make test PYTHON=python3.13  the same on another Python, in .venv-python3.13"
	@echo "make test-fast               leave out the slow ones"
	@echo "make lint                    ruff and pyright"
	@echo "make bench                   measure what this machine can, write benchmarks/RESULTS.md"
	@echo "make gpu                     everything that needs an NVIDIA GPU, with the Python at hand (GPU=\"--minutes 9\")"

setup: $(VENV)/installed

# Without an NVIDIA GPU the CPU build of torch is wanted: 0.2 GB instead of several. An index that has no such build
# gives the plain one.
$(VENV)/installed: pyproject.toml constraints.txt
	@echo "Setting up $(VENV): a minute or two, once"
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name it with: make PYTHON=/path/to/python" >&2; exit 2; }
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@torch=$$(sed -n 's/^torch==//p' constraints.txt); \
	command -v nvidia-smi >/dev/null || $(PY) -m pip install -q --disable-pip-version-check "torch==$$torch+cpu" 2>/dev/null \
	  || echo "No CPU build of torch $$torch at hand; installing the plain one"
	@$(PY) -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: setup
	@$(PY) -m benchmarks.showcase.demo --out $(OUT) $(if $(IMAGE),"$(IMAGE)")

# Two test processes where there are two cores; a file's tests stay together.
PYTEST = $(PY) -m pytest --durations 10 -n $(shell n=$$(nproc 2>/dev/null || echo 1); echo $$((n > 4 ? 4 : n))) --dist loadfile

test: setup
	@$(PYTEST) $(T)

test-fast: setup
	@$(PYTEST) -m "not slow" $(T)

lint: setup
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/pyright

format: setup
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

bench: setup
	@$(PY) -m benchmarks.bench

# Installs nothing: a GPU machine has its own torch, CUDA and TensorRT.
gpu:
	@$(if $(filter file,$(origin PYTHON)),python3,$(PYTHON)) benchmarks/gpu.py $(GPU)

clean:
	rm -rf .venv .venv-* out build *.egg-info .pytest_cache .ruff_cache
