package kernel_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
)

// fills makes the next commit meet a full disk.
func fills(t testing.TB, k *kernel.Kernel, store *faulty) {
	t.Helper()
	store.fault.Store(&fault{err: errFull, once: true}) // then the reserve gives room
	_, err := k.Decide(t.Context(), transfer(1))
	wantCode(t, err, helm.NotRecorded)
	if !errors.Is(err, ledger.ErrFull) {
		t.Fatalf("the error does not say why: %v", err)
	}
}

// TestDiskFull: from then on each call is denied, enforced and recorded, whatever
// would allow it. Operators' entries are recorded still. A restart allows again.
func TestDiskFull(t *testing.T) {
	s, k, store := enforcingOver(t)
	repeat := transfer(5)
	repeat.CallID = "c1"
	first, asked := decides(t, k, repeat, helm.Allow, helm.AllowedByRule), escalates(t, k, transfer(1001))
	answers(t, k, asked.ID, true)
	open := escalates(t, k, transfer(1002))
	fills(t, k, store)

	next := open.Index + 1
	for _, c := range []helm.Call{transfer(1), repeat, repeat, transfer(1001), transfer(1002), transfer(1003), transfer(1000001)} {
		d := decides(t, k, c, helm.Deny, helm.DiskFull)
		if d.Repeated || !d.Enforced || d.Approval != nil || used(t, d) != "" || d.Index != next {
			t.Fatalf("the denial is %+v, not a new entry at %d", d, next)
		}
		next++
	}
	if _, err := k.Report(t.Context(), kernel.Report{Decision: first.ID, Status: helm.OutcomeOK, Principal: "agent:pay", Boundary: "http"}); err != nil {
		t.Fatal(err)
	}
	answers(t, k, open.ID, true)
	activate(t, k, payments(1, helm.Shadow))
	if d := decides(t, k, transfer(1), helm.Deny, helm.DiskFull); !d.Enforced {
		t.Fatal("shadow mode lets it pass")
	}
	freezes(t, k)
	decides(t, k, transfer(1), helm.Deny, helm.Frozen)
	unfreezes(t, k)
	activate(t, k, payments(1, helm.Enforce))
	if st, err := k.Status(t.Context()); err != nil || st.Degraded == "" || st.Error != "" {
		t.Fatalf("the status is %+v, %v", st, err)
	}

	if _, err := os.Stat(s.opts.Reserve); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the reserve was not given back: %v", err)
	}
	again := s.kernel()
	if st, err := os.Stat(s.opts.Reserve); err != nil || st.Size() != ledger.ReserveBytes {
		t.Fatalf("a restart makes no new reserve: %v", err)
	}
	anew := escalates(t, again, transfer(1001)) // shadow mode was another policy
	answers(t, again, anew.ID, true)
	allowedBy(t, again, transfer(1001), anew)
	decides(t, again, repeat, helm.Deny, helm.CallAlreadyDone)
	decides(t, k, transfer(1), helm.Deny, helm.DiskFull) // the old process does not recover by itself
}

// TestDiskFullTwice: when the reserve is used up too, the log stops.
func TestDiskFullTwice(t *testing.T) {
	_, k, store := enforcingOver(t)
	fills(t, k, store)
	decides(t, k, transfer(1), helm.Deny, helm.DiskFull)
	store.fault.Store(&fault{err: errFull})
	for range 2 {
		_, err := k.Decide(t.Context(), transfer(1))
		wantCode(t, err, helm.KernelStopped)
		store.fault.Store(nil)
	}
}

// TestDiskFullWithoutReserve: then it stops at once.
func TestDiskFullWithoutReserve(t *testing.T) {
	s := newSite(t)
	s.opts.Reserve = ""
	store := &faulty{Store: s.store()}
	k := s.kernelOver(store)
	activate(t, k, payments(1, helm.Enforce))
	store.fault.Store(&fault{err: errFull})
	for range 2 {
		_, err := k.Decide(t.Context(), transfer(1))
		wantCode(t, err, helm.KernelStopped)
		store.fault.Store(nil)
	}
}

// TestAborted: where it is sure that nothing was written, that is what is said, and
// the kernel goes on as if nothing had been asked: the approval is there, the old
// policy is in force.
func TestAborted(t *testing.T) {
	_, k, store := enforcingOver(t)
	allowed, asked := decides(t, k, transfer(5), helm.Allow, helm.AllowedByRule), escalates(t, k, transfer(1001))
	answered := escalates(t, k, transfer(1002))
	size := answers(t, k, answered.ID, true).Index + 1
	store.fault.Store(&fault{err: errAborted})
	for _, do := range operations(k, allowed, asked) {
		wantCode(t, do(), helm.NotRecorded)
	}
	_, err := k.Decide(t.Context(), transfer(1002))
	wantCode(t, err, helm.NotRecorded)
	store.fault.Store(nil)
	if d := allowedBy(t, k, transfer(1002), answered); d.Index != size {
		t.Fatalf("it goes on at %d, not %d", d.Index, size)
	}
	if d := decides(t, k, transfer(1001), helm.Escalate, overLimit); used(t, d) != asked.ID {
		t.Fatalf("entry %d does not wait for %s", d.Index, asked.ID)
	}
	if d := decides(t, k, transfer(1500), helm.Escalate, overLimit); underPolicy(t, d) != payments(1, helm.Enforce).SHA256() {
		t.Fatal("the policy that could not be recorded is in force")
	}
}

// TestFaultsUnderLoad: a commit fails among 32 callers. No call that began after
// the first of them was told is allowed, and every ALLOW that was answered is in
// the log of the next start, at its index.
func TestFaultsUnderLoad(t *testing.T) {
	for _, c := range []struct {
		name      string
		err       error
		persisted bool
	}{{"not persisted", errIO, false}, {"persisted", errIO, true}, {"full", errFull, false}} {
		t.Run(c.name, func(t *testing.T) {
			s, k, store := enforcingOver(t)
			f := &fault{err: c.err, persisted: c.persisted, once: true}
			f.after.Store(10)
			store.fault.Store(f)
			var told atomic.Bool
			var mu sync.Mutex
			var allowed []*kernel.Decision
			var wg sync.WaitGroup
			for range 32 {
				wg.Go(func() {
					for late := 0; late < 3; {
						after := told.Load()
						d, err := k.Decide(context.Background(), transfer(1))
						switch {
						case err != nil:
							told.Store(true)
						case d.Verdict == helm.Allow && after:
							t.Errorf("entry %d was allowed after the fault", d.Index)
						case d.Verdict == helm.Allow:
							mu.Lock()
							allowed = append(allowed, d)
							mu.Unlock()
						case d.Reason.Code != helm.DiskFull:
							t.Errorf("entry %d is %s", d.Index, d.Reason.Code)
						}
						if after {
							late++
						}
					}
				})
			}
			wg.Wait()
			if len(allowed) == 0 {
				t.Fatal("nothing was allowed before the fault")
			}
			holds(t, s.kernel(), allowed)
		})
	}
}

// holds fails the test unless each receipt is in the log, at its index.
func holds(t testing.TB, k *kernel.Kernel, ds []*kernel.Decision) {
	t.Helper()
	err := k.Log().View(t.Context(), func(v *ledger.View) error {
		for _, d := range ds {
			e, err := v.Entry(d.Index)
			if err != nil {
				return err
			}
			if fmt.Sprintf("%x", e.Leaf) != d.ID {
				return fmt.Errorf("entry %d is %x, the receipt says %s", d.Index, e.Leaf, d.ID)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
