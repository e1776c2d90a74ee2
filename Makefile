# What each target does is in scripts/. PYTHON=/path/to/python3 chooses the interpreter of .venv.

.DEFAULT_GOAL := help
.PHONY: help quickstart test test-cloud check bench docs venv lock clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' Makefile | expand -t 20

quickstart: ## run an example through the whole path, here or on HOST=user@box
	@scripts/quickstart.sh $(HOST)

test: ## run all tests; ARGS="-k name" chooses
	@scripts/test.sh $(ARGS)

test-cloud: ## run the tests of clouds, in a region of their own; ARGS are for pytest
	@scripts/test-cloud.sh $(ARGS)

check: ## format, lint, types, layers, spelling, style figures
	@scripts/check.sh

bench: ## measure, and print one table; ARGS are passed on
	@scripts/bench.sh $(ARGS)

docs: ## make the documentation, and run every example of it
	@scripts/docs.sh

venv: ## make .venv with all tools, as `test` and `check` do by themselves
	@scripts/setup.sh dev

lock: ## write requirements/*.txt anew; UPGRADE=1 takes the newest versions
	@UPGRADE=$(UPGRADE) scripts/lock.sh

clean: ## remove everything that can be made again
	@rm -rf .venv build .venv.lock .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	@find src tests scripts -name __pycache__ -prune -exec rm -rf {} +
