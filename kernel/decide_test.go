package kernel_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/policy"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// compile is a policy out of its rules, for tools with any arguments.
func compile(t testing.TB, rules string, tools ...string) *policy.Policy {
	t.Helper()
	src := "[policy]\nid = \"test\"\nversion = 1\nformat = \"helm.policy/v1\"\n"
	for _, name := range tools {
		src += fmt.Sprintf("[[tool]]\nname = %q\nargs = {}\nextra = true\n", name)
	}
	p, err := policy.Compile("test.toml", []byte(src+rules))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// kernelUnder is a kernel of a new site, under that policy.
func kernelUnder(t testing.TB, p *policy.Policy) (*site, *kernel.Kernel) {
	t.Helper()
	s := newSite(t)
	k := s.kernel()
	activate(t, k, p)
	return s, k
}

const verdicts = `
[[tool]]
name = "t.typed"
args = { n = "int", note = "string?" }
[[tool]]
name = "t.dynamic.declared"
args = { n = "int" }
[[rule]]
id = "a"
verdict = "ALLOW"
tools = ["t.allow", "t.ask*", "t.all", "t.deny", "t.typed"]
[[rule]]
id = "b"
verdict = "ALLOW"
reason = "SMALL"
tools = ["t.coded"]
[[rule]]
id = "e"
verdict = "ESCALATE"
tools = ["t.ask", "t.all"]
[[rule]]
id = "f"
verdict = "ESCALATE"
reason = "ASK_FIRST"
tools = ["t.askcoded"]
[[rule]]
id = "x"
verdict = "DENY"
tools = ["t.deny", "t.all"]
[[rule]]
id = "y"
verdict = "DENY"
reason = "NEVER"
tools = ["t.never"]
[[rule]]
id = "z"
verdict = "ALLOW"
tools = ["t.dynamic.*"]
when = "args.n > 1"
`

// TestVerdicts: the highest verdict of the rules that match decides, everything
// else is denied, and each readable call has a receipt that says why.
func TestVerdicts(t *testing.T) {
	_, k := kernelUnder(t, compile(t, verdicts, "t.allow", "t.coded", "t.ask", "t.askcoded", "t.deny", "t.all", "t.never"))
	for _, c := range []struct {
		tool, args string
		verdict    helm.Verdict
		code       helm.Code
		rule       string
		matched    string
	}{
		{"t.allow", `{}`, helm.Allow, helm.AllowedByRule, "a", "a"},
		{"t.coded", `{}`, helm.Allow, "SMALL", "b", "b"},
		{"t.ask", `{}`, helm.Escalate, helm.EscalatedByRule, "e", "a e"},
		{"t.askcoded", `{}`, helm.Escalate, "ASK_FIRST", "f", "a f"},
		{"t.deny", `{}`, helm.Deny, helm.DeniedByRule, "x", "a x"},
		{"t.all", `{}`, helm.Deny, helm.DeniedByRule, "x", "a e x"},
		{"t.never", `{}`, helm.Deny, "NEVER", "y", "y"},
		{"t.unknown", `{}`, helm.Deny, helm.DefaultDeny, "", ""},
		{"t.dynamic.undeclared", `{"n":2}`, helm.Allow, helm.AllowedByRule, "z", "z"},
		{"t.dynamic.undeclared", `{"n":1}`, helm.Deny, helm.DefaultDeny, "", ""},
		{"t.dynamic.undeclared", `{}`, helm.Deny, helm.RuleError, "z", "z"},
		{"t.dynamic.undeclared", `{"n":"2"}`, helm.Deny, helm.RuleError, "z", "z"},
		{"t.typed", `{"n":2}`, helm.Allow, helm.AllowedByRule, "a", "a"},
		{"t.typed", `{}`, helm.Deny, helm.ArgumentsInvalid, "", ""},
		{"t.typed", `{"n":"2"}`, helm.Deny, helm.ArgumentsInvalid, "", ""},
		{"t.typed", `{"n":2,"more":1}`, helm.Deny, helm.ArgumentsInvalid, "", ""},
		{"t.typed", `{"n":2,"note":7}`, helm.Deny, helm.ArgumentsInvalid, "", ""},
	} {
		t.Run(c.tool+c.args, func(t *testing.T) {
			call := transfer(0)
			call.Tool, call.Arguments = c.tool, json.RawMessage(c.args)
			before := k.Log().Size()
			d := decides(t, k, call, c.verdict, c.code)
			if d.Index != before || k.Log().Size() != before+1 {
				t.Fatalf("entry %d, in a log that went from %d to %d", d.Index, before, k.Log().Size())
			}
			if !d.Enforced || d.Repeated || d.Reason.Message == "" || (d.Approval != nil) != (c.verdict == helm.Escalate) {
				t.Fatalf("the answer is %+v", d)
			}
			b := statement(t, d.Statement).Body.(*receipt.Decision)
			var matched []string
			for _, m := range b.Matched {
				matched = append(matched, m.Rule)
			}
			if got := strings.Join(matched, " "); got != c.matched || c.rule != "" && d.Rule != c.rule {
				t.Fatalf("rule %q of the matched %q, not %q of %q", d.Rule, got, c.rule, c.matched)
			}
			if b.Verdict != d.Verdict || b.Rule != d.Rule || b.Reason != d.Reason || b.Enforced != d.Enforced {
				t.Fatalf("signed is %+v, answered %+v", b, d)
			}
			verifies(t, k, d.Recorded)
		})
	}
}

// verifies fails the test unless the receipt holds the statement, with a proof of
// inclusion that leads to a checkpoint which the log's key signed.
func verifies(t testing.TB, k *kernel.Kernel, r kernel.Recorded) {
	t.Helper()
	env, err := receipt.ParseEnvelope([]byte(strings.TrimSuffix(string(r.Receipt), "\n")))
	if err != nil {
		t.Fatal(err)
	}
	proof, err := receipt.ParseProof(env.Proof)
	if err != nil {
		t.Fatal(err)
	}
	at, err := receipt.VerifyCheckpoint(proof.Checkpoint, k.Log().Origin(), k.Log().Key())
	if err != nil {
		t.Fatal(err)
	}
	leaf := statement(t, env.Payload).Leaf(env.Payload).Hash()
	if err := proof.Includes(leaf, at); err != nil {
		t.Fatal(err)
	}
	if string(env.Payload) != string(r.Statement) || hex.EncodeToString(leaf[:]) != r.ID || proof.Index != r.Index {
		t.Fatalf("the receipt of %s at %d is of another entry: %s", r.ID, r.Index, env.Payload)
	}
}

// TestDecisionIsSignedWhole: everything that a reader is shown of a decision is in
// the statement, the input only as a commitment.
func TestDecisionIsSignedWhole(t *testing.T) {
	s, k := enforcing(t)
	c := transfer(1001)
	c.CallID, c.Context = "c1", json.RawMessage(`{"cwd":"/srv/app"}`)
	d := escalates(t, k, c)
	p := payments(1, helm.Enforce)
	want := &receipt.Decision{Agent: "agent.pay", Session: "s1", CallID: "c1", Principal: "agent:pay", Boundary: "http", Tool: "pay.transfer",
		Now: s.clock(), Verdict: helm.Escalate, Mode: helm.Enforce, Enforced: true, Rule: "large", Reason: d.Reason,
		Matched:    []receipt.Match{{Rule: "large", Verdict: helm.Escalate, Code: overLimit}, {Rule: "small", Verdict: helm.Allow, Code: helm.AllowedByRule}},
		Policy:     receipt.PolicyRef{ID: "payments", Version: 1, SHA256: p.SHA256(), Format: policy.Format, Engine: policy.Engine},
		Escalation: &receipt.Escalation{Expires: s.clock().Add(expires), Requires: []receipt.Requirement{{Rule: "large"}}}}
	st := statement(t, d.Statement)
	if got := st.Body.(*receipt.Decision); !reflect.DeepEqual(got, want) {
		t.Fatalf("signed is\n%+v, not\n%+v", got, want)
	}
	for _, secret := range []string{"acct_9", "1001", "/srv/app"} {
		if strings.Contains(string(d.Statement), secret) {
			t.Fatalf("the statement holds %q of the input", secret)
		}
	}
	if got := commitment(t, d.Opening, string(c.Arguments), string(c.Context)); got != st.Subject.SHA256 {
		t.Fatal("the opening does not open the commitment")
	}
}
