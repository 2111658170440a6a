# normscope: `make help` lists what there is.

PYTHON ?= python3
BIN := .venv/bin
UV := .venv/bootstrap/bin/uv
SWEEP ?= sweeps/quickstart.yaml
STORAGE ?= results
WHEELS ?=
# Packages come from the registry, or from a folder that `make wheels` has filled.
SOURCE = $(if $(WHEELS),--no-index --find-links $(abspath $(WHEELS)))
WHEELS_FOLDER = $(or $(WHEELS),wheels)
PIP := .venv/bootstrap/bin/pip
NAME = $(basename $(notdir $(SWEEP)))

.DEFAULT_GOAL := help
.PHONY: help demo sweep report ui test test-all pytest test-cluster test-gpu check cluster-check lock wheels clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  variables: SWEEP=$(SWEEP) STORAGE=$(STORAGE) PYTHON=$(PYTHON) WHEELS=$(WHEELS)"

demo: sweep report ## run the quickstart sweep and its report, from nothing
	@echo "browse:  make ui STORAGE=$(STORAGE)   (MLflow on http://127.0.0.1:5000)"

sweep: .venv/ready ## run what is missing of SWEEP
	$(BIN)/python -m pipeline.sweep $(SWEEP) --storage $(STORAGE)

report: .venv/ready ## make the report of SWEEP
	$(BIN)/python -m analysis.report $(NAME) --storage $(STORAGE)

ui: .venv/ready ## open the MLflow UI on this machine's results
	@echo "runs, after it has started: http://127.0.0.1:5000/#/experiments?workflowType=machine_learning"
	$(BIN)/mlflow ui --backend-store-uri sqlite:///$(STORAGE)/mlflow.db --host 127.0.0.1

test: .venv/ready ## linters, types and all tests but the slow ones, from nothing
	@$(MAKE) --no-print-directory -j 2 check pytest SELECT="not cluster and not slow"

test-all: .venv/ready ## what CI runs: as test, with the slow tests
	@$(MAKE) --no-print-directory -j 2 check pytest SELECT="not cluster"

# Beside the type checker, which has one processor alone for a minute.
pytest: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist worksteal -m "$(SELECT)"

test-cluster: .venv/ready ## a real cluster and a job server on this machine, for minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m cluster

test-gpu: .venv/ready ## agreement of this machine's GPU with its CPU
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 4 --dist worksteal -m gpu

check: .venv/ready ## linters, types and the order of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

cluster-check: .venv/ready ## check cluster.yaml, without a network
	$(BIN)/python -m pipeline.cluster cluster.yaml

lock: $(UV) ## renew requirements.lock from pyproject.toml
	$(UV) pip compile pyproject.toml --extra cluster --extra test --universal --python-version 3.11 \
	  --no-emit-index-url --no-header --generate-hashes --upgrade -o requirements.lock

wheels: $(PIP) ## download all packages into WHEELS (wheels); then: make demo WHEELS=wheels
	$(PIP) download --quiet --no-deps --require-hashes -d $(WHEELS_FOLDER) -r requirements.lock
	$(PIP) download --quiet -d $(WHEELS_FOLDER) 'uv>=0.9,<1' setuptools wheel
	@echo "$(WHEELS_FOLDER): for $$($(PYTHON) --version) on $$(uname -sm); use: make demo WHEELS=FOLDER"

clean: ## remove the environment and caches; results stay
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis

# uv lives in a small environment of its own: the machine needs nothing but Python, make and git.
$(PIP):
	$(PYTHON) -m venv .venv/bootstrap

$(UV): | $(PIP)
	$(PIP) install --quiet --disable-pip-version-check $(SOURCE) 'uv>=0.9,<1'

.venv/ready: requirements.lock | $(UV)
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv
	$(UV) pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes $(SOURCE) \
	  requirements.lock
	@touch $@
