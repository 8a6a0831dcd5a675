# Two commands: `make run` serves the product, `make test` proves it. Both set up .venv themselves and can be repeated.
VENV   ?= .venv
PYTHON ?= python3
DOCS   ?=
BIN    := $(VENV)/bin
UV     := $(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode
# A CPU build of torch: from a local folder of wheels where one is named, else from uv's own CPU back end.
TORCH  := $(if $(PIP_FIND_LINKS),--find-links $(PIP_FIND_LINKS),--torch-backend cpu)

.PHONY: run test test-nightly check format bench weights lock clean

run: $(VENV)/.run  ## serve the API and the web page on http://127.0.0.1:8000; DOCS=path is ingested first
	$(BIN)/fovea serve $(if $(DOCS),--ingest "$(DOCS)",--samples samples)

test: check  ## everything that must hold before a commit lands
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile

test-nightly: $(VENV)/.dev  ## the cases of docs/reliability.md with their large counts: hours
	$(BIN)/python -m pytest -m nightly

check: $(VENV)/.dev  ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev  ## what is sent, quoted and ranked with the shipped weights (half an hour); DATA=folder of labelled sets
	$(BIN)/python -m benchmarks --data "$(DATA)"

weights: $(VENV)/.dev  ## train the shipped weights anew (over an hour); DATA=folder of labelled sets
	$(BIN)/python -m benchmarks.weights --data "$(DATA)"

lock: $(VENV)/.dev  ## pin all dependencies anew, with hashes, naming no index
	.ci/lock $(BIN)/uv

clean:
	rm -rf $(VENV) .fovea .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist

$(BIN)/uv:
	@echo "Making $(VENV) ..."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9

$(VENV)/.run: requirements.lock pyproject.toml | $(BIN)/uv
	@echo "Installing Fovea and its dependencies (about a minute, no CUDA) ..."
	$(UV) $(TORCH) -r requirements.lock
	$(UV) --no-deps -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock pyproject.toml | $(BIN)/uv
	@echo "Installing Fovea with its development tools (about a minute, no CUDA) ..."
	$(UV) $(TORCH) -r requirements-dev.lock
	$(UV) --no-deps -e .
	@touch $@ $(VENV)/.run
