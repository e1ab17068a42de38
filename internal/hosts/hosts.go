// Package hosts reads and changes the files in which agents' hosts are told of hooks. It is
// pure: bytes in, bytes out. Whatever else stands in such a file stays as it is written.
package hosts

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/tailscale/hujson"

	"github.com/helm-ai-kernel/helm-ai-kernel/facts"
)

// A Host is an agent's host and the form of its file.
type Host struct {
	Name, Title string
	Program     string        // that says its version
	Dir, File   string        // below a home or a project
	Others      []string      // files beside File in which hooks can stand
	Default     time.Duration // of a hook that has no timeout, or 0 where it is not known
	Events      []Event       // those that a hook is set up for
	Before      string        // the one that decides
	Caveat      string        // what must be known beside docs/agents.md
	Misses      string        // what is done without a hook

	DirEnv  string // the variable that names another Dir of the user's
	HomeEnv string // and the one that names another home

	unit time.Duration // of timeouts
	flat bool          // a hook is an element of its event's list, and not within one
}

// An Event is one that a hook is called at.
type Event struct {
	Name    string
	Matcher string        // or ""
	Most    time.Duration // that the host lets the hook take, or 0
}

// timeout is what the hook is given of what was asked for.
func (e Event) timeout(asked time.Duration) time.Duration {
	if e.Most > 0 {
		return min(asked, e.Most)
	}
	return asked
}

// The hosts that are known.
var (
	ClaudeCode = &Host{Name: "claude-code", Title: "Claude Code", Program: "claude", Dir: ".claude", File: "settings.json", Before: "PreToolUse", unit: time.Second,
		Events: []Event{{Name: "PreToolUse", Matcher: "*"}, {Name: "PostToolUse", Matcher: "*"}, {Name: "PostToolUseFailure", Matcher: "*"}, {Name: "SessionEnd"}},
		Caveat: "an agent that may write the settings can take the hook out: let the policy ask about .claude",
		Misses: "what an allowed command does, and what Claude Code does without a tool",
		DirEnv: "CLAUDE_CONFIG_DIR",
		Others: []string{"settings.local.json"}, Default: time.Minute}
	Codex = &Host{Name: "codex", Title: "Codex", Program: "codex", Dir: ".codex", File: "hooks.json", Before: "PreToolUse", unit: time.Second,
		Events: []Event{{Name: "PreToolUse"}, {Name: "PostToolUse"}, {Name: "SessionEnd", Most: 3 * time.Second}},
		Caveat: "Codex runs a hook only when you have trusted it: start it, and trust the hook under /hooks, now and after each change",
		Misses: "what an allowed command does, what is typed into one that runs, plans and goals, and its provider's own web search",
		DirEnv: "CODEX_HOME",
		Others: []string{"config.toml"}, Default: 10 * time.Minute}
	Gemini = &Host{Name: "gemini", Title: "Gemini CLI", Program: "gemini", Dir: ".gemini", File: "settings.json", Before: "BeforeTool", unit: time.Millisecond,
		Events:  []Event{{Name: "BeforeTool", Matcher: "*"}, {Name: "AfterTool", Matcher: "*"}, {Name: "SessionEnd"}},
		Caveat:  "Gemini CLI runs a project's hooks only in a folder that it trusts",
		Misses:  "what an allowed command does, and what Gemini CLI does without a tool",
		HomeEnv: "GEMINI_CLI_HOME", Default: time.Minute}
	Cursor = &Host{Name: "cursor", Title: "Cursor", Program: "cursor", Dir: ".cursor", File: "hooks.json", Before: "preToolUse", unit: time.Second, flat: true,
		Misses: "what an allowed command does, and what Cursor does without a tool",
		Events: []Event{{Name: "preToolUse"}, {Name: "postToolUse"}, {Name: "postToolUseFailure"}, {Name: "sessionEnd"}},
		Caveat: "versions of Cursor without preToolUse call no hook that is set up here"}
)

