# One command per need; `make help` lists them. CI (.ci/run) calls the same targets.

# Tests run by cargo nextest where it is installed. The flags are the same everywhere, so nothing is built twice.
NEXTEST := $(shell cargo nextest --version >/dev/null 2>&1 && echo yes)
ifeq ($(NEXTEST),yes)
TEST := cargo nextest run
else
TEST := cargo test
endif

AS_ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: help run sample test check fmt bench compare parity sdk fuzz sim topology chaos overload docs-config

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: ## build, and start three embedded nodes with Miroir in front of them (Ctrl-C stops all); passes on ARGS="--listen HOST:PORT …"
	cargo build --bins
	cargo run --bin miroir -- dev $(ARGS)

sample: ## the same, with a few sample documents loaded
	cargo build --bins
	cargo run --bin miroir -- dev --sample $(ARGS)

test: ## all tests, the tiny runs of what is measured too
	$(TEST) --workspace

check: ## what CI asks for: format, lints, tests
	.ci/run

fmt: ## format the sources
	cargo fmt --all

bench: ## micro benches, and the comparison with a node alone and with nginx
	cargo bench -p miroir-bench
	$(MAKE) compare

compare: ## the comparison alone; installs nginx from Debian when it is missing
	PATH="$$PATH:/usr/sbin" command -v nginx >/dev/null || $(AS_ROOT) apt-get install -qy --no-install-recommends nginx-light
	cargo run --release -p miroir-loadtest -- compare

# Fewer cases of the generated searches are part of the tests.
PARITY := $(if $(SEED),MIROIR_TEST_SEED=$(SEED)) $(if $(CASES),MIROIR_TEST_CASES=$(CASES)) $(if $(ROUND),MIROIR_TEST_ROUND=$(ROUND))

parity: ## parity tests only, with SEED=… CASES=…; ROUND=… repeats one round; MIROIR_TEST_MEILISEARCH=/path/to/meilisearch runs them on real nodes
	$(PARITY) $(TEST) --test parity $(if $(ROUND),random_searches) $(if $(NEXTEST),--no-capture,-- --nocapture)

FUZZ_TARGETS := requests filters templates splitter codings

fuzz: ## parsers, templates, the cut by shard and codings with made-up inputs, SECONDS=… for each (60), TARGET=… for one; needs cargo-fuzz and a C++ compiler
	cp Cargo.lock tests/fuzz/Cargo.lock
	set -e; for target in $(or $(TARGET),$(FUZZ_TARGETS)); do \
		mkdir -p target/fuzz/$$target; \
		RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir tests/fuzz -s none $$target target/fuzz/$$target tests/fuzz/corpus/$$target -- \
			-max_total_time=$(or $(SECONDS),60) -timeout=10 -rss_limit_mb=2048 -max_len=4096 -print_final_stats=1; \
	done

# What tests/simulation reads from its environment.
SIM := $(if $(SEEDS),MIROIR_SIM_SEEDS=$(SEEDS)) $(if $(SEED),MIROIR_SIM_SEED=$(SEED)) $(if $(STEPS),MIROIR_SIM_STEPS=$(STEPS))

sim: ## the simulated fleet only, SEEDS=20000 for more of them, STEPS=… writes in each; SEED=… NAME=… repeats one with a trace
	$(SIM) $(TEST) --test simulation $(NAME) $(if $(SEED),$(if $(NEXTEST),--no-capture,-- --nocapture))

sdk: ## suites of the official SDKs against one server and against Miroir: MEILISEARCH=PATH SDK_PYTHON=FOLDER SDK_JS=FOLDER (tests/sdk/run.sh says more)
	cargo build --release --bins
	tests/sdk/run.sh

topology: ## nodes come and go under load, with many documents; MIROIR_TEST_MEILISEARCH runs it on real nodes, MIROIR_TEST_SEED varies it
	cargo test --test integration -- --ignored --nocapture nobody_notices

CHAOS := $(foreach name,SEED MINUTES NODES,$(if $($(name)),MIROIR_TEST_$(name)=$($(name)))) $(if $(R),MIROIR_TEST_REPLICAS=$(R)) $(if $(FAULTS),MIROIR_TEST_FAULTS='$(FAULTS)')

chaos: ## faults on real processes for MINUTES=… (10), with SEED=… NODES=… (4) R=… (2) FAULTS='node killed,…'; as root and with nft it cuts nodes off and fills disks too
	$(CHAOS) cargo test --test chaos -- --ignored --nocapture

overload: ## more than Miroir can take, in full (20 minutes, release build): prints the rows of docs/RELIABILITY.md; ROW=NAME for one of them
	cargo build --release --bins
	MIROIR_TEST_PROGRAM=$(CURDIR)/target/release/miroir \
		cargo test --test integration -- --ignored --nocapture --test-threads 1 $(or $(ROW),overload::)

docs-config: ## write docs/CONFIGURATION.md and examples/dev-config.yaml from the table of keys
	cargo test --lib -- --ignored write_generated_files
