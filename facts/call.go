package facts

import (
	"path"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// call walks a simple command as the parser sees it.
func (w *walker) call(c *syntax.CallExpr, sc scope) {
	for _, a := range c.Assigns {
		w.assign(a, sc)
		if a.Name != nil {
			sc.env = w.grow(sc.env, a.Name.Value)
		}
	}
	words := make([]word, len(c.Args))
	for i, x := range c.Args {
		words[i] = w.word(x, sc)
	}
	switch {
	case len(words) > 0:
		w.run(words, sc)
	case len(c.Assigns)+len(sc.reads)+len(sc.writes) > 0:
		w.emit([]word{{text: ":"}}, sc)
	}
}

// set adds what sets a variable and is no command, such as the head of a loop. What
// runs behind it may read the variable, so it is the command ":" with the variable set.
func (w *walker) set(name string, sc scope) {
	sc.env = w.grow(sc.env, name)
	w.emit([]word{{text: ":"}}, sc)
}

// grow is list with x, in memory of its own, since scopes share their lists. A
// list that is too long stays as it is.
func (w *walker) grow(list []string, x string) []string {
	if len(list) == MaxShellWords {
		w.opaque("the command has too many redirections or variables")
		return list
	}
	return append(list[:len(list):len(list)], x)
}

// run takes the wrappers off words and adds the command that is left. Each turn
// takes off at least one word.
func (w *walker) run(words []word, sc scope) {
	for {
		if len(sc.via) > MaxShellDepth || len(words) > MaxShellWords {
			w.opaque("the command has too many wrappers or words")
			return
		}
		head := words[0]
		if head.kind != literal || head.text == "" {
			w.opaque("the name of a command is known only when it runs")
			w.emit(words, sc)
			return
		}
		name := path.Base(head.text)
		wrap, ok := wrappers[name]
		if !ok {
			w.plain(name, words, sc)
			return
		}
		outside := sc
		rest, what := w.unwrap(wrap, words[1:], &sc)
		switch what {
		case unknownOption:
			w.opaque("an option of " + name + " that is not known")
			sc.privileged = sc.privileged || sc.wrapped(name).privileged
			w.emit(words, sc)
			return
		case runsNothing:
			sc.privileged = sc.privileged || sc.wrapped(name).privileged
			w.emit(words, sc)
			return
		}
		w.file(words, outside)
		sc = sc.wrapped(name)
		words = rest
	}
}

// file adds a wrapper that is called by a path, beside what it wraps: the file there
// may be any program.
func (w *walker) file(words []word, sc scope) {
	if strings.Contains(words[0].text, "/") {
		w.emit(words, sc)
	}
}

// plain adds a command that is no wrapper, and walks the code that it is given.
func (w *walker) plain(name string, words []word, sc scope) {
	args := words[1:]
	if shells[name] {
		w.shellCall(name, words, sc)
		return
	}
	if name == "eval" {
		w.eval(args, sc)
		return
	}
	w.emit(words, sc)
	if lang, ok := interpreterOf(name); ok {
		w.interpreter(name, lang, args, sc)
		return
	}
	switch name {
	case "su":
		w.su(args, sc)
	case "find":
		w.find(args, sc)
	case "trap":
		w.trap(args, sc)
	case "source", ".":
		if len(args) == 0 || args[0].kind != literal || isStream(args[0].text) {
			w.opaque("the file that is sourced is known only when it runs")
		}
	case "read", "mapfile", "readarray", "getopts", "unset", "printf", "wait", "test", "[":
		if name == "printf" && len(args) > 0 && strings.HasPrefix(args[0].text, "-v") {
			w.set("", sc)
		}
		w.names(name, args)
	case "declare", "export", "local", "readonly", "typeset": // behind "command" or "builtin"
		for _, a := range args {
			w.declared(a)
		}
	case "hash":
		if len(args) > 0 && !args[0].is("-r") {
			w.opaque("hash changes what a command's name means")
		}
	default:
		if runners[name] || strings.HasPrefix(name, "ld-linux") || strings.HasPrefix(name, "ld-musl") {
			w.opaque(name + " runs a command that is not looked into, or changes what a name means")
		}
	}
}

// eval joins its words with spaces and runs them, as POSIX XCU 2.14 says.
func (w *walker) eval(args []word, sc scope) {
	code := make([]string, len(args))
	for i, a := range args {
		if a.kind != literal {
			w.opaque("eval runs code that is known only when it runs")
			return
		}
		code[i] = a.text
	}
	w.nested(strings.Join(code, " "), sc.wrapped("eval"))
}

// nested walks code that stands inside of code.
func (w *walker) nested(code string, sc scope) {
	if sc.depth++; sc.depth > MaxShellDepth {
		w.opaque("the command is nested too deeply")
		return
	}
	w.code(code, sc)
}

// trap's first operand is code, unless it is a signal's number or "-".
func (w *walker) trap(args []word, sc scope) {
	if len(args) > 0 && args[0].is("--") {
		args = args[1:]
	}
	switch {
	case len(args) == 0:
	case args[0].kind != literal:
		w.opaque("trap sets code that is known only when it runs")
	case len(args) > 1 && args[0].text != "" && args[0].text[0] != '-':
		w.nested(args[0].text, sc.wrapped("trap"))
	}
}

// names checks the builtins that take names of variables: a name with a subscript
// is evaluated, and some names decide what runs.
func (w *walker) names(name string, args []word) {
	switch name {
	case "printf":
		if len(args) == 0 || args[0].kind == literal && !strings.HasPrefix(args[0].text, "-v") {
			return
		}
	case "wait":
		if !hasOption(args, "-p") {
			return
		}
	case "test", "[":
		if !hasOption(args, "-v") {
			return
		}
	case "mapfile", "readarray":
		if hasOption(args, "-C") {
			w.opaque(name + " -C runs a command")
		}
	}
	for _, a := range args {
		w.variable(a)
	}
}

func hasOption(args []word, option string) bool {
	for _, a := range args {
		if a.kind != literal || strings.HasPrefix(a.text, option) {
			return true
		}
	}
	return false
}

// declared checks a word after declare and its like: an option, NAME or NAME=value.
func (w *walker) declared(x word) {
	if strings.HasPrefix(x.text, "-") && strings.ContainsAny(x.text, "ni") {
		w.opaque("an option that makes a variable another's name, or a number")
	}
	w.variable(x)
}

func (w *walker) variable(x word) {
	name, _, _ := strings.Cut(x.text, "=")
	switch {
	case x.kind != literal:
		w.opaque("the name of a variable is known only when it runs")
	case strings.ContainsAny(name, "[$`"):
		w.opaque("the name of a variable has a subscript")
	}
	w.assignedName(strings.TrimSuffix(name, "+"))
}
