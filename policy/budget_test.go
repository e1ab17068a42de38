package policy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	helm "github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/decimal"
	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

const payments = head + `
[[tool]]
name = "pay.transfer"
args = { amount = "double", to = "string", memo = "string?" }

[[tool]]
name = "pay.refund"
args = { amount = "string", list = "list" }

[[rule]]
id = "pay"
verdict = "ALLOW"
tools = ["pay.*"]

[[rule]]
id = "odd"
verdict = "DENY"
tools = ["pay.transfer"]
when = 'args.to == "evil"'

[[rule]]
id = "ask"
verdict = "ESCALATE"
tools = ["pay.transfer"]
when = 'args.to == "boss"'
`

const daily = `
[[budget]]
id = "daily"
tools = ["pay.*"]
per = "agent"
sum = "amount"
limit = "100.50"
window = "24h"
`

const hourly = `
[[budget]]
id = "hourly"
tools = ["pay.transfer"]
per = "session"
limit = 3
window = "1h"
verdict = "ESCALATE"
approvers = { expires = "5m" }
`

func TestBudgetRefused(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{`per = "agent"`, "", "per is missing here"},
		{`per = "agent"`, `per = "agnet"`, `per is "agnet": it must be agent, session, tool, principal, all; did you mean "agent"?`},
		{`limit = "100.50"`, "", "limit is missing here"},
		{`limit = "100.50"`, "limit = 100.50", "limit must be an integer, or a decimal in quotes"},
		{`limit = "100.50"`, "limit = -1", "limit is \"-1\": it is negative"},
		{`limit = "100.50"`, "limit = 0", "a limit of 0 is a rule that denies"},
		{`limit = "100.50"`, `limit = "1e30"`, "10^30"},
		{`limit = "100.50"`, `limit = "ten"`, "it is not a decimal number"},
		{`sum = "amount"`, "", "calls are counted, and the limit is 100.5"},
		{`sum = "amount"`, `sum = "amonut"`, `the tool pay.transfer has no argument "amonut"; did you mean "amount"?`},
		{`sum = "amount"`, `sum = "list"`, `the tool pay.transfer has no argument "list"`},
		{`window = "24h"`, "", "window is missing here"},
		{`window = "24h"`, `window = "1d"`, `window is "1d": it must be a duration of whole minutes`},
		{`window = "24h"`, `window = "30s"`, "whole minutes"},
		{`window = "24h"`, `window = "90s"`, "whole minutes"},
		{`window = "24h"`, `window = "9000h"`, "whole minutes"},
		{`id = "daily"`, `id = "a:b"`, "has a colon"},
		{`id = "daily"`, `id = "` + strings.Repeat("x", 194) + `"`, "the id has 194 bytes: at most 193"},
		{`id = "daily"`, `idd = "daily"`, `the key "idd" is not known here; did you mean "id"?`},
		{`window = "24h"`, `window = "24h"` + "\nverdict = \"ALLOW\"", `the verdict of a budget is "ALLOW"`},
		{`window = "24h"`, `window = "24h"` + "\napprovers = { expires = \"1m\" }", "approvers belong to a rule whose verdict is ESCALATE"},
		{`tools = ["pay.*"]` + "\nper", `tools = ["pya.*"]` + "\nper", `no [[tool]] that is declared is named "pya.*"`},
		{`tools = ["pay.*"]` + "\nper", "tools = []\nper", "a budget without tools limits nothing"},
		{`sum = "amount"`, `sum = "memo"` + "\n#", "is optional"},
	} {
		src := strings.Replace(payments+daily, c.from, c.to, 1)
		if _, err := Compile("test.toml", []byte(src)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s becomes %s: %v, want %q", c.from, c.to, err, c.want)
		}
	}
	for name, src := range map[string]string{
		"the [[budget]] id \"daily\" is already on line": payments + daily + daily,
		"no [[budget]] has the id \"dayly\"":             payments + daily + "[[test]]\nname = \"t\"\ncall = { tool = \"pay.refund\", args = { amount = \"1\", list = [] } }\nused = { dayly = 1 }\nexpect = { verdict = \"ALLOW\" }\n",
		"is of the type list":                            payments + strings.Replace(strings.Replace(daily, "pay.*", "pay.refund", 1), `"amount"`, `"list"`, 1),
	} {
		if _, err := Compile("test.toml", []byte(src)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %q", err, name)
		}
	}
}

