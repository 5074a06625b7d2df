# The commands of the README. All state is under DATA_DIR (var/ unless it is set); `make clean`
# removes nothing but the environment.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
SETUP := .venv/.installed
UV := 0.13.9
# Those that need no music of yours; `quality` is told which.
BENCHMARKS := effects embedding evaluation training demo

export CATALOG DATA_DIR DATABASE_URL MLFLOW_TRACKING_URI DAGSTER_HOME
# glibc gives the memory of every batch back to the system and asks for it again: up to half the time.
# Trainings see to it themselves (ml/training/allocator.py); here it is set for all else, too.
export MALLOC_MMAP_THRESHOLD_ ?= 4294967296
export MALLOC_TRIM_THRESHOLD_ ?= 4294967296
export MALLOC_TOP_PAD_ ?= 268435456

.PHONY: setup demo pipeline dev test lint bench clean

setup: $(SETUP)  ## make .venv and install the pinned dependencies

# A stamp: re-running costs nothing until the lock or the project file changes.
$(SETUP): requirements.lock pyproject.toml
	@echo "Setting up .venv (about 7 GB, two minutes or so) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV)
	@# Compiled once here: else each of the many processes that start compiles anew what it imports.
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

demo: $(SETUP)  ## sample catalogue, whole pipeline, neighbours
	@CATALOG= $(BIN)/soundalike demo

pipeline: $(SETUP)  ## the whole pipeline on CATALOG=path/to/tracks.csv
	@$(BIN)/soundalike pipeline

dev: $(SETUP)  ## serve the Dagster, MLflow and search pages until Ctrl-C
	@$(BIN)/soundalike dev

lint: $(SETUP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint  ## linters and every test
	@# Else each of some hundred processes compiles the project anew, where Python may not keep bytecode.
	@$(BIN)/python -m compileall -q ml search orchestration cli tests
	$(BIN)/pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

bench: $(SETUP)  ## the benchmarks, beside what one would use instead
	@$(BIN)/python -W ignore -c "import hnswlib, python_stretch, torch_audiomentations" 2>/dev/null || \
		$(BIN)/uv pip install --quiet --python $(BIN)/python -c requirements.lock -e ".[bench]"
	@for name in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$name || exit 1; done

clean:
	rm -rf .venv
