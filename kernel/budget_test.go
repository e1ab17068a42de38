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
	"github.com/helm-ai-kernel/helm-ai-kernel/policy"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// budgeted is a policy that allows payments and mail, asks about payments over 1000, and
// has those budgets.
func budgeted(t testing.TB, mode string, budgets string) *policy.Policy {
	t.Helper()
	p, err := policy.Compile("budgets.toml", []byte(`
[policy]
id = "budgets"
version = 1
format = "helm.policy/v1"
mode = "`+mode+`"
[[tool]]
name = "pay.transfer"
args = { amount = "double", to = "string" }
[[tool]]
name = "mail.send"
args = { to = "string?" }
[[rule]]
id = "pay"
verdict = "ALLOW"
tools = ["*"]
[[rule]]
id = "large"
verdict = "ESCALATE"
reason = "PAYMENT_OVER_LIMIT"
tools = ["pay.transfer"]
when = "args.amount > 1000.0"
[[rule]]
id = "never"
verdict = "DENY"
tools = ["mail.send"]
when = 'has(args.to) && args.to == "evil"'
`+budgets))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const fiveMails = `
[[budget]]
id = "mails"
tools = ["mail.send"]
per = "agent"
limit = 5
window = "1h"
`

func mail(agent, session string) helm.Call {
	return helm.Call{Agent: agent, Session: session, Tool: "mail.send", Principal: "agent:" + agent, Boundary: "http", Arguments: json.RawMessage(`{}`)}
}

func pays(amount string) helm.Call {
	c := transfer(0)
	c.Arguments = json.RawMessage(`{"amount":` + amount + `,"to":"acct_9"}`)
	return c
}

// state is what a decision says of its budgets.
func state(t testing.TB, d *kernel.Decision) string {
	t.Helper()
	var out []string
	for _, b := range statement(t, d.Statement).Body.(*receipt.Decision).Budgets {
		out = append(out, fmt.Sprintf("%s: %s of %s", b.ID, b.Used, b.Limit))
	}
	return strings.Join(out, ", ")
}

func exhausted(t testing.TB, k *kernel.Kernel, c helm.Call, rule string) *kernel.Decision {
	t.Helper()
	d := decides(t, k, c, helm.Deny, helm.BudgetExhausted)
	if d.Rule != rule {
		t.Fatalf("the rule is %s, not %s", d.Rule, rule)
	}
	return d
}

// TestBudgetIsExact: 64 callers in two processes, several rounds: exactly as many are
// allowed as the budget has room for, never one too many or too few.
func TestBudgetIsExact(t *testing.T) {
	s, a := kernelUnder(t, budgeted(t, "enforce", fiveMails+`
[[budget]]
id = "sum"
tools = ["pay.transfer"]
per = "all"
sum = "amount"
limit = "2.5"
window = "1h"
`))
	b := s.kernel()
	for round := range 4 {
		s.set(s.clock().Add(time.Hour + time.Minute))
		for _, test := range []struct {
			call helm.Call
			want int
		}{{mail("m", "s"), 5}, {pays("0.1"), 25}} {
			allowed, denied, used := 0, 0, map[string]bool{}
			for _, d := range race(t, 64, test.call, a, b) {
				switch d.Verdict {
				case helm.Allow:
					allowed++
					if st := state(t, d); used[st] {
						t.Fatalf("two decisions say %s", st)
					} else {
						used[st] = true
					}
				case helm.Deny:
					denied++
				}
			}
			if allowed != test.want || denied != 64-test.want {
				t.Fatalf("round %d, %s: %d were allowed and %d denied, the budget has room for %d", round, test.call.Tool, allowed, denied, test.want)
			}
		}
	}
}

// TestBudgetWindow: what was taken comes back when its slot leaves the window, and not
// before.
func TestBudgetWindow(t *testing.T) {
	s, k := kernelUnder(t, budgeted(t, "enforce", fiveMails))
	s.set(time.Date(2026, 1, 2, 10, 0, 59, 0, time.UTC))
	for i := range 5 {
		d := decides(t, k, mail("m", fmt.Sprint(i)), helm.Allow, helm.AllowedByRule)
		if got, want := state(t, d), fmt.Sprintf("mails: %d of 5", i+1); got != want {
			t.Fatalf("%q, want %q", got, want)
		}
		s.set(s.clock().Add(30 * time.Second))
	}
	// 10:03:29; taken: 1 at 10:00, 2 at 10:01 (29 and 59), 2 at 10:02.
	for _, step := range []struct {
		at   string
		room int
	}{{"10:03:29", 0}, {"10:59:59.999999", 0}, {"11:00:00", 1}, {"11:00:59", 0}, {"11:01:00", 2}, {"11:02:00", 2}, {"11:59:59", 0}, {"12:00:00", 1}} {
		at, err := time.Parse("2006-01-02 15:04:05", "2026-01-02 "+step.at)
		if err != nil {
			t.Fatal(err)
		}
		s.set(at)
		for range step.room {
			decides(t, k, mail("m", "s"), helm.Allow, helm.AllowedByRule)
		}
		if d := exhausted(t, k, mail("m", "s"), "budget:mails"); state(t, d) != "mails: 5 of 5" {
			t.Fatalf("%s: %s", step.at, state(t, d))
		}
	}
}

// TestBudgetPer: what has a budget of its own.
func TestBudgetPer(t *testing.T) {
	for _, test := range []struct {
		per   string
		other helm.Call // has room when one of agent m in session s has none
		same  helm.Call // has none
	}{
		{"agent", mail("n", "s"), mail("m", "t")},
		{"session", mail("m", "t"), mail("m", "s")},
		{"session", mail("n", "s"), mail("m", "s")},
		{"principal", mail("n", "s"), func() helm.Call { c := mail("n", "s"); c.Principal = "agent:m"; return c }()},
		{"tool", pays("1"), mail("n", "t")},
	} {
		t.Run(test.per, func(t *testing.T) {
			_, k := kernelUnder(t, budgeted(t, "enforce", "[[budget]]\nid = \"b\"\ntools = [\"*\"]\nper = \""+test.per+"\"\nlimit = 1\nwindow = \"1h\"\n"))
			decides(t, k, mail("m", "s"), helm.Allow, helm.AllowedByRule)
			exhausted(t, k, mail("m", "s"), "budget:b")
			exhausted(t, k, test.same, "budget:b")
			decides(t, k, test.other, helm.Allow, helm.AllowedByRule)
		})
	}
	t.Run("all", func(t *testing.T) {
		_, k := kernelUnder(t, budgeted(t, "enforce", "[[budget]]\nid = \"b\"\ntools = [\"*\"]\nper = \"all\"\nlimit = 1\nwindow = \"1h\"\n"))
		decides(t, k, mail("m", "s"), helm.Allow, helm.AllowedByRule)
		exhausted(t, k, pays("1"), "budget:b")
	})
	for _, per := range []string{"agent", "session"} {
		t.Run("nobody by "+per, func(t *testing.T) {
			_, k := kernelUnder(t, budgeted(t, "enforce", "[[budget]]\nid = \"b\"\ntools = [\"*\"]\nper = \""+per+"\"\nlimit = 2\nwindow = \"1h\"\n"))
			for i := range 3 {
				c := mail(fmt.Sprint("agent", i), fmt.Sprint("session", i)) // it calls itself anything
				c.Principal = helm.PrincipalNone
				if i == 2 {
					exhausted(t, k, c, "budget:b")
				} else {
					decides(t, k, c, helm.Allow, helm.AllowedByRule)
				}
			}
			decides(t, k, mail("agent0", "session0"), helm.Allow, helm.AllowedByRule)
		})
	}
}

// TestBudgetTakesOnlyWhatIsAllowed: refusals, repetitions and refused arguments take
// nothing, and an outcome gives nothing back.
func TestBudgetTakesOnlyWhatIsAllowed(t *testing.T) {
	_, k := kernelUnder(t, budgeted(t, "enforce", fiveMails))
	c := mail("m", "s")
	c.CallID = "c1"
	first := decides(t, k, c, helm.Allow, helm.AllowedByRule)
	for range 10 {
		if d := decides(t, k, c, helm.Allow, helm.AllowedByRule); !d.Repeated || d.Index != first.Index {
			t.Fatalf("entry %d", d.Index)
		}
	}
	reports(t, k, kernel.Report{Decision: first.ID, Status: helm.OutcomeNotExecuted, Principal: c.Principal, Boundary: c.Boundary})
	decides(t, k, c, helm.Deny, helm.CallAlreadyDone)
	evil := mail("m", "s")
	evil.Arguments = json.RawMessage(`{"to":"evil"}`)
	if d := decides(t, k, evil, helm.Deny, helm.DeniedByRule); state(t, d) != "" {
		t.Fatalf("a budget was consulted: %s", state(t, d))
	}
	wrong := mail("m", "s")
	wrong.Arguments = json.RawMessage(`{"to":5}`)
	decides(t, k, wrong, helm.Deny, helm.ArgumentsInvalid)
	freezes(t, k)
	decides(t, k, mail("m", "s"), helm.Deny, helm.Frozen)
	unfreezes(t, k)
	for i := range 4 {
		if d := decides(t, k, mail("m", "s"), helm.Allow, helm.AllowedByRule); state(t, d) != fmt.Sprintf("mails: %d of 5", i+2) {
			t.Fatal(state(t, d))
		}
	}
	again := mail("m", "s")
	again.CallID = "c2"
	a, b := exhausted(t, k, again, "budget:mails"), exhausted(t, k, again, "budget:mails")
	if a.Index == b.Index {
		t.Fatal("a call that a budget denied was not decided anew")
	}
}

// TestBudgetOfAnApproval: an approval for a rule does not answer for a budget, one for a
// budget lets the call pass beyond the limit, and is counted.
func TestBudgetOfAnApproval(t *testing.T) {
	sum := func(verdict string) string {
		return "[[budget]]\nid = \"paid\"\ntools = [\"pay.transfer\"]\nper = \"agent\"\nsum = \"amount\"\nlimit = 3000\nwindow = \"24h\"\nverdict = \"" + verdict + "\"\n"
	}
	t.Run("denies what was approved, and leaves the approval", func(t *testing.T) {
		s, k := kernelUnder(t, budgeted(t, "enforce", sum("DENY")))
		asked := escalates(t, k, pays("2500"))
		if state(t, asked) != "" {
			t.Fatal("a pending ESCALATE consulted a budget")
		}
		decides(t, k, pays("1000"), helm.Allow, helm.AllowedByRule)
		answers(t, k, asked.ID, true)
		if d := exhausted(t, k, pays("2500"), "budget:paid"); used(t, d) != "" || state(t, d) != "paid: 1000 of 3000" {
			t.Fatalf("%q %s", used(t, d), state(t, d))
		}
		if a, err := k.Approval(context.Background(), asked.ID); err != nil || a.State != "approved" {
			t.Fatalf("%+v, %v", a, err)
		}
		s.set(s.clock().Add(time.Minute))
	})
	t.Run("takes what was approved", func(t *testing.T) {
		_, k := kernelUnder(t, budgeted(t, "enforce", sum("DENY")))
		asked := escalates(t, k, pays("2500"))
		answers(t, k, asked.ID, true)
		if d := allowedBy(t, k, pays("2500"), asked); state(t, d) != "paid: 2500 of 3000" {
			t.Fatal(state(t, d))
		}
		exhausted(t, k, pays("501"), "budget:paid")
		decides(t, k, pays("500"), helm.Allow, helm.AllowedByRule)
	})
	t.Run("asks a person", func(t *testing.T) {
		_, k := kernelUnder(t, budgeted(t, "enforce", sum("ESCALATE")))
		for range 3 {
			decides(t, k, pays("1000"), helm.Allow, helm.AllowedByRule)
		}
		asked := decides(t, k, pays("0.5"), helm.Escalate, helm.BudgetExhausted)
		if asked.Rule != "budget:paid" || asked.Approval == nil || asked.Approval.ID != asked.ID || state(t, asked) != "paid: 3000 of 3000" {
			t.Fatalf("%s %+v %s", asked.Rule, asked.Approval, state(t, asked))
		}
		if again := decides(t, k, pays("0.5"), helm.Escalate, helm.BudgetExhausted); again.Approval.ID != asked.ID {
			t.Fatal("another approval was opened")
		}
		answers(t, k, asked.ID, true)
		if d := allowedBy(t, k, pays("0.5"), asked); state(t, d) != "paid: 3000.5 of 3000" || d.Rule != "budget:paid" {
			t.Fatal(state(t, d), d.Rule)
		}
		refused := decides(t, k, pays("0.7"), helm.Escalate, helm.BudgetExhausted)
		answers(t, k, refused.ID, false)
		decides(t, k, pays("0.7"), helm.Deny, helm.ApprovalRefused)
	})
	t.Run("asks again for the budget that ended meanwhile", func(t *testing.T) {
		s, k := kernelUnder(t, budgeted(t, "enforce", sum("ESCALATE")))
		rule := escalates(t, k, pays("2500"))
		answers(t, k, rule.ID, true)
		decides(t, k, pays("1000"), helm.Allow, helm.AllowedByRule)
		s.set(s.clock().Add(time.Second))
		both := decides(t, k, pays("2500"), helm.Escalate, overLimit)
		if both.Approval == nil || both.Approval.ID != both.ID {
			t.Fatalf("it waits for %+v", both.Approval)
		}
		var rules []string
		for _, r := range statement(t, both.Statement).Body.(*receipt.Decision).Escalation.Requires {
			rules = append(rules, r.Rule)
		}
		if strings.Join(rules, " ") != "budget:paid large" {
			t.Fatal(rules)
		}
		if again := decides(t, k, pays("2500"), helm.Escalate, overLimit); again.Approval.ID != both.ID {
			t.Fatal("another approval was opened")
		}
		answers(t, k, both.ID, true)
		if d := allowedBy(t, k, pays("2500"), both); state(t, d) != "paid: 3500 of 3000" {
			t.Fatal(state(t, d))
		}
	})
	t.Run("a refusal goes before an approval", func(t *testing.T) {
		s, k := kernelUnder(t, budgeted(t, "enforce", sum("ESCALATE")))
		rule := escalates(t, k, pays("2500"))
		answers(t, k, rule.ID, true)
		decides(t, k, pays("1000"), helm.Allow, helm.AllowedByRule)
		s.set(s.clock().Add(time.Second))
		both := decides(t, k, pays("2500"), helm.Escalate, overLimit)
		answers(t, k, both.ID, false)
		decides(t, k, pays("2500"), helm.Deny, helm.ApprovalRefused)
	})
	t.Run("never beyond what can be counted", func(t *testing.T) {
		_, k := kernelUnder(t, budgeted(t, "enforce", strings.Replace(sum("ESCALATE"), "3000", `"`+strings.Repeat("9", 30)+`"`, 1)))
		asked := escalates(t, k, pays("9e29"))
		answers(t, k, asked.ID, true)
		allowedBy(t, k, pays("9e29"), asked)
		again := escalates(t, k, pays("9e29"))
		answers(t, k, again.ID, true)
		exhausted(t, k, pays("9e29"), "budget:paid")
		decides(t, k, pays("1"), helm.Allow, helm.AllowedByRule)
	})
}

// TestBudgetApprovalIsUsedOnce: the approved call beyond the budget, put to two processes
// at once, passes once.
func TestBudgetApprovalIsUsedOnce(t *testing.T) {
	s, a := kernelUnder(t, budgeted(t, "enforce", strings.Replace(fiveMails, "limit = 5", "limit = 1\nverdict = \"ESCALATE\"", 1)))
	b := s.kernel()
	decides(t, a, mail("m", "s"), helm.Allow, helm.AllowedByRule)
	for round := range 3 {
		c := mail("m", fmt.Sprint("s", round))
		asked := decides(t, b, c, helm.Escalate, helm.BudgetExhausted)
		answers(t, a, asked.ID, true)
		onlyOne(t, race(t, 16, c, a, b), asked)
	}
}

// TestBudgetSurvives: a reload keeps what was taken, under another limit, window or
// process.
func TestBudgetSurvives(t *testing.T) {
	s, k := kernelUnder(t, budgeted(t, "enforce", fiveMails))
	for range 5 {
		decides(t, k, mail("m", "s"), helm.Allow, helm.AllowedByRule)
	}
	exhausted(t, s.kernel(), mail("m", "s"), "budget:mails")
	reload := func(from, to string) {
		t.Helper()
		activate(t, k, budgeted(t, "enforce", strings.Replace(fiveMails, from, to, 1)))
	}
	reload("limit = 5", "limit = 6")
	decides(t, k, mail("m", "s"), helm.Allow, helm.AllowedByRule)
	reload("limit = 5", "limit = 3")
	if d := exhausted(t, k, mail("m", "s"), "budget:mails"); state(t, d) != "mails: 6 of 3" {
		t.Fatal(state(t, d))
	}
	reload(`"1h"`, `"24h"`)
	if d := exhausted(t, k, mail("m", "s"), "budget:mails"); state(t, d) != "mails: 6 of 5" {
		t.Fatal(state(t, d))
	}
	reload("mails", "letters") // another budget
	decides(t, k, mail("m", "s"), helm.Allow, helm.AllowedByRule)
}

// TestBudgetInShadow: counted and recorded, and nothing is blocked.
func TestBudgetInShadow(t *testing.T) {
	_, k := kernelUnder(t, budgeted(t, "shadow", strings.Replace(fiveMails, "limit = 5", "limit = 1", 1)+"[[budget]]\nid = \"asks\"\ntools = [\"pay.transfer\"]\nper = \"all\"\nlimit = 1\nwindow = \"1m\"\nverdict = \"ESCALATE\"\n"))
	decides(t, k, mail("m", "s"), helm.Allow, helm.AllowedByRule)
	if d := exhausted(t, k, mail("m", "s"), "budget:mails"); d.Enforced {
		t.Fatal("it is enforced")
	}
	decides(t, k, pays("1"), helm.Allow, helm.AllowedByRule)
	if d := decides(t, k, pays("1"), helm.Escalate, helm.BudgetExhausted); d.Enforced || d.Approval != nil {
		t.Fatalf("%+v", d)
	}
}

// TestManyBudgetsAtOnce: many agents, sessions and tools in two processes; every budget
// ends at its limit.
func TestManyBudgetsAtOnce(t *testing.T) {
	s, a := kernelUnder(t, budgeted(t, "enforce", fiveMails+`
[[budget]]
id = "session"
tools = ["*"]
per = "session"
limit = 3
window = "24h"
[[budget]]
id = "everything"
tools = ["*"]
per = "all"
limit = 40
window = "24h"
`))
	ks := []*kernel.Kernel{a, s.kernel()}
	var mu sync.Mutex
	allowed := map[string]int{}
	var wg sync.WaitGroup
	for i := range 192 {
		wg.Go(func() {
			c := mail(fmt.Sprint("a", i%4), fmt.Sprint("s", i%3))
			d, err := ks[i%2].Decide(context.Background(), c)
			if err != nil {
				t.Error(err)
				return
			}
			if d.Verdict == helm.Allow {
				mu.Lock()
				defer mu.Unlock()
				allowed[c.Agent]++
				allowed[c.Agent+" "+c.Session]++
			}
		})
	}
	wg.Wait()
	for i := range 4 {
		agent := fmt.Sprint("a", i)
		if allowed[agent] != 5 {
			t.Errorf("%s: %d were allowed", agent, allowed[agent])
		}
		for j := range 3 {
			if n := allowed[fmt.Sprint(agent, " s", j)]; n > 3 {
				t.Errorf("%s, session %d: %d were allowed", agent, j, n)
			}
		}
	}
}
