package policy

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"

	"github.com/helm-ai-kernel/helm-ai-kernel/facts"
)

// An entry is a string of a fact's list that is known at load.
type entry struct {
	text string
	at   celast.Expr // where it stands in the condition
	path string      // or its path in [lists]
}

// entries returns the entries of e that are known at load, and reports to c a list
// that has none.
func (c *checker) entries(a *celast.AST, e celast.Expr) []entry {
	var out []entry
	switch e.Kind() {
	case celast.LiteralKind:
		if text, ok := e.AsLiteral().(types.String); ok {
			out = append(out, entry{text: string(text), at: e})
		}
	case celast.ListKind:
		if e.AsList().Size() == 0 {
			c.expr(a, e, "an empty list matches nothing")
		}
		for _, element := range e.AsList().Elements() {
			out = append(out, c.entries(a, element)...)
		}
	case celast.SelectKind:
		name := selected(e, "lists")
		all, ok := c.l.sizes.lists[name]
		if ok && len(all) == 0 {
			c.s.val("lists."+name, "", "an empty list matches nothing, and a rule asks for it")
		}
		for i, text := range all {
			out = append(out, entry{text: text, path: indexed("lists."+name, i)})
		}
	case celast.CallKind:
		if e.AsCall().FunctionName() == "_+_" {
			for _, part := range e.AsCall().Args() {
				out = append(out, c.entries(a, part)...)
			}
		}
	}
	return out
}

// asked checks the i-th list that a fact is asked about: an entry that can never
// match is a hole in a rule that denies.
func (c *checker) asked(a *celast.AST, fact string, i int, list celast.Expr) {
	check, ok := entryForms[fact]
	if fact == "shell.only" && i == 1 {
		check = directoryEntry
	}
	if !ok {
		return
	}
	for _, e := range c.entries(a, list) {
		why, instead := check(e.text)
		switch message := fmt.Sprintf("%q in facts.%s: %s", e.text, fact, why); {
		case why == "":
		case e.path != "":
			c.s.val(e.path, instead, "%s", message)
		default:
			at := a.SourceInfo().GetStartLocation(e.at.ID())
			c.report(c.offset(at.Line(), at.Column()), instead, "%s", message)
		}
	}
}

// entryForms say, for each function of a fact, why a text is no entry of its list,
// or "", and what to write instead, where that can be guessed.
var entryForms = map[string]func(string) (why, instead string){
	"shell.only":    commandEntry,
	"shell.runs":    nameEntry,
	"shell.may_run": nameEntry,
	"shell.strays":  nameEntry,
	"shell.names":   componentEntry,
	"path.named":    cleanEntry,
	"path.under":    directoryEntry,
	"path.touches":  directoryEntry,
	"host.within":   hostEntry,
	"host.touches":  hostEntry,
	"url.scheme":    schemeEntry,
}

// commandEntry lets the shell's own reader say what the words are: as arguments,
// for their spelling, and as a command, for the wrappers that it would take off.
func commandEntry(text string) (why, instead string) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return "an empty entry is no command", ""
	}
	if i := slices.IndexFunc(words, func(w string) bool { return strings.ContainsAny(w, "*?") }); i >= 0 {
		return "a command is no pattern; any words may follow those of an entry", strings.Join(words[:i], " ")
	}
	asWords := facts.ParseShell(": " + text).Commands
	if len(asWords) != 1 || !asWords[0].Literal || len(asWords[0].Reads)+len(asWords[0].Writes) > 0 || !slices.Equal(asWords[0].Args, words) {
		return "an entry is one command's words, without the shell's quotes, operators and variables", ""
	}
	if tidy := strings.Join(words, " "); tidy != text {
		return "words stand one space apart", tidy
	}
	if strings.Contains(words[0], "=") {
		return "a command without its variables is meant", strings.Join(words[1:], " ")
	}
	if len(words) == 1 {
		return "", ""
	}
	if inner := facts.ParseShell(text + " x").Commands; len(inner) > 0 && len(inner[0].Via) > 0 {
		if i := slices.Index(words, inner[0].Path); i > 0 {
			instead = strings.Join(words[i:], " ")
		}
		return fmt.Sprintf("%s is taken off a command, and is an entry by itself", words[0]), instead
	}
	return "", ""
}

// nameEntry is a commandEntry that is looked for wherever the program lies.
func nameEntry(text string) (why, instead string) {
	if why, instead = commandEntry(text); why != "" {
		return why, instead
	}
	if first, rest, more := strings.Cut(text, " "); strings.Contains(first, "/") {
		if instead = path.Base(first); more {
			instead += " " + rest
		}
		return "a command is found by the last component of its word, wherever its file lies", instead
	}
	return "", ""
}

func componentEntry(text string) (why, instead string) {
	switch {
	case text == "":
		return "an empty name is no file's", ""
	case strings.Contains(text, "/"):
		return "one component of a path is meant, without /; for all below a directory ask facts.path.touches", path.Base(text)
	case strings.Trim(text, "*") == "":
		return "this is every file's name", ""
	case strings.Contains(text, "?"):
		return "* is the only sign of a pattern", strings.ReplaceAll(text, "?", "*")
	}
	return "", ""
}

// cleanEntry is a componentEntry for paths that are cleaned.
func cleanEntry(text string) (why, instead string) {
	if text == "." || text == ".." {
		return "a path is cleaned of . and .. before it is looked at", ""
	}
	return componentEntry(text)
}

func directoryEntry(text string) (why, instead string) {
	if i := strings.IndexAny(text, "*?"); i >= 0 && strings.HasPrefix(text, "/") {
		return "a directory is no pattern; it stands for all that is below it", path.Clean(text[:strings.LastIndex(text[:i], "/")+1])
	}
	if p := facts.ParsePath(text, ""); p.Opaque {
		return "this is no directory that a rule can ask for: " + p.Why, ""
	}
	return "", ""
}

func hostEntry(text string) (why, instead string) {
	name, wild := strings.CutPrefix(text, "*.")
	h := facts.ParseHost(name)
	switch {
	case !h.Opaque && !wild:
		return "", ""
	case !h.Opaque && h.IP != "":
		return "an address has no subdomains", name
	case !h.Opaque && strings.Contains("."+h.Name, ".xn--"):
		return "a name with an xn-- label is matched by itself only, not by a pattern", ""
	case !h.Opaque:
		return "", ""
	}
	if _, err := netip.ParsePrefix(text); err == nil {
		return "an entry is one address, no range; facts.host.private knows the private ones", ""
	}
	if u := facts.ParseURL(text); u.Host.Name != "" {
		return "a host is meant, without scheme, port and path", u.Host.Name
	}
	if u := facts.ParseURL("http://" + name); u.Host.Name != "" {
		return "a host is meant, without scheme, port and path", strings.TrimSuffix(text, name) + u.Host.Name
	}
	if rest := strings.TrimLeft(name, "*."); rest != text && !facts.ParseHost(rest).Opaque {
		return "all subdomains are written with *. in front", "*." + rest
	}
	return "this is no host that a rule can ask for: " + h.Why, ""
}

// schemes are those that facts.ParseURL knows: every other URL is opaque.
var schemes = []string{"http", "https", "ws", "wss", "ftp"}

func schemeEntry(text string) (why, instead string) {
	if slices.Contains(schemes, strings.ToLower(text)) {
		return "", ""
	}
	name, _, _ := strings.Cut(strings.ToLower(text), ":")
	return "the schemes are " + strings.Join(schemes, ", "), closest(name, schemes)
}
