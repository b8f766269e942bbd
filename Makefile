# Petal: `make` alone lists the targets.

SHELL     := /bin/sh
GO        ?= go
CACHE     := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/petal
LINT      := $(CACHE)/golangci-lint-v2.15.0/golangci-lint
GOVULN    := golang.org/x/vuln/cmd/govulncheck@v1.9.0
FUZZTIME  ?= 30s
SOAKTIME  ?= 10m
PACKAGES  ?= ./...
# The race detector leaves out what is not ours and only computes: pictures are
# drawn, and compressed, ten times as fast. All that calls it is looked at. None of it
# hands data on by atomic operations, which would go unnoticed there.
UNRACED   := gonum.org/v1/... go.yaml.in/... git.sr.ht/... golang.org/x/image/... github.com/golang/freetype/... \
             image/... compress/... golang.org/x/crypto/... modernc.org/sqlite/lib
# With -trimpath a new clone uses what another has compiled; make lint vets.
TESTFLAGS ?= -race -trimpath -vet=off -timeout=30m -ldflags=-w $(UNRACED:%=-gcflags=%=-race=false)
SOURCES   := $(shell find cmd internal -type f -not -name '*_test.go' -not -path '*/testdata/*' 2>/dev/null) go.mod go.sum
FUZZED     = $(sort $(dir $(shell grep -rl --include='*_test.go' '^func Fuzz' cmd internal tests)))

.DEFAULT_GOAL := help
.PHONY: help build run up down bootstrap test test-parity lint fmt bench soak test-spec fuzz vulncheck clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "  make %-11s %s\n", $$1, $$2}'

build: bin/api bin/trainer ## build bin/api and bin/trainer

bin/api bin/trainer &: $(SOURCES)
	@mkdir -p bin
	$(GO) build -o bin/ ./cmd/api ./cmd/trainer
	@touch bin/api bin/trainer

# A setting of the environment or of .env wins over the loopback address here.
run: build ## train where needed, then serve on http://localhost:8000 until Ctrl-C
	@bin/trainer train --allow-unpromoted
	@[ -n "$$API_ADDRESS" ] || grep -Eqs '^(export )?API_ADDRESS=.' .env || export API_ADDRESS=127.0.0.1:8000; \
	exec bin/api serve

up: ## start the whole stack in Docker, wait until it is healthy, say where it is
	@deploy/up

down: ## stop the stack; users, models and history stay in volumes
	@docker compose down

bootstrap: ## install what the tests need beside Go (make test does it by itself)
	@$(GO) run -trimpath ./tests/testenv/bootstrap

test: ## run every test against the real MLflow, DVC, scikit-learn and onnxruntime
	@$(GO) run -trimpath ./tests/runner $(TESTFLAGS) $(PACKAGES)

test-parity: ## compare estimators and metrics with scikit-learn on all fourteen data sets
	PETAL_PARITY=all $(GO) test -count=1 -timeout=30m ./internal/learn/parity

lint: $(LINT) ## check the code's form, gosec among the checks
	@$(LINT) run $(PACKAGES)

fmt: $(LINT) ## format the code
	@$(LINT) fmt

# Built from source with golangci-lint's own pins, checked by Go's checksum
# database, and kept outside the work tree.
$(LINT):
	@echo "building golangci-lint (once; some minutes)"
	@GOBIN=$(@D) GOFLAGS= $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

bench: ## run the benchmarks; the evaluator, training and the API (wrk) against others
	$(GO) test -run='^$$' -bench=. -benchmem $(PACKAGES)
	@$(GO) run ./tests/load/onnxbench
	@CI=true $(GO) test -tags=bench -count=1 -v -run=TestTrainingSideBySide ./tests/load/trainbench
	@CI=true $(GO) test -tags=bench -count=1 -v ./tests/load/httpbench
	@CI=true $(GO) test -tags=bench -count=1 -v -run=TestMakeRunWithNothingBuilt ./tests/e2e

soak: ## keep the API under load for SOAKTIME (10m): swaps, restarts, overload, slow clients, attacks
	@CI=true PETAL_SOAK=$(SOAKTIME) $(GO) test -tags=soak -count=1 -v -timeout=2h ./tests/load/soak
	@CI=true PETAL_HOSTILE=all $(GO) test -count=1 -v -timeout=1h ./tests/hostile

test-spec: ## send 2,000 requests made from the OpenAPI document and check the answers (schemathesis)
	@CI=true PETAL_SPEC_CASES=300 $(GO) test -count=1 -v -run=TestRequestsFromTheSpecification ./tests/clients

fuzz: ## fuzz each target for FUZZTIME (30s)
	@for package in $(FUZZED); do \
		for target in $$($(GO) test -list='^Fuzz' ./$$package | grep '^Fuzz'); do \
			echo "$$package $$target"; \
			$(GO) test -run='^$$' -fuzz="^$$target$$" -fuzztime=$(FUZZTIME) ./$$package || exit 1; \
		done; \
	done

vulncheck: ## look for known vulnerabilities (needs the network)
	$(GO) run $(GOVULN) ./...

clean: ## remove what was built; users, keys and models stay
	rm -rf bin dist coverage.out