// All are the hosts, by name.
var All = []*Host{ClaudeCode, Codex, Cursor, Gemini}

// Find is the host of that name, or nil.
func Find(name string) *Host {
	for _, h := range All {
		if h.Name == name {
			return h
		}
	}
	return nil
}

// Files are those in which hooks can stand, in the host's folder; setup writes the first.
func (h *Host) Files() []string { return append([]string{h.File}, h.Others...) }

// A Hook is a hook of ours in a host's file.
type Hook struct {
	Event, Matcher, Command string

	Timeout    time.Duration // 0: the host's own
	FailClosed bool          // of Cursor
	Beside     string        // what stands beside that and can keep the host from calling it, or from waiting for it

	status string // what Codex shows meanwhile
	place  place
}

// A place is where a hook stands: in which element of its event's list, and in which of that
// element's hooks.
type place struct{ group, hook int }

// entry is a hook as hosts write it, or a list of them with a matcher.
type entry struct {
	Matcher    *string  `json:"matcher,omitempty"`
	Type       string   `json:"type,omitempty"`
	Command    string   `json:"command,omitempty"`
	Timeout    *float64 `json:"timeout,omitempty"`
	FailClosed bool     `json:"failClosed,omitempty"`
	Status     string   `json:"statusMessage,omitempty"`
	Hooks      []entry  `json:"hooks,omitempty"`
}

// document is a host's file.
type document struct {
	value hujson.Value
	root  *hujson.Object
	hooks *hujson.Object // its member, or nil
}

// parse reads a host's file; an empty one has nothing in it.
func parse(content []byte) (*document, error) {
	if len(content) == 0 {
		content = []byte("{}\n")
	}
	if tooDeep(content) {
		return nil, fmt.Errorf("it has more than %d brackets within one another", maxDepth)
	}
	d := new(document)
	var err error
	if d.value, err = hujson.Parse(content); err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "hujson: "))
	}
	standard := d.value.Clone()
	standard.Standardize()
	if err := jsonv2.Unmarshal(standard.Pack(), new(map[string]any)); err != nil { // a member that stands twice is one that hides another
		return nil, errors.New(strings.TrimPrefix(err.Error(), "jsontext: "))
	}
	var ok bool
	if d.root, ok = d.value.Value.(*hujson.Object); !ok {
		return nil, errors.New("it is no JSON object")
	}
	hooks := member(d.root, "hooks")
	if hooks == nil {
		return d, nil
	}
	if d.hooks, ok = hooks.Value.(*hujson.Object); !ok {
		return nil, errors.New("hooks is no JSON object")
	}
	for _, m := range d.hooks.Members {
		if _, ok := m.Value.Value.(*hujson.Array); !ok {
			return nil, fmt.Errorf("the hooks of %s are no list", nameOf(m))
		}
		if _, err := entries(&m.Value); err != nil {
			return nil, fmt.Errorf("the hooks of %s are not as they should be: %w", nameOf(m), err)
		}
	}
	return d, nil
}

// maxDepth is how many brackets a file may have within one another: it is read by functions
// that call themselves.
const maxDepth = 1000

func tooDeep(content []byte) bool {
	depth := 0
	for _, c := range content {
		switch c {
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		}
		if depth > maxDepth {
			return true
		}
	}
	return false
}

func nameOf(m hujson.ObjectMember) string { return m.Name.Value.(hujson.Literal).String() }

// member is an object's member of that name, or nil.
func member(o *hujson.Object, name string) *hujson.Value {
	for i := range o.Members {
		if nameOf(o.Members[i]) == name {
			return &o.Members[i].Value
		}
	}
	return nil
}

// entries are the hooks of an event, as a list.
func entries(v *hujson.Value) (all []entry, err error) {
	standard := v.Clone()
	standard.Standardize()
	return all, jsonv2.Unmarshal(standard.Pack(), &all) // which tells A from a, as hosts do
}

