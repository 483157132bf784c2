# Everything runs in ./.venv, which the first target that needs it creates. An active virtual
# environment is not used, and not changed. Nothing else than python3 >= 3.11 with pip is needed.

BUILD  := build
VENV   := .venv
PY     := $(VENV)/bin/python
STAMP  := $(VENV)/installed
JOBS   ?= 2
BASE   := $(shell for p in "$$ZKFED_PYTHON" python3 python3.13 python3.12 python3.11; do \
            "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
PYTEST := $(PY) -m pytest
PIP    := $(PY) -m pip install --quiet --disable-pip-version-check --no-input

# The compiled core: its stamp, its sources, and why it cannot be built (empty if it can be).
NATIVE := $(VENV)/native
RUST   := $(shell find rust -type f -not -path "rust/fuzz/*")
NO_RUST = $(shell need=$$(sed -n 's/^rust-version = "\(.*\)"/\1/p' rust/Cargo.toml); \
            have=$$(rustc --version 2>/dev/null | cut -d' ' -f2); \
            if [ "$(ZKFED_NATIVE)" = 0 ]; then echo "ZKFED_NATIVE=0 leaves it out"; \
            elif [ -z "$$have" ] || ! cargo --version >/dev/null 2>&1; then echo "no Rust toolchain on this machine"; \
            elif [ "$$(printf '%s\n' "$$need" "$$have" | sort -V | head -n 1)" != "$$need" ]; then \
              echo "rustc $$have is older than $$need"; \
            elif ! (cd rust && cargo fetch --quiet --locked) >/dev/null 2>&1; then \
              echo "cargo fetch --locked cannot get its crates"; fi)

# An environment that is active outside, or a pip that installs elsewhere, must not leak in.
unexport VIRTUAL_ENV PYTHONHOME PYTHONPATH PIP_TARGET PIP_PREFIX PIP_USER PIP_REQUIRE_VIRTUALENV

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo demo-small demo-private demo-statistics test test-all lint format bench bench-peers bench-statistics bench-scaling native test-native docs lock clean

help:  ## this list
	@echo "zkfed: collective learning that can be checked instead of trusted"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "The first run creates ./$(VENV) and installs into it; later runs use it as it is."
	@echo "ZKFED_PYTHON=<path> chooses the Python, ZKFED_BACKEND=native|arkworks|reference the algebra;"
	@echo "ZKFED_NATIVE=0 leaves the compiled core out."

# The stamp is older than what it depends on exactly when something has to be installed.
$(STAMP): pyproject.toml constraints.txt
	@test -n "$(BASE)" || { echo "python3 >= 3.11 is needed; name one with ZKFED_PYTHON=<path>" >&2; exit 1; }
	@echo "== environment: ./$(VENV) with $$($(BASE) --version)"
	@$(PY) -m pip --version >/dev/null 2>&1 || $(BASE) -m venv --clear $(VENV) >/dev/null 2>&1 \
	  || { $(BASE) -m venv --clear --without-pip $(VENV) && $(BASE) -m pip --quiet --python $(PY) install pip; }
	@echo "== install: zkfed and its tools, as pinned in constraints.txt (about a minute)"
	@$(PIP) -c constraints.txt -e '.[dev]' </dev/null
	@touch $@
	@echo "== install: done"

# Never an error: where it cannot be built, the wheel or py_ecc serve, and one line says so.
$(NATIVE): $(STAMP) $(RUST)
	@why="$(NO_RUST)"; mkdir -p $(BUILD); \
	 if [ -n "$$why" ]; then \
	   echo "== native: not built: $$why; the wheel or py_ecc serve"; \
	   [ ! -e $@ ] || { $(PY) -m pip uninstall --quiet --yes zkfed-native && rm -f $@; }; \
	 elif echo "== native: building the compiled core, rust/ (one to two minutes)"; \
	   $(PIP) --force-reinstall --no-deps ./rust/python </dev/null >$(BUILD)/native.log 2>&1; then \
	   touch $@; echo "== native: done; zkfed uses it from now on"; \
	 else \
	   rm -f $@; echo "== native: the build failed, see $(BUILD)/native.log; the wheel or py_ecc serve"; \
	 fi

# Leaves out what is built already, too.
ifeq ($(ZKFED_NATIVE),0)
.PHONY: $(NATIVE)
endif

demo: $(NATIVE)  ## one federated task on real data, end to end (about a minute)
	$(PY) -m examples.demo --preset standard --out $(BUILD)/demo

demo-small: $(STAMP)  ## the same on the pure-Python reference backend (about 3 minutes)
	ZKFED_BACKEND=reference $(PY) -m examples.demo --preset small --out $(BUILD)/demo

demo-private: $(NATIVE)  ## clients prove something about private rows of their own, with cheats (under a minute)
	$(PY) -m examples.demo_private --out $(BUILD)/private

demo-statistics: $(NATIVE)  ## WHO, WHAT, HOW, WHEN about two cohorts in three modes, with a ledger (about a minute)
	$(PY) -m examples.demo_statistics --out $(BUILD)/statistics

test: lint test-native  ## lint, and every test but the slow ones, and the README's code
	$(PYTEST) -n $(JOBS) --dist loadfile -m "not slow" --durations 10

test-all: lint test-native  ## lint, and every test
	$(PYTEST) -n $(JOBS) --dist loadfile --durations 20

# No cache for lint-imports: it keeps what the import of a module that was missing resolved to.
lint: $(STAMP)  ## style, format, types, import floors
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports --no-logo --no-cache

format: $(STAMP)  ## bring the code into form
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

bench: $(NATIVE)  ## measure what the README states, into build/bench.json
	@mkdir -p $(BUILD)
	$(PYTEST) benches --benchmark-only --benchmark-json=$(BUILD)/bench-raw.json
	$(PY) -m benches.summary $(BUILD)/bench-raw.json $(BUILD)/bench.json

bench-peers: $(NATIVE)  ## beside gnark, snarkjs, arkworks, ...: 16 minutes and their builds; PEERS='--quick' for fewer
	$(PY) -m benches.peers $(PEERS)

bench-statistics: $(NATIVE)  ## beside OpenDP, diffprivlib and PipelineDP: error, time, and what each lets pass: 3 minutes
	$(PY) -m benches.cohorts

bench-scaling: $(NATIVE)  ## time, memory and keys from 2^12 to 2^20 constraints: 15 minutes; SCALING='--largest 16' 3
	$(PY) -m benches.scaling $(SCALING)

native: $(NATIVE)  ## the compiled core (rust/) alone; the targets above build it where a Rust toolchain is

# A core that does not build fails here; without a toolchain, its rule has said so.
# Twice: with the CPU's vectors of eight (rust/core/src/ifma.rs), and as on a CPU without them.
test-native: $(NATIVE)  ## style, lints and tests of the compiled core
	@if [ -n "$(NO_RUST)" ]; then echo "== native: not tested"; else cd rust && set -x \
	 && cargo fmt --check && cargo clippy --quiet --locked --all-targets -- -D warnings \
	 && cargo test --quiet --locked --package zkfed-core \
	 && ZKFED_LANES=0 cargo test --quiet --locked --package zkfed-core; fi

# Not --quiet: that silences warnings, and --strict counts none then. The variable silences a banner of the theme.
docs: $(STAMP)  ## the documentation, into build/site; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

lock:  ## resolve the ranges of pyproject.toml anew into constraints.txt
	@test -n "$(BASE)" || { echo "python3 >= 3.11 is needed; name one with ZKFED_PYTHON=<path>" >&2; exit 1; }
	@rm -rf $(BUILD)/lock && $(BASE) -m venv $(BUILD)/lock
	@$(BUILD)/lock/bin/python -m pip install --quiet --disable-pip-version-check --no-input '.[dev]' </dev/null
	@{ sed '/^[^#]/d' constraints.txt; $(BUILD)/lock/bin/python -m pip freeze --exclude zkfed; } > $(BUILD)/lock.txt
	@mv $(BUILD)/lock.txt constraints.txt && rm -rf $(BUILD)/lock

clean:  ## remove all that make made: build/, caches, ./.venv
	rm -rf $(BUILD) dist $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
