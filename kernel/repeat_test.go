package kernel_test

import (
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
)

// TestCallIDFollowsItsApproval: a repeat is given again while nothing has changed,
// and decided anew as soon as its approval was answered, ran out or is for another
// policy.
func TestCallIDFollowsItsApproval(t *testing.T) {
	c := transfer(2001)
	c.CallID = "c1"
	again := func(t *testing.T, k *kernel.Kernel, d *kernel.Decision) {
		t.Helper()
		r := decides(t, k, c, d.Verdict, d.Reason.Code)
		if !r.Repeated || r.ID != d.ID || r.Opening != d.Opening || string(r.Statement) != string(d.Statement) || !r.Time.Equal(d.Time) {
			t.Fatalf("entry %d is not entry %d again", r.Index, d.Index)
		}
		if (r.Approval == nil) != (d.Approval == nil) || r.Approval != nil && *r.Approval != *d.Approval {
			t.Fatalf("again it waits for %+v, not for %+v", r.Approval, d.Approval)
		}
	}
	for name, run := range map[string]func(*testing.T, *site, *kernel.Kernel, *kernel.Decision){
		"approved": func(t *testing.T, s *site, k *kernel.Kernel, asked *kernel.Decision) {
			answers(t, k, asked.ID, true)
			again(t, k, allowedBy(t, k, c, asked))
			s.set(s.clock().Add(expires)) // what was allowed stays so
			decides(t, k, c, helm.Allow, helm.Approved)
		},
		"refused": func(t *testing.T, s *site, k *kernel.Kernel, asked *kernel.Decision) {
			answers(t, k, asked.ID, false)
			refused := decides(t, k, c, helm.Deny, helm.ApprovalRefused)
			if refused.Repeated {
				t.Fatal("the refusal is the ESCALATE again")
			}
			again(t, k, refused)
			s.set(s.clock().Add(expires))
			again(t, k, escalates(t, k, c))
		},
		"ran out": func(t *testing.T, s *site, k *kernel.Kernel, asked *kernel.Decision) {
			s.set(s.clock().Add(expires))
			again(t, k, escalates(t, k, c))
		},
		"approved and ran out": func(t *testing.T, s *site, k *kernel.Kernel, asked *kernel.Decision) {
			answers(t, k, asked.ID, true)
			s.set(s.clock().Add(expires))
			again(t, k, escalates(t, k, c))
		},
		"another policy": func(t *testing.T, s *site, k *kernel.Kernel, asked *kernel.Decision) {
			activate(t, k, payments(2, helm.Enforce))
			again(t, k, escalates(t, k, c))
		},
		"used by another call_id": func(t *testing.T, s *site, k *kernel.Kernel, asked *kernel.Decision) {
			answers(t, k, asked.ID, true)
			other := c
			other.CallID = "c2"
			allowedBy(t, k, other, asked)
			again(t, k, escalates(t, k, c))
		},
		"waits for another's": func(t *testing.T, s *site, k *kernel.Kernel, asked *kernel.Decision) {
			c := c
			c.CallID = "c3"
			joined := decides(t, k, c, helm.Escalate, overLimit)
			if r := decides(t, k, c, helm.Escalate, overLimit); !r.Repeated || r.ID != joined.ID || *r.Approval != *asked.Approval {
				t.Fatalf("entry %d waits for %+v, not for %+v", r.Index, r.Approval, asked.Approval)
			}
			answers(t, k, asked.ID, true)
			allowedBy(t, k, c, asked)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, k := enforcing(t)
			asked := escalates(t, k, c)
			again(t, k, asked)
			run(t, s, k, asked)
		})
	}
}

// TestCallIDForAnotherCall: a call_id that was used for another tool, arguments or
// context is denied, allows nothing and uses up nothing, however often it comes. It
// is the caller's own: the same one of another session or principal is another.
func TestCallIDForAnotherCall(t *testing.T) {
	_, k := enforcing(t)
	c := transfer(1001)
	c.CallID = "c1"
	asked := escalates(t, k, c)
	answers(t, k, asked.ID, true)
	for name, change := range map[string]func(*helm.Call){
		"one digit":    func(c *helm.Call) { c.Arguments = []byte(`{"amount":1000,"to":"acct_9"}`) },
		"another tool": func(c *helm.Call) { c.Tool = "pay.refund" },
		"a context":    func(c *helm.Call) { c.Context = []byte(`{}`) },
	} {
		other := c
		change(&other)
		for range 2 {
			if d := decides(t, k, other, helm.Deny, helm.CallIDReused); d.Repeated || used(t, d) != "" {
				t.Fatalf("%s: entry %d is repeated, or names an approval", name, d.Index)
			}
		}
	}
	for name, change := range map[string]func(*helm.Call){
		"session":   func(c *helm.Call) { c.Session = "s2" },
		"agent":     func(c *helm.Call) { c.Agent = "agent.other" },
		"principal": func(c *helm.Call) { c.Principal = "agent:other" },
	} {
		other := transfer(7)
		other.CallID = c.CallID
		change(&other)
		if d := decides(t, k, other, helm.Allow, helm.AllowedByRule); d.Repeated {
			t.Fatalf("another %s was given entry %d again", name, d.Index)
		}
	}
	rewritten := c
	rewritten.Arguments = []byte(`{ "to":"acct_9", "amount":1001 }`)
	if d := allowedBy(t, k, rewritten, asked); d.Repeated {
		t.Fatal("the approval had been used")
	}
}
