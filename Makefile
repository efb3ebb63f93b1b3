# `make demo` needs nothing before it but Python and make; `make test` needs Go and git, too.
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.installed
# The demo and the tests start Python hundreds of times, which should not compile all that it imports each time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo generate test scenarios lint types bench-apiserver bench-runtime clean
help: ## show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv with the pinned dependencies

$(STAMP): pyproject.toml hack/constraints.txt
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -c hack/constraints.txt -e '.[dev]'
	@touch $@

generate: $(STAMP) ## write what is made from code: the CustomResourceDefinition, and the table of Go types (needs Go)
	$(VENV)/bin/python hack/generate.py

demo: $(STAMP) ## serve real predictions on this machine, under load (a minute); KEEP=1 leaves it up, HTTP_PORT, HTTPS_PORT
	@$(VENV)/bin/python hack/demo.py $(if $(KEEP),--keep) $(if $(HTTP_PORT),--http-port $(HTTP_PORT)) $(if $(HTTPS_PORT),--https-port $(HTTPS_PORT))

test: $(STAMP) ## run every test, on a real kube-apiserver where one is needed
	$(VENV)/bin/pytest --numprocesses=3 --dist=worksteal -m 'not alone'
	$(VENV)/bin/pytest -m alone

PLANES := envtest memory
scenarios: $(STAMP) ## run the operator's scenarios, each on a real kube-apiserver and on the in-memory one; PLANES=memory
	$(VENV)/bin/pytest test/operator $(PLANES:%=--control-plane=%) --numprocesses=3 --dist=worksteal

lint: $(STAMP) ## check style and who imports whom
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports

types: $(STAMP) ## check types
	$(VENV)/bin/mypy disvc test/unit test/integration docs hack
	$(VENV)/bin/mypy test/operator
	$(VENV)/bin/mypy test/conformance

bench-apiserver: $(STAMP) ## the in-memory API server beside a real one, 10,000 objects (a minute or two)
	$(VENV)/bin/python hack/bench/apiserver.py

bench-runtime: $(STAMP) ## memory, first synchronisation and queue beside client-go, 50,000 objects (some minutes)
	$(VENV)/bin/python hack/bench/runtime.py

clean: ## remove what make made here (the cache of binaries stays)
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache *.egg-info
