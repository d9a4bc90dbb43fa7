# SPDX-License-Identifier: GPL-2.0-or-later
# The front door: each line calls cargo or cargo xtask. `make help` lists what there is.

CARGO ?= cargo
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
# Tokens of make's job server, which cargo would share, are for make: cargo has all processors.
ALONE := env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL
RUST := $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
HOW := kmend needs Rust $(RUST) or later: `apt-get install rustc-web cargo-web` on Debian 12, or https://rustup.rs
TARGET_DIR = $(shell $(CARGO) metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')

.PHONY: help demo test test-all deps build fmt lint unit tidy target kernel attack corpus qemu qemu-all nop hosts
.PHONY: packages contrib farm rpm site record rust linker demo-packages demo-programs

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: linker ## from nothing to a real upstream fix at work in a booted stock kernel, step by step
	@$(SUDO) true
	$(CARGO) build --package kmend-deps
	@$(MAKE) --no-print-directory --jobs=2 demo-packages demo-programs
	@$(TARGET_DIR)/debug/demo

# What the demo needs is installed while it is compiled.
demo-packages:
	@$(ALONE) $(TARGET_DIR)/debug/kmend-deps demo

# Of the whole workspace: a package by itself has other features, and `make test` would compile all again.
demo-programs:
	@$(ALONE) $(CARGO) build --workspace --bin kmend-build --bin demo

test: deps ## everything, in the order below; can be broken off and run again
	$(CARGO) xtask ci

test-all: deps ## the same with every scenario on every kernel
	$(CARGO) xtask ci all

deps: linker ## install what is missing (apt-get; only what is missing; nothing is removed)
	$(CARGO) run --package kmend-deps

rust:
	@have=$$($(CARGO) --version 2>/dev/null | sed -n 's/^cargo \([0-9.]*\).*/\1/p'); \
	if [ -z "$$have" ]; then echo '$(CARGO) is missing: $(HOW)' >&2; exit 1; fi; \
	printf '%s\n' $(RUST) "$$have" | sort -CV || { echo "cargo $$have is too old: "'$(HOW)' >&2; exit 1; }

linker: rust
	@command -v cc >/dev/null || { echo "packages: installing gcc, which links Rust programs"; \
	get="$(SUDO) apt-get install -qq -y --no-install-recommends --no-remove gcc libc6-dev"; \
	DEBIAN_FRONTEND=noninteractive; export DEBIAN_FRONTEND; \
	$$get >/dev/null 2>&1 || { $(SUDO) apt-get update -qq && $$get >/dev/null; }; }

build: rust ## kmend-build and kmend, optimised, in target/release
	$(CARGO) build --release --package kmend-builder --package kmend-manager

fmt: rust ## rustfmt changes nothing
	$(CARGO) fmt --all --check

lint: rust ## clippy, warnings are errors
	$(CARGO) clippy --workspace --all-targets -- -D warnings

unit: target ## the tests beside the code, the pairs, the command line
	KMEND_TEST_TARGET=$(or $(KMEND_TEST_TARGET),debian:forky) \
	KMEND_TEST_TARGET_WITHOUT_RUST=$(or $(KMEND_TEST_TARGET_WITHOUT_RUST),debian:bookworm) $(CARGO) test --workspace

tidy: rust ## rules of this repository that no other tool knows
	$(CARGO) xtask tidy

target: deps ## prepare the stock kernels that are tested
	$(CARGO) xtask target

kernel: deps ## build the ppc64le test kernels, which no distribution ships (cross-compiled, kept in the cache)
	$(CARGO) xtask kernel

attack: target ## both programs against spoilt files, kills and flips in the cache, 90 seconds of them
	$(CARGO) xtask attack

corpus: target ## twenty real fixes of stable releases come out as they did (docs/corpus.md has the others)
	$(CARGO) xtask corpus check

qemu: target kernel ## boot all kernels: two with every scenario and real fix, the others with chosen ones
	$(CARGO) xtask qemu

qemu-all: target kernel ## boot all kernels with every scenario and every real fix
	$(CARGO) xtask qemu all

nop: target ## change every function of six units in a way that means nothing, and run that
	$(CARGO) xtask nop --units 6 --seed make-test

hosts: target kernel ## boot whole hosts, subscribed to a stream: install, update, reboot, step back, stall, crash
	$(CARGO) xtask hosts

rpm: target ## a stock kernel packed as RPMs, added by these, built for and booted (make test-all does it too)
	$(CARGO) xtask rpm

packages: deps ## kmend and kmend-build as deb and RPM in target/packages (PACKAGER='Name <mail>' URL=https://…)
	$(CARGO) xtask package -o target/packages $(if $(PACKAGER),--packager "$(PACKAGER)") $(if $(URL),--url "$(URL)")

contrib: ## before a release, as root: contrib/ with the real Prometheus and Ansible (357 MB of packages, not in `make test`)
	$(CARGO) xtask contrib

farm: target kernel ## as root: a stream through the engines of docs/farm.md, really run with two workers each, and the workflows of contrib/ checked (not in `make test`)
	$(CARGO) xtask farm

site: rust ## the documents as a site in target/site (mdbook renders it: the machine's, else one that is compiled once)
	@CARGO="$(CARGO)" $(ALONE) sh xtask/site.sh

record: ## run `make demo` and write what it prints into docs/demo.md
	@$(ALONE) sh xtask/record.sh
