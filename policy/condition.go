package policy

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"

	helm "github.com/helm-ai-kernel/helm-ai-kernel"
)

// A condition is a rule's "when" as it is evaluated for one tool. A nil program
// always holds.
type condition struct {
	rule    *rule
	program cel.Program
	facts   []string // what it reads, such as "path.under", sorted

	broken error // why it could not be compiled, of an accepted policy

	env *cel.Env // with checked, what program was made of
	ast *cel.Ast
}

// compile checks a rule's condition for a tool, nil for tools that are not
// declared, and reports to s what is wrong with it.
func (l *language) compile(s *source, r *rule, t *tool) (condition, bool) {
	if r.when == "" {
		return condition{rule: r}, true
	}
	e, err := l.env(t)
	if err != nil {
		s.key(r.path, "", "the language of conditions cannot be built: %s", err)
		return condition{}, false
	}
	c := checker{s: s, l: l, path: r.path + ".when", text: r.when, tool: t, several: len(r.tools) > 1 || strings.Contains(strings.Join(r.tools, ""), "*")}
	checked, issues := e.Compile(r.when)
	if issues.Err() != nil {
		for _, one := range issues.Errors() {
			c.issue(one.Location.Line(), one.Location.Column(), one.Message)
		}
		return condition{}, false
	}
	if out := checked.OutputType(); out != cel.BoolType && out != cel.DynType {
		c.report(0, "", "a condition must be a bool, this is %s", cel.FormatCELType(out))
		return condition{}, false
	}
	if !c.walk(checked.NativeRep()) {
		return condition{}, false
	}
	worst, err := cost.Cost(checked.NativeRep(), sizes{l.sizes.lists, c.ranges, c.tool})
	if err != nil || worst.Max > MaxCost {
		c.report(0, "", "the condition may cost %d at worst: at most %d is allowed; walk fewer lists inside one another, or give the arguments narrower types", worst.Max, MaxCost)
		s.code(CodeCost)
		return condition{}, false
	}
	if !s.accepted && foldsTo(e, checked, types.False) {
		c.report(0, "", "the condition is always false: the rule never decides anything")
		s.code(CodeUnreachable)
		return condition{}, false
	}
	options := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	if worst.Max > meteredCost || c.nested {
		options = append(options, cel.CostLimit(MaxCost))
	}
	program, err := e.Program(checked, options...)
	if err != nil {
		c.report(0, "", "the condition cannot be planned: %s", err)
		return condition{}, false
	}
	return condition{rule: r, program: program, facts: sorted(slices.Collect(maps.Keys(c.facts))), env: e, ast: checked}, true
}

// A checker reports what is wrong with one condition.
type checker struct {
	s       *source
	l       *language
	path    string
	text    string
	tool    *tool
	several bool // the rule is for more tools than this
	ranges  map[int64]bool
	facts   map[string]bool
	nested  bool // a loop is within a loop
}

// walk refuses what the language could but must not do: maps and messages made in
// a condition, whose order is nobody's, regular expressions that are not known at
// load, and entries of facts' lists that could not match. It notes what the condition walks
// and which facts it reads.
func (c *checker) walk(a *celast.AST) bool {
	c.ranges, c.facts = map[int64]bool{}, map[string]bool{}
	before := len(c.s.findings)
	celast.PreOrderVisit(a.Expr(), celast.NewExprVisitor(func(e celast.Expr) {
		switch e.Kind() {
		case celast.MapKind:
			c.expr(a, e, "a condition cannot make a map")
		case celast.StructKind:
			c.expr(a, e, "a condition cannot make a message")
		case celast.ComprehensionKind:
			c.ranges[e.AsComprehension().IterRange().ID()] = true
			celast.PreOrderVisit(e.AsComprehension().LoopStep(), celast.NewExprVisitor(func(inner celast.Expr) {
				c.nested = c.nested || inner.Kind() == celast.ComprehensionKind
			}))
		case celast.SelectKind:
			if part := selected(e.AsSelect().Operand(), "facts"); part != "" {
				c.facts[part+"."+e.AsSelect().FieldName()] = true
			}
		case celast.CallKind:
			c.call(a, e)
		}
	}))
	return len(c.s.findings) == before
}

func (c *checker) call(a *celast.AST, e celast.Expr) {
	call := e.AsCall()
	if call.FunctionName() == "matches" {
		if args := call.Args(); args[len(args)-1].Kind() != celast.LiteralKind {
			c.expr(a, e, "the regular expression of matches must be written out, so that it is checked at load")
		}
	}
	if !call.IsMemberFunction() {
		return
	}
	part := selected(call.Target(), "facts")
	if part == "" {
		return
	}
	fact := part + "." + call.FunctionName()
	c.facts[fact] = true
	for i, arg := range call.Args() {
		if c.s.accepted {
			break
		}
		c.asked(a, fact, i, arg)
	}
}

// selected returns the field of the variable that e selects, or "".
func selected(e celast.Expr, variable string) string {
	if e.Kind() != celast.SelectKind {
		return ""
	}
	s := e.AsSelect()
	if s.Operand().Kind() != celast.IdentKind || s.Operand().AsIdent() != variable {
		return ""
	}
	return s.FieldName()
}

