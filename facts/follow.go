package facts

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

func (w *follower) stmts(list []*syntax.Stmt, p place) {
	if p.depth++; p.depth > MaxShellDepth {
		w.unknown("the command is nested too deeply")
		return
	}
	for _, s := range list {
		w.stmt(s, p)
	}
}

// subshell follows statements that cannot change the shell they stand in.
func (w *follower) subshell(list []*syntax.Stmt, p place) {
	dirs := w.dirs
	p.maybe = true
	w.stmts(list, p)
	w.dirs = dirs
}

// maybe follows statements that may run or not.
func (w *follower) maybe(list []*syntax.Stmt, p place) {
	before := w.dirs
	p.maybe = true
	inner := p.hidden()
	w.stmts(list, inner)
	p.reveal(inner)
	w.dirs = union(w.dirs, before)
}

func union(a, b []string) []string {
	if len(a) == 1 && len(b) == 1 && a[0] == b[0] {
		return a
	}
	out := slices.Clone(a)
	for _, x := range b {
		if !slices.Contains(out, x) && len(out) < maxAlternatives {
			out = append(out, x)
		}
	}
	return out
}

// hidden is p with a sink of its own, where it has one; reveal puts into p's what can be
// said of it: that something was printed.
func (p place) hidden() place {
	if p.sink != nil {
		p.sink = &sink{}
	}
	return p
}

func (p place) reveal(inner place) {
	if p.sink != nil && inner.sink.value != (value{}) {
		p.sink.add(value{anything, inner.sink.taint | printed})
	}
}

func (w *follower) stmt(s *syntax.Stmt, p place) {
	if w.steps++; w.steps > MaxShellSteps {
		w.unknown("the text runs too many statements")
		return
	}
	if s.Background || s.Coprocess || s.Disown {
		p.maybe, p.background = true, true
	}
	if b, ok := s.Cmd.(*syntax.BinaryCmd); ok {
		w.binary(s, b, p)
		return
	}
	outer := p
	var files []string
	if len(s.Redirs) > 0 {
		w.alternately(func() { p, files = w.redirects(s.Redirs, outer) })
	}
	switch c := s.Cmd.(type) {
	case nil:
		if p.sink != nil && p.in != nil { // $(<file)
			p.sink.add(*p.in)
		}
		w.emit([]value{exactly(":")}, p)
	case *syntax.CallExpr:
		w.call(c, s, p)
	case *syntax.Block:
		w.stmts(c.Stmts, p)
	case *syntax.Subshell:
		w.subshell(c.Stmts, p)
	case *syntax.IfClause:
		for i := 0; c != nil; c, i = c.Else, i+1 {
			if i == 0 {
				w.stmts(c.Cond, p)
			} else {
				w.maybe(c.Cond, p)
			}
			w.maybe(c.Then, p)
		}
	case *syntax.WhileClause:
		for range 2 { // what the first turn sets, the second may use
			w.maybe(c.Cond, p)
			w.maybe(c.Do, p)
		}
	case *syntax.ForClause:
		w.loop(c, p)
	case *syntax.CaseClause:
		w.single(c.Word, p)
		for _, item := range c.Items {
			for _, x := range item.Patterns {
				w.single(x, p)
			}
			w.maybe(item.Stmts, p)
		}
	case *syntax.FuncDecl:
		w.declareFunction(c, p)
	case *syntax.TimeClause:
		if c.Stmt != nil {
			w.stmt(c.Stmt, p.wrapped("time"))
		}
	case *syntax.CoprocClause:
		p.maybe = true
		w.stmt(c.Stmt, p.wrapped("coproc"))
	case *syntax.ArithmCmd:
		w.arithmetic(c.X, p)
	case *syntax.LetClause:
		for _, x := range c.Exprs {
			w.arithmetic(x, p)
		}
	case *syntax.TestClause:
		w.condition(c.X, p)
	case *syntax.DeclClause:
		w.declaration(c, p)
	default:
		w.unknown("a kind of statement that is not known")
	}
	if p.sink != outer.sink {
		for _, file := range files {
			w.wrote(file, p.sink.value)
		}
	}
}

