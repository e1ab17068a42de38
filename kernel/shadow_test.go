package kernel_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/policy"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// shadowOf is what a decision's signed statement says of a shadow policy, in short.
func shadowOf(t testing.TB, d *kernel.Decision) string {
	t.Helper()
	s := statement(t, d.Statement).Body.(*receipt.Decision).Shadow
	if s == nil {
		return ""
	}
	return fmt.Sprintf("%s version %d: %s %s %s", s.Policy.ID, s.Policy.Version, s.Verdict, s.Rule, s.Code)
}

// TestShadowPolicy signs what a shadow policy says exactly where it is another thing, and counts it.
func TestShadowPolicy(t *testing.T) {
	_, k := enforcing(t)
	says := func(d *kernel.Decision, want string) {
		t.Helper()
		if got := shadowOf(t, d); got != want {
			t.Errorf("entry %d: the shadow is %q, not %q", d.Index, got, want)
		}
	}
	says(decides(t, k, transfer(500), helm.Allow, helm.AllowedByRule), "") // there is none
	k.Shadow(payments(3, helm.Enforce))
	says(decides(t, k, transfer(500), helm.Allow, helm.AllowedByRule), "")
	says(escalates(t, k, transfer(2000)), "payments version 3: ALLOW small ALLOWED_BY_RULE")
	says(escalates(t, k, transfer(4000)), "")
	again := transfer(2001)
	again.CallID = "c1"
	escalates(t, k, again)
	if d := decides(t, k, again, helm.Escalate, overLimit); !d.Repeated || d.Shadowed != nil {
		t.Errorf("it was counted again: %+v", d)
	}
	if _, err := k.Freeze(t.Context(), "operator:o", "http", "a test"); err != nil {
		t.Fatal(err)
	}
	says(decides(t, k, transfer(2000), helm.Deny, helm.Frozen), "payments version 3: ALLOW small ALLOWED_BY_RULE")

	k.Shadow(payments(3, helm.Enforce)) // the same one counts on
	st, err := k.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []kernel.ShadowChange{{Active: helm.Escalate, Shadow: helm.Allow, Count: 3}}
	if s := st.Shadow; s == nil || s.Version != 3 || s.Decided != 5 || s.Differ != 3 || s.Failed != 0 || !slices.Equal(s.Changes, want) {
		t.Errorf("%+v", s)
	}
	k.Shadow(payments(4, helm.Enforce))
	if st, err = k.Status(t.Context()); err != nil || st.Shadow.Version != 4 || st.Shadow.Decided != 0 {
		t.Errorf("another policy goes on with the counts of the first: %+v, %v", st.Shadow, err)
	}
	k.Shadow(nil)
	if st, err = k.Status(t.Context()); err != nil || st.Shadow != nil {
		t.Errorf("%+v, %v", st.Shadow, err)
	}
}

// TestShadowOfAnotherPolicy compares with the policy that decides, which another process
// may have activated meanwhile, and not with the one that this process knew.
func TestShadowOfAnotherPolicy(t *testing.T) {
	s, k := enforcing(t)
	k.Shadow(payments(3, helm.Enforce))
	activate(t, s.kernel(), payments(2, helm.Enforce))
	if d := decides(t, k, transfer(1500), helm.Allow, helm.AllowedByRule); shadowOf(t, d) != "" || d.Shadowed.Differs {
		t.Errorf("%s, %+v", shadowOf(t, d), d.Shadowed)
	}
}

