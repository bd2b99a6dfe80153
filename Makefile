# Copyhold: `make run` to see it, `make test` to trust it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
GO    ?= go
BIN   := bin/copyhold
export CGO_ENABLED ?= 0
LINT_VERSION := v2.15.0

.PHONY: help run build test bench torture lint vectors clean

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

run: build ## start Copyhold with a working example on 127.0.0.1:7400
	@exec $(BIN) demo $(ARGS)

build: ## build bin/copyhold
	@mkdir -p bin
	$(GO) build -o $(BIN) ./cmd/copyhold

test: ## everything but the long faults: both engines, race detector, SDK alone
	@bash scripts/test.sh

bench: build ## measure against yardsticks in the same run; writes bench.json
	$(GO) run ./bench $(ARGS)

torture: build ## long faults: kills, lost power, races, mutants
	@bash scripts/torture.sh $(ARGS)

lint: ## golangci-lint with the chosen list
	@command -v golangci-lint >/dev/null || test -x "$$($(GO) env GOPATH)/bin/golangci-lint" || $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	PATH="$$PATH:$$($(GO) env GOPATH)/bin" golangci-lint run ./...
	cd sdk && GOWORK=off PATH="$$PATH:$$($(GO) env GOPATH)/bin" golangci-lint run -c ../.golangci.yml ./...

vectors: ## write the known-answer vectors of the document format anew
	cd sdk && GOWORK=off $(GO) run ./license/testdata/generate

clean: ## remove what was built (the demo's data stays)
	rm -rf bin bench.json
