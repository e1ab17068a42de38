package kernel_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

func freezes(t testing.TB, k *kernel.Kernel) kernel.Recorded {
	t.Helper()
	r, err := k.Freeze(t.Context(), "operator:o", "http", "an incident")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func unfreezes(t testing.TB, k *kernel.Kernel) {
	t.Helper()
	if _, err := k.Unfreeze(t.Context(), "operator:o", "http", "it is over"); err != nil {
		t.Fatal(err)
	}
}

// TestFreeze: it denies at once in every process, is an entry that says who and
// why, and ends with unfreeze alone.
func TestFreeze(t *testing.T) {
	s, a := enforcing(t)
	b := s.kernel()
	decides(t, b, transfer(1), helm.Allow, helm.AllowedByRule)
	at := freezes(t, a)
	f := statement(t, at.Statement).Body.(*receipt.Freeze)
	if f.Principal != "operator:o" || f.Boundary != "http" || f.Reason != "an incident" {
		t.Fatalf("the entry says %+v", f)
	}
	for _, k := range []*kernel.Kernel{a, b, s.kernel()} { // the last opens a frozen log
		d := decides(t, k, transfer(1), helm.Deny, helm.Frozen)
		if d.Rule != "kernel:freeze" || !d.Enforced {
			t.Fatalf("the rule is %s, enforced %v", d.Rule, d.Enforced)
		}
		st, err := k.Status(t.Context())
		if err != nil || st.Frozen == nil || st.Frozen.Index != at.Index || st.Frozen.Reason != "an incident" {
			t.Fatalf("the status is %+v, %v", st, err)
		}
	}
	activate(t, b, payments(2, helm.Enforce)) // is no way around it
	decides(t, a, transfer(1), helm.Deny, helm.Frozen)
	unfreezes(t, b)
	for _, k := range []*kernel.Kernel{a, b} {
		decides(t, k, transfer(1), helm.Allow, helm.AllowedByRule)
	}
	freezes(t, b)
	decides(t, a, transfer(1), helm.Deny, helm.Frozen)
}

// TestFreezeTwice: a second freeze or unfreeze, or one without a reason, is a coded
// error and no entry.
func TestFreezeTwice(t *testing.T) {
	s, a := enforcing(t)
	b := s.kernel()
	size := func() uint64 {
		st, err := a.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return st.Log.Size
	}
	before := size()
	_, err := b.Unfreeze(t.Context(), "operator:o", "http", "not frozen")
	wantCode(t, err, helm.Conflict)
	for _, reason := range []string{"", strings.Repeat("x", receipt.MaxReasonBytes+1)} {
		_, err = a.Freeze(t.Context(), "operator:o", "http", reason)
		wantCode(t, err, helm.BadRequest)
	}
	freezes(t, a)
	_, err = b.Freeze(t.Context(), "operator:o", "http", "again")
	wantCode(t, err, helm.Conflict)
	if got := size(); got != before+1 {
		t.Fatalf("%d entries were recorded, not one", got-before)
	}
}

// TestFreezeBeatsApprovalsAndRepeats: neither an approval nor a receipt that was
// given before gets a call through; both are there again when it ends.
func TestFreezeBeatsApprovalsAndRepeats(t *testing.T) {
	_, k := enforcing(t)
	repeated := transfer(5)
	repeated.CallID = "c1"
	before := decides(t, k, repeated, helm.Allow, helm.AllowedByRule)
	asked := escalates(t, k, transfer(1001))
	answers(t, k, asked.ID, true)
	freezes(t, k)
	for range 2 {
		if d := decides(t, k, repeated, helm.Deny, helm.Frozen); d.Repeated {
			t.Fatal("the denial is marked repeated")
		}
		if d := decides(t, k, transfer(1001), helm.Deny, helm.Frozen); used(t, d) != "" {
			t.Fatal("the denial names the approval")
		}
		if d := decides(t, k, transfer(1002), helm.Deny, helm.Frozen); d.Approval != nil {
			t.Fatal("an approval was opened")
		}
	}
	unfreezes(t, k)
	if d := decides(t, k, repeated, helm.Allow, helm.AllowedByRule); !d.Repeated || d.ID != before.ID {
		t.Fatalf("the repeat is entry %d, not %d", d.Index, before.Index)
	}
	allowedBy(t, k, transfer(1001), asked)
}

// TestFreezeUnderLoad: no ALLOW has an index behind the freeze's, whichever of two
// processes answered it.
func TestFreezeUnderLoad(t *testing.T) {
	s, a := enforcing(t)
	b := s.kernel()
	var mu sync.Mutex
	var allowed []uint64
	underWay := make(chan struct{}, 1)
	signal := func() {
		select {
		case underWay <- struct{}{}:
		default:
		}
	}
	var wg sync.WaitGroup
	for _, k := range []*kernel.Kernel{a, a, a, b, b, b} {
		wg.Go(func() {
			defer signal()
			for {
				d, err := k.Decide(t.Context(), transfer(1))
				if err != nil {
					t.Error(err)
					return
				}
				if d.Verdict != helm.Allow {
					return
				}
				mu.Lock()
				allowed = append(allowed, d.Index)
				if len(allowed) == 50 {
					signal()
				}
				mu.Unlock()
			}
		})
	}
	<-underWay
	at := freezes(t, b)
	wg.Wait() // each caller was denied in the end
	for _, index := range allowed {
		if index > at.Index {
			t.Fatalf("entry %d is an ALLOW behind the freeze of entry %d", index, at.Index)
		}
	}
}

// TestShadow: nothing is blocked and no approval is opened, but a freeze blocks.
func TestShadow(t *testing.T) {
	s := newSite(t)
	k := s.kernel()
	activate(t, k, payments(1, helm.Shadow))
	for _, c := range []struct {
		amount  int
		verdict helm.Verdict
		code    helm.Code
	}{{1, helm.Allow, helm.AllowedByRule}, {1001, helm.Escalate, overLimit}, {1001, helm.Escalate, overLimit}, {1000001, helm.Deny, "PAYMENT_HUGE"}} {
		d := decides(t, k, transfer(c.amount), c.verdict, c.code)
		if d.Enforced || d.Approval != nil {
			t.Fatalf("%d: enforced %v, waits for %+v", c.amount, d.Enforced, d.Approval)
		}
	}
	freezes(t, k)
	for _, amount := range []int{1, 1001, 1000001} {
		if d := decides(t, k, transfer(amount), helm.Deny, helm.Frozen); !d.Enforced {
			t.Fatalf("%d: the freeze does not block", amount)
		}
	}
	unfreezes(t, k)
	activate(t, k, payments(2, helm.Enforce))
	escalates(t, k, transfer(2001)) // what was asked in shadow left nothing to use
}