// Installed are the hooks of ours that a host's file has.
func (h *Host) Installed(content []byte) ([]Hook, error) {
	d, err := parse(content)
	if err != nil {
		return nil, err
	}
	return h.installed(d), nil
}

func (h *Host) installed(d *document) (out []Hook) {
	if d.hooks == nil {
		return nil
	}
	for _, m := range d.hooks.Members {
		all, _ := entries(&m.Value) // as parse did
		for i, e := range all {
			group := m.Value.Value.(*hujson.Array).Elements[i].Value.(*hujson.Object)
			if h.flat {
				out = h.ours(out, nameOf(m), place{i, -1}, e, e, beside(group, "matcher", "type", "command", "timeout", "failClosed"))
				continue
			}
			for j, inner := range e.Hooks {
				one := member(group, "hooks").Value.(*hujson.Array).Elements[j].Value.(*hujson.Object)
				out = h.ours(out, nameOf(m), place{i, j}, e, inner, slices.Concat(beside(group, "matcher", "hooks", "sequential", "description"),
					beside(one, "type", "command", "timeout", "name", "description", "statusMessage")))
			}
		}
	}
	return out
}

// beside are the members of an object that are not known to do no harm. Hosts have members
// such as async, if and args, and every version may have others.
func beside(o *hujson.Object, known ...string) (out []string) {
	for _, m := range o.Members {
		if name := nameOf(m); !slices.Contains(known, name) && strings.TrimSpace(m.Value.String()) != "false" {
			out = append(out, name)
		}
	}
	return out
}

func (h *Host) ours(out []Hook, event string, at place, group, e entry, beside []string) []Hook {
	if !h.Ours(e.Command) {
		return out
	}
	if e.Type != "command" && (e.Type != "" || !h.flat) {
		beside = append(beside, fmt.Sprintf("the type %q", e.Type))
	}
	if e.Timeout != nil && *e.Timeout <= 0 {
		beside = append(beside, fmt.Sprintf("a timeout of %g", *e.Timeout))
	}
	k := Hook{Beside: strings.Join(beside, ", "), Event: event, Command: e.Command, FailClosed: e.FailClosed, status: e.Status, place: at}
	if group.Matcher != nil {
		k.Matcher = *group.Matcher
	}
	if e.Timeout != nil {
		k.Timeout = time.Duration(*e.Timeout * float64(h.unit))
	}
	return append(out, k)
}

// Ours reports whether a command line is a hook of this program for the host.
func (h *Host) Ours(command string) bool {
	_, args, ok := Words(command)
	return ok && len(args) >= 2 && args[0] == "hook" && args[1] == h.Name
}

// Words are the program and the arguments of a command line that runs this program, whatever
// its path, and nothing else.
func Words(command string) (program string, args []string, ok bool) {
	s := facts.ParseShell(command)
	if len(s.Commands) != 1 || strings.TrimSuffix(s.Commands[0].Name, ".exe") != "helm-ai-kernel" {
		return "", nil, false
	}
	return s.Commands[0].Path, s.Commands[0].Args, true
}

// CommandLine is a command line for a shell.
func CommandLine(program string, args ...string) string {
	out := quote(program)
	for _, a := range args {
		out += " " + quote(a)
	}
	return out
}

func quote(s string) string {
	if s != "" && strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_./:=@%+,", r)
	}) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// Set gives the file one hook of ours for each of the host's events, and takes out any others
