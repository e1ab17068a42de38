package kernel_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
	"github.com/helm-ai-kernel/helm-ai-kernel/policy"
)

// An approval answers the rules that asked. Where a later call of the same input
// meets another rule that asks, as one that looks at the time does, what was
// approved is not what is asked.
func TestApprovalOfOtherRules(t *testing.T) {
	s := newSite(t)
	k := s.kernel()
	p, err := policy.Compile("hours.toml", []byte(`
[policy]
id = "hours"
version = 1
format = "helm.policy/v1"
mode = "enforce"

[[tool]]
name = "pay.transfer"
args = { amount = "int", to = "string" }

[[rule]]
id = "large"
verdict = "ESCALATE"
tools = ["pay.transfer"]
when = "args.amount > 1000"

[[rule]]
id = "late"
verdict = "ESCALATE"
reason = "AFTER_HOURS"
tools = ["pay.transfer"]
when = "now.getMinutes() >= 10"
`))
	if err != nil {
		t.Fatal(err)
	}
	activate(t, k, p)
	asked := decides(t, k, transfer(2000), helm.Escalate, helm.EscalatedByRule)
	answers(t, k, asked.ID, true)
	s.set(s.clock().Add(6 * time.Minute)) // 03:10:05: within the approval's time
	d, err := k.Decide(t.Context(), transfer(2000))
	if err != nil {
		t.Fatal(err)
	}
	if d.Verdict != helm.Escalate || d.Approval == nil || d.Approval.ID == asked.ID {
		t.Fatalf("the approval of rule large alone gave %s, and two rules ask: %+v", d.Verdict, d.Approval)
	}
	answers(t, k, d.ID, true)
	allowedBy(t, k, transfer(2000), d)
}

// Another policy voids what waits and what was approved, and that the old one comes
// back does not bring them back.
func TestPolicyThereAndBack(t *testing.T) {
	_, k := enforcing(t)
	c := transfer(2002)
	c.CallID = "c1"
	approved, waits := escalates(t, k, transfer(2001)), escalates(t, k, c)
	answers(t, k, approved.ID, true)
	activate(t, k, payments(2, helm.Enforce))
	activate(t, k, payments(1, helm.Enforce))
	again := escalates(t, k, transfer(2001))
	escalates(t, k, c) // no repetition of what can no longer be answered
	_, err := k.Answer(t.Context(), kernel.Answer{ID: waits.ID, Approve: true, Principal: "operator:o", Boundary: "http"})
	wantCode(t, err, helm.Conflict)
	answers(t, k, again.ID, true)
	allowedBy(t, k, transfer(2001), again)
	if st, err := k.Status(t.Context()); err != nil || st.Counts.ApprovalsPending != 1 {
		t.Fatalf("%+v, %v: one is pending", st.Counts, err)
	}
}

// A flood of calls keeps no freeze out: it waits for room where a call is refused.
func TestFreezeBehindAFullQueue(t *testing.T) {
	_, k := enforcing(t)
	release, blocked := make(chan struct{}), make(chan struct{})
	var once, flood = sync.Once{}, sync.WaitGroup{}
	wait := func(*ledger.View) (*ledger.Draft, error) {
		once.Do(func() { close(blocked) })
		<-release
		return nil, errors.New("nothing to record")
	}
	flood.Go(func() { k.Log().Append(context.Background(), wait) })
	<-blocked
	for range ledger.MaxQueue {
		flood.Go(func() { k.Log().Append(context.Background(), wait) })
	}
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		_, err := k.Decide(ctx, transfer(1))
		cancel()
		if e := (*kernel.Error)(nil); errors.As(err, &e) && e.Code == helm.Overloaded {
			break
		}
	}
	frozen := make(chan error)
	go func() {
		_, err := k.Freeze(t.Context(), "operator:o", "http", "a flood")
		frozen <- err
	}()
	select {
	case err := <-frozen:
		t.Fatalf("the freeze did not wait: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	if err := <-frozen; err != nil {
		t.Fatal(err)
	}
	flood.Wait()
	decides(t, k, transfer(1), helm.Deny, helm.Frozen)
}
