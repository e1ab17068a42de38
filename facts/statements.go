package facts

import "mvdan.cc/sh/v3/syntax"

// stmts walks a list of statements, one level deeper than where it stands.
func (w *walker) stmts(list []*syntax.Stmt, sc scope) {
	if sc.depth++; sc.depth > MaxShellDepth {
		w.opaque("the command is nested too deeply")
		return
	}
	sc.stdin = nil
	for _, s := range list {
		w.stmt(s, sc)
	}
}

func (w *walker) stmt(s *syntax.Stmt, sc scope) {
	if b, ok := s.Cmd.(*syntax.BinaryCmd); ok {
		w.binary(s, b, sc)
		return
	}
	for _, r := range s.Redirs {
		sc = w.redirect(r, sc)
	}
	switch c := s.Cmd.(type) {
	case nil: // only redirections, which is what the command ":" does with them
		w.emit([]word{{text: ":"}}, sc)
	case *syntax.CallExpr:
		w.call(c, sc)
	case *syntax.Block:
		w.stmts(c.Stmts, sc)
	case *syntax.Subshell:
		w.stmts(c.Stmts, sc)
	case *syntax.IfClause:
		for ; c != nil; c = c.Else {
			w.stmts(c.Cond, sc)
			w.stmts(c.Then, sc)
		}
	case *syntax.WhileClause:
		w.stmts(c.Cond, sc)
		w.stmts(c.Do, sc)
	case *syntax.ForClause:
		w.loop(c.Loop, sc)
		w.stmts(c.Do, sc)
	case *syntax.CaseClause:
		w.word(c.Word, sc)
		for _, item := range c.Items {
			for _, p := range item.Patterns {
				w.word(p, sc)
			}
			w.stmts(item.Stmts, sc)
		}
	case *syntax.FuncDecl: // the body counts where it is declared, called or not
		w.stmts([]*syntax.Stmt{c.Body}, sc)
	case *syntax.TimeClause:
		if c.Stmt != nil {
			w.stmts([]*syntax.Stmt{c.Stmt}, sc.wrapped("time"))
		}
	case *syntax.CoprocClause: // to dash, coproc is a program
		w.opaque("coproc is a word of bash only")
		w.word(c.Name, sc)
		w.stmts([]*syntax.Stmt{c.Stmt}, sc)
	case *syntax.ArithmCmd:
		w.arithm(c.X, sc)
	case *syntax.LetClause:
		for _, x := range c.Exprs {
			w.arithm(x, sc)
		}
	case *syntax.TestClause:
		w.test(c.X, sc)
	case *syntax.DeclClause:
		w.declare(c, sc)
	default:
		w.opaque("a kind of statement that is not known")
	}
}

// binary walks a chain of && and ||, or a pipeline. Chains may be thousands long,
// so they are flattened first and not walked recursively.
func (w *walker) binary(s *syntax.Stmt, b *syntax.BinaryCmd, sc scope) {
	if b.Op == syntax.AndStmt || b.Op == syntax.OrStmt {
		for _, x := range flatten(s, syntax.AndStmt, syntax.OrStmt) {
			w.stmt(x, sc)
		}
		return
	}
	from := len(w.shell.Commands)
	for i, x := range flatten(s, syntax.Pipe, syntax.PipeAll) {
		stage := sc
		stage.piped = sc.piped || i > 0
		w.stmt(x, stage)
	}
	var pipe []int
	for i := from; i < len(w.shell.Commands); i++ {
		pipe = append(pipe, i)
	}
	w.shell.Pipes = append(w.shell.Pipes, pipe)
}

func flatten(s *syntax.Stmt, ops ...syntax.BinCmdOperator) (flat []*syntax.Stmt) {
	for todo := []*syntax.Stmt{s}; len(todo) > 0; {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if b, ok := s.Cmd.(*syntax.BinaryCmd); ok && (b.Op == ops[0] || b.Op == ops[1]) {
			todo = append(todo, b.Y, b.X)
			continue
		}
		flat = append(flat, s)
	}
	return flat
}

