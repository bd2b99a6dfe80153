# Copyhold: `make run` shows it, and `make test` proves it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
GO    ?= go
BIN   := bin/copyhold
# Without -trimpath, the program, its panics, and its profile would contain paths of the build machine.
BUILD := $(GO) build -trimpath
PROFILE := bench/copyhold.pgo
export CGO_ENABLED ?= 0
LINT_VERSION := v2.15.0
VULN_VERSION := v1.9.0
ACTIONLINT_VERSION := v1.7.12
SDK_MODULES := sdk/copyholdgrpc sdk/copyholdopenfeature sdk/copyholdotel

.PHONY: help run build test deploy release tidy bench torture lint vulnerable profile vectors clean

help: ## print this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

run: ## start Copyhold with a working example on 127.0.0.1:7400
	@mkdir -p bin
	@$(BUILD) -o $(BIN) ./cmd/copyhold
	@exec $(BIN) demo $(ARGS)

build: ## build bin/copyhold, optimized with a profile of its work: a tenth faster; the first build takes a few minutes
	@mkdir -p bin
	$(BUILD) -pgo=$(PROFILE) -o $(BIN) ./cmd/copyhold

test: ## run all tests except the long ones: both engines, race detector, SDK as a separate module
	@bash scripts/test.sh

deploy: ## check the files in deploy and the workflow: Helm, Kubernetes, Compose, actionlint; the first run takes a few minutes
	$(GO) run github.com/rhysd/actionlint/cmd/actionlint@$(ACTIONLINT_VERSION)
	cd deploy && GOWORK=off $(GO) vet ./... && GOWORK=off $(GO) test -count=1 ./...

release: ## build archives, an image, bills of materials, and checksums of HEAD into dist, and check them; ARGS='-verify' only checks
	cd deploy && GOWORK=off $(GO) run ./release $(ARGS)

tidy: ## run go mod tidy with the SDK of this tree, tagged or not
	@proxy=$$(mktemp -d); trap 'rm -rf "$$proxy"' EXIT; \
	(cd deploy && GOWORK=off $(GO) run ./release -proxy "$$proxy/files"); \
	GOFLAGS=-modcacherw GOMODCACHE="$$proxy/cache" GONOSUMDB=copyhold.dev \
	  GOPROXY="file://$$proxy/files,file://$$($(GO) env GOMODCACHE)/cache/download,$$($(GO) env GOPROXY)" $(GO) mod tidy; \
	sed -i.bak '/^copyhold.dev\/sdk /d' go.sum && rm go.sum.bak
	cd sdk && GOWORK=off $(GO) mod tidy
	for module in $(SDK_MODULES); do (cd $$module && GOWORK=off $(GO) mod tidy); done
	cd deploy && GOWORK=off $(GO) mod tidy

bench: build ## measure against yardsticks in the same run, or against an earlier program with ARGS='-old PATH'; write bench.json
	$(GO) run ./bench $(ARGS)

torture: build ## run the long tests: kills, power loss, races, mutants
	@bash scripts/torture.sh $(ARGS)

lint: ## run golangci-lint with the chosen linters in every module
	@command -v golangci-lint >/dev/null || test -x "$$($(GO) env GOPATH)/bin/golangci-lint" || $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	PATH="$$PATH:$$($(GO) env GOPATH)/bin" golangci-lint run ./...
	cd sdk && GOWORK=off PATH="$$PATH:$$($(GO) env GOPATH)/bin" golangci-lint run -c ../.golangci.yml ./...
	for module in $(SDK_MODULES); do (cd $$module && GOWORK=off PATH="$$PATH:$$($(GO) env GOPATH)/bin" golangci-lint run -c ../../.golangci.yml ./...); done
	cd deploy && GOWORK=off PATH="$$PATH:$$($(GO) env GOPATH)/bin" golangci-lint run -c ../.golangci.yml ./...

vulnerable: ## find known vulnerabilities in the code that the program calls, with govulncheck
	$(GO) run golang.org/x/vuln/cmd/govulncheck@$(VULN_VERSION) ./...

profile: ## measure a new profile of the server's work for make build
	$(BUILD) -pgo=off -o $(BIN) ./cmd/copyhold
	$(GO) run ./bench -only hot-sqlite -pairs 3 -out /dev/null -profile bin/hot.pgo
	$(GO) run ./bench -only validate -pairs 3 -out /dev/null -profile bin/validate.pgo
	$(GO) run ./bench -only hot-postgres -pairs 3 -out /dev/null -profile bin/postgres.pgo
	$(GO) tool pprof -proto bin/hot.pgo bin/postgres.pgo bin/validate.pgo | gzip -dc | perl -0pe 's{\Q$(CURDIR)\E}{"." x length($$&)}ge' | gzip -9n > $(PROFILE)

vectors: ## regenerate the known-answer vectors of the document format
	cd sdk && GOWORK=off $(GO) run ./license/testdata/generate

clean: ## remove build output (keeps the demo's data)
	rm -rf bin bench.json dist
