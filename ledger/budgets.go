package ledger

import (
	"fmt"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/budget"
	"github.com/helm-ai-kernel/helm-ai-kernel/decimal"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// Used is what was taken of a budget in the window that ends now, by calls that share
// it with this one.
func (v *View) Used(d *receipt.Decision, b *receipt.Budget) (decimal.Decimal, error) {
	c, err := v.budget(d, b)
	if err != nil {
		return decimal.Decimal{}, err
	}
	return c.Used()
}

// budget is a budget's counter as it stands now.
func (v *View) budget(d *receipt.Decision, b *receipt.Budget) (*budget.Counter, error) {
	c := budget.New(b)
	raw, err := v.rows.Get(Budgets, budget.Key(d, b))
	if err != nil {
		return nil, err
	}
	if raw != nil {
		if err := unmarshalRow(Budgets, raw, c); err != nil {
			return nil, err
		}
	}
	return c, c.Move(b.Window, v.unix())
}

func (v *View) unix() uint64 { return uint64(max(v.head.Time.Unix(), 0)) }

// foldBudgets takes what an allowed call takes of its budgets. What the statement says
// is used must be what the entries so far lead to.
func (s *state) foldBudgets(e *Entry, d *receipt.Decision) error {
	for i := range d.Budgets {
		b := &d.Budgets[i]
		c, err := s.budget(d, b)
		if err != nil {
			return err
		}
		if d.Verdict == helm.Allow {
			amount, err := decimal.Parse(b.Amount)
			if err == nil {
				err = c.Take(amount, s.unix())
			}
			if err != nil {
				return fmt.Errorf("entry %d: budget %s: %w", e.Index, b.ID, err)
			}
			s.over.put(Budgets, budget.Key(d, b), marshalRow(c))
		}
		used, err := c.Used()
		if err != nil {
			return fmt.Errorf("entry %d: budget %s: %w", e.Index, b.ID, err)
		}
		if used.String() != b.Used {
			return fmt.Errorf("entry %d: it says that %s of the budget %s is used, the entries lead to %s", e.Index, b.Used, b.ID, used)
		}
	}
	return nil
}
