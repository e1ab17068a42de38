// Package budget counts what was taken of budgets, from what statements say. The ledger
// decides by it, and a replay counts again. It is pure.
package budget

import (
	"errors"
	"strings"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/decimal"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// Slots is how many slots of time a budget's window has.
const Slots = 60

// Shared is what the calls that share a budget have in common. Where nobody
// authenticated the caller, it names agent and session as it likes: then their budgets
// are the principal's.
func Shared(d *receipt.Decision, b *receipt.Budget) string {
	if d.Principal == helm.PrincipalNone && (b.Per == receipt.BudgetPerAgent || b.Per == receipt.BudgetPerSession) {
		return receipt.BudgetPerPrincipal
	}
	return b.Per
}

// Key is the key of a budget's counter for a call.
func Key(d *receipt.Decision, b *receipt.Budget) []byte {
	shared, of := Shared(d, b), ""
	switch shared {
	case receipt.BudgetPerAgent:
		of = d.Agent
	case receipt.BudgetPerSession:
		of = d.Agent + "\x00" + d.Session // names hold no NUL
	case receipt.BudgetPerTool:
		of = d.Tool
	case receipt.BudgetPerPrincipal:
		of = d.Principal
	}
	// The argument's name, which may hold anything, comes last.
	return []byte(strings.Join([]string{b.ID, b.Per, shared, of, b.Sum}, "\x00"))
}

// A Counter is what was taken of a budget, in the slots of its window.
type Counter struct {
	Seconds uint64 `json:"s"` // of a slot
	Taken   []Slot `json:"t"` // by number, the oldest first
}

// A Slot is what was taken in a slot of time.
type Slot struct {
	Number uint64          `json:"n"` // from 1970 on
	Amount decimal.Decimal `json:"a"`
}

// New is the counter of a budget of which nothing was taken.
func New(b *receipt.Budget) *Counter { return &Counter{Seconds: b.Window / Slots} }

var (
	errSlot = errors.New("a counter of a budget is damaged: its slots have no length")
	errSum  = errors.New("what was taken of a budget is more than can be counted")
)

// Move brings a counter to a window that ends now, in Unix seconds.
func (c *Counter) Move(window, now uint64) error {
	seconds := window / Slots
	if c.Seconds == 0 || seconds == 0 {
		return errSlot
	}
	last := now / seconds
	var kept []Slot
	for _, s := range c.Taken {
		if c.Seconds != seconds { // another window: as late as it can have been
			s.Number = min(((s.Number+1)*c.Seconds-1)/seconds, last)
		}
		if s.Number+Slots <= last {
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
	c.Seconds, c.Taken = seconds, kept
	return nil
}

// Take adds to the slot of now, to which the counter was moved.
func (c *Counter) Take(amount decimal.Decimal, now uint64) error {
	last := now / c.Seconds
	if n := len(c.Taken); n == 0 || c.Taken[n-1].Number != last {
		c.Taken = append(c.Taken, Slot{Number: last})
	}
	to, ok := &c.Taken[len(c.Taken)-1].Amount, false
	if *to, ok = to.Add(amount); !ok {
		return errSum
	}
	return nil
}

// Used is what was taken in all.
func (c *Counter) Used() (sum decimal.Decimal, err error) {
	for _, s := range c.Taken {
		var ok bool
		if sum, ok = sum.Add(s.Amount); !ok {
			return sum, errSum
		}
	}
	return sum, nil
}