// wrote remembers what a file holds from here on.
func (w *follower) wrote(file string, v value) {
	if w.files == nil {
		w.files = map[string]value{}
	}
	if len(w.files) < MaxShellListed && file != "/dev/null" {
		w.files[w.at(file)] = v
	}
}

// content is what the text knows of a file.
func (w *follower) content(file string) (value, bool) {
	if len(w.files)+len(w.trees) == 0 {
		return value{}, false
	}
	at := w.at(file)
	v, ok := w.files[at]
	if !ok && slices.ContainsFunc(w.trees, func(dir string) bool { return strings.HasPrefix(at+"/", dir) }) {
		return value{anything, fetched | printed}, true
	}
	return v, ok
}

// wroteTree remembers that all below a directory came over the network, but for what
// the text writes there itself.
func (w *follower) wroteTree(dir string) {
	at := strings.TrimSuffix(w.at(dir), "/") + "/"
	if at == "/" || slices.Contains(w.trees, at) {
		return
	}
	if len(w.trees) == maxAlternatives {
		w.unknown("the text fetches too many directories")
		return
	}
	w.trees = append(w.trees, at)
}

// at is a file's name, made absolute as far as it can be.
func (w *follower) at(file string) string { return join(w.dirs[0], file) }

// join is path.Join where the second may be absolute or in a home directory.
func join(dir, file string) string {
	if strings.HasPrefix(file, "/") || strings.HasPrefix(file, home) {
		return path.Clean(file)
	}
	return path.Join(dir, file)
}

func (w *follower) binary(s *syntax.Stmt, b *syntax.BinaryCmd, p place) {
	if b.Op == syntax.AndStmt || b.Op == syntax.OrStmt {
		w.chain(s, p)
		return
	}
	from := len(w.out.Commands)
	dirs := w.dirs
	in, piped := p.in, p.piped
	stages := flatten(s, syntax.Pipe, syntax.PipeAll)
	for i, x := range stages {
		stage := p
		stage.in, stage.piped, stage.maybe = in, piped || i > 0, true
		if i+1 < len(stages) {
			stage.sink = &sink{}
		}
		w.stmt(x, stage)
		w.dirs = dirs
		if i+1 < len(stages) {
			in = &stage.sink.value
		}
	}
	w.leak(w.out.Commands[from:])
}

// chain follows && and ||. What stands behind one of them may not run.
func (w *follower) chain(s *syntax.Stmt, p place) {
	type link struct {
		stmt *syntax.Stmt
		op   syntax.BinCmdOperator
	}
	var links []link
	for todo := []link{{s, 0}}; len(todo) > 0; {
		l := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if b, ok := l.stmt.Cmd.(*syntax.BinaryCmd); ok && (b.Op == syntax.AndStmt || b.Op == syntax.OrStmt) {
			todo = append(todo, link{b.Y, b.Op}, link{b.X, l.op})
			continue
		}
		links = append(links, l)
	}
	var after []string // where it may be when the chain is done
	for i, l := range links {
		before := w.dirs
		switch {
		case i == 0:
			w.stmt(l.stmt, p)
			after = w.dirs
			continue
		case l.op == syntax.AndStmt:
			p.maybe = true
			w.stmt(l.stmt, p)
		default:
			p.maybe = true
			inner := p.hidden()
			w.stmt(l.stmt, inner)
			p.reveal(inner)
			w.dirs = union(before, w.dirs)
		}
		after = union(w.dirs, after)
	}
	w.dirs = after
}

