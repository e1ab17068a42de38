package policy

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

const explainPolicy = `[policy]
id = "explain"
version = 1
format = "helm.policy/v1"
mode = "enforce"

[lists]
payees = ["acct_1", "acct_2"]

[[tool]]
name = "pay.transfer"
args = { amount = "int", to = "string", memo = "string?" }

[[tool]]
name = "file.read"
args = { path = "path" }

[[rule]]
id = "known"
verdict = "ALLOW"
tools = ["pay.transfer"]
when = "args.amount <= 1000 && args.to in lists.payees"

[[rule]]
id = "large"
verdict = "ESCALATE"
tools = ["pay.transfer"]
when = "args.amount > 1000"

[[rule]]
id = "memo"
verdict = "DENY"
tools = ["pay.*"]
when = "has(args.memo) && args.memo.contains('secret')"

[[rule]]
id = "hours"
verdict = "DENY"
tools = ["pay.transfer"]
when = "args.to == 'acct_2' && context.hour > 18"

[[rule]]
id = "read"
verdict = "ALLOW"
tools = ["file.read"]
when = "facts.path.under(['/srv']) && !facts.path.named(['*.key'])"
`

func TestExplain(t *testing.T) {
	p, err := Compile("explain.toml", []byte(explainPolicy))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		tool, args, context string
		verdict             string
		rules               map[string]string // value, and what it read
		changes             string
	}{
		{"pay.transfer", `{"amount":10,"to":"acct_1"}`, `{}`, "ALLOW known", map[string]string{
			"known": `true; args.amount = 10, args.to = "acct_1"`, "large": `false; args.amount = 10`, "memo": `false; has(args.memo) = false`,
			"hours": `false; args.to = "acct_1"`, "read": "not for this tool; "}, ""},
		{"pay.transfer", `{"amount":5000,"to":"acct_1"}`, `{}`, "ESCALATE large", map[string]string{
			"known": `false; args.amount = 5000`, "large": `true; args.amount = 5000`}, `amount 1000 ALLOW known`},
		{"pay.transfer", `{"amount":10,"to":"acct_9"}`, `{}`, "DENY default", map[string]string{
			"known": `false; args.amount = 10, args.to = "acct_9"`}, `amount 1001 ESCALATE large; to "acct_1" ALLOW known`},
		{"pay.transfer", `{"amount":10,"memo":"a secret","to":"acct_1"}`, `{}`, "DENY memo", map[string]string{
			"memo": `true; has(args.memo) = true, args.memo = "a secret"`}, `memo "acct_2" ALLOW known`},
		{"pay.transfer", `{"amount":10,"to":"acct_2"}`, `{}`, "DENY hours", map[string]string{
			"hours": `error: no such key; args.to = "acct_2", context.hour = error`}, `to "acct_1" ALLOW known`},
		{"pay.transfer", `{"amount":10,"to":"acct_2"}`, `{"hour":9}`, "ALLOW known", map[string]string{
			"hours": `false; args.to = "acct_2", context.hour = 9`}, ""},
		{"pay.transfer", `{"amount":"10","to":"acct_1"}`, `{}`, "DENY tool:pay.transfer", nil, ""},
		{"file.read", `{"path":"/srv/a.key"}`, `{}`, "DENY default", map[string]string{
			"read": `false; facts.path.under(["/srv"]) = true, facts.path.named(["*.key"]) = true`}, `path "/srv" ALLOW read`},
		{"no.such", `{}`, `{}`, "DENY default", map[string]string{"memo": "not for this tool; "}, ""},
	} {
		in := Input{Tool: c.tool, Arguments: parse(t, c.args), Context: parse(t, c.context), Now: time.Unix(0, 0)}
		x := p.Explain(in)
		if got := fmt.Sprint(x.Result.Verdict, " ", x.Result.Rule); got != c.verdict {
			t.Errorf("%s %s: %s, and %s was expected", c.tool, c.args, got, c.verdict)
		}
		if c.rules != nil && len(x.Rules) != 5 {
			t.Errorf("%s %s: %d rules are explained", c.tool, c.args, len(x.Rules))
		}
		for _, r := range x.Rules {
			want, ok := c.rules[r.Rule]
			var reads []string
			for _, read := range r.Reads {
				reads = append(reads, read.Expr+" = "+read.Value)
			}
			if got := r.Value + "; " + strings.Join(reads, ", "); ok && got != want {
				t.Errorf("%s %s: the rule %s is\n%s, and expected was\n%s", c.tool, c.args, r.Rule, got, want)
			}
		}
		var changes []string
		for _, ch := range x.Changes {
			to := ch.To
			if to == "" {
				to = "missing"
			}
			changes = append(changes, fmt.Sprintf("%s %s %s %s", ch.Argument, to, ch.Verdict, ch.Rule))
		}
		if got := strings.Join(changes, "; "); got != c.changes {
			t.Errorf("%s %s: the changes are %q, and expected were %q", c.tool, c.args, got, c.changes)
		}
	}
}

