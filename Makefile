# Everything a person types here. Each target brings what it needs; a second run is instant.

SHELL := /bin/sh
PYTHON := .venv/bin/python
CODE := agent bridge build catalogue cli cni driver ipam kernel lease main meta overlay system tests $(wildcard bench)
GUEST_TESTS := tests/guest tests/netns/bridge tests/netns/kernel
BARE_TESTS := tests/unit/overlay tests/unit/cni tests/unit/cli tests/e2e/test_pages.py tests/e2e/test_install.py tests/e2e/test_package.py
CACHES := .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-clean test soak test-guest test-bare fuzz attack check fmt build install uninstall deb bench bench-leases bench-datapath clean ready-run ready-deb ready-test ready-guest ready-newer ready-reference

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ready-run ## system packages and .venv to build and run (FOR=test: also what the tests need)
	@if [ '$(FOR)' = test ]; then sh build/setup.sh test; fi

ready-run:
	@sh build/setup.sh run

ready-deb:
	@sh build/setup.sh deb

ready-test:
	@sh build/setup.sh test

ready-reference: ready-test
	@sh build/reference.sh

ready-newer: ready-test
	@sh build/newer.sh

ready-guest: ready-test
	@sh build/setup.sh guest

build: ready-run ## freeze the programs: dist/cni (a CNI_PATH entry), dist/bin
	@$(PYTHON) -m build.programs

demo: build ## three pretend hosts, six containers, every path tried, nothing left (KEEP=1: stay and look around)
	@KEEP='$(KEEP)' $(PYTHON) -m tests.lab.demo

demo-clean: ready-run ## remove what `make demo KEEP=1` left up
	@$(PYTHON) -m tests.lab.demo clean

test: ready-reference ready-newer build ## all tests on the built programs, side by side (ARGS='-k name' picks)
	@$(PYTHON) -m tests.run $(ARGS)

soak: ready-test build ## 10,000 ADD/DEL pairs of host-local and 500 of bridge leave nothing (SOAK=N scales both)
	@$(PYTHON) -m tests.soak $(SOAK)

test-guest: ready-guest build ## what the host's kernel may lack, in an emulated Debian kernel (TESTS=tests/netns ARGS='-k name')
	@$(PYTHON) -m build.guest.run $(or $(TESTS),$(GUEST_TESTS)) $(ARGS)

test-bare: ready-test ready-reference ## the pages, installing and the packages in a clean Debian 13 (SUITE=bookworm TESTS='tests/unit')
	@sh build/bare.sh '$(or $(SUITE),trixie)' --with .reference sh -ec 'apt-get install -qq -y git make >/dev/null && git clone -q /tulle tulle && \
	    cp -a /ready/.reference tulle/ && CI= make -C tulle test ARGS="-q $(or $(TESTS),$(BARE_TESTS))"'

fuzz: ready-test ## throw bad input at the launcher, under sanitizers (SECONDS=60 SEED=from the clock)
	@$(PYTHON) -m tests.fuzz '$(or $(SECONDS),60)' '$(SEED)'

attack: ready-test build ## campaigns against the built programs, each with its figures (SECONDS=300 SEED=1 ARGS=NAME); root
	@$(PYTHON) -m tests.attack --seconds '$(or $(SECONDS),300)' --seed '$(or $(SEED),1)' $(ARGS)

check: ready-test ## formatting, lint rules, types, import contracts
	@.venv/bin/ruff check $(CODE)
	@.venv/bin/ruff format --check $(CODE)
	@.venv/bin/mypy
	@.venv/bin/lint-imports

fmt: ready-test ## format the code and apply the safe fixes
	@.venv/bin/ruff check --fix-only $(CODE)
	@.venv/bin/ruff format $(CODE)

install: build ## install below PREFIX, links in CNI_BIN (PREFIX=/usr/local CNI_BIN=/opt/cni/bin DESTDIR= REPLACE=1 SYSTEMD=1)
	@$(PYTHON) -m build.install --prefix '$(or $(PREFIX),/usr/local)' --cni-bin '$(or $(CNI_BIN),/opt/cni/bin)' \
	    --destdir '$(DESTDIR)' $(if $(filter 1,$(REPLACE)),--replace) $(if $(filter 1,$(SYSTEMD)),--systemd)

uninstall: ready-run ## take back what `make install` and `tulle init` wrote; what was edited stays (the same PREFIX, CNI_BIN, DESTDIR)
	@$(PYTHON) -m build.uninstall --prefix '$(or $(PREFIX),/usr/local)' --cni-bin '$(or $(CNI_BIN),/opt/cni/bin)' --destdir '$(DESTDIR)'

deb: ready-deb build ## Debian packages in dist/deb, for the Debian they are built on
	@$(PYTHON) -m build.deb

bench: build ## medians and ratios beside the reference programs (REFERENCE=/usr/lib/cni ROUNDS=25 JSON=FILE)
	@$(PYTHON) -m bench $(if $(REFERENCE),--reference '$(REFERENCE)') $(if $(ROUNDS),--rounds '$(ROUNDS)') $(if $(JSON),--json '$(JSON)')

bench-leases: ready-test build ## time a tulled that programs 1 to 5,000 peers out of an etcd (ARGS='--peers N --json')
	@$(PYTHON) bench/leases.py $(ARGS)

bench-datapath: ready-test build ## iperf3 through each backend beside a hand-made vxlan (ARGS='--rounds N --json')
	@$(PYTHON) bench/datapath.py $(ARGS)

clean: ## remove dist, .build, the guest, caches and compiled files (not .venv)
	@rm -rf dist .build .guest $(CACHES)
	@find . -name .venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
