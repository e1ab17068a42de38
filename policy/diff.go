package policy

import (
	"cmp"
	"slices"
	"strings"

	helm "github.com/helm-ai-kernel/helm-ai-kernel"
)

// A Diff counts what changes between two policies, over the calls that it is given. Each
// call is evaluated under both. What the state of a log makes of a verdict, budgets and
// approvals, is no part of it.
type Diff struct {
	Old, New *Policy
	Examples int // at most so many calls are kept of each change

	Calls, Same, Changed, CannotTell uint64

	changes map[[2]Said]*Changed
	unknown map[string]*Unknown
}

// A Said is what a policy says of a call, in short.
type Said struct {
	Verdict helm.Verdict `json:"verdict"`
	Rule    string       `json:"rule"`
	Code    helm.Code    `json:"code"`
}

func (s Said) String() string { return string(s.Verdict) + " " + s.Rule + " " + string(s.Code) }

// A Direction says which way a verdict goes.
type Direction string

// The directions, in the order in which somebody has to look at them.
const (
	Looser   Direction = "looser"       // DENY to ESCALATE or ALLOW, ESCALATE to ALLOW
	Stricter Direction = "stricter"     // the other way
	Reworded Direction = "same_verdict" // another rule or reason gives the same verdict
)

// Changed are calls of which another is said, all in one way.
type Changed struct {
	Direction Direction
	Old       Said
	New       Said
	Count     uint64
	Examples  []Example
}

// Unknown are calls of which it cannot be told whether anything changes: it depends on
// values that are hidden.
type Unknown struct {
	Hidden []string `json:"hidden"` // their places
	Count  uint64   `json:"count"`
	First  uint64   `json:"first"` // the place of the first of them
}

// An Example is a call that a change was seen on.
type Example struct {
	Place uint64 // as Add was told
	Input Input
}

// Add evaluates a call under both policies; place stands for it in examples.
func (d *Diff) Add(place uint64, in Input) {
	d.Calls++
	before, after := d.Old.Evaluate(in), d.New.Evaluate(in)
	if hidden := sorted(slices.Concat(before.Hidden, after.Hidden)); len(hidden) > 0 {
		d.CannotTell++
		d.hides(place, hidden)
		return
	}
	was, is := Said{before.Verdict, before.Rule, before.Reason.Code}, Said{after.Verdict, after.Rule, after.Reason.Code}
	if was == is {
		d.Same++
		return
	}
	d.Changed++
	c := d.changes[[2]Said{was, is}]
	if c == nil {
		c = &Changed{Direction: direction(was.Verdict, is.Verdict), Old: was, New: is}
		if d.changes == nil {
			d.changes = map[[2]Said]*Changed{}
		}
		d.changes[[2]Said{was, is}] = c
	}
	if c.Count++; len(c.Examples) < d.Examples {
		c.Examples = append(c.Examples, Example{place, in})
	}
}

func (d *Diff) hides(place uint64, hidden []string) {
	key := strings.Join(hidden, "\n")
	u := d.unknown[key]
	if u == nil {
		u = &Unknown{Hidden: hidden, First: place}
		if d.unknown == nil {
			d.unknown = map[string]*Unknown{}
		}
		d.unknown[key] = u
	}
	u.Count++
}

func direction(was, is helm.Verdict) Direction {
	switch d := rank(is) - rank(was); {
	case d < 0:
		return Looser
	case d > 0:
		return Stricter
	}
	return Reworded
}

// Changes are what changes, first what becomes looser, and of it first what becomes so
// the most; then by number of calls.
func (d *Diff) Changes() []*Changed {
	var out []*Changed
	for _, c := range d.changes {
		out = append(out, c)
	}
	order := []Direction{Looser, Stricter, Reworded}
	slices.SortFunc(out, func(a, b *Changed) int {
		return cmp.Or(
			slices.Index(order, a.Direction)-slices.Index(order, b.Direction),
			cmp.Compare(b.steps(), a.steps()),
			cmp.Compare(rank(a.New.Verdict), rank(b.New.Verdict)),
			cmp.Compare(b.Count, a.Count),
			strings.Compare(a.Old.String(), b.Old.String()),
			strings.Compare(a.New.String(), b.New.String()))
	})
	return out
}

// steps are how many verdicts lie between old and new.
func (c *Changed) steps() int {
	n := rank(c.New.Verdict) - rank(c.Old.Verdict)
	return max(n, -n)
}

// Unknowns are what cannot be told, the most frequent first.
func (d *Diff) Unknowns() []*Unknown {
	var out []*Unknown
	for _, u := range d.unknown {
		out = append(out, u)
	}
	slices.SortFunc(out, func(a, b *Unknown) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), slices.Compare(a.Hidden, b.Hidden))
	})
	return out
}

// Escalates reports whether a rule of the policy can ask a person.
func (p *Policy) Escalates() bool { return len(p.asks) > 0 }

// Budgeted reports whether the policy has budgets.
func (p *Policy) Budgeted() bool { return len(p.budgets) > 0 }
