package sqlite_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger/sqlite"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

var signer = ed25519.NewKeyFromSeed([]byte("0123456789abcdef0123456789abcdef"))

const origin = "helm.test/0123456789abcdef0123456789abcdef"

// A home is a log's files.
type home struct{ db, highWater string }

func newHome(t testing.TB) home {
	dir := t.TempDir()
	return home{filepath.Join(dir, "log.db"), filepath.Join(dir, "high-water")}
}

func (h home) options() ledger.Options {
	return ledger.Options{Key: signer, Now: time.Now, HighWater: h.highWater}
}

func (h home) create(t testing.TB) {
	t.Helper()
	s := openStore(t, h.db)
	defer s.Close()
	if err := ledger.Create(t.Context(), s, origin, h.options()); err != nil {
		t.Fatal(err)
	}
}

// open opens store and log; close closes both.
func (h home) open(ctx context.Context) (l *ledger.Log, s *sqlite.Store, close func() error, err error) {
	if s, err = sqlite.Open(h.db); err != nil {
		return nil, nil, nil, err
	}
	if l, err = ledger.Open(ctx, s, h.options()); err != nil {
		s.Close()
		return nil, nil, nil, err
	}
	return l, s, func() error {
		err := l.Close()
		if e := s.Close(); err == nil {
			err = e
		}
		return err
	}, nil
}

// with runs use on the open log.
func (h home) with(t testing.TB, use func(l *ledger.Log, s *sqlite.Store)) {
	t.Helper()
	l, s, close, err := h.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	use(l, s)
	if err := close(); err != nil {
		t.Fatal(err)
	}
}

func openStore(t testing.TB, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func record(t testing.TB, l *ledger.Log, d *ledger.Draft) *ledger.Appended {
	t.Helper()
	a, err := l.Append(context.Background(), func(v *ledger.View) (*ledger.Draft, error) {
		if b, ok := d.Body.(*receipt.Decision); ok {
			b.Now = v.Now()
			if b.Verdict == helm.Escalate {
				b.Escalation = &receipt.Escalation{Expires: b.Now.Add(time.Hour), Requires: []receipt.Requirement{{Rule: "r"}}}
			}
		}
		return d, nil
	})
	if err != nil {
		t.Error(err)
		return nil
	}
	return a
}

func decision(session, callID string, verdict helm.Verdict) *ledger.Draft {
	p := &ledger.Payload{Value: []byte(`{"arguments":{"amount":9007199254740993}}`)}
	copy(p.Secret[:], session+callID)
	v, err := strictjson.Parse(p.Value)
	if err != nil {
		panic(err)
	}
	lines, err := receipt.Flatten(v)
	if err != nil {
		panic(err)
	}
	return &ledger.Draft{Agent: "agent", Session: session, Payload: p,
		Subject: receipt.Subject{Name: receipt.SubjectInput, SHA256: receipt.Commit(&p.Secret, lines)},
		Body: &receipt.Decision{Agent: "agent", Session: session, CallID: callID, Principal: "none", Boundary: "test", Tool: "pay.transfer",
			Verdict: verdict, Mode: helm.Enforce, Enforced: true, Rule: "default", Reason: helm.Reason{Code: helm.DefaultDeny, Message: "no rule matched"},
			Policy: receipt.PolicyRef{ID: "p", Version: 1, Format: "f", Engine: "e"}}}
}

func about(a *ledger.Appended, session string, body receipt.Body) *ledger.Draft {
	return &ledger.Draft{Agent: "agent", Session: session, Body: body,
		Subject: receipt.Subject{Name: receipt.SubjectStatement, SHA256: sha256.Sum256(a.Statement)}}
}

func ref(a *ledger.Appended) receipt.Ref { return receipt.Ref{ID: a.Leaf, Index: a.Index} }

// TestManyCallers: 64 callers, each with a session of its own, and a log that
// checks afterwards, and after it was opened again.
func TestManyCallers(t *testing.T) {
	h := newHome(t)
	h.create(t)
	const callers, each = 64, 10
	var mu sync.Mutex
	got := map[uint64]ledger.Hash{}
	h.with(t, func(l *ledger.Log, _ *sqlite.Store) {
		var wg sync.WaitGroup
		for c := range callers {
			wg.Go(func() {
				for i := range each {
					if a := record(t, l, decision(fmt.Sprint("s", c), fmt.Sprint(i), helm.Allow)); a != nil {
						mu.Lock()
						got[a.Index] = a.Leaf
						mu.Unlock()
					}
				}
			})
		}
		wg.Wait()
		if err := l.Check(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	})
	checkHeld(t, h, got, callers*each)
}

// checkHeld opens the log, which checks all of it, and looks for what callers hold.
func checkHeld(t testing.TB, h home, got map[uint64]ledger.Hash, want int) {
	t.Helper()
	h.with(t, func(l *ledger.Log, _ *sqlite.Store) {
		if !l.Audit().Done || len(got) != want || l.Size() != uint64(want)+1 {
			t.Fatalf("the callers hold %d entries of %d, the log has %d, the audit is %+v", len(got), want, l.Size(), l.Audit())
		}
		err := l.View(t.Context(), func(v *ledger.View) error {
			for index, leaf := range got {
				if n, err := v.FindID(leaf); err != nil || n != index {
					return fmt.Errorf("entry %d is at %d: %w", index, n, err)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// TestTwoLogs: two logs on one file, as two processes have them.
func TestTwoLogs(t *testing.T) {
	h := newHome(t)
	h.create(t)
	const logs, callers, each = 2, 16, 10
	var mu sync.Mutex
	got := map[uint64]ledger.Hash{}
	var wg sync.WaitGroup
	for n := range logs {
		wg.Go(func() {
			l, _, close, err := h.open(context.Background())
			if err != nil {
				t.Error(err)
				return
			}
			var wg sync.WaitGroup
			for c := range callers {
				wg.Go(func() {
					for i := range each {
						if a := record(t, l, decision(fmt.Sprint("s", c), fmt.Sprint(n, "-", i), helm.Deny)); a != nil {
							mu.Lock()
							got[a.Index] = a.Leaf
							mu.Unlock()
						}
					}
				})
			}
			wg.Wait()
			if err := close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	checkHeld(t, h, got, logs*callers*each)
}

// TestOneCallerBesideALoad: a process with one caller gets its turn beside one that
// never pauses.
func TestOneCallerBesideALoad(t *testing.T) {
	h := newHome(t)
	h.create(t)
	done := make(chan struct{})
	var wg sync.WaitGroup
	h.with(t, func(busy *ledger.Log, _ *sqlite.Store) {
		for c := range 64 {
			wg.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-done:
						return
					default:
						record(t, busy, decision(fmt.Sprint("busy", c), fmt.Sprint(i), helm.Deny))
					}
				}
			})
		}
		h.with(t, func(l *ledger.Log, _ *sqlite.Store) {
			var worst time.Duration
			for i := range 10 {
				began := time.Now()
				record(t, l, decision("one", fmt.Sprint(i), helm.Deny))
				worst = max(worst, time.Since(began))
			}
			if worst > 3*time.Second {
				t.Errorf("its slowest call took %v", worst)
			}
			t.Logf("its slowest call took %v", worst)
		})
		close(done)
		wg.Wait()
	})
}
