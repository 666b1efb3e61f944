# Two commands: `make run` and `make test`.  Both make the same environment first.
# PyTorch's small CPU build (200 MB instead of several GB):
#   make run TORCH_INDEX=https://download.pytorch.org/whl/cpu

PYTHON ?= $(shell command -v python3.11 || command -v python3)
TORCH_INDEX ?=
BIN = .venv/bin
ROUNDS ?= 20
ALL_TESTS = $(sort $(wildcard tests/test_*.py tests/*/test_*.py))
# Two processes take a file each, in this order: one that starts clusters beside many that do not.
FIRST_TESTS = tests/test_losses.py $(filter tests/analysis/% tests/models/% tests/tasks/%,$(ALL_TESTS))
LONG_TESTS = tests/test_main_job.py tests/test_detection.py tests/orchestrator/run/test_on_ray.py tests/test_own_images.py tests/test_submit.py
OTHER_TESTS = $(filter-out $(FIRST_TESTS) $(LONG_TESTS),$(ALL_TESTS))
PIP = $(BIN)/python -m pip --disable-pip-version-check

.PHONY: run test bench chaos coverage clean
.DELETE_ON_ERROR:

run: .venv/installed
	$(BIN)/castlewalls run amplification

test: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder $(FIRST_TESTS) $(LONG_TESTS) $(OTHER_TESTS)

bench: .venv/installed
	$(BIN)/python bench/bench.py

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

clean:
	rm -rf .venv
