package policy

import (
	"fmt"
	"maps"
	"regexp"
	"slices"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/parser"

	helm "github.com/helm-ai-kernel/helm-ai-kernel"
)

// A way is one way for a condition to hold: all of these must, as they are written,
// sorted. No condition holds in the empty way.
type way []string

// ways are the ways for a rule's condition to hold, as its && and || say; whatever else
// it says is not looked into. impossible says why none of them can, or is "".
func (c *condition) ways() (all []way, impossible string) {
	if c.program == nil || foldsTo(c.env, c.ast, types.True) {
		return []way{{}}, ""
	}
	tree := c.ast.NativeRep()
	for _, d := range operands(tree.Expr(), operators.LogicalOr) {
		var w way
		var r ranges
		why := ""
		for _, e := range operands(d, operators.LogicalAnd) {
			text, err := parser.Unparse(e, tree.SourceInfo())
			if err != nil {
				text = fmt.Sprintf("#%d of %s", e.ID(), c.rule.id) // equal to nothing else
			}
			w = append(w, text)
			if why == "" {
				why = r.add(e, tree.SourceInfo())
			}
		}
		for _, text := range w {
			if slices.Contains(w, "!("+text+")") || slices.Contains(w, "!"+text) {
				why = text + " cannot be true and false"
			}
		}
		if why != "" {
			impossible = why
			continue
		}
		all = append(all, sorted(w))
	}
	if len(all) > 0 {
		impossible = ""
	}
	return all, impossible
}

// operands are those of a chain of one operator.
func operands(e celast.Expr, operator string) []celast.Expr {
	if e.Kind() != celast.CallKind || e.AsCall().FunctionName() != operator {
		return []celast.Expr{e}
	}
	var out []celast.Expr
	for _, arg := range e.AsCall().Args() {
		out = append(out, operands(arg, operator)...)
	}
	return out
}

// ranges are what comparisons with numbers and texts leave of values.
type ranges map[string]*span

type span struct {
	low, high   float64
	over, under bool    // low, or high, itself is not in it
	text        *string // what it must be equal to
	has         [2]bool // low, high
}

// add takes one more comparison, and says why nothing is left, or "".
func (r *ranges) add(e celast.Expr, info *celast.SourceInfo) string {
	if e.Kind() != celast.CallKind || len(e.AsCall().Args()) != 2 {
		return ""
	}
	op, left, right := e.AsCall().FunctionName(), e.AsCall().Args()[0], e.AsCall().Args()[1]
	if left.Kind() == celast.LiteralKind {
		turned := map[string]string{operators.Less: operators.Greater, operators.LessEquals: operators.GreaterEquals,
			operators.Greater: operators.Less, operators.GreaterEquals: operators.LessEquals, operators.Equals: operators.Equals}
		op, left, right = turned[op], right, left
	}
	if right.Kind() != celast.LiteralKind || variable(left) == "" {
		return ""
	}
	name, err := parser.Unparse(left, info)
	if err != nil {
		return ""
	}
	if *r == nil {
		*r = ranges{}
	}
	s := (*r)[name]
	if s == nil {
		s = &span{}
		(*r)[name] = s
	}
	var n float64
	switch v := right.AsLiteral().(type) {
	case types.Int:
		n = float64(v)
		if int64(n) != int64(v) || n > 1<<53 || n < -1<<53 {
			return ""
		}
	case types.Double:
		n = float64(v)
	case types.String:
		if op != operators.Equals {
			return ""
		}
		text := string(v)
		if s.text != nil && *s.text != text {
			return fmt.Sprintf("%s cannot be %q and %q", name, *s.text, text)
		}
		s.text = &text
		return ""
	default:
		return ""
	}
	raise := func(over bool) {
		if !s.has[0] || n > s.low || n == s.low && over {
			s.low, s.over, s.has[0] = n, over, true
		}
	}
	lower := func(under bool) {
		if !s.has[1] || n < s.high || n == s.high && under {
			s.high, s.under, s.has[1] = n, under, true
		}
	}
	switch op {
	case operators.Greater:
		raise(true)
	case operators.GreaterEquals:
		raise(false)
	case operators.Less:
		lower(true)
	case operators.LessEquals:
		lower(false)
	case operators.Equals:
		raise(false)
		lower(false)
	}
	if s.has[0] && s.has[1] && (s.low > s.high || s.low == s.high && (s.over || s.under)) {
		return fmt.Sprintf("no value of %s is in this range", name)
	}
	return ""
}

