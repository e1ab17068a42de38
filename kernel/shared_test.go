package kernel_test

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
	"github.com/helm-ai-kernel/helm-ai-kernel/policy"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// TestApprovalAcrossProcesses: asked by one process, answered in another, put to
// both at once: one of them allows, once.
func TestApprovalAcrossProcesses(t *testing.T) {
	s, a := enforcing(t)
	b := s.kernel()
	for round := range 5 {
		c := transfer(1001 + round)
		asked := escalates(t, a, c)
		answers(t, b, asked.ID, true)
		onlyOne(t, race(t, 16, c, a, b), asked)
	}
}

// TestAskedAtOnceAcrossProcesses: the same call put to two processes at once opens
// one approval, for which all wait.
func TestAskedAtOnceAcrossProcesses(t *testing.T) {
	s, a := enforcing(t)
	b := s.kernel()
	waits := map[string]int{}
	for _, d := range race(t, 32, transfer(1001), a, b) {
		if d.Verdict != helm.Escalate || d.Approval == nil {
			t.Fatalf("entry %d is %s and waits for %+v", d.Index, d.Verdict, d.Approval)
		}
		waits[d.Approval.ID]++
	}
	if len(waits) != 1 {
		t.Fatalf("%d approvals were opened: %v", len(waits), waits)
	}
}

// TestCallIDAcrossProcesses: a repeat is one in whichever process it comes, at once
// or later, and so is the end of the call.
func TestCallIDAcrossProcesses(t *testing.T) {
	s, a := enforcing(t)
	b := s.kernel()
	c := transfer(1)
	c.CallID = "c1"
	fresh := 0
	var first *kernel.Decision
	for _, d := range race(t, 16, c, a, b) {
		if first != nil && d.Index != first.Index {
			t.Fatalf("the call has the entries %d and %d", first.Index, d.Index)
		}
		if first = d; !d.Repeated {
			fresh++
		}
	}
	if fresh != 1 {
		t.Fatalf("%d answers are not marked repeated", fresh)
	}
	if _, err := b.Report(t.Context(), kernel.Report{Decision: first.ID, Status: helm.OutcomeOK, Principal: c.Principal, Boundary: c.Boundary}); err != nil {
		t.Fatal(err)
	}
	decides(t, a, c, helm.Deny, helm.CallAlreadyDone)
}

// TestFreezeAtOnceAcrossProcesses: one freeze is recorded, the others are told.
func TestFreezeAtOnceAcrossProcesses(t *testing.T) {
	s, a := enforcing(t)
	ks := []*kernel.Kernel{a, s.kernel()}
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { _, errs[i] = ks[i%2].Freeze(t.Context(), fmt.Sprintf("operator:%d", i), "http", "at once") })
	}
	wg.Wait()
	recorded := 0
	for _, err := range errs {
		if err == nil {
			recorded++
		} else {
			wantCode(t, err, helm.Conflict)
		}
	}
	if recorded != 1 {
		t.Fatalf("%d freezes were recorded", recorded)
	}
}

// TestPolicyAcrossProcesses: what one process activates is in force in the other
// from its next decision on, out of the bytes in the store, and so is a policy that
// comes back.
func TestPolicyAcrossProcesses(t *testing.T) {
	s := newSite(t)
	a := s.kernel()
	lax, strict := payments(2, helm.Enforce), payments(1, helm.Enforce)
	activate(t, a, lax)
	b := s.kernel()
	decides(t, b, transfer(1500), helm.Allow, helm.AllowedByRule)
	for range 2 {
		activate(t, a, strict)
		d := decides(t, b, transfer(1500), helm.Escalate, overLimit)
		if got := underPolicy(t, d); got != strict.SHA256() {
			t.Fatalf("entry %d names the policy %x, active is %x", d.Index, got, strict.SHA256())
		}
		activate(t, a, lax)
		decides(t, b, transfer(1500), helm.Allow, helm.AllowedByRule)
	}
	activate(t, a, payments(2, helm.Shadow))
	if d := decides(t, b, transfer(2001), helm.Escalate, overLimit); d.Enforced {
		t.Fatal("the other process still enforces")
	}
}

func underPolicy(t testing.TB, d *kernel.Decision) receipt.Hash {
	t.Helper()
	return statement(t, d.Statement).Body.(*receipt.Decision).Policy.SHA256
}