// of ours. A file that has just these is returned as it is.
//
// One of which the host reads nothing is refused: no hook in it would ever be called.
func (h *Host) Set(content []byte, command string, timeout time.Duration) ([]byte, error) {
	d, err := parse(content)
	if err != nil {
		return nil, err
	}
	if why := h.Unread(content); why != "" {
		return nil, errors.New(why)
	}
	var want []Hook
	for _, e := range h.Events {
		want = append(want, Hook{Event: e.Name, Matcher: e.Matcher, Command: command, Timeout: e.timeout(timeout), FailClosed: h.flat})
	}
	if same(h.installed(d), want) {
		return content, nil
	}
	h.remove(d)
	in := d.indent()
	if h.flat && member(d.root, "version") == nil {
		in.addMember(d.root, 0, "version", 1)
	}
	if d.hooks == nil {
		d.hooks = in.addMember(d.root, 0, "hooks", map[string]any{}).(*hujson.Object)
	}
	for _, e := range h.Events {
		list := member(d.hooks, e.Name)
		if list == nil {
			in.addMember(d.hooks, 1, e.Name, []any{})
			list = member(d.hooks, e.Name)
		}
		seconds := float64(e.timeout(timeout)) / float64(h.unit)
		one := entry{Type: "command", Command: command, Timeout: &seconds}
		if h.flat {
			one.Type, one.FailClosed = "", true
		} else {
			one = entry{Hooks: []entry{one}}
			if e.Matcher != "" {
				one.Matcher = &e.Matcher
			}
		}
		in.addElement(list.Value.(*hujson.Array), 2, one)
	}
	return d.value.Pack(), nil
}

// same reports whether two lists have the same hooks, wherever they stand.
func same(have, want []Hook) bool {
	less := func(a, b Hook) int { return strings.Compare(a.Event, b.Event) }
	have, want = slices.Clone(have), slices.Clone(want)
	for i := range have {
		have[i].place, have[i].status = place{}, ""
	}
	slices.SortFunc(have, less)
	slices.SortFunc(want, less)
	return slices.Equal(have, want)
}

// Remove takes the hooks of ours out, and what then holds nothing. A nil result is a file that
// is as Set makes one where there is none: it is to go.
func (h *Host) Remove(content []byte) ([]byte, error) {
	d, err := parse(content)
	if err != nil {
		return nil, err
	}
	for _, k := range h.installed(d) {
		if made, err := h.Set(nil, k.Command, k.Timeout); k.Event == h.Before && err == nil && bytes.Equal(made, content) {
			return nil, nil
		}
	}
	if !h.remove(d) {
		return content, nil
	}
	return d.value.Pack(), nil
}

// remove takes our hooks out, and lists and objects in which nothing else was.
func (h *Host) remove(d *document) (removed bool) {
	for _, k := range slices.Backward(h.installed(d)) { // so that the places of the others stay
		removed = true
		list := member(d.hooks, k.Event).Value.(*hujson.Array)
		if k.place.hook >= 0 {
			inner := member(list.Elements[k.place.group].Value.(*hujson.Object), "hooks").Value.(*hujson.Array)
			if removeElement(inner, k.place.hook); len(inner.Elements) > 0 || hasComment(inner.AfterExtra) {
				continue
			}
		}
		if removeElement(list, k.place.group); len(list.Elements) == 0 && !hasComment(list.AfterExtra) {
			removeMember(d.hooks, k.Event)
		}
	}
	if removed && len(d.hooks.Members) == 0 && !hasComment(d.hooks.AfterExtra) {
		removeMember(d.root, "hooks")
		d.hooks = nil
	}
	return removed
}

func removeElement(a *hujson.Array, i int) {
	gone := a.Elements[i]
	var before, next *hujson.Extra
	if i > 0 {
		before = &a.Elements[i-1].AfterExtra
	}
	if a.Elements = slices.Delete(a.Elements, i, i+1); i < len(a.Elements) {
		next = &a.Elements[i].BeforeExtra
	}
	closeGap(gone.BeforeExtra, gone.AfterExtra, before, next, &a.AfterExtra)
}

func removeMember(o *hujson.Object, name string) {
	i := slices.IndexFunc(o.Members, func(m hujson.ObjectMember) bool { return nameOf(m) == name })
	gone := o.Members[i]
	var before, next *hujson.Extra
	if i > 0 {
		before = &o.Members[i-1].Value.AfterExtra
	}
	if o.Members = slices.Delete(o.Members, i, i+1); i < len(o.Members) {
		next = &o.Members[i].Name.BeforeExtra
	}
	closeGap(gone.Name.BeforeExtra, gone.Value.AfterExtra, before, next, &o.AfterExtra)
}