// implies reports whether the one condition holds only when the other does: each way of
// the one holds all that some way of the other does.
func implies(one, other []way) bool {
	return !slices.ContainsFunc(one, func(w way) bool {
		return !slices.ContainsFunc(other, func(o way) bool {
			return !slices.ContainsFunc(o, func(part string) bool { _, ok := slices.BinarySearch(w, part); return !ok })
		})
	})
}

// implied reports rules that never decide, because their condition never holds or one
// that always holds with it outranks them, and warns of those that change nothing. A
// rule whose condition cannot be evaluated denies: that it still does.
func (p *Policy) implied(s *source, f *file) {
	conditions, ways := p.conditions(), map[string][]way{}
	byPart := map[string][]*rule{} // the first part of a way -> rules that have it; "" of those that always hold
	for i := range f.rules {
		r := &f.rules[i]
		c := conditions[r.id]
		if c == nil {
			continue
		}
		all, impossible := c.ways()
		if impossible != "" {
			s.val(r.path+".when", "", "the condition never holds, so the rule never decides: %s", impossible)
			s.code(CodeUnreachable)
			continue
		}
		ways[r.id] = all
		for _, w := range all {
			first := ""
			if len(w) > 0 {
				first = w[0]
			}
			if l := byPart[first]; len(l) == 0 || l[len(l)-1] != r {
				byPart[first] = append(l, r)
			}
		}
	}
	for i := range f.rules {
		r := &f.rules[i]
		if len(ways[r.id]) == 0 {
			continue
		}
		for _, over := range candidates(ways[r.id][0], byPart) {
			if over == r || !implies(ways[r.id], ways[over.id]) || slices.ContainsFunc(r.tools, func(pattern string) bool { return !over.covers(pattern) }) {
				continue
			}
			if rank(over.verdict) > rank(r.verdict) {
				if slices.ContainsFunc(ways[over.id], func(w way) bool { return len(w) == 0 }) {
					s.key(r.path+".id", "", "the rule never decides: the rule %q always gives %s for its tools", over.id, over.verdict)
				} else {
					s.key(r.path+".id", "", "the rule never decides: whenever its condition holds, that of the rule %q does, which gives %s for its tools", over.id, over.verdict)
				}
				s.code(CodeUnreachable)
				break
			}
			same := over.verdict == r.verdict && r.verdict != helm.Escalate && over.reason.Code == r.reason.Code
			if same && (!implies(ways[over.id], ways[r.id]) || over.id < r.id) {
				s.warn(CodeDuplicate, r.path+".id", "the rule changes nothing: whenever its condition holds, that of the rule %q does, which gives %s too", over.id, over.verdict)
				break
			}
		}
	}
}

// candidates are the rules that could hold whenever all of a way does.
func candidates(w way, byPart map[string][]*rule) []*rule {
	out := slices.Clone(byPart[""])
	for _, part := range w {
		out = append(out, byPart[part]...)
	}
	return out
}

// conditions are those of all rules, each for any of its tools: as it is written, it is one.
func (p *Policy) conditions() map[string]*condition {
	out := map[string]*condition{}
	for _, d := range p.tools {
		for i := range d.conditions {
			out[d.conditions[i].rule.id] = &d.conditions[i]
		}
	}
	for i := range p.undefined {
		out[p.undefined[i].rule.id] = &p.undefined[i]
	}
	return out
}

// unused warns of lists that no rule reads and of tools that no rule reaches.
func (s *source) unused(f *file) {
	read := map[string]bool{}
	for _, r := range f.rules {
		for _, m := range listName.FindAllStringSubmatch(r.when, -1) {
			read[m[1]] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.lists)) {
		if !read[name] {
			s.warn(CodeUnused, "lists."+name, "no rule reads lists.%s", name)
		}
	}
	for _, t := range f.tools {
		if !slices.ContainsFunc(f.rules, func(r rule) bool { return r.reaches(t.name) }) {
			s.warn(CodeUnused, t.path+".name", "no rule is for the tool %s: every call of it is denied by default", t.name)
		}
	}
}

var listName = regexp.MustCompile(`\blists\s*[.]\s*([A-Za-z_][A-Za-z0-9_]*)`)

// foldsTo reports whether a condition is that constant whatever the call.
func foldsTo(e *cel.Env, checked *cel.Ast, value types.Bool) bool {
	folding, err := cel.NewConstantFoldingOptimizer()
	if err != nil {
		return false
	}
	optimizer, err := cel.NewStaticOptimizer(folding)
	if err != nil {
		return false
	}
	folded, issues := optimizer.Optimize(e, checked)
	if issues.Err() != nil {
		return false
	}
	x := folded.NativeRep().Expr()
	return x.Kind() == celast.LiteralKind && x.AsLiteral() == value
}