// TestPolicyReloadUnderLoad: while one process activates two policies in turn, each
// decision of both is under the policy that the log shows active where it stands,
// and is what that one says.
func TestPolicyReloadUnderLoad(t *testing.T) {
	s := newSite(t)
	a, b := s.kernel(), s.kernel()
	ps := []*policy.Policy{payments(1, helm.Enforce), payments(2, helm.Enforce)}
	verdict := map[receipt.Hash]helm.Verdict{ps[0].SHA256(): helm.Escalate, ps[1].SHA256(): helm.Allow}
	activate(t, a, ps[0])
	var wg sync.WaitGroup
	done := make(chan struct{})
	for _, k := range []*kernel.Kernel{a, a, b, b} {
		wg.Go(func() {
			for {
				if _, err := k.Decide(t.Context(), transfer(1500)); err != nil {
					t.Error(err)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for i := range 30 {
		activate(t, a, ps[(i+1)%2])
	}
	close(done)
	wg.Wait()
	var active receipt.Hash
	seen := map[helm.Verdict]int{}
	err := a.Log().View(t.Context(), func(v *ledger.View) error {
		for e, err := range v.Entries(0, v.Size()) {
			if err != nil {
				return err
			}
			switch body := statement(t, e.Statement).Body.(type) {
			case *receipt.Policy:
				active = body.Policy.SHA256
			case *receipt.Decision:
				seen[body.Verdict]++
				if body.Policy.SHA256 != active || body.Verdict != verdict[active] {
					return fmt.Errorf("entry %d is %s under %x, active is %x", e.Index, body.Verdict, body.Policy.SHA256, active)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen[helm.Allow] == 0 || seen[helm.Escalate] == 0 {
		t.Fatalf("one policy decided nothing: %v", seen)
	}
}

// TestActivateTwice: what is active already is not recorded again, by whichever
// process.
func TestActivateTwice(t *testing.T) {
	s, a := enforcing(t)
	b := s.kernel()
	first := activate(t, b, payments(1, helm.Enforce))
	if again := activate(t, a, payments(1, helm.Enforce)); !first.Repeated || !again.Repeated || again.Index != first.Index {
		t.Fatalf("activated at %d, again at %d", first.Index, again.Index)
	}
}

// TestNoPolicy: without one nothing is decided, and a file that is refused leaves
// it so.
func TestNoPolicy(t *testing.T) {
	k := newSite(t).kernel()
	_, err := k.Decide(t.Context(), transfer(1))
	wantCode(t, err, helm.NotRecorded)
	if k.Log().Size() != 1 {
		t.Fatal("something was recorded")
	}
}

// TestPolicyThatCannotBeRead: another process, of a version to come, activates
// what this one cannot evaluate: it answers nothing until there is one that it can.
func TestPolicyThatCannotBeRead(t *testing.T) {
	s, k := enforcing(t)
	src := []byte("[policy]\nid = \"payments\"\nversion = 9\nformat = \"helm.policy/v9\"\n")
	sha := receipt.Hash(sha256.Sum256(src))
	at, err := s.kernel().Log().Append(t.Context(), func(*ledger.View) (*ledger.Draft, error) {
		return &ledger.Draft{Subject: receipt.Subject{Name: receipt.SubjectPolicy, SHA256: sha}, Policy: src, Body: &receipt.Policy{Principal: "operator:o",
			Mode: helm.Enforce, Policy: receipt.PolicyRef{ID: "payments", Version: 9, SHA256: sha, Format: "helm.policy/v9", Engine: "to-come"}}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []*kernel.Kernel{k, s.kernel()} {
		_, err := k.Decide(t.Context(), transfer(1))
		wantCode(t, err, helm.NotRecorded)
		if !strings.Contains(err.Error(), "not one that this version can evaluate") || k.Log().Err() != nil {
			t.Fatalf("the error does not say why, or the log stopped: %v, %v", err, k.Log().Err())
		}
	}
	r := activate(t, k, payments(1, helm.Enforce))
	if r.Index != at.Index+1 {
		t.Fatalf("%d entries were recorded meanwhile", r.Index-at.Index-1)
	}
	decides(t, k, transfer(1), helm.Allow, helm.AllowedByRule)
}