// loop follows for and select.
func (w *follower) loop(c *syntax.ForClause, p place) {
	words, ok := c.Loop.(*syntax.WordIter)
	if !ok {
		c, _ := c.Loop.(*syntax.CStyleLoop)
		w.arithmetic(c.Init, p)
		w.arithmetic(c.Cond, p)
		w.arithmetic(c.Post, p)
	}
	var items []value
	if ok {
		w.decisive(words.Name.Value)
		w.alternately(func() {
			for _, x := range words.Items {
				items = append(items, w.fields(x, p)...)
			}
		})
		if !words.InPos.IsValid() {
			items, _ = w.variable("@", p)
			items = slices.Clone(items)
		}
	}
	if ok && len(items) == 0 {
		items = []value{{text: anything}}
	}
	if !ok || len(items) > maxLoop || c.Select {
		if ok {
			alts := make([][]value, len(items))
			for i, x := range items {
				alts[i] = []value{x}
			}
			w.set(words.Name.Value, alts, false)
		}
		for range 2 {
			w.maybe(c.Do, p)
		}
		return
	}
	before := w.dirs
	for _, x := range items {
		w.set(words.Name.Value, [][]value{{x}}, p.maybe)
		if p.maybe { // it is this in this turn, whatever else it may be later
			w.vars[words.Name.Value] = [][]value{{x}}
		}
		w.stmts(c.Do, p)
		if w.steps > MaxShellSteps {
			break
		}
	}
	w.dirs = union(w.dirs, before)
}

func (w *follower) declareFunction(c *syntax.FuncDecl, p place) {
	if w.funcs == nil {
		w.funcs = map[string]*function{}
	}
	names := c.Names
	if c.Name != nil {
		names = append(names, c.Name)
	}
	for _, name := range names {
		p.sink, p.in = nil, nil
		if old := w.funcs[name.Value]; old != nil && !old.called { // both may be meant
			w.callFunction(name.Value, old, nil, false, old.at)
		}
		w.funcs[name.Value] = &function{body: c.Body, at: p}
	}
}

// callFunction follows a function's body.
func (w *follower) callFunction(name string, fn *function, args []value, given bool, p place) {
	fn.called = true
	if fn.active {
		if p.piped || p.background {
			w.destroys("processes", []value{exactly(name + "() calls itself")})
		}
		return
	}
	fn.active = true
	params, was := w.params, w.given
	w.params, w.given = args, given
	w.stmts([]*syntax.Stmt{fn.body}, p)
	w.params, w.given = params, was
	fn.active = false
}

// redirects puts redirections into p. files are those that what is printed goes to.
func (w *follower) redirects(list []*syntax.Redirect, p place) (_ place, files []string) {
	for _, r := range list {
		switch r.Op {
		case syntax.Hdoc, syntax.DashHdoc:
			if r.N == nil || r.N.Value == "0" {
				v := w.here(r, p)
				p.in = &v
			}
			continue
		case syntax.WordHdoc:
			if r.N == nil || r.N.Value == "0" {
				v := w.single(r.Word, p)
				v.text += "\n"
				p.in = &v
			}
			continue
		}
		names := w.fields(r.Word, p)
		if len(names) != 1 {
			names = []value{{text: anything}}
		}
		file := names[0]
		switch r.Op {
		case syntax.DplIn, syntax.DplOut:
			if file.known() && (isNumber(file.text) || file.text == "-" || isNumber(trimDash(file.text))) {
				continue
			}
		}
		if rest, ok := strings.CutPrefix(file.text, "/dev/tcp/"); ok || strings.HasPrefix(file.text, "/dev/udp/") {
			rest = strings.TrimPrefix(rest, "/dev/udp/")
			name, _, _ := strings.Cut(rest, "/")
			w.host(value{text: name})
			p.net = true
			p.in = &value{text: anything, taint: fetched}
			continue
		}
		if r.Op == syntax.RdrIn || r.Op == syntax.RdrInOut || r.Op == syntax.DplIn {
			p.reads = grown(p.reads, file.word())
			v := w.reads(file)
			p.in = &v
		}
		if r.Op != syntax.RdrIn && r.Op != syntax.DplIn {
			p.writes = grown(p.writes, file.word())
			w.writes(file, []value{exactly(">"), file})
			if r.N == nil || r.N.Value == "1" || r.Op == syntax.RdrAll || r.Op == syntax.AppAll {
				if files == nil {
					p.sink = &sink{}
				}
				if r.Op == syntax.AppOut || r.Op == syntax.AppAll {
					if old, ok := w.content(file.text); ok {
						p.sink.add(old)
					}
				}
				files = append(files, file.text)
			}
		}
	}
	return p, files
}

