package cli

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/helm-ai-kernel/helm-ai-kernel/access"
	"github.com/helm-ai-kernel/helm-ai-kernel/boundary/httpapi"
	"github.com/helm-ai-kernel/helm-ai-kernel/internal/hosts"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
	"github.com/helm-ai-kernel/helm-ai-kernel/policy"
)

// An asking is how a hook or a proxy reaches a kernel: over a server, or with --embedded
// one in this very process, over the same store as any others.
type asking struct {
	embedded bool
	policy   string // file, or "": the log's active policy
	home     home
}

// embeddedBoundary is the boundary of calls that no server saw.
const embeddedBoundary = "embedded"

func (k *asking) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&k.embedded, "embedded", false, "ask no server: open the log of the home in this process. The agent's user can then read the log's key")
	f.StringVar(&k.policy, "policy", "", "with --embedded: the policy file; default: the policy that the log shows active")
	k.home.flags(cmd)
}

// toApprove is the command that approves a call, where the log that was asked is found: who
// answers has the same environment perhaps, and not the command line that asked. Where no
// server runs there is none to answer to.
func (a *app) toApprove(k *asking, id string) string {
	command := hosts.CommandLine("helm-ai-kernel", append([]string{"approvals", "approve", id}, a.given...)...)
	if !k.embedded {
		return command
	}
	serve := append([]string{"serve", "--policy", cmp.Or(k.policy, "FILE")}, a.given...) // under another, what was asked is void
	if k.home.store != "" {
		serve = append(serve, "--store", k.home.store)
	}
	return command + ", while a server runs over this log: " + hosts.CommandLine("helm-ai-kernel", serve...)
}

// reach returns a client of the kernel that is to be asked, and what ends it.
func (a *app) reach(ctx context.Context, k *asking) (*client, func() error, error) {
	if !k.embedded {
		if k.policy != "" {
			return nil, nil, usagef("--policy belongs to --embedded: a server has its own")
		}
		c, err := a.client(false)
		return c, func() error { return nil }, err
	}
	k.home.dir = a.home
	return a.embed(ctx, k)
}

// embed opens the log and answers the HTTP API without a network: what comes of a call is
// the same, whichever way it is asked.
func (a *app) embed(ctx context.Context, k *asking) (_ *client, _ func() error, err error) {
	go policy.Warm() // a failure comes again where it counts
	var src []byte
	if k.policy != "" {
		if src, err = os.ReadFile(k.policy); err != nil {
			return nil, nil, fmt.Errorf("read policy: %w", err)
		}
	}
	var p *policy.Policy // where it has to be activated
	open := func() (*ledger.Log, io.Closer, error) {
		log, store, err := k.home.open(ctx, -1)
		if errors.Is(err, errNoLog) && src != nil {
			if p, err = policy.Compile(k.policy, src); err != nil {
				return nil, nil, err // a policy that is refused leaves no home behind
			}
			log, store, _, err = k.home.openOrCreate(ctx, -1)
		}
		return log, store, err
	}
	log, store, err := open()
	if err != nil {
		return nil, nil, err
	}
	end := func() error { return errors.Join(log.Close(), store.Close()) }
	defer func() {
		if err != nil {
			err = errors.Join(err, end())
		}
	}()
	tokens, err := access.Open(k.home.tokens())
	if err != nil {
		return nil, nil, err
	}
	kern := kernel.New(log, time.Now)
	if src != nil && p == nil {
		// Most hooks name the policy that is active: it was compiled and tested when it became so.
		if active, err := kern.IsActive(ctx, sha256.Sum256(src)); err != nil {
			return nil, nil, err
		} else if !active {
			if p, err = policy.Compile(k.policy, src); err != nil {
				return nil, nil, err
			}
		}
	}
	if p != nil {
		if _, err := kern.Activate(ctx, p, starter); err != nil {
			return nil, nil, fmt.Errorf("activate the policy: %w", err)
		}
	}
	api := httpapi.New(httpapi.Config{Kernel: kern, Tokens: tokens, Anonymous: true, Version: versionString(), Boundary: embeddedBoundary,
		Status: func() (httpapi.Process, error) { return httpapi.Process{}, errors.New("this process is no server") }})
	c := &client{base: &url.URL{Scheme: "http", Host: "localhost"}, noToken: "this command sends none of its own accord", http: &http.Client{Transport: inProcess{api.Handler()}}}
	if a.token != "" {
		c.token, err = readToken(a.token)
	}
	return c, func() error { api.Close(); return end() }, err
}

// inProcess hands requests to a handler.
type inProcess struct{ handler http.Handler }

// RoundTrip implements http.RoundTripper.
func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	served := r.Clone(r.Context())
	served.Host, served.RequestURI = r.URL.Host, r.URL.RequestURI()
	if served.Body == nil {
		served.Body = http.NoBody
	}
	a := &answered{header: http.Header{}, status: http.StatusOK}
	t.handler.ServeHTTP(a, served)
	return &http.Response{Status: http.StatusText(a.status), StatusCode: a.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: a.header,
		Body: io.NopCloser(&a.body), ContentLength: int64(a.body.Len()), Request: r}, nil
}

// answered is an http.ResponseWriter.
type answered struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answered) Header() http.Header         { return a.header }
func (a *answered) WriteHeader(status int)      { a.status = status }
func (a *answered) Write(b []byte) (int, error) { return a.body.Write(b) }
