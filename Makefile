# Two commands: `make run` and `make test`.  Both make the same environment first.
# PyTorch's small CPU build (200 MB instead of several GB):
#   make run TORCH_INDEX=https://download.pytorch.org/whl/cpu

PYTHON ?= $(shell command -v python3.11 || command -v python3)
TORCH_INDEX ?=
BIN = .venv/bin
ROUNDS ?= 20
ALL_TESTS = $(sort $(shell find tests -name 'test_*.py'))
# Two processes take a file each, in this order: the long ones, which start clusters, come first.
LONG_TESTS = $(wildcard tests/test_main_job.py tests/test_detection.py tests/orchestrator/run/test_on_ray.py \
  tests/test_own_images.py tests/test_losses.py tests/test_submit.py tests/test_pages.py)
PYTEST = $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder $(LONG_TESTS) $(filter-out $(LONG_TESTS),$(ALL_TESTS))
PIP = $(BIN)/python -m pip --disable-pip-version-check

.PHONY: run test test-all lint bench gpu chaos coverage docs clean
.DELETE_ON_ERROR:

run: .venv/installed
	$(BIN)/castlewalls run amplification

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(PYTEST) -m "not slow"

# With random kills, several nodes, real servers and large networks.
test-all: lint
	$(PYTEST)

bench: .venv/installed
	$(BIN)/python bench/bench.py

# On a machine with a GPU: correctness, then speeds, kept in docs/measured.md.
gpu: .venv/installed
	$(BIN)/python bench/gpu.py --keep

chaos: .venv/installed
	$(BIN)/python -um bench.chaos --rounds $(ROUNDS)

coverage: .venv/installed
	$(BIN)/python -m bench.coverage

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Castlewalls needs Python 3.11 or newer; say which with: make run PYTHON=/path/to/python3.11"; exit 1; }
	@echo "making the environment in .venv (some minutes, once)"
	$(PYTHON) -m venv .venv
ifneq ($(TORCH_INDEX),)
	$(PIP) install -q -c constraints.txt --index-url $(TORCH_INDEX) torch torchvision
endif
	$(PIP) install -q -c constraints.txt -e '.[dev]'
	@touch $@

# docs/glossary.md, from what pages define; docs/results, from the studies finished at laptop in ./artifacts.
docs: .venv/installed
	$(BIN)/python -m bench.glossary
	$(BIN)/castlewalls verify --markdown docs/results

clean:
	rm -rf .venv
