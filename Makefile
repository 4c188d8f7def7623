# The steps themselves are in .ci/run, so that CI and this file cannot differ.

.PHONY: help check test race scenarios sim mutants torture fuzz bench build release proto reference fmt ci

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 12

check: ## format, vet, staticcheck, go.mod and generated code
	@bash .ci/run format vet staticcheck tidy generated

test: ## all tests
	@bash .ci/run unit

race: ## the tests of all packages with goroutines under the race detector
	@bash .ci/run race

scenarios: ## the scenarios 4A, 4B and 4C
	@bash .ci/run scenarios

sim: ## simulated clusters, SIM_SEEDS of them (200)
	@bash .ci/run sim

mutants: ## put known bugs back, and tell how many simulated seeds find each
	go run ./internal/check/sim/cmd --mutants . --seeds 1000

torture: ## real processes killed and paused under load, TORTURE_KILLS times (5)
	@bash .ci/run torture

fuzz: ## each fuzz target for FUZZ_TIME (20000x inputs)
	@bash .ci/run fuzz

bench: ## all benchmarks
	go test -run '^$$' -bench . -benchmem ./...

build: ## bin/balsa
	go build -o bin/balsa ./cmd/balsa

release: ## archives, SBOMs, deb and rpm for all platforms, in dist
	cd packaging && go run . $(if $(VERSION),-version $(VERSION))

proto: ## generate the API's code anew
	cd tools && go run ./genproto

reference: ## write the reference of commands, flags and metrics anew
	go test -count=1 ./cmd/balsa -run DocumentsOfReference -rewrite
	go test -count=1 ./internal/metrics -run Reference -rewrite

fmt: ## format all Go files
	gofmt -w .

ci: ## everything that CI runs
	@bash .ci/run
