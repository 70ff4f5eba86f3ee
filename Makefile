# Everything is installed into .venv and node_modules beside this file. No target asks a question.
#   make run  [ARGS='--port 8001']     make test  [TESTS='tests/unit -k price']     make setup [PYTHON=python3.12]

.PHONY: help run demo setup test aider lint format fuzz bench docs wheel constraints clean
.DEFAULT_GOAL := help
BIN := .venv/bin
BASE := .venv/.installed
DEV := .venv/.installed-dev
NODE := node_modules/.installed
COMPILED := hatch_build.py $(wildcard ralex_core/collection/csrc/*)
export PYTHON

help: ## show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

run: $(BASE) ## install what is needed and start the monitor on http://127.0.0.1:8000
	@$(BIN)/ralex-monitor serve $(ARGS)

demo: $(BASE) ## the same with demo data, kept apart from your own
	@$(BIN)/ralex-monitor serve --demo $(ARGS)

setup: $(DEV) ## create .venv with everything that tests and linters need

test: setup $(NODE) lint ## install what is missing, lint, run every test
	@scripts/browser.sh
	npm test --silent
	$(BIN)/python -m pytest -n logical --dist loadfile $(TESTS)

aider: $(DEV) ## install the aider command in .cache, once, and let it edit a file through the gateway
	@scripts/aider.sh
	$(BIN)/python -m pytest -q tests/acceptance/test_gateway_aider.py

lint: $(DEV) $(NODE) ## style, formatting, types (Python and JavaScript), layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	npm run --silent check

format: $(DEV) ## rewrite the Python files as ruff wants them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

fuzz: $(DEV) ## send a server what its own OpenAPI description allows and forbids (some minutes)
	$(BIN)/python -m bench.openapi $(ARGS)

bench: $(DEV) ## print every figure of docs/performance.md (half an hour; see bench/README.md)
	$(BIN)/python -m bench.run $(ARGS)

docs: $(DEV) ## check that links lead somewhere and that every setting and command is documented
	@$(BIN)/python -m pytest -q tests/meta -k docs
	@echo "Documentation, starting at docs/index.md:"
	@find docs -name '*.md' | sort

wheel: $(DEV) ## build the wheel into dist/
	$(BIN)/python -m build --wheel --no-isolation

constraints: $(DEV) ## write down the versions that are installed, after upgrading and testing them
	$(BIN)/python -m pip freeze --exclude-editable > constraints.txt

clean: ## remove what make created here; your data in ~/.ralex-monitor stays
	rm -rf .venv node_modules build dist .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BASE): pyproject.toml constraints.txt scripts/setup.sh $(COMPILED)
	@scripts/setup.sh

$(DEV): pyproject.toml constraints.txt scripts/setup.sh $(COMPILED)
	@scripts/setup.sh dev

$(NODE): package.json package-lock.json scripts/node.sh
	@scripts/node.sh
