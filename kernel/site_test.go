package kernel_test

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger/sqlite"
	"github.com/helm-ai-kernel/helm-ai-kernel/policy"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// A site is one log on one SQLite file that any number of kernels open, each over
// a store of its own, as processes do. When the test ends, the log is opened once
// more and checked whole.
type site struct {
	t    testing.TB
	opts ledger.Options
	path string

	mu  sync.Mutex
	now time.Time // guarded by mu
}

func newSite(t testing.TB) *site {
	dir := t.TempDir()
	s := &site{t: t, path: filepath.Join(dir, "log.db"), now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	s.opts = ledger.Options{Key: ed25519.NewKeyFromSeed([]byte("0123456789abcdef0123456789abcdef")), Now: s.clock,
		HighWater: filepath.Join(dir, "high-water"), Reserve: filepath.Join(dir, "reserve")}
	store := s.store()
	if err := ledger.Create(t.Context(), store, "helm.test/0123456789abcdef0123456789abcdef", s.opts); err != nil {
		t.Fatal(err)
	}
	store.Close()
	t.Cleanup(func() {
		store := s.store()
		defer store.Close()
		log, err := ledger.Open(context.Background(), store, s.opts)
		if err != nil {
			t.Errorf("the log does not open again: %v", err)
			return
		}
		if err := log.Check(context.Background(), nil); err != nil {
			t.Errorf("the log does not check: %v", err)
		}
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *site) store() *sqlite.Store {
	s.t.Helper()
	store, err := sqlite.Open(s.path)
	if err != nil {
		s.t.Fatal(err)
	}
	return store
}

// clock is the time that every kernel of the site sees. It goes on by set alone.
func (s *site) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *site) set(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = t
}

// kernel opens the log as another process would.
func (s *site) kernel() *kernel.Kernel {
	s.t.Helper()
	return s.kernelOver(s.store())
}

func (s *site) kernelOver(store ledger.Store) *kernel.Kernel {
	s.t.Helper()
	log, err := ledger.Open(context.Background(), store, s.opts)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		log.Close()
		store.Close()
	})
	return kernel.New(log, s.clock)
}

// enforcing is a kernel of a new site, under payments(1, "enforce").
func enforcing(t testing.TB) (*site, *kernel.Kernel) {
	t.Helper()
	s := newSite(t)
	k := s.kernel()
	activate(t, k, payments(1, helm.Enforce))
	return s, k
}

const expires = 15 * time.Minute // of what payments escalates

// payments lets small transfers pass, asks about those over 1000 times the
// version, and denies those over a million.
func payments(version int, mode helm.Mode) *policy.Policy {
	p, err := policy.Compile("payments.toml", fmt.Appendf(nil, `
[policy]
id = "payments"
version = %d
format = "helm.policy/v1"
mode = %q

[[tool]]
name = "pay.transfer"
args = { amount = "int", to = "string" }

[[tool]]
name = "pay.refund"
args = { amount = "int", to = "string" }

[[rule]]
id = "small"
verdict = "ALLOW"
tools = ["pay.transfer", "pay.refund"]

[[rule]]
id = "large"
verdict = "ESCALATE"
reason = "PAYMENT_OVER_LIMIT"
tools = ["pay.transfer", "pay.refund"]
when = "args.amount > %d"
approvers = { expires = "15m" }

[[rule]]
id = "huge"
verdict = "DENY"
reason = "PAYMENT_HUGE"
tools = ["pay.transfer", "pay.refund"]
when = "args.amount > 1000000"
`, version, mode, 1000*version))
	if err != nil {
		panic(err)
	}
	return p
}

func activate(t testing.TB, k *kernel.Kernel, p *policy.Policy) kernel.Recorded {
	t.Helper()
	r, err := k.Activate(context.Background(), p, "operator:o")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func transfer(amount int) helm.Call {
	return helm.Call{Agent: "agent.pay", Session: "s1", Tool: "pay.transfer", Principal: "agent:pay", Boundary: "http",
		Arguments: json.RawMessage(fmt.Sprintf(`{"amount":%d,"to":"acct_9"}`, amount))}
}

// decides puts a call to a kernel, and fails the test unless the answer has that
// verdict and code.
func decides(t testing.TB, k *kernel.Kernel, c helm.Call, verdict helm.Verdict, code helm.Code) *kernel.Decision {
	t.Helper()
	d, err := k.Decide(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	if d.Verdict != verdict || d.Reason.Code != code {
		t.Fatalf("%s of %s: %s %s (%s), not %s %s", c.Tool, c.Arguments, d.Verdict, d.Reason.Code, d.Reason.Message, verdict, code)
	}
	return d
}

const overLimit helm.Code = "PAYMENT_OVER_LIMIT"

// escalates puts a call that must open an approval of its own.
func escalates(t testing.TB, k *kernel.Kernel, c helm.Call) *kernel.Decision {
	t.Helper()
	d := decides(t, k, c, helm.Escalate, overLimit)
	if d.Approval == nil || d.Approval.ID != d.ID {
		t.Fatalf("entry %d opens no approval of its own: it waits for %+v", d.Index, d.Approval)
	}
	return d
}

func answers(t testing.TB, k *kernel.Kernel, id string, approve bool) kernel.Recorded {
	t.Helper()
	r, err := k.Answer(context.Background(), kernel.Answer{ID: id, Approve: approve, Principal: "operator:o", Boundary: "http"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// used is the id of the approval that a decision's signed statement names, or "".
func used(t testing.TB, d *kernel.Decision) string {
	t.Helper()
	st, err := receipt.ParseStatement(d.Statement)
	if err != nil {
		t.Fatal(err)
	}
	ref := st.Body.(*receipt.Decision).Approval
	if ref == nil {
		return ""
	}
	return hex.EncodeToString(ref.ID[:])
}

// allowedBy fails the test unless the call is allowed by exactly that approval.
func allowedBy(t testing.TB, k *kernel.Kernel, c helm.Call, escalation *kernel.Decision) *kernel.Decision {
	t.Helper()
	d := decides(t, k, c, helm.Allow, helm.Approved)
	if got := used(t, d); got != escalation.ID {
		t.Fatalf("entry %d names the approval %q, not %s", d.Index, got, escalation.ID)
	}
	return d
}

func wantCode(t testing.TB, err error, code helm.Code) {
	t.Helper()
	var e *kernel.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("the error is %v (%T), not one with the code %s", err, err, code)
	}
}
