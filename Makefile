# The commands of the house; each is a script that says what it does. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help setup run test demo bench tour extension release audit soak fuzz fmt clean

# The port of `make run`, and its data folder.
PORT ?= 8080
DATA ?= data
# How long `make soak` goes on.
SCHEDULES ?= 40000
KILLS ?= 1000
# How long `make fuzz` goes on for each target, and with which, all when empty.
SECONDS ?= 60
TARGETS ?=
KEEP ?=
# The stages of `make test`, all when empty: make test STAGES="fmt clippy e2e"
STAGES ?=

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## install what is missing (run and test do it too)
	@scripts/setup

run: ## build, and serve the bookshop at http://localhost:PORT (PORT=8080, DATA=data)
	@scripts/run --port $(PORT) --data $(DATA)

test: ## check formatting and lints, and run every test (STAGES="..." for some)
	@scripts/test $(STAGES)

demo: ## fill the bookshop's database with a realistic shop (DATA=data)
	@scripts/demo --data $(DATA)

bench: ## measure changes, pushes and pulls beside the floor
	@scripts/bench

tour: ## drive the page through its states and write the screenshots
	@scripts/tour

extension: ## build the loadable cr-sqlite for sqlite3 and Python: target/extension/crsqlite.so
	@crsqlite/build-extension target/extension/crsqlite.so

audit: ## look for known vulnerabilities in what is built in (needs the network)
	@scripts/audit

release: ## build what is handed out, with its sums, and try it: target/release-files
	@scripts/release

soak: ## kill servers and run the simulation for long (SCHEDULES=40000, KILLS=1000)
	@scripts/soak $(SCHEDULES) $(KILLS)

fuzz: ## let a fuzzer look for inputs that fail (SECONDS=60 for each of TARGETS, KEEP=1 for the corpus)
	@KEEP=$(KEEP) scripts/fuzz $(SECONDS) $(TARGETS)

fmt: ## format the Rust code
	@cargo fmt

clean: ## remove what was built and fetched here; keeps the databases
	rm -rf target node_modules vendor client-wasm/pkg client-wasm/dist web/footer/dist web/dist
