package facts

import (
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

var shells = set("sh bash dash zsh ksh mksh ash rbash")

// shellCall adds a shell's invocation, or walks the code that it is given: with
// -c, or in a literal here-document.
func (w *walker) shellCall(name string, words []word, sc scope) {
	args := words[1:]
	inline := false
	i := 0
options:
	for ; i < len(args); i++ {
		a := args[i]
		switch {
		case a.kind != literal:
			w.opaque("what " + name + " runs is known only then")
			w.emit(words, sc)
			return
		case a.text == "--" || a.text == "-":
			i++
			break options
		case a.text == "--norc" || a.text == "--noprofile" || a.text == "--posix" || a.text == "--login":
		case len(a.text) > 1 && (a.text[0] == '-' || a.text[0] == '+'):
			for _, c := range a.text[1:] {
				switch {
				case c == 'c' && a.text[0] == '-':
					inline = true
				case c == 'o' || c == 'O':
					i++ // the name of a shell option follows
				case !strings.ContainsRune("abefhklmnptuvxBCEHPT", c):
					w.opaque("an option of " + name + " that is not known")
					w.emit(words, sc)
					return
				}
			}
		default:
			break options
		}
	}
	rest := args[min(i, len(args)):]
	sc.zsh = name == "zsh"
	switch {
	case inline && len(rest) > 0 && rest[0].kind == literal:
		w.file(words, sc)
		w.nested(rest[0].text, sc.wrapped(name))
	case !inline && len(rest) > 0 && rest[0].kind == literal && !isStream(rest[0].text):
		sc.zsh = false
		w.emit(words, sc)
	default:
		if code, ok := sc.input(); ok && !inline && len(rest) == 0 {
			w.file(words, sc)
			w.nested(code, sc.wrapped(name))
			return
		}
		w.opaque("what " + name + " runs is known only then")
		w.emit(words, sc)
	}
}

// input returns the here-document or here-string that is a command's input, if
// there is one and every letter of it is known.
func (sc scope) input() (string, bool) {
	switch r := sc.stdin; {
	case r == nil:
		return "", false
	case r.Op == syntax.WordHdoc:
		return sc.stdinWord.text, sc.stdinWord.kind != dynamic
	case r.Hdoc == nil:
		return "", true
	default:
		expanded := r.Word.Lit() != "" && !strings.Contains(r.Word.Lit(), `\`) // no quote in the delimiter
		var code strings.Builder
		for _, p := range r.Hdoc.Parts {
			lit, ok := p.(*syntax.Lit)
			if !ok || expanded && strings.Contains(lit.Value, `\`) {
				return "", false
			}
			code.WriteString(lit.Value)
		}
		return code.String(), true
	}
}

// A language is an interpreter of code that is not shell.
type language struct {
	code   string // short options that give code
	values string // short options with a value in the next word
}

var languages = map[string]language{
	"python": {code: "c", values: "WXQ"},
	"pypy":   {code: "c", values: "WX"},
	"perl":   {code: "eEmM", values: "I"},
	"ruby":   {code: "e", values: "IrCEFKTWx"},
	"node":   {code: "ep", values: "rC"},
	"nodejs": {code: "ep", values: "rC"},
	"php":    {code: "rBRE", values: "cdz"},
	"lua":    {code: "e", values: "l"},
}

// interpreterOf finds the language of python, python3, python3.12, lua5.4, ...
func interpreterOf(name string) (language, bool) {
	lang, ok := languages[strings.TrimRight(name, "0123456789.")]
	return lang, ok
}

// interpreter marks code in another language that stands in the text or comes
// over the input. A script that is a file is no more opaque than any program.
func (w *walker) interpreter(name string, lang language, args []word, sc scope) {
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a.kind != literal:
			w.opaque("what " + name + " runs is known only then")
			return
		case a.text == "-" || isStream(a.text):
			w.opaque(name + " runs what comes over its input")
			return
		case strings.HasPrefix(a.text, "--"):
			if len(args) > 1 || !a.is("--version") && !a.is("--help") {
				w.opaque("an option of " + name + " that is not known")
			}
			return
		case a.text == "-m" && lang.code == "c": // python -m module: what follows is the module's
			return
		case strings.HasPrefix(a.text, "-"):
			for j := 1; j < len(a.text); j++ {
				if strings.IndexByte(lang.code, a.text[j]) >= 0 {
					w.opaque(name + " is given code that is not shell")
					return
				}
				if strings.IndexByte(lang.values, a.text[j]) >= 0 {
					if j == len(a.text)-1 {
						i++
					}
					break
				}
			}
			if len(args) == 1 && (a.text == "-V" || a.text == "-v" || a.text == "-h") {
				return
			}
		default:
			return
		}
	}
	w.opaque(name + " runs what comes over its input")
}

// isStream reports whether a file's name stands for an open file and not for one
// that has a content before the command runs.
func isStream(file string) bool {
	return strings.HasPrefix(file, "/dev/") || strings.HasPrefix(file, "/proc/")
}

// su runs a shell, with -c on a command.
func (w *walker) su(args []word, sc scope) {
	for i, a := range args {
		switch {
		case a.is("-") || a.is("-l") || a.is("--login"):
		case (a.is("-c") || a.is("--command")) && i+1 < len(args) && args[i+1].kind == literal && len(args) <= i+3:
			w.nested(args[i+1].text, sc.wrapped("su"))
			return
		case a.kind == literal && !strings.HasPrefix(a.text, "-"):
		default:
			w.opaque("an option of su that is not known")
			return
		}
	}
	w.opaque("su starts a shell that reads its input")
}

// find runs what stands between -exec and ; or +, with file names for {}.
func (w *walker) find(args []word, sc scope) {
	for i := 0; i < len(args); i++ {
		if args[i].kind == dynamic {
			w.opaque("the conditions of find are known only when it runs")
		}
		if !args[i].is("-exec") && !args[i].is("-execdir") && !args[i].is("-ok") && !args[i].is("-okdir") {
			continue
		}
		from := i + 1
		for i = from; i < len(args) && !args[i].is(";") && !args[i].is("+"); i++ {
		}
		if from == i {
			w.opaque("find runs no command that can be told")
			return
		}
		inner := sc.wrapped("find")
		inner.stdin = nil
		w.run(appended(args[from:i], "{}"), inner)
	}
}
