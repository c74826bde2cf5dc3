# Needs make and Python 3.11 or newer, nothing else: everything is fetched or built into caches.
# Verbs: demo, down, test, check, training, format, generate, bench [NAME=...], images.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.SUFFIXES:

UV_VERSION := 0.13.8
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	command -v $$python >/dev/null 2>&1 \
	&& $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& command -v $$python && break; done)
TOOLS := .cache/uv-$(UV_VERSION)
UV := $(TOOLS)/bin/uv
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# The machine's own certificates, and no other Python than the one found above.
export UV_SYSTEM_CERTS := 1
export UV_PYTHON_DOWNLOADS := never
# uv installs the Go toolchain where there is none.
export PATH := $(CURDIR)/$(TOOLS)/bin:$(PATH)

.PHONY: help
help: ## Show the verbs
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

.PHONY: demo
demo: $(READY) ## From nothing to a streamed answer of a real model; ends with `make down`
	@$(BIN)/puna demo

.PHONY: down
down: $(READY) ## End the local cluster
	@$(BIN)/puna down

.PHONY: test
test: $(READY) ## Everything that has to be green: check and all tests
	@$(BIN)/python -m hack.lanes

.PHONY: check
check: $(READY) ## Format, lint, types, import contracts, spelling
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy tests hack --exclude '^tests/((unit/)?trainer/|bench/trainer_)'
	$(BIN)/lint-imports
	$(BIN)/codespell

# Importing it compiles what it imports, as above; all of torch would take minutes.
.PHONY: training
training: $(READY) ## The libraries that the trainer needs, about 5 GB; nothing else does
	@$(UV) sync --frozen --quiet --inexact --group training
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -c "import puna_trainer.execute"

.PHONY: check-training
check-training: training ## Types of the trainer and of its tests
	$(BIN)/mypy -p puna_trainer
	$(BIN)/mypy tests/trainer tests/unit/trainer $(wildcard tests/bench/trainer_*.py)

.PHONY: format
format: $(READY) ## Format the code, and fix what can be fixed by itself
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: generate
generate: $(READY) ## Write the generated files: custom resources, reference, chart
	$(BIN)/python -m hack.generate

.PHONY: bench
bench: $(READY) ## Measure: all benchmarks, or one by NAME=...; results in docs/benchmarks
	@$(BIN)/python -m tests.bench $(NAME)

.PHONY: images
images: ## Build the container images with docker, podman or buildah
	@$(PYTHON) -m hack.images

# Compiled here, libraries too: a cluster that root starts runs Pods as a user who may write nothing
# here, and every process would compile what it imports again. What trains is kept if it is there, and
# left as it is: to compile it all takes a quarter of an hour.
$(READY): pyproject.toml uv.lock $(UV)
	@began=$$(date +%s); $(UV) sync --frozen --quiet --python "$(PYTHON)" \
	$(if $(wildcard $(VENV)/lib/python*/site-packages/torch),--group training,--compile-bytecode) \
	&& $(BIN)/python -m compileall -q operator trainer \
	&& echo "ok     Environment $(VENV), $$(( $$(date +%s) - began )) s"
	@touch $@

$(UV):
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed (PYTHON=... names one)"; exit 1; }
	@began=$$(date +%s); $(PYTHON) -m venv $(TOOLS) \
	&& $(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION) \
	&& echo "ok     uv $(UV_VERSION) by $(PYTHON), $$(( $$(date +%s) - began )) s"
	@touch $(UV)
