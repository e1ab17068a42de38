package replay

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/budget"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/pack"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

const testBudgets = `
[[budget]]
id = "calls"
tools = ["pay.transfer"]
per = "agent"
limit = 6
window = "1h"

[[budget]]
id = "paid"
tools = ["pay.transfer"]
per = "session"
sum = "amount"
limit = 1500
window = "2h"
verdict = "ESCALATE"

[[budget]]
id = "everyone"
tools = ["pay.*"]
per = "all"
limit = 20
window = "24h"
`

func copyBudgets(c budgets) budgets {
	out := budgets{log: c.log, streams: map[receipt.Hash]*run{}, counters: map[string]*budget.Counter{}}
	for k, v := range c.streams {
		one := *v
		out.streams[k] = &one
	}
	for k, v := range c.counters {
		one := *v
		one.Taken = slices.Clone(v.Taken)
		out.counters[k] = &one
	}
	return out
}

func (s *site) by(agent, session string, amount int, want helm.Verdict, code helm.Code) *kernel.Decision {
	s.t.Helper()
	return s.call(helm.Call{Agent: agent, Session: session, Tool: "pay.transfer", Arguments: fmt.Appendf(nil, `{"amount":%d,"to":"x"}`, amount),
		Principal: "agent:" + agent, Boundary: "test"}, want, code)
}

// spending records decisions of every sort that budgets make.
func spending(t *testing.T) *site {
	s := newSite(t)
	s.activateSource(append(fmt.Appendf(nil, testPolicy, 1, helm.Enforce), testBudgets...))
	ok, gone := helm.AllowedByRule, helm.BudgetExhausted
	s.by("a", "s", 1000, helm.Allow, ok)
	s.by("a", "s", 500, helm.Allow, ok)
	e := s.by("a", "s", 1, helm.Escalate, gone)
	s.by("a", "s", 1, helm.Escalate, gone) // still waits
	s.answer(e, true)
	s.by("a", "s", 1, helm.Allow, helm.Approved) // beyond the limit
	s.by("a", "t", 700, helm.Allow, ok)
	s.by("b", "s", 700, helm.Allow, ok)
	e = s.by("a", "t", 5000, helm.Escalate, "ESCALATED_BY_RULE")
	s.answer(e, true)
	both := s.by("a", "t", 5000, helm.Escalate, "ESCALATED_BY_RULE") // the rule was answered, the budget was not
	if both.Approval == nil || both.Approval.ID != both.ID {
		t.Fatalf("%+v", both.Approval)
	}
	s.answer(both, true)
	s.by("a", "t", 5000, helm.Allow, helm.Approved)
	s.by("a", "u", 2, helm.Allow, ok)
	s.by("a", "u", 2, helm.Deny, gone)
	s.by("a", "s", 9999, helm.Escalate, "ESCALATED_BY_RULE")
	c := s.by("a", "v", 4000, helm.Escalate, "ESCALATED_BY_RULE")
	s.answer(c, true)
	s.by("a", "v", 4000, helm.Deny, gone) // approved, and denied by a budget
	s.clock = s.clock.Add(61 * time.Minute)
	s.by("a", "u", 2, helm.Allow, ok)
	s.by("a", "s", 1, helm.Escalate, gone)
	s.clock = s.clock.Add(61 * time.Minute)
	s.by("a", "s", 1000, helm.Allow, ok)
	none := helm.Call{Agent: "a", Session: "s", Tool: "pay.transfer", Arguments: []byte(`{"amount":9,"to":"x"}`), Principal: helm.PrincipalNone, Boundary: "test"}
	s.call(none, helm.Allow, ok)
	none.Session, none.Agent = "other", "other"
	s.call(none, helm.Allow, ok)
	for i := range 4 {
		none.Session = fmt.Sprint("n", i)
		s.call(none, helm.Allow, ok)
	}
	s.call(none, helm.Deny, gone)
	return s
}

func TestBudgetsAgree(t *testing.T) {
	s := spending(t)
	totals, err := Run(s.pack(), s.exported, nil, func(d *Decision) error {
		if d.Answer != Agree {
			t.Errorf("entry %d, recorded %s: %s, %s", d.Index, d.Recorded, d.Answer, d.Why)
		}
		return nil
	})
	if err != nil || totals.Agree != 25 {
		t.Errorf("%+v, %v", totals, err)
	}
}

