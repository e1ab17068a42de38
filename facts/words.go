package facts

import (
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// A word is what is known of a shell word before it runs.
type word struct {
	text string // without quotes; as written for a pattern; "" for a dynamic one
	kind kind
}

type kind uint8

const (
	literal kind = iota // one word, exactly text
	pattern             // globs or a leading ~, which become file names
	dynamic             // any words, or none
)

func (x word) is(s string) bool { return x.kind == literal && x.text == s }

// word reads x and walks the substitutions in it.
func (w *walker) word(x *syntax.Word, sc scope) word {
	if x == nil {
		return word{}
	}
	r := reader{}
	for i, part := range x.Parts {
		w.part(part, &r, i == 0, false, sc)
	}
	if r.kind == dynamic {
		return word{kind: dynamic}
	}
	return word{text: r.text.String(), kind: r.kind}
}

// A reader collects the parts of one word.
type reader struct {
	text    strings.Builder
	kind    kind
	brace   bool // an unquoted { was seen: with a , or .. it is a list
	bracket bool // an unquoted [ was seen: with a ] it is a glob
}

func (r *reader) raise(k kind) { r.kind = max(r.kind, k) }

func (w *walker) part(part syntax.WordPart, r *reader, first, quoted bool, sc scope) {
	switch p := part.(type) {
	case *syntax.Lit:
		if quoted {
			r.quoted(p.Value)
		} else {
			r.bare(p.Value, first, sc.zsh)
		}
	case *syntax.SglQuoted:
		if p.Dollar { // the escapes of $'...' are not decoded, and dash knows none of it
			r.raise(dynamic)
		}
		r.text.WriteString(p.Value)
	case *syntax.DblQuoted:
		if p.Dollar {
			r.raise(dynamic)
		}
		for _, inner := range p.Parts {
			w.part(inner, r, false, true, sc)
		}
	case *syntax.ExtGlob:
		r.raise(dynamic)
		if sc.zsh || strings.ContainsAny(p.Pattern.Value, "$`") {
			w.opaque("a glob holds code")
		}
	case *syntax.CmdSubst:
		r.raise(dynamic)
		if p.Backquotes && strings.Contains(sc.src[p.Left.Offset():p.Right.Offset()], `\`) {
			w.opaque("a backslash within backquotes")
		}
		w.stmts(p.Stmts, sc)
	case *syntax.ProcSubst:
		r.raise(dynamic)
		sc.piped = sc.piped || p.Op == syntax.CmdOut
		w.stmts(p.Stmts, sc)
	case *syntax.ArithmExp:
		r.raise(dynamic)
		w.arithm(p.X, sc)
	case *syntax.ParamExp:
		r.raise(dynamic)
		w.param(p, sc)
	default:
		r.raise(dynamic)
		w.opaque("a kind of word that is not known")
	}
}

// quoted adds what stands within double quotes: POSIX XCU 2.2.3.
func (r *reader) quoted(s string) {
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && strings.IndexByte("$`\"\\\n", s[i+1]) >= 0 {
			if i++; s[i] == '\n' {
				continue
			}
		}
		r.text.WriteByte(s[i])
	}
}

// bare adds what stands outside of quotes.
func (r *reader) bare(s string, first, zsh bool) {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			if i++; s[i] == '\n' {
				continue
			}
		case c == '*' || c == '?' || c == ']' && r.bracket || c == '~' && first && i == 0:
			r.raise(pattern)
		case c == '[':
			r.bracket = true
		case zsh && (c == '=' && first && i == 0 || c == '(' || c == '^' || c == '#'):
			r.raise(dynamic)
		case c == '{':
			r.brace = true
		case r.brace && (c == ',' || c == '.' && i+1 < len(s) && s[i+1] == '.'):
			r.raise(dynamic)
		}
		r.text.WriteByte(s[i])
	}
}

// param walks a parameter expansion. Its value is never known; the forms that
// run what the value holds are opaque.
func (w *walker) param(p *syntax.ParamExp, sc scope) {
	if p.Excl || p.Flags != nil || p.NestedParam != nil || p.Names != 0 {
		w.opaque("a variable names another variable")
		return
	}
	w.index(p.Index, sc)
	if p.Slice != nil {
		w.arithm(p.Slice.Offset, sc)
		w.arithm(p.Slice.Length, sc)
	}
	if p.Repl != nil {
		w.word(p.Repl.Orig, sc)
		w.word(p.Repl.With, sc)
	}
	if p.Exp != nil {
		switch p.Exp.Op {
		case syntax.OtherParamOps:
			w.opaque("an expansion with @ may run what the variable holds")
		case syntax.AssignUnset, syntax.AssignUnsetOrNull:
			w.assigned(p.Param)
			w.set(p.Param.Value, sc)
		}
		w.word(p.Exp.Word, sc)
	}
}

// index walks a subscript, which is an arithmetic expression.
func (w *walker) index(x syntax.ArithmExpr, sc scope) {
	if x, ok := x.(*syntax.Word); ok && (x.Lit() == "@" || x.Lit() == "*") {
		return
	}
	w.arithm(x, sc)
}

// arithm walks an arithmetic expression. Bash evaluates the text that a variable
// holds as an expression again, and "a[$(reboot)]" is one, so an expression with
// a variable or a substitution in it is opaque.
func (w *walker) arithm(x syntax.ArithmExpr, sc scope) {
	switch x := x.(type) {
	case nil:
	case *syntax.BinaryArithm:
		w.arithm(x.X, sc)
		w.arithm(x.Y, sc)
	case *syntax.UnaryArithm:
		w.arithm(x.X, sc)
	case *syntax.ParenArithm:
		w.arithm(x.X, sc)
	case *syntax.Word:
		if v := w.word(x, sc); v.kind != literal || !isNumber(v.text) {
			w.opaque("arithmetic on what a variable holds")
		}
	default:
		w.opaque("a kind of arithmetic that is not known")
	}
}

// isName is POSIX XBD 3.216.
func isName(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isLetter(s[i]) && s[i] != '_' && (i == 0 || !isDigit(s[i])) {
			return false
		}
	}
	return s != ""
}

func isNumber(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isDigit(s[i]) && !(i == 0 && s[i] == '-' && len(s) > 1) {
			return false
		}
	}
	return s != ""
}

// assigned checks the name of a variable that the text sets.
func (w *walker) assigned(name *syntax.Lit) {
	if name == nil {
		return
	}
	if !isName(name.Value) { // "a}=[b" is a command to bash and an assignment to the parser
		w.opaque("the name of a variable is not one")
	}
	w.assignedName(name.Value)
}

func (w *walker) assignedName(name string) {
	if decisive[name] || strings.HasPrefix(name, "LD_") || strings.HasPrefix(name, "DYLD_") || strings.HasPrefix(name, "BASH_FUNC_") {
		w.opaque("the variable " + name + " decides what a command's name means")
	}
}

// decisive are the variables by which a shell or the loader decides what code runs.
var decisive = set("PATH CDPATH IFS ENV BASH_ENV SHELLOPTS BASHOPTS PS0 PS1 PS2 PS4 PROMPT_COMMAND ZDOTDIR FPATH fpath path SHELL")

func set(words string) map[string]bool {
	m := map[string]bool{}
	for _, x := range strings.Fields(words) {
		m[x] = true
	}
	return m
}
