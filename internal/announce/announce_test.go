package announce

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger/sqlite"
	"github.com/helm-ai-kernel/helm-ai-kernel/policy"
)

const asking = `[policy]
id = "test"
version = 1
format = "helm.policy/v1"
[[tool]]
name = "t.ask"
args = { n = "int" }
[[rule]]
id = "ask"
verdict = "ESCALATE"
tools = ["t.ask"]
`

func newKernel(t *testing.T) *kernel.Kernel {
	return newKernelOver(t, func(s ledger.Store) ledger.Store { return s })
}

func newKernelOver(t *testing.T, wrap func(ledger.Store) ledger.Store) *kernel.Kernel {
	t.Helper()
	file, err := sqlite.Open(filepath.Join(t.TempDir(), "log.db"))
	if err != nil {
		t.Fatal(err)
	}
	store := wrap(file)
	opts := ledger.Options{Key: ed25519.NewKeyFromSeed(make([]byte, 32)), Now: time.Now}
	if err := ledger.Create(t.Context(), store, "helm.test/1", opts); err != nil {
		t.Fatal(err)
	}
	log, err := ledger.Open(context.Background(), store, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close(); store.Close() })
	k := kernel.New(log, time.Now)
	p, err := policy.Compile("test.toml", []byte(asking))
	if err == nil {
		_, err = k.Activate(t.Context(), p, "operator:test")
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func ask(t *testing.T, k *kernel.Kernel, n int) string {
	t.Helper()
	d, err := k.Decide(t.Context(), helm.Call{Agent: "a", Session: "s", Tool: "t.ask", Arguments: fmt.Appendf(nil, `{"n":%d}`, n), Principal: "none", Boundary: "test"})
	if err != nil || d.Approval == nil {
		t.Fatal(d, err)
	}
	return d.ID
}

// A told message, as a receiver has it.
type told struct {
	id, signature, at string
	body              []byte
}

// A receiver is told of approvals, and answers with what fail says, 200 by default.
type receiver struct {
	mu   sync.Mutex
	all  []told
	fail func(n int, w http.ResponseWriter, r *http.Request) bool
}

func (rec *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	rec.mu.Lock()
	rec.all = append(rec.all, told{r.Header.Get("webhook-id"), r.Header.Get("webhook-signature"), r.Header.Get("webhook-timestamp"), b})
	n := len(rec.all)
	fail := rec.fail
	rec.mu.Unlock()
	if fail != nil {
		fail(n, w, r)
	}
}

func (rec *receiver) told() []told {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return append([]told(nil), rec.all...)
}

// until waits for something to become so.
func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	for range 1000 {
		if so() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("it never comes to this: %s", what)
}

func run(t *testing.T, c Config) (*Announcer, func()) {
	t.Helper()
	c.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	a := New(c)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); a.Run(ctx) }()
	end := sync.OnceFunc(func() { stop(); <-done })
	t.Cleanup(end)
	return a, end
}

var secret = []byte("0123456789abcdef0123456789abcdef")

// TestWebhook: a message is signed, says what is asked and not with which arguments, and
// comes again until it is taken.
func TestWebhook(t *testing.T) {
	k := newKernel(t)
	rec := &receiver{fail: func(n int, w http.ResponseWriter, _ *http.Request) bool {
		if n == 1 {
			w.WriteHeader(500)
		}
		return true
	}}
	server := httptest.NewServer(rec)
	defer server.Close()
	a, _ := run(t, Config{Kernel: k, URL: server.URL, Secret: secret})
	id := ask(t, k, 424242)
	until(t, "two messages", func() bool { return len(rec.told()) >= 2 })
	until(t, "one was delivered", func() bool { return a.Counts().Delivered == 1 })
	all := rec.told()
	for _, m := range all {
		if m.id != "approval-"+id || m.signature != Sign(secret, m.id, m.at, m.body) || !strings.HasPrefix(m.signature, "v1,") {
			t.Errorf("%+v", m)
		}
		if strings.Contains(string(m.body), "424242") || strings.Contains(string(m.body), "input") {
			t.Errorf("it holds the arguments: %s", m.body)
		}
		var got message
		if err := json.Unmarshal(m.body, &got); err != nil || got.Type != "approval.opened" || got.Data.ID != id || got.Data.Tool != "t.ask" || got.Data.Rule != "ask" || len(got.Data.Requires) != 1 || !strings.Contains(got.Data.Answer, id) {
			t.Errorf("%s: %v", m.body, err)
		}
	}
	if n := a.Counts(); n.Failed != 1 || n.Waiting != 0 || !strings.Contains(n.LastError, "500") {
		t.Errorf("%+v", n)
	}
	time.Sleep(300 * time.Millisecond)
	if n := len(rec.told()); n != 2 {
		t.Errorf("%d messages of one approval that was taken", n)
	}
}

