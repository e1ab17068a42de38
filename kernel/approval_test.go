package kernel_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// TestApprovalIsUsedOnce: asked, asked again while it waits, approved, allowed, and
// from then on as if it had never been.
func TestApprovalIsUsedOnce(t *testing.T) {
	_, k := enforcing(t)
	asked := escalates(t, k, transfer(1001))
	if again := decides(t, k, transfer(1001), helm.Escalate, overLimit); again.Approval == nil || again.Approval.ID != asked.ID || used(t, again) != asked.ID {
		t.Fatalf("asked again while it waits, it waits for %+v, not for %s", again.Approval, asked.ID)
	}
	answers(t, k, asked.ID, true)
	done := allowedBy(t, k, transfer(1001), asked)
	a, err := k.Approval(t.Context(), asked.ID)
	if err != nil || a.State != ledger.ApprovalUsed || a.Used != done.Index {
		t.Fatalf("the approval is %+v, %v", a, err)
	}
	next := escalates(t, k, transfer(1001))
	if next.ID == asked.ID {
		t.Fatal("the used approval was opened again")
	}
	st := statement(t, done.Statement)
	if was := statement(t, asked.Statement); st.Subject != was.Subject {
		t.Fatalf("allowed was %x, asked about %x: a verifier cannot see that it is one input", st.Subject.SHA256, was.Subject.SHA256)
	}
}

