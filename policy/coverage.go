package policy

import (
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/parser"

	helm "github.com/helm-ai-kernel/helm-ai-kernel"
)

// A Coverage says how much of a policy its tests have seen: of every condition and of
// every part of it that && || and ?: decide by, whether it was true and whether it was
// false; of a rule without one, whether it matched; of a budget, whether a call fitted and
// whether one did not.
type Coverage struct {
	Seen    int        `json:"seen"` // of these
	Of      int        `json:"of"`
	Rules   []Covered  `json:"rules"`   // by id
	Budgets []Budgeted `json:"budgets"` // by id
}

// Percent is how much was seen, rounded down.
func (c *Coverage) Percent() int {
	if c.Of == 0 {
		return 100
	}
	return c.Seen * 100 / c.Of
}

// A Covered is a rule with what tests made of it.
type Covered struct {
	Rule     string   `json:"rule"`
	Line     int      `json:"line"`
	Matched  int      `json:"matched"` // tests of which it matched the call
	Not      int      `json:"not"`     // tests of one of its tools of which it did not
	Errors   int      `json:"errors"`  // tests of which it could not be evaluated
	Branches []Branch `json:"branches"`
}

// A Branch is a part of a condition that decides.
type Branch struct {
	Expr  string `json:"expr"`
	Line  int    `json:"line"`
	True  int    `json:"true"` // tests in which it was
	False int    `json:"false"`

	id int64
}

// A Budgeted is a budget with what tests made of it.
type Budgeted struct {
	Budget string `json:"budget"`
	Fitted int    `json:"fitted"` // tests
	Full   int    `json:"full"`
}

// cover evaluates the calls of the tests once more, and counts.
func (p *Policy) cover(s *source, f *file) *Coverage {
	out := &Coverage{}
	conditions := p.conditions()
	for i := range p.rules {
		r := &p.rules[i]
		c := Covered{Rule: r.id, Branches: []Branch{}}
		c.Line, _, _ = s.position(s.keyOffset(r.path))
		if one := conditions[r.id]; one != nil && one.ast != nil {
			c.Branches = one.branches(s)
		}
		for _, t := range f.tests {
			p.coverOne(r, t.in, &c)
		}
		out.Rules = append(out.Rules, c)
		if len(c.Branches) == 0 {
			out.count(c.Matched)
		}
		for _, b := range c.Branches {
			out.count(b.True)
			out.count(b.False)
		}
	}
	for _, b := range p.budgets {
		c := Budgeted{Budget: b.ID}
		for _, t := range f.tests {
			r := p.Evaluate(t.in)
			if r.Verdict != helm.Allow {
				continue
			}
			for _, u := range r.Budgets {
				switch {
				case u.ID != b.ID:
				case u.Fits(t.used[u.ID]):
					c.Fitted++
				default:
					c.Full++
				}
			}
		}
		out.Budgets = append(out.Budgets, c)
		out.count(c.Fitted)
		out.count(c.Full)
	}
	return out
}

func (c *Coverage) count(n int) {
	c.Of++
	if n > 0 {
		c.Seen++
	}
}

// branches are the parts of a condition that decide, itself first. What is within a loop
// is none of them: it has many values.
func (c *condition) branches(s *source) []Branch {
	tree := c.ast.NativeRep()
	out := []Branch{}
	add := func(e celast.Expr) {
		if slices.ContainsFunc(out, func(b Branch) bool { return b.id == e.ID() }) {
			return
		}
		b := Branch{id: e.ID()}
		if text, err := parser.Unparse(e, tree.SourceInfo()); err == nil {
			b.Expr = text
		}
		at := tree.SourceInfo().GetStartLocation(first(e).ID())
		b.Line, _, _ = s.position(s.inside(c.rule.path+".when", c.rule.when, offsetIn(c.rule.when, at.Line(), at.Column())))
		out = append(out, b)
	}
	var walk func(celast.Expr)
	walk = func(e celast.Expr) {
		switch e.Kind() {
		case celast.SelectKind:
			walk(e.AsSelect().Operand())
		case celast.ListKind:
			for _, one := range e.AsList().Elements() {
				walk(one)
			}
		case celast.ComprehensionKind:
			walk(e.AsComprehension().IterRange())
		case celast.CallKind:
			call := e.AsCall()
			switch name := call.FunctionName(); name {
			case operators.LogicalAnd, operators.LogicalOr:
				for _, one := range operands(e, name) {
					add(one)
					walk(one)
				}
				return
			case operators.Conditional:
				add(call.Args()[0])
			}
			if call.IsMemberFunction() {
				walk(call.Target())
			}
			for _, arg := range call.Args() {
				walk(arg)
			}
		}
	}
	add(tree.Expr())
	walk(tree.Expr())
	return out
}

// first is the expression that stands first in the text.
func first(e celast.Expr) celast.Expr {
	for {
		switch e.Kind() {
		case celast.SelectKind:
			e = e.AsSelect().Operand()
		case celast.ComprehensionKind:
			e = e.AsComprehension().IterRange()
		case celast.CallKind:
			call := e.AsCall()
			switch {
			case call.IsMemberFunction():
				e = call.Target()
			case strings.HasPrefix(call.FunctionName(), "_") && len(call.Args()) > 0:
				e = call.Args()[0]
			default:
				return e
			}
		default:
			return e
		}
	}
}

// coverOne counts what one test made of a rule.
func (p *Policy) coverOne(r *rule, in Input, to *Covered) {
	a := &activation{in: &in}
	conditions, d := p.conditionsOf(in.Tool)
	if d != nil {
		if wrong, _ := d.tool.check(in.Arguments); wrong != "" {
			return
		}
		a.tool = &d.tool
	}
	i := slices.IndexFunc(conditions, func(c condition) bool { return c.rule.id == r.id })
	if i < 0 || !r.reaches(in.Tool) {
		return
	}
	c := &conditions[i]
	switch held, err := c.eval(a); {
	case err != nil:
		to.Errors++
	case held:
		to.Matched++
	default:
		to.Not++
	}
	if c.program == nil {
		return
	}
	program, err := c.env.Program(c.ast, cel.EvalOptions(cel.OptTrackState))
	if err != nil {
		return
	}
	_, details, _ := program.Eval(a)
	if details == nil {
		return
	}
	for j := range to.Branches {
		b := &to.Branches[j]
		if v, ok := details.State().Value(b.id); ok {
			switch v {
			case types.True:
				b.True++
			case types.False:
				b.False++
			}
		}
	}
}