// grown is list with x, in memory of its own.
func grown(list []string, x string) []string {
	if len(list) >= MaxShellWords {
		return list
	}
	return append(list[:len(list):len(list)], x)
}

// wrapped is p behind a wrapper. A command behind one has no function's or alias's name.
func (p place) wrapped(name string) place {
	p.via = grown(p.via, name)
	p.privileged = p.privileged || gains[name]
	return p
}

// gains are the wrappers that run a command with the rights of another user.
var gains = set("sudo doas su runuser pkexec run0 su-exec gosu setpriv sudoedit please dzdo")

// condition follows what stands in [[ ]].
func (w *follower) condition(x syntax.TestExpr, p place) {
	switch x := x.(type) {
	case *syntax.Word:
		w.single(x, p)
	case *syntax.ParenTest:
		w.condition(x.X, p)
	case *syntax.UnaryTest:
		if name, ok := x.X.(*syntax.Word); ok && (x.Op == syntax.TsVarSet || x.Op == syntax.TsRefVar) {
			w.subscript(w.single(name, p))
			return
		}
		w.condition(x.X, p)
	case *syntax.BinaryTest:
		switch x.Op {
		case syntax.TsEql, syntax.TsNeq, syntax.TsLeq, syntax.TsGeq, syntax.TsLss, syntax.TsGtr:
			for _, side := range []syntax.TestExpr{x.X, x.Y} {
				if side, ok := side.(*syntax.Word); ok {
					w.arithmetic(side, p)
				}
			}
			return
		}
		w.condition(x.X, p)
		w.condition(x.Y, p)
	}
}

// declaration follows export, declare, local, readonly, typeset and nameref.
func (w *follower) declaration(c *syntax.DeclClause, p place) {
	words := []value{exactly(c.Variant.Value)}
	reference := c.Variant.Value == "nameref"
	for _, a := range c.Args {
		if a.Name == nil {
			for _, x := range w.fields(a.Value, p) {
				words = append(words, x)
				reference = reference || strings.HasPrefix(x.text, "-") && strings.ContainsAny(x.text, "ni")
			}
			continue
		}
		words = append(words, exactly(a.Name.Value))
		if !a.Naked {
			w.assign([]*syntax.Assign{a}, p)
		}
		if reference {
			if list, set := w.variable(a.Name.Value, p); set && len(list) == 1 && isName(list[0].text) {
				if there, ok := w.variable(list[0].text, p); ok {
					w.set(a.Name.Value, [][]value{there}, p.maybe)
				}
			}
		}
	}
	if reference {
		w.unknown("a variable that is another's name, or a number")
	}
	w.emit(words, p)
	if len(words) == 1 || len(words) == 2 && words[1].is("-p") || len(words) == 2 && words[1].is("-x") {
		p.sink.add(value{anything, printed})
	}
}