// TestExplainFacts: what a condition read of lists of facts is shown.
func TestExplainFacts(t *testing.T) {
	p, err := Compile("facts.toml", []byte("[policy]\nid = \"f\"\nversion = 1\nformat = \"helm.policy/v1\"\n[[tool]]\nname = \"x\"\nargs = { c = \"command\", u = \"url\" }\n"+
		"[[rule]]\nid = \"r\"\nverdict = \"DENY\"\ntools = [\"x\"]\nwhen = 'facts.shell.commands == [] && facts.shell.destroys == [] && facts.url.list == []'\n"+
		"[[rule]]\nid = \"s\"\nverdict = \"DENY\"\ntools = [\"x\"]\nwhen = 'facts.shell.commands.exists(c, c.name == \"a\") || facts.shell.destroys.exists(d, d.class == \"a\") || facts.url.list.exists(u, u.path == \"a\")'\n"))
	if err != nil {
		t.Fatal(err)
	}
	x := p.Explain(Input{Tool: "x", Arguments: parse(t, `{"c":"ls -l \"a b\"; rm -rf /","u":"https://x.example/y"}`), Context: parse(t, `{}`), Now: time.Unix(0, 0)})
	got := fmt.Sprint(x.Rules)
	for _, want := range []string{`["ls -l a b","rm -rf /"]`, `["files: rm -rf /"]`, `["https://x.example/y"]`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is not in %s", want, got)
		}
	}
}

// TestExplainAgrees explains the calls of the release policy's tests: it says the same
// as Evaluate, of each rule and of each change.
func TestExplainAgrees(t *testing.T) {
	src, err := os.ReadFile("../release.high_risk.v3.toml")
	if err != nil {
		t.Fatal(err)
	}
	s := &source{name: "release", text: src}
	p, f := s.compile()
	if p == nil {
		t.Fatal(s.err())
	}
	changes := 0
	for _, test := range f.tests {
		x := p.Explain(test.in)
		var matched []string
		for _, r := range x.Rules {
			if r.Value == "true" || strings.HasPrefix(r.Value, "error: ") {
				matched = append(matched, r.Rule)
			}
		}
		var want []string
		for _, m := range p.Evaluate(test.in).Matched {
			want = append(want, m.Rule)
		}
		if fmt.Sprint(matched) != fmt.Sprint(want) {
			t.Errorf("%s: %v matched, and %v did", test.name, matched, want)
		}
		for _, c := range x.Changes {
			changes++
			in := test.in
			in.Arguments.Members = nil
			for _, m := range test.in.Arguments.Members {
				if m.Name == c.Argument {
					if c.To == "" {
						continue
					}
					m.Value = parse(t, c.To)
				}
				in.Arguments.Members = append(in.Arguments.Members, m)
			}
			if got := p.Evaluate(in); got.Verdict != c.Verdict || got.Rule != c.Rule || rank(got.Verdict) >= rank(x.Result.Verdict) {
				t.Errorf("%s: %+v, and it gives %s %s", test.name, c, got.Verdict, got.Rule)
			}
		}
	}
	if changes == 0 {
		t.Error("no change was found for any test: this shows little")
	}
}
