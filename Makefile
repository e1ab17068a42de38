# See CONTRIBUTING.md.
SHELL := /bin/bash
GO ?= go
FUZZTIME ?= 1m
BENCHFLAGS ?=

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)
LDFLAGS := -s -w -X github.com/helm-ai-kernel/helm-ai-kernel/internal/cli.version=$(VERSION)

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0

.PHONY: all build demo test parts lint cross fuzz bench clean

all: build

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

# The five-minute proof: a server of its own, an agent that works, evidence that
# verifies, and one changed byte that does not.
demo: build
	bin/helm-ai-kernel demo

test: parts
	$(GO) test -race -timeout 9m ./...

# The real parts that tests run: openssl, ssh-keygen, sha256sum, python3, a C compiler
# for the race detector.
parts:
	@bash internal/testparts/install.sh

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
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "== $$pkg $$target"; \
	    $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$pkg; \
	  done; \
	done

# The budgets beside what this machine reaches now; see docs/performance.md.
bench:
	$(GO) run ./internal/bench $(BENCHFLAGS)

clean:
	rm -rf bin evidence-pack.tar