// expr reports what is wrong with an expression.
func (c *checker) expr(a *celast.AST, e celast.Expr, format string, args ...any) {
	at := a.SourceInfo().GetStartLocation(e.ID())
	c.report(c.offset(at.Line(), at.Column()), "", format, args...)
}

var (
	undefined  = regexp.MustCompile(`^undefined field '(.*)'$`)
	undeclared = regexp.MustCompile(`^undeclared reference to '([^']*)'`)
)

// issue reports what CEL's parser or checker found, with what was probably meant.
func (c *checker) issue(line, column int, message string) {
	at, suggestion := c.offset(line, column), ""
	if m := undefined.FindStringSubmatch(message); m != nil {
		if i := strings.Index(c.text[at:], m[1]); i >= 0 {
			at += i
		}
		of := c.l.fieldsBefore(strings.TrimRight(c.text[:at], " \t\r\n`."), c.tool)
		suggestion = closest(m[1], of.names)
		message = fmt.Sprintf("%s has no %q", of.of, m[1])
	} else if m := undeclared.FindStringSubmatch(message); m != nil {
		suggestion = closest(m[1], words())
		if strings.HasSuffix(c.text[:at], m[1]) { // a call stands at its parenthesis
			at -= len(m[1])
		}
		message = fmt.Sprintf("%q is not known", m[1])
	}
	c.report(at, suggestion, "%s", message)
}

func (c *checker) report(at int, suggestion, format string, a ...any) {
	message := fmt.Sprintf(format, a...)
	c.s.at(c.s.inside(c.path, c.text, at), message, suggestion)
	if f := &c.s.findings[len(c.s.findings)-1]; c.several && c.tool != nil {
		f.Message += " (for the tool " + c.tool.name + ")"
	}
	c.s.code(CodeCondition)
}

// offset turns CEL's place, lines from 1 and characters from 0, into bytes.
func (c *checker) offset(line, column int) int { return offsetIn(c.text, line, column) }

func offsetIn(text string, line, column int) int {
	at := 0
	for ; line > 1; line-- {
		i := strings.IndexByte(text[at:], '\n')
		if i < 0 {
			break
		}
		at += i + 1
	}
	for i := range text[at:] {
		if column == 0 {
			return at + i
		}
		column--
	}
	return len(text)
}

type named struct {
	of    string
	names []string
}

// fieldsBefore says what the text before a field's dot names.
func (l *language) fieldsBefore(before string, t *tool) named {
	switch {
	case strings.HasSuffix(before, "args") && t != nil:
		return named{"the declaration of " + t.name, l.structs[argsType(t.name).TypeName()].names()}
	case strings.HasSuffix(before, "lists"):
		return named{"[lists]", l.structs[listsType.TypeName()].names()}
	}
	for name := range factFields {
		if strings.HasSuffix(before, name) {
			return named{name, append(factFields[name].names(), factMethods[name]...)}
		}
	}
	var all []string
	for name := range factFields {
		all = append(all, factFields[name].names()...)
	}
	return named{"this", sorted(all)}
}

// words are the names that a condition may begin with.
func words() []string {
	out := []string{"tool", "agent", "session", "principal", "boundary", "context", "args", "facts", "lists", "now"}
	for name := range functions {
		if identifier(name) {
			out = append(out, name)
		}
	}
	return sorted(append(out, macros...))
}

// eval reports whether the condition holds.
func (c *condition) eval(in *activation) (bool, error) {
	if c.broken != nil {
		return false, c.broken
	}
	if c.program == nil {
		return true, nil
	}
	out, _, err := c.program.Eval(in)
	if err != nil {
		return false, err
	}
	switch out := out.(type) {
	case types.Bool:
		return bool(out), nil
	case *types.Unknown:
		return false, &unknownError{out}
	}
	return false, errNotBool
}

// An unknownError says that a condition depends on what is hidden.
type unknownError struct{ of *types.Unknown }

func (e *unknownError) Error() string { return "it depends on what is hidden" }

// pointers are the places of what is hidden.
func (e *unknownError) pointers() (out []string) {
	for _, id := range e.of.IDs() {
		trails, _ := e.of.GetAttributeTrails(id)
		for _, t := range trails {
			out = append(out, t.String())
		}
	}
	return out
}

var errNotBool = errors.New("the condition is no bool")

// errorReason tells what went wrong in one of a few fixed sentences: CEL's own
// text may hold values of the call.
func errorReason(r *rule, err error) helm.Reason {
	why := "an error"
	for _, known := range []error{errInexact, errMany, errAbsent, errNotBool, errDirectory} {
		if errors.Is(err, known) {
			why = known.Error()
		}
	}
	for _, known := range []string{"no such key", "no such overload", "index out of bounds", "division by zero", "modulus by zero", "integer overflow",
		"unsigned integer overflow", "timestamp overflow", "duration overflow", "operation cancelled: actual cost limit exceeded"} {
		if strings.HasPrefix(err.Error(), known) {
			why = known
		}
	}
	return helm.Reason{Code: helm.RuleError, Message: fmt.Sprintf("the condition of the rule %s on line %d could not be evaluated: %s", r.id, r.line, why)}
}
