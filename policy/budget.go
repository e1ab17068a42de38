package policy

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	helm "github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/decimal"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

// Limits of budgets.
const (
	MaxBudgets = 32
	MinWindow  = time.Minute
	MaxWindow  = 366 * 24 * time.Hour
)

var pers = []string{receipt.BudgetPerAgent, receipt.BudgetPerSession, receipt.BudgetPerTool, receipt.BudgetPerPrincipal, receipt.BudgetPerAll}

// A Budget is a limit on what the calls of a window of time take together.
type Budget struct {
	ID      string
	Per     string          // what has a budget of its own
	Sum     string          // the argument that is added up, or "": calls are counted
	Window  time.Duration   // whole minutes
	Limit   decimal.Decimal // above 0
	Verdict helm.Verdict    // of a call that does not fit: DENY or ESCALATE

	path  string
	tools []string
	asks  *asks
}

// Rule is the name under which the budget decides.
func (b *Budget) Rule() string { return "budget:" + b.ID }

// A Use is what a call takes of a budget.
type Use struct {
	*Budget
	Amount decimal.Decimal
}

// Fits reports whether the call fits into what is left.
func (u Use) Fits(used decimal.Decimal) bool {
	sum, ok := used.Add(u.Amount)
	return ok && sum.Cmp(u.Limit) <= 0
}

// A Spending is what budgets make of a call that the rules, or an approval, allow.
type Spending struct {
	After []decimal.Decimal // what is used of each when the call is allowed
	Full  *Use              // the budget that denies it, or nil
	Asks  []Match           // what a person is to be asked for, where none denies it
}

// Spend holds what a call takes of budgets against what is used of each so far. answered says
// of a rule whether an approval answers for it.
func Spend(uses []Use, used []decimal.Decimal, answered func(rule string) bool) (s Spending) {
	for i := range uses {
		u := &uses[i]
		sum, countable := used[i].Add(u.Amount)
		s.After = append(s.After, sum)
		switch {
		case u.Fits(used[i]):
		case u.Verdict == helm.Deny || !countable:
			if s.Full == nil {
				s.Full = u
			}
		case !answered(u.Rule()):
			s.Asks = append(s.Asks, Match{u.Rule(), helm.Escalate, helm.BudgetExhausted})
		}
	}
	return s
}

// Apply gives an ALLOW of the rules the verdict of the budgets.
func (s *Spending) Apply(r *Result) {
	switch {
	case r.Verdict != helm.Allow:
	case s.Full != nil:
		r.Verdict, r.Rule, r.Reason = helm.Deny, s.Full.Rule(), s.Full.Reason()
	case len(s.Asks) > 0:
		i := slices.IndexFunc(r.Budgets, func(u Use) bool { return u.Rule() == s.Asks[0].Rule })
		r.Verdict, r.Rule, r.Reason = helm.Escalate, s.Asks[0].Rule, r.Budgets[i].Reason()
	}
}

// State is the budget as a receipt shows it.
func (u Use) State(used decimal.Decimal) receipt.Budget {
	return receipt.Budget{ID: u.ID, Per: u.Per, Sum: u.Sum, Window: uint64(u.Window.Seconds()), Limit: u.Limit.String(), Amount: u.Amount.String(), Used: used.String()}
}

// Reason is why a call that does not fit is not allowed. It tells no amount: the receipt's
// budgets do.
func (u Use) Reason() helm.Reason {
	return helm.Reason{Code: helm.BudgetExhausted, Message: "the budget " + u.ID + " of " + u.Limit.String() + " per " + u.Per + " in " + window(u.Window) + " does not have room for it"}
}

