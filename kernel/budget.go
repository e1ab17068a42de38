package kernel

import (
	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/decimal"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
	"github.com/helm-ai-kernel/helm-ai-kernel/policy"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// spend consults the budgets of a call that the rules allow, or an approval that answers
// what answered names. Where they have room it takes what the call takes. Where a budget has
// none, it denies the call, or returns what a person is to be asked for.
func (d *decided) spend(v *ledger.View, r policy.Result, answered []receipt.Requirement) ([]policy.Match, error) {
	d.body.Budgets = nil
	var used []decimal.Decimal
	for _, u := range r.Budgets {
		b := u.State(decimal.Decimal{})
		so, err := v.Used(&d.body, &b)
		if err != nil {
			return nil, err
		}
		used = append(used, so)
	}
	s := policy.Spend(r.Budgets, used, func(rule string) bool { return answers(answered, rule) })
	if s.Full == nil && len(s.Asks) == 0 {
		used = s.After
	}
	for i, u := range r.Budgets {
		d.body.Budgets = append(d.body.Budgets, u.State(used[i]))
	}
	if s.Full != nil {
		d.body.Verdict, d.body.Rule, d.body.Reason = helm.Deny, s.Full.Rule(), s.Full.Reason()
		return nil, nil
	}
	if s.Apply(&r); r.Verdict == helm.Escalate {
		d.body.Verdict, d.body.Rule, d.body.Reason = r.Verdict, r.Rule, r.Reason
	}
	return s.Asks, nil
}