func statement(t testing.TB, b []byte) *receipt.Statement {
	t.Helper()
	st, err := receipt.ParseStatement(b)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// TestApprovalsInEveryState: all are listed, each in the one state that says what
// became of it, with what still decides something first.
func TestApprovalsInEveryState(t *testing.T) {
	s, k := enforcing(t)
	list := func(all bool) (states string) {
		t.Helper()
		approvals, err := k.Approvals(t.Context(), all)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range approvals {
			states += w.State + " "
		}
		return states
	}
	used := escalates(t, k, transfer(1001))
	answers(t, k, used.ID, true)
	allowedBy(t, k, transfer(1001), used)
	answers(t, k, escalates(t, k, transfer(1002)).ID, true)
	answers(t, k, escalates(t, k, transfer(1003)).ID, false)
	escalates(t, k, transfer(1004))
	if got := list(false); got != "pending " {
		t.Errorf("there wait %s", got)
	}
	if got := list(true); got != "approved refused pending used " {
		t.Errorf("there are %s", got)
	}
	activate(t, k, payments(2, helm.Enforce))
	if got := list(true); got != "void refused void used " {
		t.Errorf("under another policy there are %s", got)
	}
	escalates(t, k, transfer(2001))
	s.set(s.clock().Add(expires))
	escalates(t, k, transfer(2002)) // it drops what expired from the open ones
	if got := list(true); got != "pending expired expired refused expired used " {
		t.Errorf("later there are %s", got)
	}
}

// TestApprovalIsUsedOnceAtOnce: 32 callers put the approved call at once, with and
// without a call_id. One of them is allowed; what the same call_id gives again is
// that one's receipt, and says so.
func TestApprovalIsUsedOnceAtOnce(t *testing.T) {
	for _, id := range []string{"", "c1"} {
		t.Run("call_id="+id, func(t *testing.T) {
			_, k := enforcing(t)
			c := transfer(1001)
			c.CallID = id
			asked := escalates(t, k, c)
			answers(t, k, asked.ID, true)
			onlyOne(t, race(t, 32, c, k), asked)
		})
	}
}

// race puts a call n times at once, to the kernels in turn.
func race(t testing.TB, n int, c helm.Call, ks ...*kernel.Kernel) []*kernel.Decision {
	t.Helper()
	out := make([]*kernel.Decision, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range out {
		wg.Go(func() {
			<-start
			d, err := ks[i%len(ks)].Decide(context.Background(), c)
			if err != nil {
				t.Error(err)
			}
			out[i] = d
		})
	}
	close(start)
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return out
}

// onlyOne fails the test unless the approval was used up by one entry.
func onlyOne(t testing.TB, ds []*kernel.Decision, asked *kernel.Decision) {
	t.Helper()
	fresh, entries := 0, map[uint64]bool{}
	for _, d := range ds {
		switch {
		case d.Verdict == helm.Allow && used(t, d) != asked.ID:
			t.Fatalf("entry %d is allowed by %q", d.Index, used(t, d))
		case d.Verdict == helm.Allow:
			entries[d.Index] = true
			if !d.Repeated {
				fresh++
			}
		case d.Verdict != helm.Escalate:
			t.Fatalf("entry %d is %s %s", d.Index, d.Verdict, d.Reason.Code)
		}
	}
	if fresh != 1 || len(entries) != 1 {
		t.Fatalf("%d callers were allowed by the one approval, in %d entries", fresh, len(entries))
	}
}

// TestApprovalIsForOneInput: what differs in anything that was asked about is
// asked about on its own.
func TestApprovalIsForOneInput(t *testing.T) {
	for name, change := range map[string]func(*helm.Call){
		"one digit":             func(c *helm.Call) { c.Arguments = []byte(`{"amount":1002,"to":"acct_9"}`) },
		"one character":         func(c *helm.Call) { c.Arguments = []byte(`{"amount":1001,"to":"acct_8"}`) },
		"another tool":          func(c *helm.Call) { c.Tool = "pay.refund" },
		"another session":       func(c *helm.Call) { c.Session = "s2" },
		"another agent":         func(c *helm.Call) { c.Agent = "agent.other" },
		"another principal":     func(c *helm.Call) { c.Principal = "agent:other" },
		"nobody authenticated":  func(c *helm.Call) { c.Principal = helm.PrincipalNone },
		"a context":             func(c *helm.Call) { c.Context = []byte(`{"cwd":"/"}`) },
		"an empty context":      func(c *helm.Call) { c.Context = []byte(`{}`) },
		"the names run into it": func(c *helm.Call) { c.Agent, c.Session = "agent.pays", "1" },
	} {
		t.Run(name, func(t *testing.T) {
			_, k := enforcing(t)
			asked := escalates(t, k, transfer(1001))
			answers(t, k, asked.ID, true)
			other := transfer(1001)
			change(&other)
			escalates(t, k, other)
			allowedBy(t, k, transfer(1001), asked) // it is still there for what was approved
		})
	}
}

// TestApprovalIsForAnyWriting: the same values are the same input, however the JSON
// is written, whatever the call_id and the boundary.
func TestApprovalIsForAnyWriting(t *testing.T) {
	_, k := enforcing(t)
	asked := escalates(t, k, transfer(1001))
	answers(t, k, asked.ID, true)
	c := transfer(0)
	c.CallID, c.Boundary = "c9", "mcp"
	c.Arguments = json.RawMessage(` { "to" : "\u0061cct_9" , "amount" : 1001 } `)
	allowedBy(t, k, c, asked)
}

// TestDenyBeatsApproval: an approval stands for the ESCALATE rules alone.
func TestDenyBeatsApproval(t *testing.T) {
	_, k := enforcing(t)
	asked := escalates(t, k, transfer(999999))
	answers(t, k, asked.ID, true)
	decides(t, k, transfer(1000001), helm.Deny, "PAYMENT_HUGE")
	c := transfer(0)
	c.Arguments = json.RawMessage(`{"amount":"1001","to":"acct_9"}`)
	decides(t, k, c, helm.Deny, helm.ArgumentsInvalid)
	allowedBy(t, k, transfer(999999), asked)
}

// TestApprovalExpires: the last instant is the one before the time that the
// ESCALATE named.
func TestApprovalExpires(t *testing.T) {
	for _, at := range []struct {
		name string
		late time.Duration
		live bool
	}{{"just before", -time.Microsecond, true}, {"at", 0, false}, {"just after", time.Microsecond, false}, {"a day late", 24 * time.Hour, false}} {
		t.Run(at.name, func(t *testing.T) {
			s, k := enforcing(t)
			approved, refused, open := escalates(t, k, transfer(1001)), escalates(t, k, transfer(1002)), escalates(t, k, transfer(1003))
			want := s.clock().Add(expires)
			if !approved.Approval.Expires.Equal(want) {
				t.Fatalf("it expires at %s, not %s", approved.Approval.Expires, want)
			}
			answers(t, k, approved.ID, true)
			answers(t, k, refused.ID, false)
			s.set(want.Add(at.late))
			pending, err := k.Approvals(t.Context(), false)
			if err != nil || len(pending) == 1 != at.live {
				t.Fatalf("%d wait, %v", len(pending), err)
			}
			_, err = k.Answer(t.Context(), kernel.Answer{ID: open.ID, Approve: true, Principal: "operator:o", Boundary: "http"})
			if at.live {
				if err != nil {
					t.Fatal(err)
				}
				allowedBy(t, k, transfer(1001), approved)
				decides(t, k, transfer(1002), helm.Deny, helm.ApprovalRefused)
				return
			}
			wantCode(t, err, helm.Conflict)
			if !strings.Contains(err.Error(), "expired at "+receipt.FormatTime(want)) {
				t.Fatalf("the error does not say when it expired: %v", err)
			}
			escalates(t, k, transfer(1001))
			escalates(t, k, transfer(1002)) // a refusal lasts as long as what it answered
		})
	}
}

// TestClockBackwards: a clock that is set back revives nothing that has expired by
// the log's own time.
func TestClockBackwards(t *testing.T) {
	s, k := enforcing(t)
	asked := escalates(t, k, transfer(1001))
	answers(t, k, asked.ID, true)
	before := s.clock()
	s.set(before.Add(expires))
	decides(t, k, transfer(1), helm.Allow, helm.AllowedByRule)
	s.set(before)
	if d := escalates(t, k, transfer(1001)); d.Time.Before(before.Add(expires)) {
		t.Fatalf("entry %d is of %s, before the one before it", d.Index, d.Time)
	}
	_, err := k.Answer(t.Context(), kernel.Answer{ID: fmt.Sprint(asked.Index), Approve: false, Principal: "operator:o", Boundary: "http"})
	wantCode(t, err, helm.Conflict)
}
