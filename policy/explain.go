package policy

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"
	"cel.dev/cel-go/parser"

	helm "github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

// An Explanation says why a policy decides a call as it does. Unlike a Result it holds
// values of the call.
type Explanation struct {
	Result  Result      `json:"result"`
	Rules   []Explained `json:"rules"`   // by id; none where the arguments do not fit the tool's declaration
	Budgets []Taken     `json:"budgets"` // what the call takes of budgets; none of a DENY
	Changes []Change    `json:"changes"` // single changes that would give a milder verdict, at most one for each argument
}

// A Taken is what a call takes of a budget. What is used of it so far, the server knows.
type Taken struct {
	Budget  string       `json:"budget"`
	Amount  string       `json:"amount"`
	Limit   string       `json:"limit"`
	Per     string       `json:"per"`
	Window  string       `json:"window"`
	Verdict helm.Verdict `json:"verdict"` // of a call that does not fit
}

// An Explained is what one rule made of the call.
type Explained struct {
	Rule    string       `json:"rule"`
	Verdict helm.Verdict `json:"verdict"` // of the rule
	Line    int          `json:"line"`    // of its condition in the file
	When    string       `json:"when"`    // "" is always
	Value   string       `json:"value"`   // "true", "false", "not for this tool", "hidden", or "error: " and which
	Reads   []Read       `json:"reads"`
}

// A Read is a value that a condition read, in the order of the condition.
type Read struct {
	Expr  string `json:"expr"`
	Value string `json:"value"`
}

// A Change is another value of one argument, and what would be decided then.
type Change struct {
	Argument string       `json:"argument"`
	To       string       `json:"to"` // JSON, or "" where the argument would be left out
	Verdict  helm.Verdict `json:"verdict"`
	Rule     string       `json:"rule"`
}

// Explain says what every rule makes of a call.
func (p *Policy) Explain(in Input) Explanation {
	x := Explanation{Result: p.Evaluate(in)}
	a := &activation{in: &in}
	conditions, d := p.conditionsOf(in.Tool)
	if d != nil {
		a.tool = &d.tool
	}
	if x.Result.Rule != "tool:"+in.Tool {
		for i := range p.rules {
			x.Rules = append(x.Rules, explain(&p.rules[i], conditions, a))
		}
	}
	for _, u := range x.Result.Budgets {
		x.Budgets = append(x.Budgets, Taken{u.ID, u.Amount.String(), u.Limit.String(), u.Per, window(u.Window), u.Verdict})
	}
	if rank(x.Result.Verdict) > rank(helm.Allow) {
		x.Changes = p.milder(in, x.Result.Verdict, conditions)
	}
	return x
}

func explain(r *rule, conditions []condition, a *activation) Explained {
	e := Explained{Rule: r.id, Verdict: r.verdict, Line: r.line, When: r.when, Value: "not for this tool"}
	i := slices.IndexFunc(conditions, func(c condition) bool { return c.rule.id == r.id })
	if i < 0 || !r.reaches(a.in.Tool) {
		return e
	}
	c := &conditions[i]
	held, err := c.eval(a)
	if _, unknown := err.(*unknownError); unknown {
		e.Value = "hidden"
	} else if err != nil {
		_, why, _ := strings.Cut(errorReason(r, err).Message, "could not be evaluated: ")
		e.Value = "error: " + why
	} else {
		e.Value = strconv.FormatBool(held)
	}
	if c.program == nil {
		return e
	}
	program, err := c.env.Program(c.ast, cel.EvalOptions(cel.OptTrackState))
	if err != nil {
		return e
	}
	_, details, _ := program.Eval(a)
	if details == nil {
		return e
	}
	t := tracer{ast: c.ast.NativeRep(), state: details.State()}
	t.walk(t.ast.Expr())
	e.Reads = t.reads
	return e
}

// A tracer finds what a condition read, and which values that had.
type tracer struct {
	ast   *celast.AST
	state interpreter.EvalState
	reads []Read
}

func (t *tracer) walk(e celast.Expr) {
	if variable(e) != "" {
		t.read(e)
		return
	}
	switch e.Kind() {
	case celast.SelectKind:
		t.walk(e.AsSelect().Operand())
	case celast.CallKind:
		call := e.AsCall()
		if call.IsMemberFunction() {
			if variable(call.Target()) == "facts" {
				t.read(e)
				return
			}
			t.walk(call.Target())
		}
		for _, arg := range call.Args() {
			t.walk(arg)
		}
	case celast.ListKind:
		for _, element := range e.AsList().Elements() {
			t.walk(element)
		}
	case celast.ComprehensionKind: // its body is evaluated many times
		t.walk(e.AsComprehension().IterRange())
	}
}

// read notes the value of an expression, if it was evaluated.
func (t *tracer) read(e celast.Expr) {
	v, ok := t.state.Value(e.ID())
	if !ok || variable(e) == "lists" {
		return
	}
	text, err := parser.Unparse(e, t.ast.SourceInfo())
	if err != nil {
		return
	}
	r := Read{text, shown(v)}
	if !slices.Contains(t.reads, r) {
		t.reads = append(t.reads, r)
	}
}

// variable is the variable of the call that an expression is, or selects from, or "".
func variable(e celast.Expr) string {
	for e.Kind() == celast.SelectKind {
		e = e.AsSelect().Operand()
	}
	if e.Kind() != celast.IdentKind {
		return ""
	}
	switch name := e.AsIdent(); name {
	case "tool", "agent", "session", "principal", "boundary", "context", "args", "facts", "lists", "now":
		return name
	}
	return ""
}