func TestBudgetUses(t *testing.T) {
	p, err := Compile("test.toml", []byte(payments+daily+hourly))
	if err != nil {
		t.Fatal(err)
	}
	call := func(tool, args string) Result {
		v, err := strictjson.Parse([]byte(args))
		if err != nil {
			t.Fatal(err)
		}
		return p.Evaluate(Input{Agent: "a", Session: "s", Tool: tool, Principal: "none", Boundary: "test", Arguments: v, Now: testNow})
	}
	for _, c := range []struct{ tool, args, want string }{
		{"pay.transfer", `{"amount":0.1,"to":"x"}`, "ALLOW pay ALLOWED_BY_RULE daily=0.1/100.5 hourly=1/3"},
		{"pay.transfer", `{"amount":1e2,"to":"x"}`, "ALLOW pay ALLOWED_BY_RULE daily=100/100.5 hourly=1/3"},
		{"pay.transfer", `{"amount":-0.0,"to":"x"}`, "ALLOW pay ALLOWED_BY_RULE daily=0/100.5 hourly=1/3"},
		{"pay.transfer", `{"amount":1,"to":"boss"}`, "ESCALATE ask ESCALATED_BY_RULE daily=1/100.5 hourly=1/3"},
		{"pay.transfer", `{"amount":1,"to":"evil"}`, "DENY odd DENIED_BY_RULE"},
		{"pay.transfer", `{"amount":-1,"to":"x"}`, "DENY budget:daily RULE_ERROR"},
		{"pay.transfer", `{"amount":1e-300,"to":"x"}`, "DENY budget:daily RULE_ERROR"},
		{"pay.transfer", `{"amount":1e40,"to":"x"}`, "DENY budget:daily RULE_ERROR"},
		{"pay.transfer", `{"amount":-1,"to":"boss"}`, "DENY budget:daily RULE_ERROR"},
		{"pay.refund", `{"amount":"12.50","list":[]}`, "ALLOW pay ALLOWED_BY_RULE daily=12.5/100.5"},
		{"pay.refund", `{"amount":"12,50","list":[]}`, "DENY budget:daily RULE_ERROR"},
		{"pay.refund", `{"amount":"","list":[]}`, "DENY budget:daily RULE_ERROR"},
		{"pay.other", `{"amount":5}`, "ALLOW pay ALLOWED_BY_RULE daily=5/100.5"},
		{"pay.other", `{"amount":[5]}`, "DENY budget:daily RULE_ERROR"},
		{"pay.other", `{"amount":null}`, "DENY budget:daily RULE_ERROR"},
		{"pay.other", `{}`, "DENY budget:daily RULE_ERROR"},
		{"mail.send", `{}`, "DENY default DEFAULT_DENY"},
	} {
		r := call(c.tool, c.args)
		got := fmt.Sprintf("%s %s %s", r.Verdict, r.Rule, r.Reason.Code)
		for _, u := range r.Budgets {
			got += fmt.Sprintf(" %s=%s/%s", u.ID, u.Amount, u.Limit)
		}
		if got != c.want {
			t.Errorf("%s %s: %s, want %s", c.tool, c.args, got, c.want)
		}
	}
	if d := p.Expires("budget:hourly"); d != 5*time.Minute {
		t.Errorf("an approval of the budget expires after %s", d)
	}
	v, _ := strictjson.Parse([]byte(`{"to":"x"}`))
	v.Members = append([]strictjson.Member{{Name: "amount", Value: strictjson.Value{Kind: strictjson.Hidden, Text: "/arguments/amount"}}}, v.Members...)
	for _, tool := range []string{"pay.transfer", "pay.other"} {
		if r := p.Evaluate(Input{Tool: tool, Arguments: v, Now: testNow}); len(r.Hidden) != 1 || r.Hidden[0] != "/arguments/amount" {
			t.Errorf("%s with a hidden amount: %v", tool, r.Hidden)
		}
	}
}

func TestBudgetTests(t *testing.T) {
	one := func(used, expect string) string {
		return payments + daily + hourly + fmt.Sprintf("[[test]]\nname = \"t\"\ncall = { tool = \"pay.transfer\", args = { amount = 1.5, to = \"x\" } }\nused = %s\nexpect = %s\n", used, expect)
	}
	for _, c := range []struct{ used, expect string }{
		{`{}`, `{ verdict = "ALLOW", rule = "pay" }`},
		{`{ daily = 99, hourly = 2 }`, `{ verdict = "ALLOW", rule = "pay" }`},
		{`{ daily = "99.000000000000000001" }`, `{ verdict = "DENY", rule = "budget:daily", reason = "BUDGET_EXHAUSTED" }`},
		{`{ hourly = 3 }`, `{ verdict = "ESCALATE", rule = "budget:hourly", reason = "BUDGET_EXHAUSTED" }`},
		{`{ hourly = 3, daily = 100 }`, `{ verdict = "DENY", rule = "budget:daily" }`},
	} {
		if _, err := Compile("test.toml", []byte(one(c.used, c.expect))); err != nil {
			t.Errorf("%s: %v", c.used, err)
		}
	}
	if _, err := Compile("test.toml", []byte(one(`{ hourly = 3 }`, `{ verdict = "ALLOW" }`))); err == nil || !strings.Contains(err.Error(), "expected ALLOW, got ESCALATE by budget:hourly (BUDGET_EXHAUSTED: the budget hourly of 3 per session in 1h does not have room for it)") {
		t.Errorf("%v", err)
	}
}

func TestFits(t *testing.T) {
	d := func(s string) decimal.Decimal {
		out, err := decimal.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	most := strings.Repeat("9", 30)
	for _, c := range []struct {
		used, amount, limit string
		want                bool
	}{
		{"0", "1", "1", true}, {"1", "1", "1", false}, {"0.1", "0.2", "0.3", true}, {"0.1", "0.2", "0.29", false},
		{"5", "0", "4", false}, {"4", "0", "4", true}, {most, "1", most, false}, {"1", most, most, false}, {"0", most, most, true},
	} {
		if got := (Use{&Budget{Limit: d(c.limit), Verdict: helm.Deny}, d(c.amount)}).Fits(d(c.used)); got != c.want {
			t.Errorf("%s + %s of %s: %t", c.used, c.amount, c.limit, got)
		}
	}
}