// assign sets variables.
func (w *follower) assign(list []*syntax.Assign, p place) {
	for _, a := range list {
		if a.Name == nil {
			continue
		}
		name := a.Name.Value
		w.decisive(name)
		if !isName(name) {
			w.unknown("the name of a variable is not one")
		}
		var alts [][]value
		w.alternately(func() {
			var v []value
			switch {
			case a.Array != nil:
				v = []value{}
				for _, e := range a.Array.Elems {
					if e.Index != nil {
						w.arithmetic(e.Index, p)
					}
					if e.Value != nil {
						v = append(v, w.fields(e.Value, p)...)
					}
				}
				if len(v) > MaxShellWords {
					v = []value{{text: anything}}
				}
				if a.Append {
					old, _ := w.variable(name, p)
					v = slices.Concat(old, v)
				}
			case a.Index != nil:
				old, _ := w.variable(name, p)
				v = slices.Clone(old)
				n, err := strconv.Atoi(w.arithmetic(a.Index, p).text)
				one := w.single(a.Value, p)
				switch {
				case err != nil || n < 0 || n > len(v)+maxBraces:
					v = []value{{text: anything}}
				default:
					for len(v) <= n {
						v = append(v, value{})
					}
					v[n] = one
				}
			default:
				one := w.single(a.Value, p)
				if a.Append {
					old, _ := w.variable(name, p)
					if len(old) == 0 {
						old = []value{{}}
					}
					one = value{old[0].text + one.text, old[0].taint | one.taint}
				}
				if len(one.text) > maxText && a.Append {
					one.text = anything
				}
				v = []value{one}
				w.environment(name, one, p) // it may be exported, before or later
			}
			alts = append(alts, v)
		})
		if len(alts) > 1 {
			alts = slices.CompactFunc(alts, func(a, b []value) bool { return slices.Equal(a, b) })
		}
		w.set(name, alts, p.maybe)
	}
}

// printed is what a substitution's statements print.
func (w *follower) printed(list []*syntax.Stmt, p place) value {
	dirs, alt, alts := w.dirs, w.alt, w.alts
	p.sink = &sink{}
	p.maybe = true
	from := len(w.out.Commands)
	w.stmts(list, p)
	w.leak(w.out.Commands[from:])
	w.dirs, w.alt = dirs, alt
	w.alts = max(alts, w.alts)
	v := p.sink.value
	v.text = strings.TrimRight(v.text, "\n")
	v.taint |= printed
	return v
}

// pipe is the file's name that a process substitution stands for.
func (w *follower) pipe(x *syntax.ProcSubst, p place) string {
	w.pipes++
	name := "/dev/fd/" + strconv.Itoa(62+w.pipes)
	inner := p
	inner.sink = &sink{}
	if x.Op == syntax.CmdOut { // >(...)
		inner.sink = nil
		inner.in, inner.piped = &value{text: anything}, true
	}
	w.subshell(x.Stmts, inner)
	if inner.sink != nil {
		w.wrote(name, inner.sink.value)
	}
	return name
}

// call follows a simple command.
func (w *follower) call(c *syntax.CallExpr, s *syntax.Stmt, p place) {
	if len(c.Args) == 0 {
		w.assign(c.Assigns, p)
		for _, a := range c.Assigns {
			if a.Name != nil {
				p.env = grown(p.env, a.Name.Value)
			}
		}
		if len(c.Assigns) > 0 || len(p.reads)+len(p.writes) > 0 {
			w.emit([]value{exactly(":")}, p)
		}
		return
	}
	w.alternately(func() {
		p := p
		args := make([]value, 0, len(c.Args))
		for _, x := range c.Args {
			args = append(args, w.fields(x, p)...)
		}
		for _, a := range c.Assigns {
			if a.Name == nil {
				continue
			}
			p.env = grown(p.env, a.Name.Value)
			v := w.single(a.Value, p)
			w.decisive(a.Name.Value)
			w.environment(a.Name.Value, v, p)
			switch {
			case a.Name.Value != "IFS": // the command may be a shell, which sees it
				w.set(a.Name.Value, [][]value{{v}}, true)
			case len(args) > 0 && args[0].is("read"):
				before := w.vars["IFS"]
				w.set("IFS", [][]value{{v}}, false)
				defer func() { w.vars["IFS"] = before }()
			}
		}
		if len(args) > 0 {
			w.run(args, p)
		}
	})
}
