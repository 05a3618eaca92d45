# make demo and make test are all a fresh machine needs; every target creates the environment itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test check lint format bench fuzz wheel clean help

help:  ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

# Nothing is installed twice: the stamp is older than pyproject.toml or constraints.txt only after an edit.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "seqloom needs Python 3.10 or newer; name one with: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (once; a few minutes on a fresh machine)"
	@PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	@# what mup declares would bring torchvision; the tests compare with it and need none of that
	@PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(BIN)/pip install --quiet --no-deps mup==1.0.0
	@touch $(STAMP)

demo: $(STAMP)  ## the whole way on the embedded sample; prints where the report is
	@$(BIN)/seqloom demo --out demo

test: $(STAMP)  ## style, types, directions, tests and doctests
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/pyright --pythonpath $(BIN)/python
	@$(BIN)/lint-imports --no-cache > $(VENV)/import-linter.log || { cat $(VENV)/import-linter.log; exit 1; }
	@$(BIN)/pytest -n 2
	@echo "next: 'make demo' walks the whole way and prints where its report is"

format: $(STAMP)  ## format the code and mend what ruff can mend
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

bench: $(STAMP)  ## every benchmark, side by side with its peer (long; wants an idle machine)
	@failed=; for script in benchmarks/*.py; do $(BIN)/python $$script || failed="$$failed $$script"; done; \
		test -z "$$failed" || { echo "not run to the end:$$failed; each --help names peers and files it needs"; exit 1; }

fuzz: $(STAMP)  ## 20,000 spoilt files against every reader (a few minutes); COUNT and FIRST choose others
	@$(BIN)/python -m tests.fuzz --first $(or $(FIRST),0) --count $(or $(COUNT),20000) --jobs 2

wheel: $(STAMP)  ## build the wheel into dist/
	@$(BIN)/python -m build --wheel --outdir dist .

clean:  ## remove the environment and everything made
	@rm -rf $(VENV) build dist demo runs
