# SPDX-License-Identifier: GPL-2.0-or-later
# The front door: each line calls cargo or cargo xtask. `make help` lists what there is.

CARGO ?= cargo
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

.PHONY: help demo test test-all deps build fmt lint unit tidy target kernel attack corpus qemu qemu-all nop hosts contrib

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: deps ## from nothing to a real upstream fix at work in a booted stock kernel, step by step
	$(CARGO) xtask demo

test: deps ## everything, in the order below; can be broken off and run again
	$(CARGO) xtask ci

test-all: deps ## the same with every scenario on every kernel
	$(CARGO) xtask ci all

deps: ## install what is missing (apt-get; only what is missing)
	@command -v cc >/dev/null || $(SUDO) apt-get install -y gcc libc6-dev
	$(CARGO) xtask deps

build: ## kmend-build and kmend, optimised, in target/release
	$(CARGO) build --release --package kmend-builder --package kmend-manager

fmt: ## rustfmt changes nothing
	$(CARGO) fmt --all --check

lint: ## clippy, warnings are errors
	$(CARGO) clippy --workspace --all-targets -- -D warnings

unit: target ## the tests beside the code, the pairs, the command line
	KMEND_TEST_TARGET=$(or $(KMEND_TEST_TARGET),debian:forky) \
	KMEND_TEST_TARGET_WITHOUT_RUST=$(or $(KMEND_TEST_TARGET_WITHOUT_RUST),debian:bookworm) $(CARGO) test --workspace

tidy: ## rules of this repository that no other tool knows
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

contrib: ## before a release, as root: contrib/ with the real Prometheus and Ansible (357 MB of packages, not in `make test`)
	$(CARGO) xtask contrib
