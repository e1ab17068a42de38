package kernel

import (
	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
	"github.com/helm-ai-kernel/helm-ai-kernel/policy"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// spend consults the budgets of a call that the rules allow, or an approval that answers
// what answered names. Where they have room it takes what the call takes. Where a budget has
// none, it denies the call, or returns what a person is to be asked for.
func (d *decided) spend(v *ledger.View, uses []policy.Use, answered []receipt.Requirement) ([]policy.Match, error) {
	d.body.Budgets = nil
	var asks []policy.Match
	var full *policy.Use
	after := make([]string, len(uses))
	for i, u := range uses {
		b := receipt.Budget{ID: u.ID, Per: u.Per, Sum: u.Sum, Window: uint64(u.Window.Seconds()), Limit: u.Limit.String(), Amount: u.Amount.String()}
		used, err := v.Used(&d.body, &b)
		if err != nil {
			return nil, err
		}
		b.Used = used.String()
		d.body.Budgets = append(d.body.Budgets, b)
		sum, countable := used.Add(u.Amount)
		after[i] = sum.String()
		switch {
		case u.Fits(used):
		case u.Verdict == helm.Deny || !countable:
			if full == nil {
				full = &uses[i]
			}
		case !answers(answered, u.Rule()):
			asks = append(asks, policy.Match{Rule: u.Rule(), Verdict: helm.Escalate, Code: helm.BudgetExhausted})
		}
	}
	switch {
	case full != nil:
		d.body.Verdict, d.body.Rule, d.body.Reason = helm.Deny, full.Rule(), full.Reason()
		return nil, nil
	case len(asks) > 0:
		if d.body.Verdict == helm.Allow {
			for _, u := range uses {
				if u.Rule() == asks[0].Rule {
					d.body.Rule, d.body.Reason = u.Rule(), u.Reason()
				}
			}
			d.body.Verdict = helm.Escalate
		}
		return asks, nil
	}
	for i := range after {
		d.body.Budgets[i].Used = after[i]
	}
	return nil, nil
}
