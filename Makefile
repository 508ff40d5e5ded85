# kodolly: `make demo` and `make test` work on a fresh machine; both may be run again at any time.
# Three processes that share the tests, and each `kodolly` they start, read what the first one compiled.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: demo test test-fast lint types install clean

demo:            ## install, train two small models once, serve and compare them
	@scripts/install demo
	@.venv/bin/kodolly up --demo

install:         ## everything that runs, into .venv
	@scripts/install demo

test:            ## install what the tests need, then lint and all tests
	@scripts/install test
	@$(MAKE) --no-print-directory lint
	.venv/bin/pytest -m "not slow" --numprocesses 3 --dist loadfile --durations 10
	.venv/bin/python -m finetune.demo.build .kodolly/e2e/demo
	.venv/bin/pytest -m slow --numprocesses 3 --dist loadfile --durations 30

test-fast:       ## the tests that need no training, no vLLM and no browser
	@scripts/install test
	.venv/bin/pytest -m "not slow" --numprocesses 3 --dist loadfile

lint:
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	@$(MAKE) --no-print-directory types
	.venv/bin/lint-imports

types:           ## mypy --strict over product, benchmarks, tests and scripts
	.venv/bin/mypy
	.venv/bin/mypy --scripts-are-modules docker/test-compose $$(grep -l "^#!.*python" scripts/*)

clean:           ## forget the trained demo models, logs and database
	rm -rf .kodolly