// shown is a value for people.
func shown(v ref.Val) string {
	switch v := v.(type) {
	case types.String:
		return text(string(v))
	case object:
		return string(v.v.Append(nil))
	case array:
		return string(strictjson.Value{Kind: strictjson.Array, Elems: v}.Append(nil))
	case types.Timestamp:
		return v.UTC().Format("2006-01-02T15:04:05.999999Z")
	case *types.Unknown:
		return "hidden"
	case *types.Err:
		return "error"
	case *command:
		return text(strings.Join(append([]string{v.Name}, v.Args...), " "))
	case *harm:
		return text(v.Class + ": " + v.Command)
	case *oneURL:
		return text(v.Scheme + "://" + v.Host.Name + v.Path)
	case opaque:
		return "a " + strings.Trim(v.Type().TypeName(), "<>")
	}
	if all, ok := stringsOf(v); ok {
		out := strictjson.Value{Kind: strictjson.Array}
		for _, s := range all {
			out.Elems = append(out.Elems, strictjson.Value{Kind: strictjson.String, Text: s})
		}
		return string(out.Append(nil))
	}
	if all, ok := v.(traits.Lister); ok {
		var out []string
		for it := all.Iterator(); it.HasNext() == types.True; {
			out = append(out, shown(it.Next()))
		}
		return "[" + strings.Join(out, ",") + "]"
	}
	return fmt.Sprint(v.Value())
}

func text(s string) string { return string(strictjson.AppendString(nil, s)) }

// opaque are the values that can only be asked for their fields.
type opaque interface {
	ref.Val
	isOpaque()
}

func (opaqueValue) isOpaque() {}

// maxTries bounds the search for a change.
const maxTries = 5000

// milder looks for single arguments that, with another value out of those which the
// rules speak of, would give a milder verdict: of each the nearest.
func (p *Policy) milder(in Input, than helm.Verdict, conditions []condition) (out []Change) {
	if in.Arguments.Kind != strictjson.Object {
		return nil
	}
	candidates := p.candidates(in, conditions)
	tries := 0
	for i, m := range in.Arguments.Members {
		var best *Change
		try := func(to *strictjson.Value) bool {
			if tries++; tries > maxTries {
				return false
			}
			changed := in
			changed.Arguments.Members = slices.Clone(in.Arguments.Members)
			text := ""
			if to == nil {
				changed.Arguments.Members = slices.Delete(changed.Arguments.Members, i, i+1)
			} else {
				changed.Arguments.Members[i].Value = *to
				text = string(to.Append(nil))
			}
			got := p.Evaluate(changed)
			if len(got.Hidden) > 0 || rank(got.Verdict) >= rank(than) {
				return false
			}
			best = &Change{m.Name, text, got.Verdict, got.Rule}
			return true
		}
		for _, to := range nearest(m.Value, candidates) {
			if try(&to) {
				break
			}
		}
		if best == nil {
			try(nil)
		}
		if best != nil {
			out = append(out, *best)
		}
	}
	return out
}

// candidates are the values that the conditions of a tool compare with, and those just
// beside its numbers.
func (p *Policy) candidates(in Input, conditions []condition) (out []strictjson.Value) {
	add := func(v strictjson.Value) {
		for _, old := range out {
			if old.Kind == v.Kind && old.Text == v.Text && old.Bool == v.Bool {
				return
			}
		}
		out = append(out, v)
	}
	text := func(s string) { add(strictjson.Value{Kind: strictjson.String, Text: s}) }
	for i := range conditions {
		c := &conditions[i]
		if c.ast == nil || !c.rule.reaches(in.Tool) {
			continue
		}
		celast.PreOrderVisit(c.ast.NativeRep().Expr(), celast.NewExprVisitor(func(e celast.Expr) {
			if list := selected(e, "lists"); list != "" {
				for _, s := range p.lists[list] {
					text(s)
				}
			}
			if e.Kind() != celast.LiteralKind {
				return
			}
			switch v := e.AsLiteral().(type) {
			case types.Int:
				for _, n := range []int64{int64(v), int64(v) - 1, int64(v) + 1} {
					add(strictjson.Value{Kind: strictjson.Number, Text: strconv.FormatInt(n, 10)})
				}
			case types.Uint:
				add(strictjson.Value{Kind: strictjson.Number, Text: strconv.FormatUint(uint64(v), 10)})
			case types.Double:
				add(strictjson.Value{Kind: strictjson.Number, Text: strconv.FormatFloat(float64(v), 'g', -1, 64)})
			case types.String:
				text(string(v))
			}
		}))
	}
	add(strictjson.Value{Kind: strictjson.Bool})
	add(strictjson.Value{Kind: strictjson.Bool, Bool: true})
	return out
}

// nearest are the candidates of a value's own kind, numbers by their distance.
func nearest(v strictjson.Value, candidates []strictjson.Value) (out []strictjson.Value) {
	for _, c := range candidates {
		if c.Kind == v.Kind {
			out = append(out, c)
		}
	}
	if v.Kind == strictjson.Number {
		slices.SortStableFunc(out, func(a, b strictjson.Value) int { return cmp.Compare(apart(a, v), apart(b, v)) })
	}
	return out
}

// apart is how far two numbers are from one another, as near as a double holds it: it only sorts.
func apart(a, b strictjson.Value) float64 {
	x, _ := strconv.ParseFloat(a.Text, 64)
	y, _ := strconv.ParseFloat(b.Text, 64)
	return math.Abs(x - y)
}
