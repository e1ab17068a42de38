package facts

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// The bounds of following a command line, beside those of ParseShell. What is over one
// is in Unknown.
const (
	MaxShellSteps   = 2048 // statements that are followed, loops and functions as often as they run
	maxAlternatives = 8    // values that a variable may have
	maxBraces       = 64   // words that one word's braces make
	maxLoop         = 64   // turns of a loop
	MaxShellListed  = 256  // paths, hosts, secrets and the like, of each
	maxListedBytes  = 64 * MaxShellListed
	maxHarm         = 64      // things destroyed
	maxUnknown      = 16      // reasons
	maxLabour       = 1 << 15 // words that are expanded, and each 32 bytes in them
	maxText         = 8192    // bytes of what a command is known to print or a variable to hold
)

// Effects are what a command line would do, as far as its text says. ShellEffects
// follows it as bash would run it: what is assigned, printed and written in the text is
// known where it is used later in the text. Nothing is looked up.
//
// A Shell says what is written, and holds a rule that allows. Effects say where
// that leads, and hold a rule that denies.
type Effects struct {
	// Unknown says what cannot be known before it runs, each reason once and for
	// people: a command's name, code that a variable, a pipe, the network or another
	// language holds, a wrapper's option, a bound that is exceeded.
	Unknown []string

	Commands []Command // every command that may run, with its words as they would then be

	Destroys           []Harm   // what nobody can bring back, or what stops
	Reads, Writes      []string // files whose content is read, written or deleted; "" for one that only a run knows
	Hosts              []string // whoever is talked to; "" for one that only a run knows
	FetchToInterpreter bool     // what comes over the network is run as code
	Privileged         bool     // something runs by sudo, doas, su and the like, or is given such rights
	Secrets            []string // well-known files of secrets that are read, and variables ("$NAME") whose value is used
	Persists           []string // what runs or opens a door later: files, or commands
}

// A Harm is a command that destroys.
type Harm struct {
	Class   string // one of HarmClasses
	Command string // its words with blanks between them, for people; … stands for what only a run knows
}

// HarmClasses are the classes of Harm.
var HarmClasses = []string{"files", "disk", "git", "database", "cloud", "containers", "cluster", "processes", "power", "system"}

// ShellEffects follows command, which runs in the directory cwd; "" when that is not known.
func ShellEffects(command, cwd string) (e Effects) {
	f := newFollower(&e, cwd)
	defer func() {
		if r := recover(); r != nil { // as in ParseShell
			f.unknown(fmt.Sprintf("the shell parser failed: %v", r))
		}
	}()
	f.code(command, place{})
	f.finish()
	return e
}

// A follower fills in Effects.
type follower struct {
	out     *Effects
	words   int // so far, against MaxShellWords
	steps   int // so far, against MaxShellSteps
	labours int // so far, against maxLabour

	cwd     string   // where it begins, "." when that is not known
	dirs    []string // where it may be now, the likeliest first
	vars    map[string][][]value
	zero    value   // $0
	params  []value // $1 and on
	given   bool    // params is what the text says, and nothing when that is nothing
	funcs   map[string]*function
	aliases map[string]string
	files   map[string]value // what the text itself writes into files, and what it fetches
	trees   []string         // directories of which all that files does not have was fetched, ending in /
	pipes   int              // process substitutions so far

	alt  int // which value of variables that may have several is looked at
	alts int // the most that one of those looked at has
}

// A function is one that the text declares.
type function struct {
	body   *syntax.Stmt
	called bool
	active bool // its body is being followed
	at     place
}

// A place is what a command inherits from where it stands.
type place struct {
	via        []string
	env        []string
	reads      []string
	writes     []string
	privileged bool
	piped      bool
	maybe      bool // it may not run, or what it sets does not last
	background bool
	net        bool // an open connection is its input or output
	zsh        bool
	depth      int
	in         *value // what comes over its input, or nil when that is not of this text
	sink       *sink  // where its output goes, or nil
}

// A sink collects what is printed.
type sink struct{ value }

func (s *sink) add(v value) {
	if s == nil {
		return
	}
	s.text += v.text
	s.taint |= v.taint
	if len(s.text) > maxText {
		s.text = anything
	}
}