// TestBudgetLies changes what the receipts say of budgets: none of it agrees, and what
// was decided upon a lie differs too.
func TestBudgetLies(t *testing.T) {
	s := spending(t)
	p := s.pack()
	all := s.entries(p)
	lies := map[string]func(b *receipt.Decision) bool{
		"used":   func(b *receipt.Decision) bool { b.Budgets[0].Used = "0.5"; return true },
		"amount": func(b *receipt.Decision) bool { b.Budgets[0].Amount = "0"; return true },
		"limit":  func(b *receipt.Decision) bool { b.Budgets[0].Limit = "7"; return true },
		"window": func(b *receipt.Decision) bool { b.Budgets[0].Window = 60; return true },
		"per":    func(b *receipt.Decision) bool { b.Budgets[0].Per = "all"; return true },
		"none":   func(b *receipt.Decision) bool { b.Budgets = nil; return true },
		"one less": func(b *receipt.Decision) bool {
			b.Budgets = b.Budgets[:len(b.Budgets)-1]
			return true
		},
		"room": func(b *receipt.Decision) bool {
			if b.Reason.Code != helm.BudgetExhausted {
				return false
			}
			b.Verdict, b.Rule, b.Reason.Code, b.Escalation, b.Approval = helm.Allow, "pay-small", helm.AllowedByRule, nil, nil
			return true
		},
		"no room": func(b *receipt.Decision) bool {
			b.Verdict, b.Rule, b.Reason.Code, b.Approval = helm.Deny, "budget:calls", helm.BudgetExhausted, nil
			return true
		},
	}
	for name, lie := range lies {
		t.Run(name, func(t *testing.T) {
			r, told := newReplayer(p, nil), 0
			for i := range all {
				e := all[i]
				b, ok := e.Statement.Body.(*receipt.Decision)
				if ok && len(b.Budgets) > 0 {
					body := *b
					body.Budgets = slices.Clone(b.Budgets)
					before := body
					if lie(&body) && (before.Verdict != body.Verdict || before.Reason != body.Reason || !slices.Equal(b.Budgets, body.Budgets)) {
						st := *e.Statement
						st.Body = &body
						lying := &pack.Disclosed{Statement: &st, Disclosure: e.Disclosure}
						saved := *r
						d := (&replayer{pack: saved.pack, policies: saved.policies, activated: saved.activated,
							sessions: copySessions(saved.sessions), budgets: copyBudgets(saved.budgets)}).entry(lying)
						if d.Answer != Differ {
							t.Errorf("entry %d: %s, %s", st.Index, d.Answer, d.Why)
						}
						told++
					}
				}
				r.entry(&e)
			}
			if told == 0 {
				t.Error("no lie was told")
			}
		})
	}
}