// closeGap keeps the comments on both sides of what was taken out of an object or a list:
// before is what stands behind the one before it, next what stands in front of the one after
// it, each nil where there is none, and end what stands in front of the closing bracket.
func closeGap(front, behind hujson.Extra, before, next, end *hujson.Extra) {
	var kept hujson.Extra
	for _, x := range []hujson.Extra{front, behind} {
		if hasComment(x) {
			kept = append(kept, x...)
		}
	}
	switch {
	case next != nil:
		*next = append(kept, *next...)
		return
	case before != nil && behind == nil: // no comma after the last
		if hasComment(*before) {
			kept = slices.Concat(*before, kept)
		}
		*before = nil
	case before != nil && *before == nil:
		*before = hujson.Extra{}
	}
	if *end = append(kept, *end...); before == nil && !hasComment(*end) {
		*end = nil
	}
}

// hasComment reports whether there is more than blanks.
func hasComment(x hujson.Extra) bool { return strings.Contains(string(x), "/") }

// comma is what stands behind the last of several, where this stood behind it: something
// where there is a comma after it.
func comma(after hujson.Extra) hujson.Extra {
	if after == nil {
		return nil
	}
	return hujson.Extra{}
}

// An indentation is what one level of a file is moved in by.
type indentation string

// indent is how the file moves its members in, two blanks where it has none on a line of
// their own.
func (d *document) indent() indentation {
	if len(d.root.Members) > 0 {
		before := string(d.root.Members[0].Name.BeforeExtra)
		if i := strings.LastIndexByte(before, '\n'); i >= 0 && i+1 < len(before) && strings.Trim(before[i+1:], " \t") == "" {
			return indentation(before[i+1:])
		}
	}
	return "  "
}

func (in indentation) line(depth int) hujson.Extra {
	return hujson.Extra("\n" + strings.Repeat(string(in), depth))
}

// value is a value on lines of its own.
func (in indentation) value(depth int, v any) hujson.ValueTrimmed {
	b, err := json.MarshalIndent(v, strings.Repeat(string(in), depth), string(in))
	if err != nil {
		panic(err) // strings and numbers
	}
	parsed, err := hujson.Parse(b)
	if err != nil {
		panic(err) // JSON
	}
	return parsed.Value
}

// addMember adds a member to an object at that depth, on a line of its own.
func (in indentation) addMember(o *hujson.Object, depth int, name string, v any) hujson.ValueTrimmed {
	value := in.value(depth+1, v)
	added := hujson.ObjectMember{Name: hujson.Value{BeforeExtra: in.line(depth + 1), Value: hujson.String(name)},
		Value: hujson.Value{BeforeExtra: hujson.Extra(" "), Value: value}}
	if last := len(o.Members) - 1; last >= 0 {
		added.Value.AfterExtra = comma(o.Members[last].Value.AfterExtra)
	}
	o.Members = append(o.Members, added)
	in.close(&o.AfterExtra, depth)
	return value
}

// addElement adds an element to a list at that depth, on a line of its own.
func (in indentation) addElement(a *hujson.Array, depth int, v any) {
	added := hujson.ArrayElement{BeforeExtra: in.line(depth + 1), Value: in.value(depth+1, v)}
	if last := len(a.Elements) - 1; last >= 0 {
		added.AfterExtra = comma(a.Elements[last].AfterExtra)
	}
	a.Elements = append(a.Elements, added)
	in.close(&a.AfterExtra, depth)
}

// close puts a closing bracket on a line of its own.
func (in indentation) close(end *hujson.Extra, depth int) {
	switch {
	case strings.Contains(string(*end), "\n"):
	case hasComment(*end):
		*end = slices.Concat(*end, in.line(depth))
	default:
		*end = in.line(depth)
	}
}
