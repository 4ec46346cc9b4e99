# Everything here is one closet command; the virtual environment and the tools it drives come by themselves.
TOPOLOGY ?= topologies/quickstart.yaml
RUNTIME  ?= auto
LAB      ?=
CLOSET   := .venv/bin/closet

.PHONY: help lab-up lab-down test unit lint bench doctor clean
help:            ## this list
	@sed -n 's/^\([a-z-]*\):.*##/\1/p' Makefile

.venv/.done: pyproject.toml
	@python3 -m venv .venv 2>/dev/null || (apt-get update -qq && apt-get install -y -qq python3-venv && python3 -m venv .venv)
	@.venv/bin/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

# What labs need of the machine; the offline tests and the linters need nothing of it.
.venv/.able: .venv/.done
	@$(CLOSET) doctor --install >/dev/null || $(CLOSET) doctor
	@touch $@

lab-up: .venv/.able    ## bring TOPOLOGY up on RUNTIME, and prove it
	@$(CLOSET) up $(TOPOLOGY) --runtime $(RUNTIME)

lab-down: .venv/.done  ## take LAB (or the only one) down
	@$(CLOSET) down $(LAB)

test: .venv/.able      ## the conformance suite on the lab that runs
	@$(CLOSET) test $(if $(LAB),--lab $(LAB))

unit: .venv/.done      ## the offline tests
	@.venv/bin/pytest

lint: .venv/.done      ## ruff, mypy, import contracts
	@.venv/bin/ruff check && .venv/bin/ruff format --check && .venv/bin/mypy && .venv/bin/lint-imports

bench: .venv/.able     ## speed, beside a floor measured in the same run
	@.venv/bin/python -m tests.bench

doctor: .venv/.done    ## what this machine can do
	@$(CLOSET) doctor

clean:           ## forget the virtual environment
	@rm -rf .venv
