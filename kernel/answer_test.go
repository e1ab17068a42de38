package kernel_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// TestRefusal: a refused call is denied for as long as the refusal lasts, and each
// time it is asked.
func TestRefusal(t *testing.T) {
	_, k := enforcing(t)
	asked := escalates(t, k, transfer(1001))
	answers(t, k, asked.ID, false)
	for range 2 {
		if d := decides(t, k, transfer(1001), helm.Deny, helm.ApprovalRefused); used(t, d) != asked.ID {
			t.Fatalf("the refusal names %q, not %s", used(t, d), asked.ID)
		}
	}
	escalates(t, k, transfer(1002))
}

// TestAnswersThatCannotBe: each is an error with a code, records nothing, and
// leaves the approval as it was.
func TestAnswersThatCannotBe(t *testing.T) {
	s, k := enforcing(t)
	escalated := func(amount int) *kernel.Decision { return escalates(t, k, transfer(amount)) }
	approved, refused, usedUp, open := escalated(1001), escalated(1002), escalated(1003), escalated(1004)
	answers(t, k, approved.ID, true)
	answers(t, k, refused.ID, false)
	answers(t, k, usedUp.ID, true)
	allow := allowedBy(t, k, transfer(1003), usedUp)
	waiting := decides(t, k, transfer(1004), helm.Escalate, overLimit)
	deny := decides(t, k, transfer(1000001), helm.Deny, "PAYMENT_HUGE")

	for _, c := range []struct {
		name, id  string
		principal string
		code      helm.Code
		says      string
	}{
		{"approved already", approved.ID, "operator:p", helm.Conflict, "approved already"},
		{"by its index", fmt.Sprint(approved.Index), "operator:p", helm.Conflict, "approved already"},
		{"refused already", refused.ID, "operator:p", helm.Conflict, "refused already"},
		{"used already", usedUp.ID, "operator:p", helm.Conflict, "used already"},
		{"an id that is none", "no-such-id", "operator:p", helm.NotFound, "neither an id"},
		{"an unknown id", strings.Repeat("ab", 32), "operator:p", helm.NotFound, "not found"},
		{"the id in capitals", strings.ToUpper(open.ID), "operator:p", helm.NotFound, "neither an id"},
		{"an index past the end", "100000", "operator:p", helm.NotFound, "not found"},
		{"a negative index", "-1", "operator:p", helm.NotFound, "neither an id"},
		{"an index with a plus", fmt.Sprintf("+%d", open.Index), "operator:p", helm.NotFound, "neither an id"},
		{"no id", "", "operator:p", helm.NotFound, "neither an id"},
		{"genesis", "0", "operator:p", helm.NotFound, "not found"},
		{"an ALLOW", allow.ID, "operator:p", helm.NotFound, "not found"},
		{"a DENY", deny.ID, "operator:p", helm.NotFound, "not found"},
		{"an ESCALATE that waits for another", waiting.ID, "operator:p", helm.NotFound, "not found"},
	} {
		for _, approve := range []bool{true, false} {
			_, err := k.Answer(t.Context(), kernel.Answer{ID: c.id, Approve: approve, Principal: c.principal, Boundary: "http"})
			t.Run(fmt.Sprintf("%s/%v", c.name, approve), func(t *testing.T) {
				wantCode(t, err, c.code)
				if !strings.Contains(err.Error(), c.says) {
					t.Fatalf("the error does not say %q: %v", c.says, err)
				}
			})
		}
	}

	_, err := k.Answer(t.Context(), kernel.Answer{ID: open.ID, Approve: true, Principal: "agent:pay", Boundary: "http"})
	wantCode(t, err, helm.Forbidden) // its own call
	if size := k.Log().Size(); size != deny.Index+1 {
		t.Fatalf("an answer that cannot be was recorded: the log has %d entries", size)
	}
	allowedBy(t, k, transfer(1001), approved)
	answers(t, k, open.ID, true)
	allowedBy(t, k, transfer(1004), open)

	s.set(s.clock().Add(expires))
	_, err = k.Answer(t.Context(), kernel.Answer{ID: usedUp.ID, Approve: true, Principal: "operator:o", Boundary: "http"})
	wantCode(t, err, helm.Conflict)
	if !strings.Contains(err.Error(), "used already") {
		t.Fatalf("the use is forgotten after the expiry: %v", err)
	}
}

// TestAnsweredAtOnce: of many answers at once, approvals and refusals, one counts.
func TestAnsweredAtOnce(t *testing.T) {
	s, k := enforcing(t)
	other := s.kernel()
	asked := escalates(t, k, transfer(1001))
	errs := make([]error, 16)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			on := []*kernel.Kernel{k, other}[i%2]
			_, errs[i] = on.Answer(t.Context(), kernel.Answer{ID: asked.ID, Approve: i%4 < 2, Principal: fmt.Sprintf("operator:%d", i), Boundary: "http"})
		})
	}
	wg.Wait()
	var recorded []bool
	for i, err := range errs {
		if err == nil {
			recorded = append(recorded, i%4 < 2)
		} else {
			wantCode(t, err, helm.Conflict)
		}
	}
	if len(recorded) != 1 {
		t.Fatalf("%d answers were recorded", len(recorded))
	}
	if recorded[0] {
		allowedBy(t, k, transfer(1001), asked)
	} else {
		decides(t, k, transfer(1001), helm.Deny, helm.ApprovalRefused)
	}
}

// TestAnswerSaysWhat: the signed answer names the call, its input, who answered and
// of what grade that is.
func TestAnswerSaysWhat(t *testing.T) {
	_, k := enforcing(t)
	asked := escalates(t, k, transfer(1001))
	st := statement(t, answers(t, k, asked.ID, true).Statement)
	was := statement(t, asked.Statement)
	b := st.Body.(*receipt.Approval)
	if b.Agent != "agent.pay" || b.Session != "s1" || b.Escalation.Index != asked.Index || b.Answer != receipt.AnswerApprove ||
		b.Grade != receipt.GradeOperator || b.Principal != "operator:o" || b.Approver != "operator:o" || !b.Expires.Equal(asked.Approval.Expires) ||
		b.Input != was.Subject.SHA256 || st.Subject.SHA256 != receipt.StatementHash(asked.Statement) {
		t.Fatalf("the answer says %+v of %+v", b, st.Subject)
	}
}

// TestApprovalIsForOnePolicy: under other bytes the call is decided anew, and the
// old approval can neither be used nor answered.
func TestApprovalIsForOnePolicy(t *testing.T) {
	_, k := enforcing(t)
	approved, open := escalates(t, k, transfer(2001)), escalates(t, k, transfer(2002))
	nowSmall := escalates(t, k, transfer(1001))
	answers(t, k, approved.ID, true)
	activate(t, k, payments(2, helm.Enforce))

	if pending, err := k.Approvals(t.Context(), false); err != nil || len(pending) != 0 {
		t.Fatalf("%d wait under a policy that is no longer active, %v", len(pending), err)
	}
	_, err := k.Answer(t.Context(), kernel.Answer{ID: open.ID, Approve: true, Principal: "operator:o", Boundary: "http"})
	wantCode(t, err, helm.Conflict)
	decides(t, k, transfer(1001), helm.Allow, helm.AllowedByRule)
	if w, err := k.Approval(t.Context(), nowSmall.ID); err != nil || !w.Void {
		t.Fatalf("what the call no longer needs is %+v, %v", w, err)
	}
	again := escalates(t, k, transfer(2001))
	answers(t, k, again.ID, true)
	allowedBy(t, k, transfer(2001), again)
}