// TestShadowChangesNothing puts the same calls to kernels with shadow policies of every
// sort, and to one without.
func TestShadowChangesNothing(t *testing.T) {
	all := func(verdict helm.Verdict) *policy.Policy {
		p, err := policy.Compile("all.toml", fmt.Appendf(nil, "[policy]\nid = \"all\"\nversion = 1\nformat = \"helm.policy/v1\"\n[[rule]]\nid = \"all\"\nverdict = %q\ntools = [\"*\"]\n", verdict))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	run := func(shadow *policy.Policy, broken bool) string {
		_, k := enforcing(t)
		k.Shadow(shadow)
		if broken {
			k.BreakShadow()
		}
		var out strings.Builder
		for _, c := range []helm.Call{transfer(5), transfer(5000), transfer(2_000_000), {Agent: "a", Session: "s", Tool: "no.such", Principal: "none", Boundary: "http", Arguments: []byte(`{}`)},
			{Agent: "a", Session: "s", Tool: "pay.transfer", Principal: "none", Boundary: "http", Arguments: []byte(`{"amount":"1"}`)}} {
			d, err := k.Decide(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&out, "%s %s %v %v %v\n", d.Verdict, d.Rule, d.Reason, d.Enforced, d.Approval != nil)
			if broken && shadowOf(t, d) != "all version 1: DENY kernel:shadow RULE_ERROR" {
				t.Errorf("a fault was recorded as %q", shadowOf(t, d))
			}
		}
		if broken {
			if st, err := k.Status(t.Context()); err != nil || st.Shadow.Failed != 5 || st.Shadow.Differ != 5 {
				t.Errorf("%+v, %v", st.Shadow, err)
			}
		}
		return out.String()
	}
	want := run(nil, false)
	for _, v := range []helm.Verdict{helm.Allow, helm.Deny, helm.Escalate} {
		if got := run(all(v), false); got != want {
			t.Errorf("beside a policy that always says %s it is\n%s\nand not\n%s", v, got, want)
		}
	}
	if got := run(all(helm.Allow), true); got != want {
		t.Errorf("beside a policy that cannot be evaluated it is\n%s\nand not\n%s", got, want)
	}
}

// TestShadowWithoutRoom records decisions whose statement is so large that what the
// shadow policy says does not fit.
func TestShadowWithoutRoom(t *testing.T) {
	long := func(prefix string, n int) string { return prefix + strings.Repeat("x", n-len(prefix)) }
	code := long("R", 64)
	tool := long("t.", 195)
	header := fmt.Sprintf("[policy]\nid = %q\nversion = 1\nformat = \"helm.policy/v1\"\n[[tool]]\nname = %q\n", long("p", 200), tool)
	rule := func(id, verdict string) string {
		return fmt.Sprintf("[[rule]]\nid = %q\nverdict = %q\nreason = %q\nmessage = \"%s\"\ntools = [%q]\n", id, verdict, strings.ToUpper(code), strings.Repeat(`\u0001`, 300), tool)
	}
	shadow, err := policy.Compile("next.toml", []byte(header+rule(long("s", 200), "DENY")))
	if err != nil {
		t.Fatal(err)
	}
	var rules strings.Builder
	for i := range receipt.MaxMatched {
		rules.WriteString(rule(long(fmt.Sprintf("r%02d", i), 200), "ALLOW"))
	}
	_, k := enforcing(t)
	call := helm.Call{Agent: long("a", 200), Session: long("s", 200), Tool: tool, Principal: long("p", 200), Boundary: long("b", 200), Arguments: []byte(`{}`)}
	signed, unsigned := 0, 0
	for n := range policy.MaxBudgets {
		fmt.Fprintf(&rules, "[[budget]]\nid = %q\ntools = [%q]\nper = \"principal\"\nlimit = 1000000000\nwindow = \"8000h\"\n", long(fmt.Sprintf("b%02d", n), 193), tool)
		p, err := policy.Compile("p.toml", []byte(header+rules.String()))
		if err != nil {
			t.Fatal(err)
		}
		activate(t, k, p)
		k.Shadow(nil)
		if _, err := k.Decide(t.Context(), call); err != nil {
			break // it does not fit alone either
		}
		k.Shadow(shadow)
		d := decides(t, k, call, helm.Allow, helm.Code(strings.ToUpper(code)))
		if shadowOf(t, d) != "" {
			signed++
		} else if unsigned++; len(d.Statement) < receipt.MaxStatementBytes-1000 {
			t.Errorf("there is room in %d bytes", len(d.Statement))
		}
		if !d.Shadowed.Differs {
			t.Error("it was not counted")
		}
	}
	if signed == 0 || unsigned == 0 {
		t.Errorf("%d with and %d without: this shows little", signed, unsigned)
	}
}
