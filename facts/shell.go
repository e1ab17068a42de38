package facts

import (
	"fmt"
	"path"
	"strings"
	"unicode/utf8"

	"mvdan.cc/sh/v3/syntax"
)

// The bounds of a shell command. What is over one is opaque.
const (
	MaxShellBytes    = 64 << 10 // of the whole text
	MaxShellOpenings = 2048     // of ( { [ ` and the words that open a statement, which bound the parser's recursion
	MaxShellDepth    = 32       // of statements within statements, substitutions and "sh -c"; and of wrappers
	MaxShellCommands = 256      // of all simple commands found
	MaxShellWords    = 1024     // of all their arguments and redirections
)

// A Shell is what a command line would run, read as bash reads it. Nothing is
// looked up: no file, no variable, no alias, no PATH.
type Shell struct {
	// Opaque: something would run, or might, that Commands does not hold: the text
	// is no shell, a command's name is not known before it runs, code comes from a
	// variable, a pipe or another language, a wrapper has an option that is not
	// known, or a bound is exceeded. A rule that allows must ask for !Opaque; a rule
	// that denies need not, because Commands holds what was found.
	Opaque bool
	Why    string // the first reason, for people; "" when not opaque

	Commands []Command // every simple command that may run, in the order of the text
	Pipes    [][]int   // one list for each pipeline: the indexes into Commands of what it runs, ascending
}

// A Command is one simple command, with the wrappers around it taken off: "sudo
// env A=1 rm -rf x" is rm, via sudo and env. Quotes and backslashes are removed.
type Command struct {
	Name string   // the last component of Path; "" when the word is not literal
	Path string   // word 0: the program, function or builtin
	Args []string // the words after it; "" for one that is known only when it runs

	// Each word is literal, or a pattern (globs and a leading ~, kept in Args as
	// written), or dynamic (an expansion or a brace list, "" in Args).
	Literal bool // all words are literal
	Pattern bool // some word is a pattern
	Dynamic bool // some word is dynamic: a value, or more words, that nobody can see yet

	Env           []string // names of the variables that are set for it
	Via           []string // the wrappers, outermost first: sudo, env, xargs, sh, ...
	Reads, Writes []string // files of redirections, those of enclosing blocks too; "" for a dynamic one
	Piped         bool     // its input is another command's output
	Privileged    bool     // run by sudo, doas or su
}

// ParseShell reads command. It never fails: what cannot be understood is Opaque.
func ParseShell(command string) (s Shell) {
	w := walker{shell: &s}
	defer func() {
		// The parser is a large program by others that reads hostile input. Should
		// it panic on some input, that input is opaque, as every time.
		if r := recover(); r != nil {
			w.opaque(fmt.Sprintf("the shell parser failed: %v", r))
		}
	}()
	w.code(command, scope{})
	return s
}

// A walker fills in a Shell.
type walker struct {
	shell *Shell
	words int // so far, against MaxShellWords
}

// A scope is what a command inherits from where it stands.
type scope struct {
	via           []string
	env           []string
	reads, writes []string
	privileged    bool
	piped         bool
	dynamic       bool // an inherited redirection is dynamic
	pattern       bool // an inherited redirection is a pattern
	zsh           bool
	depth         int
	src           string           // the text that positions refer to
	stdin         *syntax.Redirect // the here-document or here-string of this very command, or nil
	stdinWord     word             // what it holds; for a here-document only input knows
}

func (sc scope) wrapped(name string) scope {
	sc.via = append(sc.via[:len(sc.via):len(sc.via)], name)
	sc.privileged = sc.privileged || name == "sudo" || name == "doas" || name == "su"
	return sc
}

// opaque marks the shell as opaque; the first reason stays.
func (w *walker) opaque(why string) {
	if !w.shell.Opaque {
		w.shell.Opaque, w.shell.Why = true, why
	}
}

// code parses and walks src, which is the whole command or what eval, trap or
// "sh -c" was given.
func (w *walker) code(src string, sc scope) {
	if why := checkShell(src); why != "" {
		w.opaque(why)
		return
	}
	lang := syntax.LangBash
	if sc.zsh {
		lang = syntax.LangZsh
	}
	// A shell runs each line as soon as it has read it, so the statements before a
	// fault count.
	var stmts []*syntax.Stmt
	for stmt, err := range syntax.NewParser(syntax.Variant(lang)).StmtsSeq(strings.NewReader(src)) {
		if err != nil { // the last turn: the parser must not be stopped by a break here
			w.opaque("the text is not a shell command: " + err.Error())
			continue
		}
		stmts = append(stmts, stmt)
	}
	sc.src, sc.stdin = src, nil
	w.stmts(stmts, sc)
}

// checkShell says why src is not even given to the parser, or returns "".
func checkShell(src string) string {
	if len(src) > MaxShellBytes {
		return fmt.Sprintf("the command has %d bytes, more than %d", len(src), MaxShellBytes)
	}
	if !utf8.ValidString(src) {
		return "the command is not UTF-8"
	}
	openings := 0
	for i := 0; i < len(src); i++ {
		switch c := src[i]; {
		case c == '(' || c == '{' || c == '[' || c == '`':
			openings++
		case c < 0x20 && c != '\n' && c != '\t' || c == 0x7f:
			return fmt.Sprintf("the command has the control character 0x%02x", c)
		}
	}
	for _, opening := range [...]string{"if", "while", "until", "for", "select", "case", "time", "function", "coproc"} {
		openings += strings.Count(src, opening)
	}
	if openings > MaxShellOpenings {
		return fmt.Sprintf("the command has more than %d brackets and words that open a statement", MaxShellOpenings)
	}
	return ""
}

// emit adds a command. words[0] is its name.
func (w *walker) emit(words []word, sc scope) {
	w.words += len(words) + len(sc.reads) + len(sc.writes)
	if len(w.shell.Commands) == MaxShellCommands || w.words > MaxShellWords {
		w.opaque(fmt.Sprintf("the text runs more than %d commands or they have more than %d words", MaxShellCommands, MaxShellWords))
		return
	}
	c := Command{
		Args: make([]string, len(words)-1),
		Env:  sc.env, Via: sc.via, Reads: sc.reads, Writes: sc.writes,
		Piped: sc.piped, Privileged: sc.privileged, Dynamic: sc.dynamic, Pattern: sc.pattern,
	}
	if words[0].kind == literal {
		c.Path = words[0].text
		c.Name = path.Base(c.Path)
	}
	for i, x := range words {
		c.Dynamic = c.Dynamic || x.kind == dynamic
		c.Pattern = c.Pattern || x.kind == pattern
		if i > 0 {
			c.Args[i-1] = x.text
		}
	}
	c.Literal = !c.Dynamic && !c.Pattern
	if sc.zsh && !c.Literal {
		w.opaque("zsh runs code in its globs and expansions")
	}
	w.shell.Commands = append(w.shell.Commands, c)
}
