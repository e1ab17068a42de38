package kernel_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// faulty is a store whose commits fail as they are told to.
type faulty struct {
	ledger.Store
	fault atomic.Pointer[fault] // nil: none
}

// A fault is how commits fail: what became of the rows, and the error. after says
// how many updates pass before it, once that it is of one update alone.
type fault struct {
	persisted bool
	err       error
	once      bool
	after     atomic.Int64
}

// due reports whether the next update fails.
func (f *fault) due() bool {
	if f == nil {
		return false
	}
	left := f.after.Add(-1)
	return left == -1 || left < -1 && !f.once
}

var (
	errIO      = errors.New("input/output error")
	errAborted = fmt.Errorf("%w: another process has been writing for long", ledger.ErrAborted)
	errFull    = fmt.Errorf("%w: %w: no space left on device", ledger.ErrAborted, ledger.ErrFull)
)

func (s *faulty) Update(ctx context.Context, write func(ledger.Writer) error) error {
	f := s.fault.Load()
	if !f.due() {
		return s.Store.Update(ctx, write)
	}
	err := s.Store.Update(ctx, func(w ledger.Writer) error {
		if err := write(w); err != nil || f.persisted {
			return err
		}
		return errors.New("rolled back by the test")
	})
	if f.persisted && err != nil {
		return err
	}
	return f.err
}

// enforcingOver is a kernel of a new site over a store that can be made to fail.
func enforcingOver(t testing.TB) (*site, *kernel.Kernel, *faulty) {
	t.Helper()
	s := newSite(t)
	store := &faulty{Store: s.store()}
	k := s.kernelOver(store)
	activate(t, k, payments(1, helm.Enforce))
	return s, k, store
}

// operations is everything that records, each with a call of its own.
func operations(k *kernel.Kernel, allowed, asked *kernel.Decision) map[string]func() error {
	ctx := context.Background()
	return map[string]func() error{
		"decide":   func() error { _, err := k.Decide(ctx, transfer(1)); return err },
		"deny":     func() error { _, err := k.Decide(ctx, transfer(1000001)); return err },
		"escalate": func() error { _, err := k.Decide(ctx, transfer(1009)); return err },
		"freeze":   func() error { _, err := k.Freeze(ctx, "operator:o", "http", "an incident"); return err },
		"activate": func() error { _, err := k.Activate(ctx, payments(2, helm.Enforce), "operator:o"); return err },
		"boundary": func() error { _, err := k.Boundary(ctx, "operator:o", "http", "start", "agents"); return err },
		"close": func() error {
			_, err := k.CloseSession(ctx, "agent.pay", "s1", "agent:pay", "http", receipt.CloseAPI)
			return err
		},
		"answer": func() error {
			_, err := k.Answer(ctx, kernel.Answer{ID: asked.ID, Approve: true, Principal: "operator:o", Boundary: "http"})
			return err
		},
		"report": func() error {
			_, err := k.Report(ctx, kernel.Report{Decision: allowed.ID, Status: helm.OutcomeOK, Principal: "agent:pay", Boundary: "http"})
			return err
		},
	}
}

// TestFailedCommit: after a commit of which nothing is known, whichever entry it
// was to record, there is no answer but KERNEL_STOPPED, the repeat of an earlier
// ALLOW included. A restart reads back what is there.
func TestFailedCommit(t *testing.T) {
	for _, persisted := range []bool{false, true} {
		for _, name := range []string{"decide", "deny", "escalate", "freeze", "activate", "boundary", "close", "answer", "report"} {
			t.Run(fmt.Sprintf("%s/persisted=%v", name, persisted), func(t *testing.T) {
				s, k, store := enforcingOver(t)
				repeat := transfer(5)
				repeat.CallID = "c1"
				allowed, asked := decides(t, k, repeat, helm.Allow, helm.AllowedByRule), escalates(t, k, transfer(1001))
				store.fault.Store(&fault{persisted: persisted, err: errIO})
				err := operations(k, allowed, asked)[name]()
				wantCode(t, err, helm.KernelStopped)
				if !errors.Is(err, errIO) {
					t.Fatalf("the error does not say why: %v", err)
				}
				store.fault.Store(nil) // the disk is well again; what is known is not
				for other, do := range operations(k, allowed, asked) {
					if err := do(); err == nil {
						t.Fatalf("%s was answered after the failed commit", other)
					} else {
						wantCode(t, err, helm.KernelStopped)
					}
				}
				_, err = k.Decide(t.Context(), repeat)
				wantCode(t, err, helm.KernelStopped)
				if st, err := k.Status(t.Context()); err != nil || !strings.Contains(st.Error, errIO.Error()) {
					t.Fatalf("the status does not say that it stopped: %+v, %v", st, err)
				}
				select {
				case <-k.Log().Failed():
				default:
					t.Fatal("whoever waits for a failure is not told")
				}
				size := asked.Index + 1
				if persisted {
					size++
				}
				readsBack(t, s, name, persisted, size, asked, repeat, allowed)
			})
		}
	}
}

// readsBack restarts and looks whether the one operation is in force or not.
func readsBack(t testing.TB, s *site, name string, persisted bool, size uint64, asked *kernel.Decision, repeat helm.Call, allowed *kernel.Decision) {
	t.Helper()
	k := s.kernel()
	if k.Log().Size() != size {
		t.Fatalf("the log has %d entries, not %d", k.Log().Size(), size)
	}
	if name == "freeze" && persisted {
		decides(t, k, transfer(1), helm.Deny, helm.Frozen)
		return
	}
	switch d := decidesAny(t, k, repeat); {
	case name == "report" && persisted:
		if d.Reason.Code != helm.CallAlreadyDone {
			t.Fatalf("the outcome is not there: %s %s", d.Verdict, d.Reason.Code)
		}
	case name == "activate" && persisted: // another policy: decided anew
		if d.Repeated || d.Verdict != helm.Allow {
			t.Fatalf("the repeat is entry %d, %s", d.Index, d.Verdict)
		}
		decides(t, k, transfer(1001), helm.Allow, helm.AllowedByRule)
		return
	case !d.Repeated || d.ID != allowed.ID:
		t.Fatalf("the repeat is entry %d, %s %s", d.Index, d.Verdict, d.Reason.Code)
	}
	if name == "answer" && persisted {
		allowedBy(t, k, transfer(1001), asked)
		return
	}
	if d := decides(t, k, transfer(1001), helm.Escalate, overLimit); used(t, d) != asked.ID {
		t.Fatalf("entry %d does not wait for %s", d.Index, asked.ID)
	}
}

func decidesAny(t testing.TB, k *kernel.Kernel, c helm.Call) *kernel.Decision {
	t.Helper()
	d, err := k.Decide(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
