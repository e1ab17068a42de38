package kernel_test

import (
	"fmt"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// TestCallDone: a call that has an outcome, of whichever status, is denied however
// often it comes, under another policy too; each denial is a receipt of its own and
// opens the way to no other.
func TestCallDone(t *testing.T) {
	for amount, verdict := range map[int]helm.Verdict{1: helm.Allow, 1000001: helm.Deny, 1001: helm.Escalate} {
		for _, status := range []helm.OutcomeStatus{helm.OutcomeOK, helm.OutcomeError, helm.OutcomeTimeout, helm.OutcomeNotExecuted} {
			t.Run(fmt.Sprintf("%s/%s", verdict, status), func(t *testing.T) {
				s, k := enforcing(t)
				c := transfer(amount)
				c.CallID = "c1"
				first := decidesAny(t, k, c)
				if d := decidesAny(t, k, c); first.Verdict != verdict || !d.Repeated || d.ID != first.ID {
					t.Fatalf("before the outcome it is %s %+v", first.Verdict, d)
				}
				outcome := reports(t, k, ended(first, status, `{"n":1}`))
				var last *kernel.Decision
				for _, k := range []*kernel.Kernel{k, s.kernel(), k} {
					d := decides(t, k, c, helm.Deny, helm.CallAlreadyDone)
					if d.Repeated || d.Rule != "kernel:call_id" || last != nil && d.Index == last.Index || d.Approval != nil || used(t, d) != "" {
						t.Fatalf("the denial is %+v", d)
					}
					last = d
				}
				activate(t, k, payments(2, helm.Enforce))
				decides(t, k, c, helm.Deny, helm.CallAlreadyDone)
				other := transfer(amount + 1)
				other.CallID = c.CallID
				decides(t, k, other, helm.Deny, helm.CallIDReused)

				// A call that was made nevertheless can be reported: it is an outcome of its denial.
				bypass := reports(t, k, ended(last, helm.OutcomeOK, ""))
				if b := statement(t, bypass.Statement).Body.(*receipt.Outcome); b.Verdict != helm.Deny || b.Decision != refOf(t, last.Recorded) || bypass.Conflict {
					t.Fatalf("what bypassed the boundary is recorded as %+v", b)
				}
				r := ended(first, status, `{"n":1}`)
				r.Decision, r.Agent, r.Session, r.CallID = "", c.Agent, c.Session, c.CallID
				if again := reports(t, k, r); !again.Repeated || again.ID != outcome.ID {
					t.Fatalf("the call_id stands for entry %d, not %d", again.Decision.Index, first.Index)
				}
			})
		}
	}
}

// TestCallIDUnderAnotherPolicy: an ALLOW or a DENY is decided anew, and stays the
// answer from then on.
func TestCallIDUnderAnotherPolicy(t *testing.T) {
	s, k := enforcing(t)
	for amount, verdict := range map[int]helm.Verdict{1: helm.Allow, 1000001: helm.Deny} {
		c := transfer(amount)
		c.CallID = fmt.Sprint(amount)
		was := decidesAny(t, k, c)
		for _, version := range []int{2, 1} { // the first policy again is another one, too
			activate(t, k, payments(version, helm.Enforce))
			d := decidesAny(t, s.kernel(), c)
			if d.Verdict != verdict || d.Repeated || d.ID == was.ID || underPolicy(t, d) != payments(version, helm.Enforce).SHA256() {
				t.Fatalf("under version %d it is %+v", version, d)
			}
			if again := decidesAny(t, k, c); !again.Repeated || again.ID != d.ID {
				t.Fatalf("entry %d is not entry %d again", again.Index, d.Index)
			}
			was = d
		}
	}
}

// TestCallIDWhileFrozen: the freeze is looked at before the call_id, and a call
// that met it was not looked at: it may come again.
func TestCallIDWhileFrozen(t *testing.T) {
	_, k := enforcing(t)
	done, waits, fresh := transfer(1), transfer(2), transfer(3)
	done.CallID, waits.CallID, fresh.CallID = "done", "waits", "fresh"
	reports(t, k, ended(decidesAny(t, k, done), helm.OutcomeOK, ""))
	before := decidesAny(t, k, waits)
	freezes(t, k)
	other := transfer(4)
	other.CallID = "waits"
	var met *kernel.Decision
	for _, c := range []helm.Call{done, waits, other, fresh, fresh} {
		d := decides(t, k, c, helm.Deny, helm.Frozen)
		if d.Repeated || met != nil && d.Index == met.Index {
			t.Fatalf("the denial of %s is entry %d again", c.CallID, d.Index)
		}
		met = d
	}
	reports(t, k, ended(met, helm.OutcomeNotExecuted, "")) // of the denial; the call itself is not done
	reports(t, k, ended(before, helm.OutcomeOK, ""))       // it was under way when the freeze came
	unfreezes(t, k)
	decides(t, k, done, helm.Deny, helm.CallAlreadyDone)
	decides(t, k, waits, helm.Deny, helm.CallAlreadyDone)
	decides(t, k, other, helm.Deny, helm.CallIDReused)
	if d := decides(t, k, fresh, helm.Allow, helm.AllowedByRule); d.Repeated {
		t.Fatal("a call that only met the freeze is a repeat")
	}
}

// TestShadowCallID: in shadow mode a repeat is the same receipt too, and what is
// done is denied without being blocked.
func TestShadowCallID(t *testing.T) {
	s := newSite(t)
	k := s.kernel()
	activate(t, k, payments(1, helm.Shadow))
	for _, amount := range []int{1, 1001, 1000001} {
		c := transfer(amount)
		c.CallID = fmt.Sprint(amount)
		first := decidesAny(t, k, c)
		if d := decidesAny(t, k, c); !d.Repeated || d.ID != first.ID || d.Enforced || d.Approval != nil {
			t.Fatalf("again it is %+v", d)
		}
		o := reports(t, k, ended(first, helm.OutcomeOK, ""))
		if b := statement(t, o.Statement).Body.(*receipt.Outcome); b.Enforced || b.Verdict != first.Verdict {
			t.Fatalf("the outcome says %+v", b)
		}
		if d := decides(t, k, c, helm.Deny, helm.CallAlreadyDone); d.Enforced {
			t.Fatal("shadow mode blocks")
		}
	}
}
