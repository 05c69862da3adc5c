# Two commands on a machine with Python 3.11 and make: `make demo` and `make test`. Everything lives in .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test check bench gallery mutants fuzz clean
.DEFAULT_GOAL := test

$(READY): requirements-dev.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement requirements-dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

demo: $(READY)  ## classify real digits on EIE, then one layer of the paper's
	$(BIN)/python -m tapeout.demo

test: $(READY)  ## every suite
	$(BIN)/python -m pytest -n 2 --dist loadgroup --durations 10

check: $(READY)  ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)  ## how fast: cycle counts are asserted, times reported
	$(BIN)/python -m pytest tests/bench --page reports/gallery -o python_files='bench_*.py' -o norecursedirs='.*' -p no:xdist

PEERS ?= out/peers
peers: $(READY) $(PEERS)/scalesim/installed $(PEERS)/zigzag/installed  ## the same layers in other tools: minutes
	$(BIN)/python tests/bench/peers.py --folder $(PEERS) --page reports/gallery

$(PEERS)/scalesim/installed:  # its own environment: it breaks with newer numpy
	-$(PYTHON) -m venv $(@D) && $(@D)/bin/python -m pip install --quiet scalesim==3.0.0 'numpy<2.3' && touch $@

$(PEERS)/zigzag/installed:  # six is a dependency that it does not name
	-$(PYTHON) -m venv $(@D) && $(@D)/bin/python -m pip install --quiet zigzag-dse==3.9.1 six && touch $@

gallery: $(READY)  ## every finished figure, from runs
	$(BIN)/python -m tapeout.gallery

fuzz: $(READY)  ## spoilt inputs through every reader, a page of counts. FUZZ="--inputs 1000 --seed 7"
	nice -n 10 $(BIN)/python -m tests.fuzz.loop --report $(FUZZ)

mutants: $(READY)  ## would the tests notice a wrong line of sim/? MODULES="graph des"
	nice -n 15 $(BIN)/python tests/mutation/run.py $(MODULES)

clean:
	rm -rf .venv out dist
