# See CONTRIBUTING.md.
SHELL := /bin/bash
GO ?= go
FUZZTIME ?= 1m
BENCHFLAGS ?=
PLATFORMS ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)
LDFLAGS := -s -w -X github.com/helm-ai-kernel/helm-ai-kernel/internal/cli.version=$(VERSION)

# Run by version, not by a tool directive: what they depend on would else be in go.mod,
# and in the way of the versions that the program itself needs. The checksum
# database holds them to what everybody gets.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0

.PHONY: all build demo test parts lint cross fuzz bench cover release clean

all: build

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

# The five-minute proof: a server of its own, an agent that works, evidence that
# verifies, and one changed byte that does not.
demo: build
	bin/helm-ai-kernel demo

test: parts
	$(GO) test -race -timeout 9m ./...

# The real parts that tests run: openssl, ssh-keygen, sha256sum, python3, curl, jq, a C
# compiler for the race detector; and from npm MCP servers, a client and the conformance suite.
parts:
	@bash internal/testparts/install.sh
	@bash internal/testparts/mcp.sh >/dev/null

lint: cross
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$unformatted" ]; then echo "not gofmt-ed:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) test -count=1 ./internal/deptest
	$(GO) mod tidy -diff
	@bash internal/testparts/govulncheck.sh $(GOVULNCHECK)

cross:
	GOOS=darwin GOARCH=arm64 CGO_ENABLED=0 $(GO) build -o /dev/null ./cmd/helm-ai-kernel
	GOOS=windows GOARCH=amd64 CGO_ENABLED=0 $(GO) build -o /dev/null ./cmd/helm-ai-kernel
	GOOS=darwin GOARCH=arm64 CGO_ENABLED=0 $(GO) build -o /dev/null ./cmd/helm-verify
	GOOS=windows GOARCH=amd64 CGO_ENABLED=0 $(GO) build -o /dev/null ./cmd/helm-verify

# Every fuzz target, FUZZTIME each.
fuzz:
	@set -e -o pipefail; pkgs=$$($(GO) list ./...); for pkg in $$pkgs; do \
	  targets=$$($(GO) test -list '^Fuzz' $$pkg | sed -n '/^Fuzz/p'); \
	  for target in $$targets; do \
	    echo "== $$pkg $$target"; \
	    $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s $$pkg; \
	  done; \
	done

# The budgets beside what this machine reaches now; see docs/performance.md.
bench:
	$(GO) run ./internal/bench $(BENCHFLAGS)

# What of the code the tests run, over all packages.
cover: parts
	$(GO) test -timeout 9m -coverpkg ./... -coverprofile cover.out ./...
	$(GO) tool cover -func cover.out | tail -n 1

# The binaries that are published, with their hashes. The same source and the same
# toolchain give the same bytes.
release:
	rm -rf dist
	@set -e; for target in $(PLATFORMS); do \
	  out=dist/$${target%/*}-$${target#*/}/; mkdir -p $$out; echo $$out; \
	  GOOS=$${target%/*} GOARCH=$${target#*/} CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o $$out ./cmd/...; \
	done
	cd dist && sha256sum */* > SHA256SUMS

clean:
	rm -rf bin dist cover.out evidence-pack.tar

# The real hosts, from npm, against the hooks: needs Node on linux-x64, and about 900 MB for a moment.
.PHONY: test-hosts
test-hosts:
	d=$$(mktemp -d) && trap 'rm -rf "$$d"' EXIT && npm install --silent --no-audit --no-fund --prefix "$$d" \
	  @anthropic-ai/claude-code@2.1.197 @openai/codex@0.169.0 @google/gemini-cli@0.61.0 && \
	HELM_TEST_HOSTS="$$d" $(GO) test ./internal/hosttest -v -count=1
