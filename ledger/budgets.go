package ledger

import (
	"errors"
	"fmt"
	"strings"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/decimal"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// slots is how many slots of time a budget's window has.
const slots = 60

// A budgetRow is what was taken of a budget, in the slots of its window.
type budgetRow struct {
	Seconds uint64    `json:"s"` // of a slot
	Taken   []slotRow `json:"t"` // by number, the oldest first
}

type slotRow struct {
	Number uint64          `json:"n"` // of the slot, from 1970 on
	Amount decimal.Decimal `json:"a"`
}

// budgetKey is the key of a budget's counter for a call. Names hold no NUL. Where
// nobody authenticated the caller, it names agent and session as it likes: then those
// budgets are the principal's.
func budgetKey(d *receipt.Decision, b *receipt.Budget) []byte {
	per, of := b.Per, ""
	if d.Principal == helm.PrincipalNone && (per == receipt.BudgetPerAgent || per == receipt.BudgetPerSession) {
		per = receipt.BudgetPerPrincipal
	}
	switch per {
	case receipt.BudgetPerAgent:
		of = d.Agent
	case receipt.BudgetPerSession:
		of = d.Agent + "\x00" + d.Session
	case receipt.BudgetPerTool:
		of = d.Tool
	case receipt.BudgetPerPrincipal:
		of = d.Principal
	}
	sum := sha256Sum([]byte(b.Sum)) // an argument's name may hold anything
	return []byte(strings.Join([]string{b.ID, b.Per, per, of, string(sum[:])}, "\x00"))
}

// Used is what was taken of a budget in the window that ends now, by calls that share
// it with this one.
func (v *View) Used(d *receipt.Decision, b *receipt.Budget) (decimal.Decimal, error) {
	row, err := v.budget(d, b)
	if err != nil {
		return decimal.Decimal{}, err
	}
	return row.used()
}

// budget is a budget's counter as it stands now.
func (v *View) budget(d *receipt.Decision, b *receipt.Budget) (*budgetRow, error) {
	row := &budgetRow{Seconds: b.Window / slots}
	raw, err := v.rows.Get(Budgets, budgetKey(d, b))
	if err != nil {
		return nil, err
	}
	if raw != nil {
		if err := unmarshalRow(Budgets, raw, row); err != nil {
			return nil, err
		}
	}
	return row, row.move(b.Window/slots, uint64(v.head.Time.Unix()))
}

// move brings a counter to the window that ends now.
func (r *budgetRow) move(seconds, now uint64) error {
	if r.Seconds == 0 || seconds == 0 {
		return fmt.Errorf("a row of table %s is damaged: a slot of 0 seconds", Budgets)
	}
	last := now / seconds
	var kept []slotRow
	for _, s := range r.Taken {
		if r.Seconds != seconds { // another window: as late as it can have been
			s.Number = min(((s.Number+1)*r.Seconds-1)/seconds, last)
		}
		if s.Number+slots <= last {
			continue
		}
		if n := len(kept); n > 0 && kept[n-1].Number == s.Number {
			var ok bool
			if kept[n-1].Amount, ok = kept[n-1].Amount.Add(s.Amount); !ok {
				return errSum
			}
			continue
		}
		kept = append(kept, s)
	}
	r.Seconds, r.Taken = seconds, kept
	return nil
}

// take adds to the slot of now, to which the counter was moved.
func (r *budgetRow) take(amount decimal.Decimal, now uint64) error {
	last := now / r.Seconds
	if n := len(r.Taken); n == 0 || r.Taken[n-1].Number != last {
		r.Taken = append(r.Taken, slotRow{Number: last})
	}
	to, ok := &r.Taken[len(r.Taken)-1].Amount, false
	if *to, ok = to.Add(amount); !ok {
		return errSum
	}
	return nil
}

func (r *budgetRow) used() (sum decimal.Decimal, err error) {
	for _, s := range r.Taken {
		var ok bool
		if sum, ok = sum.Add(s.Amount); !ok {
			return sum, errSum
		}
	}
	return sum, nil
}

var errSum = errors.New("what was taken of a budget is more than can be counted")

// foldBudgets takes what an allowed call takes of its budgets. What the statement says
// is used must be what the entries so far lead to.
func (s *state) foldBudgets(e *Entry, d *receipt.Decision) error {
	for i := range d.Budgets {
		b := &d.Budgets[i]
		row, err := s.budget(d, b)
		if err != nil {
			return err
		}
		if d.Verdict == helm.Allow {
			amount, err := decimal.Parse(b.Amount)
			if err == nil {
				err = row.take(amount, uint64(s.head.Time.Unix()))
			}
			if err != nil {
				return fmt.Errorf("entry %d: budget %s: %w", e.Index, b.ID, err)
			}
			s.over.put(Budgets, budgetKey(d, b), marshalRow(row))
		}
		used, err := row.used()
		if err != nil {
			return fmt.Errorf("entry %d: budget %s: %w", e.Index, b.ID, err)
		}
		if used.String() != b.Used {
			return fmt.Errorf("entry %d: it says that %s of the budget %s is used, the entries lead to %s", e.Index, b.Used, b.ID, used)
		}
	}
	return nil
}
