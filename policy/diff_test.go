package policy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

// diffPolicy allows payments up to a limit, asks about those up to another, and denies the rest.
func diffPolicy(t *testing.T, allow, ask int, more string) *Policy {
	t.Helper()
	p, err := Compile("p.toml", fmt.Appendf(nil, `[policy]
id = "p"
version = 1
format = "helm.policy/v1"

[[tool]]
name = "pay"
args = { amount = "int", memo = "any?" }

[[rule]]
id = "small"
verdict = "ALLOW"
tools = ["pay"]
when = "args.amount <= %d"

[[rule]]
id = "large"
verdict = "ESCALATE"
tools = ["pay"]
when = "args.amount > %[1]d && args.amount <= %d"
%s`, allow, ask, more))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func pay(t *testing.T, args string) Input {
	t.Helper()
	v, err := strictjson.Parse([]byte(args))
	if err != nil {
		t.Fatal(err)
	}
	return Input{Agent: "a", Session: "s", Tool: "pay", Principal: "none", Boundary: "test", Now: testNow, Arguments: v}
}

// TestDiffOrder puts first what becomes looser, and of it what was denied and is allowed.
func TestDiffOrder(t *testing.T) {
	memo := "\n[[rule]]\nid = \"memo\"\nverdict = \"DENY\"\ntools = [\"pay\"]\nwhen = \"has(args.memo)\"\n"
	d := &Diff{Old: diffPolicy(t, 10, 20, ""), New: diffPolicy(t, 30, 40, memo), Examples: 1}
	for i, args := range []string{
		`{"amount":5}`,                   // ALLOW both
		`{"amount":5,"memo":"x"}`,        // ALLOW -> DENY
		`{"amount":15,"memo":"x"}`,       // ESCALATE -> DENY
		`{"amount":50,"memo":"x"}`,       // DENY default -> DENY memo
		`{"amount":35}`,                  // DENY -> ESCALATE
		`{"amount":36}`, `{"amount":37}`, // the same
		`{"amount":15}`,                       // ESCALATE -> ALLOW
		`{"amount":25}`, `{"amount":"wrong"}`, // DENY -> ALLOW, DENY both
	} {
		d.Add(uint64(i+1), pay(t, args))
	}
	var got []string
	for _, c := range d.Changes() {
		got = append(got, fmt.Sprintf("%s %d %s -> %s, %d at %d", c.Direction, c.Count, c.Old, c.New, len(c.Examples), c.Examples[0].Place))
	}
	want := []string{
		"looser 1 DENY default DEFAULT_DENY -> ALLOW small ALLOWED_BY_RULE, 1 at 9",
		"looser 1 ESCALATE large ESCALATED_BY_RULE -> ALLOW small ALLOWED_BY_RULE, 1 at 8",
		"looser 3 DENY default DEFAULT_DENY -> ESCALATE large ESCALATED_BY_RULE, 1 at 5",
		"stricter 1 ALLOW small ALLOWED_BY_RULE -> DENY memo DENIED_BY_RULE, 1 at 2",
		"stricter 1 ESCALATE large ESCALATED_BY_RULE -> DENY memo DENIED_BY_RULE, 1 at 3",
		"same_verdict 1 DENY default DEFAULT_DENY -> DENY memo DENIED_BY_RULE, 1 at 4",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if d.Calls != 10 || d.Same != 2 || d.Changed != 8 || d.CannotTell != 0 {
		t.Errorf("%d calls: %d same, %d changed, %d unknown", d.Calls, d.Same, d.Changed, d.CannotTell)
	}
}

// TestDiffHidden never takes for told what a hidden value decides, under either policy.
func TestDiffHidden(t *testing.T) {
	memo := "\n[[rule]]\nid = \"memo\"\nverdict = \"DENY\"\ntools = [\"pay\"]\nwhen = \"has(args.memo) && args.memo == 'x'\"\n"
	plain, reads := diffPolicy(t, 10, 20, ""), diffPolicy(t, 10, 20, memo)
	in := pay(t, `{"amount":5,"memo":"y"}`)
	in.Arguments.Members[1].Value = strictjson.Value{Kind: strictjson.Hidden, Text: "/arguments/memo"}
	for _, test := range []struct{ before, after *Policy }{{plain, reads}, {reads, plain}} {
		d := &Diff{Old: test.before, New: test.after}
		d.Add(7, in)
		if d.CannotTell != 1 || d.Same+d.Changed != 0 {
			t.Errorf("%d same, %d changed, %d unknown", d.Same, d.Changed, d.CannotTell)
		}
		if u := d.Unknowns(); len(u) != 1 || u[0].Hidden[0] != "/arguments/memo" || u[0].First != 7 {
			t.Errorf("%+v", u)
		}
	}
}