func newFollower(e *Effects, cwd string) *follower {
	f := &follower{out: e, cwd: ".", zero: exactly("bash")}
	if p := ParsePath(cwd, ""); cwd != "" && !p.Opaque {
		f.cwd = p.Clean
	}
	f.dirs = []string{f.cwd}
	f.given = true
	return f
}

// finish follows the functions that were declared and not called: a later command line
// of the same shell may call them.
func (w *follower) finish() {
	for _, name := range sortedKeys(w.funcs) {
		if fn := w.funcs[name]; !fn.called {
			w.callFunction(name, fn, nil, false, fn.at)
		}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	if len(m) == 0 {
		return nil
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// unknown notes something that cannot be known before it runs.
func (w *follower) unknown(why string) {
	why = strings.ToValidUTF8(cut(why, 200), "")
	if len(w.out.Unknown) < maxUnknown && !slices.Contains(w.out.Unknown, why) {
		w.out.Unknown = append(w.out.Unknown, why)
	}
}

// list adds x to one of the lists of Effects, once.
func (w *follower) list(to *[]string, x string) {
	bytes := len(x)
	for _, there := range *to {
		if there == x {
			return
		}
		bytes += len(there)
	}
	if len(*to) == MaxShellListed || bytes > maxListedBytes {
		w.unknown("the text names too many files or hosts")
		return
	}
	*to = append(*to, x)
}

// destroys notes a command that destroys.
func (w *follower) destroys(class string, words []value) {
	var b strings.Builder
	for i, x := range words {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(x.shown())
		if b.Len() > 200 {
			break
		}
	}
	h := Harm{class, strings.ToValidUTF8(cut(b.String(), 200), "")}
	if len(w.out.Destroys) < maxHarm && !slices.Contains(w.out.Destroys, h) {
		w.out.Destroys = append(w.out.Destroys, h)
	}
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// code parses and follows src.
func (w *follower) code(src string, p place) {
	if p.depth++; p.depth > MaxShellDepth {
		w.unknown("the command is nested too deeply")
		return
	}
	if why := checkShell(src); why != "" {
		w.unknown(why)
		return
	}
	lang := syntax.LangBash
	if p.zsh {
		lang = syntax.LangZsh
	}
	for stmt, err := range syntax.NewParser(syntax.Variant(lang)).StmtsSeq(strings.NewReader(src)) {
		if err != nil {
			w.unknown("the text is not a shell command: " + err.Error())
			continue
		}
		w.stmt(stmt, p)
	}
}

// nested follows code that a word, a file or a pipe holds.
func (w *follower) nested(v value, p place) {
	if v.taint&fetched != 0 {
		w.out.FetchToInterpreter = true
	}
	if !v.known() {
		w.unknown("some of the code is known only when it runs")
		if v.text == anything {
			return
		}
	}
	w.code(v.source(), p)
}

// emit adds a command. words[0] is its name.
func (w *follower) emit(words []value, p place) {
	w.words += len(words) + len(p.reads) + len(p.writes)
	if len(w.out.Commands) == MaxShellCommands || w.words > MaxShellWords {
		w.unknown(fmt.Sprintf("the text runs more than %d commands or they have more than %d words", MaxShellCommands, MaxShellWords))
		return
	}
	c := Command{
		Args: make([]string, len(words)-1),
		Env:  p.env, Via: p.via, Reads: p.reads, Writes: p.writes,
		Piped: p.piped, Privileged: p.privileged,
	}
	if words[0].known() {
		c.Path = words[0].text
		c.Name = path.Base(c.Path)
	}
	for i, x := range words {
		switch {
		case x.open():
			c.Dynamic = true
		case !x.known():
			c.Pattern = true
		}
		if i > 0 {
			c.Args[i-1] = x.word()
		}
	}
	c.Literal = !c.Dynamic && !c.Pattern
	if p.zsh && !c.Literal {
		w.unknown("zsh runs code in its globs and expansions")
	}
	w.out.Privileged = w.out.Privileged || p.privileged
	w.out.Commands = append(w.out.Commands, c)
}