// window writes a duration of whole minutes as a policy file does.
func window(d time.Duration) string {
	s := d.String()
	s = strings.TrimSuffix(s, "0s")
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Uses are the budgets of a call, by id, and what it takes of each. Where an amount
// cannot be told, the budget is given alone, with the reason, or with the place of the
// hidden value that it depends on.
func (p *Policy) uses(in *Input) (uses []Use, wrong *Budget, why, hidden string) {
	for i := range p.budgets {
		b := &p.budgets[i]
		if !slices.ContainsFunc(b.tools, func(pattern string) bool { return match(pattern, in.Tool) }) {
			continue
		}
		u := Use{b, decimal.One()}
		if b.Sum != "" {
			if in.Arguments.Kind == strictjson.Hidden {
				return nil, b, "", in.Arguments.Text
			}
			v, ok := in.Arguments.Get(b.Sum)
			switch {
			case !ok:
				return nil, b, "the argument " + pointer(b.Sum) + " is missing", ""
			case v.Kind == strictjson.Hidden:
				return nil, b, "", v.Text
			case v.Kind != strictjson.Number && v.Kind != strictjson.String:
				return nil, b, "the argument " + pointer(b.Sum) + " is " + jsonKind(v), ""
			}
			var err error
			if u.Amount, err = decimal.Parse(v.Text); err != nil {
				return nil, b, "the argument " + pointer(b.Sum) + ": " + err.Error(), ""
			}
		}
		uses = append(uses, u)
	}
	return uses, nil, "", ""
}

// budget adds to a result what the call takes of budgets.
func (p *Policy) budget(in *Input, out *Result) {
	if len(p.budgets) == 0 || out.Verdict == helm.Deny {
		return
	}
	uses, wrong, why, hidden := p.uses(in)
	switch {
	case hidden != "":
		out.Hidden = append(out.Hidden, hidden)
	case wrong != nil:
		out.Verdict, out.Rule = helm.Deny, wrong.Rule()
		out.Reason = helm.Reason{Code: helm.RuleError, Message: "the amount of the budget " + wrong.ID + " cannot be told: " + why}
	default:
		out.Budgets = uses
	}
}

func (t table) budget() Budget {
	t.only("id", "tools", "per", "limit", "window", "sum", "verdict", "approvers")
	b := Budget{path: t.path, ID: t.name("id"), Verdict: helm.Deny}
	if strings.Contains(b.ID, ":") {
		t.s.val(t.path+".id", "", "the id %q has a colon: \"budget:ID\" is the name under which it decides", b.ID)
	}
	if len(b.Rule()) > helm.MaxNameBytes {
		t.s.val(t.path+".id", "", "the id has %d bytes: at most %d are allowed, because \"budget:ID\" is a rule's name too", len(b.ID), helm.MaxNameBytes-len("budget:"))
	}
	if _, ok := t.need("tools"); ok {
		if b.tools = t.strings("tools"); b.tools != nil && len(b.tools) == 0 {
			t.s.val(t.path+".tools", "", "a budget without tools limits nothing")
		}
	}
	if b.Per = t.str("per"); b.Per != "" && !slices.Contains(pers, b.Per) {
		t.s.val(t.path+".per", closest(b.Per, pers), "per is %q: it must be %s", b.Per, strings.Join(pers, ", "))
	}
	if _, there := t.m["sum"]; there {
		b.Sum = t.str("sum")
	}
	t.limit(&b)
	if text := t.str("window"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d < MinWindow || d > MaxWindow || d%time.Minute != 0 {
			t.s.val(t.path+".window", "", "window is %q: it must be a duration of whole minutes such as \"1h\", from 1m to 8784h", text)
		}
		b.Window = d
	}
	if _, there := t.m["verdict"]; there {
		if v := t.str("verdict"); v != "" {
			if b.Verdict = helm.Verdict(v); b.Verdict != helm.Deny && b.Verdict != helm.Escalate {
				t.s.val(t.path+".verdict", closest(v, []string{"DENY", "ESCALATE"}), "the verdict of a budget is %q: it must be DENY or ESCALATE", v)
			}
		}
	}
	b.asks = t.approvers(b.Verdict)
	return b
}

func (t table) limit(b *Budget) {
	if _, ok := t.need("limit"); !ok {
		return
	}
	var ok bool
	switch b.Limit, ok = t.decimal("limit"); {
	case !ok:
	case b.Limit.Cmp(decimal.Decimal{}) == 0:
		t.s.val(t.path+".limit", "", "a limit of 0 is a rule that denies: write one")
	case b.Sum == "" && strings.Contains(b.Limit.String(), "."):
		t.s.val(t.path+".limit", "", "calls are counted, and the limit is %s: name the argument to add up with sum = \"...\"", b.Limit)
	}
}

// decimal reads an integer, or a decimal in quotes, since TOML's floats are binary.
func (t table) decimal(key string) (decimal.Decimal, bool) {
	var text string
	switch v := t.m[key].(type) {
	case int64:
		text = strconv.FormatInt(v, 10)
	case string:
		text = v
	default:
		t.s.val(join(t.path, key), "", "%s must be an integer, or a decimal in quotes such as \"99.50\", this is %s", key, kindOf(v))
		return decimal.Decimal{}, false
	}
	d, err := decimal.Parse(text)
	if err != nil {
		t.s.val(join(t.path, key), "", "%s is %q: %s", key, text, err)
	}
	return d, err == nil
}

// budgets reports budgets that no call could meet, or that could not add up what they name.
func (s *source) budgets(f *file) {
	var names []string
	for _, t := range f.tools {
		names = append(names, t.name)
	}
	var ids []string
	for _, b := range f.budgets {
		ids = append(ids, b.ID)
	}
	for _, t := range f.tests {
		for _, id := range slices.Sorted(maps.Keys(t.used)) {
			if !slices.Contains(ids, id) {
				s.key(t.path+".used."+id, closest(id, ids), "no [[budget]] has the id %q", id)
			}
		}
	}
	for _, b := range f.budgets {
		for i, pattern := range b.tools {
			if pattern != "*" && !slices.ContainsFunc(names, func(n string) bool { return match(pattern, n) }) {
				s.val(indexed(b.path+".tools", i), closest(pattern, names), "no [[tool]] that is declared is named %q", pattern)
				s.code(CodeUnknownTool)
			}
		}
		if b.Sum == "" {
			continue
		}
		for _, t := range f.tools {
			if !slices.ContainsFunc(b.tools, func(pattern string) bool { return match(pattern, t.name) }) {
				continue
			}
			var args []string
			for _, a := range t.args {
				args = append(args, a.name)
			}
			switch i := slices.Index(args, b.Sum); {
			case i < 0:
				s.val(b.path+".sum", closest(b.Sum, args), "the tool %s has no argument %q", t.name, b.Sum)
			case t.args[i].optional:
				s.val(b.path+".sum", "", "the argument %s of the tool %s is optional: a call without it would be an error", b.Sum, t.name)
			case !slices.Contains([]string{"int", "uint", "double", "string"}, t.args[i].kind):
				s.val(b.path+".sum", "", "the argument %s of the tool %s is of the type %s: only int, uint, double and string can be added up", b.Sum, t.name, t.args[i].kind)
			}
		}
	}
}