func (w *walker) redirect(r *syntax.Redirect, sc scope) scope {
	if r.N != nil && len(r.N.Value) > 1 {
		w.opaque("a file descriptor of more than one digit is a command's name to dash")
	}
	switch r.Op {
	case syntax.Hdoc, syntax.DashHdoc:
		return sc.fed(r, w.word(r.Hdoc, sc))
	case syntax.WordHdoc:
		return sc.fed(r, w.word(r.Word, sc))
	}
	file := w.word(r.Word, sc)
	switch r.Op {
	case syntax.DplIn, syntax.DplOut: // <&3, >&2 and >&- name no file; ">&file" does
		if file.kind == literal && (isNumber(file.text) || file.text == "-" || isNumber(trimDash(file.text))) {
			return sc
		}
	}
	sc.dynamic = sc.dynamic || file.kind == dynamic
	sc.pattern = sc.pattern || file.kind == pattern
	if r.Op == syntax.RdrIn || r.Op == syntax.RdrInOut || r.Op == syntax.DplIn {
		sc.reads = w.grow(sc.reads, file.text)
		sc.piped = sc.piped || hasProcSubst(r.Word)
		sc.stdin = nil
	}
	if r.Op != syntax.RdrIn && r.Op != syntax.DplIn {
		sc.writes = w.grow(sc.writes, file.text)
	}
	return sc
}

// fed is sc with a here-document or here-string, if that is standard input.
func (sc scope) fed(r *syntax.Redirect, x word) scope {
	if r.N == nil || r.N.Value == "0" {
		sc.stdin, sc.stdinWord = r, x
	}
	return sc
}

// trimDash takes the - off "3-", which moves a file descriptor.
func trimDash(s string) string {
	if n := len(s); n > 1 && s[n-1] == '-' {
		return s[:n-1]
	}
	return s
}

func hasProcSubst(x *syntax.Word) bool {
	for _, p := range x.Parts {
		if _, ok := p.(*syntax.ProcSubst); ok {
			return true
		}
	}
	return false
}

func (w *walker) loop(l syntax.Loop, sc scope) {
	switch l := l.(type) {
	case *syntax.WordIter:
		w.assigned(l.Name)
		w.set(l.Name.Value, sc)
		for _, x := range l.Items {
			w.word(x, sc)
		}
	case *syntax.CStyleLoop:
		w.arithm(l.Init, sc)
		w.arithm(l.Cond, sc)
		w.arithm(l.Post, sc)
	}
}

// test walks [[ ... ]]. Where sh is not bash, "[[" is an unknown command and its
// && || < > are the shell's own, so they are opaque; -eq and its like are
// arithmetic, and -v takes a subscript.
func (w *walker) test(x syntax.TestExpr, sc scope) {
	switch x := x.(type) {
	case *syntax.Word:
		w.word(x, sc)
	case *syntax.ParenTest:
		w.opaque("a test with operators that are commands to another shell")
		w.test(x.X, sc)
	case *syntax.UnaryTest:
		if x.Op == syntax.TsVarSet || x.Op == syntax.TsRefVar {
			w.opaque("a test of a variable's name")
		}
		w.test(x.X, sc)
	case *syntax.BinaryTest:
		switch x.Op {
		case syntax.AndTest, syntax.OrTest, syntax.TsBefore, syntax.TsAfter:
			w.opaque("a test with operators that are commands to another shell")
		case syntax.TsEql, syntax.TsNeq, syntax.TsLeq, syntax.TsGeq, syntax.TsLss, syntax.TsGtr:
			for _, side := range []syntax.TestExpr{x.X, x.Y} {
				if side, ok := side.(*syntax.Word); ok {
					w.arithm(side, sc)
				}
			}
			return
		}
		w.test(x.X, sc)
		w.test(x.Y, sc)
	}
}

// declare walks export, declare, local, readonly, typeset and nameref.
func (w *walker) declare(c *syntax.DeclClause, sc scope) {
	words := []word{{text: c.Variant.Value}}
	if c.Variant.Value == "nameref" {
		w.opaque("a variable names another variable")
	}
	for _, a := range c.Args {
		if a.Name == nil { // an option, or a name that is quoted or computed
			x := w.word(a.Value, sc)
			words = append(words, x)
			w.declared(x)
			continue
		}
		words = append(words, word{text: a.Name.Value})
		w.assign(a, sc)
	}
	w.emit(words, sc)
}

// assign walks NAME=value, NAME[i]=value and NAME=(values).
func (w *walker) assign(a *syntax.Assign, sc scope) {
	w.assigned(a.Name)
	w.index(a.Index, sc)
	w.word(a.Value, sc)
	if a.Array != nil {
		for _, e := range a.Array.Elems {
			w.index(e.Index, sc)
			w.word(e.Value, sc)
		}
	}
}