// TestWebhookVector holds the signature to the example of Standard Webhooks' own text.
func TestWebhookVector(t *testing.T) {
	s, err := ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	if got := Sign(s, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`)); got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Error(got)
	}
	for _, bad := range []string{"", "whsec_", "whsec_AAAA", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 65)), "whsec_!!!"} {
		if _, err := ParseSecret(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// TestAnsweredEndsIt: what needs no answer any more is not told again, and a restart tells
// of what still does, under the same id.
func TestAnsweredEndsIt(t *testing.T) {
	k := newKernel(t)
	rec := &receiver{fail: func(_ int, w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(503); return true }}
	server := httptest.NewServer(rec)
	defer server.Close()
	a, end := run(t, Config{Kernel: k, URL: server.URL, Secret: secret})
	first, second := ask(t, k, 1), ask(t, k, 2)
	until(t, "both are told of", func() bool { return len(rec.told()) >= 2 })
	if _, err := k.Answer(t.Context(), kernel.Answer{ID: first, Approve: true, Principal: "operator:o", Boundary: "test"}); err != nil {
		t.Fatal(err)
	}
	until(t, "one waits", func() bool { return a.Counts().Waiting == 1 })
	end()
	before := len(rec.told())
	rec.mu.Lock()
	rec.fail = nil
	rec.mu.Unlock()
	b, _ := run(t, Config{Kernel: k, URL: server.URL, Secret: secret})
	until(t, "it is delivered", func() bool { return b.Counts().Delivered == 1 })
	for _, m := range rec.told()[before:] {
		if m.id != "approval-"+second {
			t.Errorf("%s is told of", m.id)
		}
	}
}

// TestHostileReceiver: one that hangs, redirects or sends without end stops neither
// decisions nor the server's end.
func TestHostileReceiver(t *testing.T) {
	k := newKernel(t)
	gone := make(chan struct{})
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirection was followed") }))
	defer elsewhere.Close()
	rec := &receiver{fail: func(n int, w http.ResponseWriter, r *http.Request) bool {
		switch n % 3 {
		case 0:
			select {
			case <-gone:
			case <-r.Context().Done():
			}
		case 1:
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		default:
			w.WriteHeader(200)
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					break
				}
			}
		}
		return true
	}}
	server := httptest.NewServer(rec)
	a, end := run(t, Config{Kernel: k, URL: server.URL, Secret: secret})
	for i := range 20 {
		began := time.Now()
		ask(t, k, i)
		if d := time.Since(began); d > 2*time.Second {
			t.Errorf("a decision took %s", d)
		}
	}
	until(t, "some failed", func() bool { return a.Counts().Failed > 0 })
	ended := make(chan struct{})
	go func() { end(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Error("it does not end")
	}
	close(gone)
	server.CloseClientConnections()
	server.Close()
}

// TestCommand: a program gets the message and nothing of the environment; one that fails
// is run again, and one that hangs is ended with the approval.
func TestCommand(t *testing.T) {
	k := newKernel(t)
	t.Setenv("HELM_PASSPHRASE", "a secret")
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	script := filepath.Join(dir, "tell")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nif [ ! -e "+dir+"/once ]; then : > "+dir+"/once; echo no >&2; exit 3; fi\n{ echo \"$1\"; cat; env; } > "+out+".tmp\nmv "+out+".tmp "+out+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	a, _ := run(t, Config{Kernel: k, Command: []string{script, "a b"}, Arguments: true})
	id := ask(t, k, 77)
	until(t, "it was run", func() bool { _, err := os.Stat(out); return err == nil })
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if s := string(b); !strings.HasPrefix(s, "a b\n{") || !strings.Contains(s, id) || !strings.Contains(s, `"input":{"arguments":{"n":77}}`) || strings.Contains(s, "a secret") {
		t.Errorf("%s", s)
	}
	if n := a.Counts(); n.Failed != 1 || !strings.Contains(n.LastError, "exit status 3: no") {
		t.Errorf("%+v", n)
	}
}

// TestHangingCommand: more commands that hang than there is room for keep no webhook waiting,
// and end with their approvals.
func TestHangingCommand(t *testing.T) {
	k := newKernel(t)
	dir := t.TempDir()
	script := filepath.Join(dir, "hang")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho $$ > "+dir+"/$$.pid\nexec sleep 300\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	rec := &receiver{}
	server := httptest.NewServer(rec)
	defer server.Close()
	a, _ := run(t, Config{Kernel: k, URL: server.URL, Secret: secret, Command: []string{script}})
	var ids []string
	for i := range 2 * parallel {
		ids = append(ids, ask(t, k, i))
	}
	until(t, "every webhook was sent", func() bool { return a.Counts().Delivered == 2*parallel })
	pids := func() []string { all, _ := filepath.Glob(dir + "/*.pid"); return all }
	until(t, "as many commands hang as may", func() bool { return len(pids()) == parallel })
	for _, id := range ids {
		if _, err := k.Answer(t.Context(), kernel.Answer{ID: id, Approve: true, Principal: "operator:o", Boundary: "test"}); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "all has ended", func() bool { return a.Counts().Waiting == 0 })
	for _, path := range pids() {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			t.Fatal(err)
		}
		if p, err := os.FindProcess(pid); err == nil && p.Signal(syscall.Signal(0)) == nil {
			t.Errorf("the command %d still runs", pid)
		}
	}
	if n := a.Counts(); n.Expired != 0 || n.Delivered != 2*parallel {
		t.Errorf("%+v", n)
	}
}

// TestExpired: what nobody could be told of in time is counted.
func TestExpired(t *testing.T) {
	k := newKernel(t)
	p, err := policy.Compile("test.toml", []byte(asking+"approvers = { expires = \"1s\" }\n"))
	if err == nil {
		_, err = k.Activate(t.Context(), p, "operator:test")
	}
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	a, _ := run(t, Config{Kernel: k, URL: server.URL, Secret: secret})
	ask(t, k, 1)
	until(t, "it has expired", func() bool { n := a.Counts(); return n.Expired == 1 && n.Waiting == 0 && n.Delivered == 0 })
}

// failing is a store of which so many reads fail.
type failing struct {
	ledger.Store
	fails atomic.Int64
}

func (s *failing) View(ctx context.Context, read func(ledger.Reader) error) error {
	if s.fails.Add(-1) >= 0 {
		return errors.New("the store has a weak moment")
	}
	return s.Store.View(ctx, read)
}

// TestFailingStore: an approval that could not be read as it was first looked at is announced
// all the same.
func TestFailingStore(t *testing.T) {
	var store *failing
	k := newKernelOver(t, func(s ledger.Store) ledger.Store { store = &failing{Store: s}; return store })
	rec := &receiver{}
	server := httptest.NewServer(rec)
	defer server.Close()
	a := New(Config{Kernel: k, URL: server.URL, Secret: secret, Log: slog.New(slog.DiscardHandler)})
	id := ask(t, k, 1)
	store.fails.Store(1) // at once: the log itself looks at its store each second, and would stop
	a.announce(t.Context(), id)
	if n := a.Counts(); n.Delivered != 1 || n.Failed != 1 || n.Waiting != 0 || !strings.Contains(n.LastError, "weak moment") {
		t.Errorf("%+v", n)
	}
}

func TestPlainErrors(t *testing.T) {
	if got := plain(fmt.Errorf("a: %w", errors.New("b"))).Error(); got != "b" {
		t.Error(got)
	}
}
