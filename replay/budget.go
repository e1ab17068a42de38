package replay

import (
	"fmt"
	"slices"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/budget"
	"github.com/helm-ai-kernel/helm-ai-kernel/decimal"
	"github.com/helm-ai-kernel/helm-ai-kernel/policy"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// A run is how far back the pack has every entry of a stream, or of the log.
type run struct {
	next  uint64    // seq or index of the entry that continues it
	whole bool      // from the first
	since time.Time // else from an entry of that time on
}

func (r *run) see(n, first uint64, at time.Time) {
	if n != r.next || r.next == 0 {
		r.whole, r.since = n == first, at
	}
	r.next = n + 1
}

// holds reports whether every entry of the window that ends now is there.
func (r *run) holds(window uint64, now time.Time) bool {
	slot := func(t time.Time) int64 { return t.Unix() / int64(window/budget.Slots) }
	return r.whole || slot(r.since) < slot(now)-(budget.Slots-1)
}

// budgets counts again what the entries say was taken.
type budgets struct {
	log      run
	streams  map[receipt.Hash]*run
	counters map[string]*budget.Counter
}

// see notes that an entry is there.
func (c *budgets) see(st *receipt.Statement) {
	c.log.see(st.Index, 0, st.Time)
	for i := range st.Streams {
		in := &st.Streams[i]
		if c.streams[in.ID] == nil {
			c.streams[in.ID] = &run{}
		}
		c.streams[in.ID].see(in.Seq, 1, st.Time)
	}
}

// used is what entries so far have taken of a budget, and whether the pack has all that
// could have.
func (c *budgets) used(st *receipt.Statement, d *receipt.Decision, b *receipt.Budget) (decimal.Decimal, bool) {
	within := &c.log
	for i := range st.Streams {
		if st.Streams[i].Name == budget.Shared(d, b) { // agent or session
			within = c.streams[st.Streams[i].ID]
		}
	}
	counter := c.counters[string(budget.Key(d, b))]
	if counter == nil {
		counter = budget.New(b)
	}
	if err := counter.Move(b.Window, uint64(max(st.Time.Unix(), 0))); err != nil {
		return decimal.Decimal{}, false
	}
	used, err := counter.Used()
	return used, err == nil && within.holds(b.Window, st.Time)
}

// take notes what a decision took.
func (c *budgets) take(st *receipt.Statement, d *receipt.Decision) {
	for i := range d.Budgets {
		b := &d.Budgets[i]
		amount, err := decimal.Parse(b.Amount)
		if err != nil || d.Verdict != helm.Allow {
			continue
		}
		key := string(budget.Key(d, b))
		if c.counters[key] == nil {
			c.counters[key] = budget.New(b)
		}
		now := uint64(max(st.Time.Unix(), 0))
		if c.counters[key].Move(b.Window, now) == nil {
			_ = c.counters[key].Take(amount, now) // beyond what can be counted nothing is allowed
		}
	}
}

// spend consults the budgets of a call that the rules allow, or an approval that answers
// what answered names. It reports false after it has answered that this cannot be told.
func (r *replayer) spend(d *Decision, st *receipt.Statement, b *receipt.Decision, uses []policy.Use, answered []receipt.Requirement) (s policy.Spending, state []receipt.Budget, ok bool) {
	var used []decimal.Decimal
	for _, u := range uses {
		of := u.State(decimal.Decimal{})
		so, known := r.budgets.used(st, b, &of)
		if !known {
			whose := ""
			if shared := budget.Shared(b, &of); shared != of.Per {
				whose = ", which is one of all callers without a token"
			}
			d.cannotTell("it depends on what was used of the budget %s%s, and earlier entries that may have taken of it are not in the pack", u.ID, whose)
			return s, nil, false
		}
		used = append(used, so)
	}
	s = policy.Spend(uses, used, func(rule string) bool {
		return slices.ContainsFunc(answered, func(r receipt.Requirement) bool { return r.Rule == rule })
	})
	if s.Full == nil && len(s.Asks) == 0 {
		used = s.After
	}
	for i, u := range uses {
		state = append(state, u.State(used[i]))
	}
	return s, state, true
}

// sameBudgets answers where the receipt says something else of budgets.
func sameBudgets(d *Decision, want, got []receipt.Budget) {
	if d.Answer == Agree && !slices.Equal(want, got) {
		d.differ("of its budgets it says %s, and must say %s", states(got), states(want))
	}
}

func states(all []receipt.Budget) string {
	out := "nothing"
	for i, b := range all {
		if i == 0 {
			out = ""
		} else {
			out += ", "
		}
		out += fmt.Sprintf("%s: %s of %s per %s in %d s, of which it takes %s", b.ID, b.Used, b.Limit, b.Per, b.Window, b.Amount)
	}
	return out
}