// TestBudgetsOfAPart replays what is not the whole log: a budget is counted again where the
// pack has all entries that may have taken of it, and only there.
func TestBudgetsOfAPart(t *testing.T) {
	s := spending(t)
	answers := func(q receipt.Query) (answers []string) {
		p := s.asked(q)
		if _, err := Run(p, s.exported, nil, func(d *Decision) error {
			answers = append(answers, string(d.Answer))
			if d.Answer == CannotTell && !strings.Contains(d.Why, "everyone") && !strings.Contains(d.Why, "earlier entries") && !strings.Contains(d.Why, "does not disclose") {
				t.Errorf("%s", d.Why)
			}
			if d.Answer == Differ {
				t.Errorf("entry %d: %s", d.Index, d.Why)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return answers
	}
	// The budget of everyone is in the way of all that is allowed.
	for _, a := range answers(receipt.Query{Agent: "b"}) {
		if a != "cannot_tell" {
			t.Errorf("agent b: %s", a)
		}
	}
	// Without it, an agent's budgets are told from its stream alone, a session's from its own.
	s = newSite(t)
	s.activateSource(append(fmt.Appendf(nil, testPolicy, 1, helm.Enforce), testBudgets[:strings.Index(testBudgets, "[[budget]]\nid = \"everyone\"")]...))
	for i := range 4 {
		s.by("a", "s", i, helm.Allow, helm.AllowedByRule)
		s.by("b", "s", i, helm.Allow, helm.AllowedByRule)
		s.by("a", "t", 1000, []helm.Verdict{helm.Allow, helm.Escalate, helm.Escalate, helm.Escalate}[i],
			[]helm.Code{helm.AllowedByRule, helm.BudgetExhausted, helm.BudgetExhausted, helm.BudgetExhausted}[i])
	}
	if got := strings.Join(answers(receipt.Query{Agent: "a"}), " "); got != "agree agree agree agree agree agree agree agree" {
		t.Error(got)
	}
	for _, a := range answers(receipt.Query{Agent: "a", Session: "t"}) { // the agent's budget knows of session s
		if a != "cannot_tell" {
			t.Error(a)
		}
	}
	// A later window tells from the first entry on behind which a whole window of the budget lies.
	s.clock = s.clock.Add(150 * time.Minute)
	since := s.clock
	s.by("a", "s", 1, helm.Allow, helm.AllowedByRule) // nothing is known of the two hours before
	s.clock = s.clock.Add(121 * time.Minute)
	s.by("a", "s", 1, helm.Allow, helm.AllowedByRule)
	s.clock = s.clock.Add(time.Minute)
	s.by("a", "s", 1, helm.Allow, helm.AllowedByRule)
	if got := strings.Join(answers(receipt.Query{Agent: "a", Since: since}), " "); got != "cannot_tell cannot_tell agree agree" { // the first is the entry before
		t.Error(got)
	}
}

// TestBudgetsWithoutTokens: callers without a token have one budget together, so that no part of
// the log tells what was taken of it, and the answer says why.
func TestBudgetsWithoutTokens(t *testing.T) {
	s := newSite(t)
	s.activateSource(append(fmt.Appendf(nil, testPolicy, 1, helm.Enforce), testBudgets[:strings.Index(testBudgets, "[[budget]]\nid = \"everyone\"")]...))
	for _, agent := range []string{"b", "a"} {
		s.call(helm.Call{Agent: agent, Session: "s", Tool: "pay.transfer", Arguments: []byte(`{"amount":9,"to":"x"}`), Principal: helm.PrincipalNone, Boundary: "test"}, helm.Allow, helm.AllowedByRule)
	}
	told := 0
	for _, q := range []receipt.Query{{Agent: "a", Session: "s"}, {All: true}} {
		if _, err := Run(s.asked(q), s.exported, nil, func(d *Decision) error {
			told++
			if q.All != (d.Answer == Agree) || !q.All && !strings.Contains(d.Why, "the budget calls, which is one of all callers without a token, and earlier entries") {
				t.Errorf("%+v: %s %s", q, d.Answer, d.Why)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if told != 3 {
		t.Error(told)
	}
}

// TestBudgetHidden hides an amount: the call is not told, and those after it are.
func TestBudgetHidden(t *testing.T) {
	s := spending(t)
	p := s.pack()
	all := s.entries(p)
	r := newReplayer(p, nil)
	told := map[Answer]int{}
	for i := range all {
		e := all[i]
		if b, ok := e.Statement.Body.(*receipt.Decision); ok && i%3 == 0 {
			d := &receipt.Disclosure{Index: e.Disclosure.Index, Lines: slices.Clone(e.Disclosure.Lines)}
			for k := len(d.Lines) - 1; k >= 0; k-- {
				if d.Lines[k].Line.Pointer == "/arguments/amount" {
					d.Close(k)
				}
			}
			e.Disclosure = d
			if got := r.entry(&e); got.Answer != CannotTell {
				t.Errorf("entry %d of %s: %s %s", i, b.Session, got.Answer, got.Why)
			}
			continue
		}
		if d := r.entry(&e); d != nil {
			if d.Answer == Differ {
				t.Errorf("entry %d: %s", i, d.Why)
			}
			told[d.Answer]++
		}
	}
	if told[Agree] == 0 {
		t.Error("nothing agrees")
	}
}
