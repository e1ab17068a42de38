package policy

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	helm "github.com/helm-ai-kernel/helm-ai-kernel"
)

// Limits of a policy file.
const (
	MaxFileBytes    = 1 << 20
	MaxWhenBytes    = 4096
	MaxMessageBytes = 300
	MaxRules        = 5000
	MaxExpires      = 30 * 24 * time.Hour
	DefaultExpires  = 15 * time.Minute
)

// A file is a policy file as it is written: every member has the form that the
// specification asks for, conditions are still text. path is where it stands.
type file struct {
	id        string
	version   int64
	mode      helm.Mode
	lists     map[string][]string
	tools     []tool
	rules     []rule
	budgets   []Budget
	approvers []Approver
	tests     []test
}

type tool struct {
	path  string
	name  string
	args  []argument // in byte order of their names
	extra bool       // arguments that are not declared are let through
}

type argument struct {
	name     string
	kind     string // one of kinds
	optional bool
	most     int // bytes of a string, or 0: what a call may have
}

type rule struct {
	path    string
	id      string
	verdict helm.Verdict
	reason  helm.Reason
	tools   []string
	when    string // "" is always
	asks    *asks
	line    int // of its condition, from 1
}

// kinds are the types of an argument.
var kinds = []string{"int", "uint", "double", "bool", "string", "list", "map", "any", "command", "path", "url", "host"}

func (s *source) read() *file {
	if len(s.text) > MaxFileBytes {
		s.at(0, "the file is too large: at most 1 MiB is allowed", "")
		return nil
	}
	if !utf8.Valid(s.text) {
		s.at(0, "the file is not valid UTF-8", "")
		return nil
	}
	doc := s.parse()
	if doc == nil {
		return nil
	}
	f := &file{}
	root := table{s, "", doc}
	root.only("policy", "lists", "tool", "rule", "budget", "approver", "test")
	f.header(root)
	f.readLists(root)
	for _, t := range root.tables("tool") {
		f.tools = append(f.tools, t.tool())
	}
	for _, t := range root.tables("rule") {
		f.rules = append(f.rules, t.rule())
	}
	for _, t := range root.tables("approver") {
		f.approvers = append(f.approvers, t.approver())
	}
	for _, t := range root.tables("budget") {
		f.budgets = append(f.budgets, t.budget())
	}
	for _, t := range root.tables("test") {
		f.tests = append(f.tests, t.test())
	}
	if len(f.rules) > MaxRules {
		s.key("rule", "", "%d rules: at most %d are allowed", len(f.rules), MaxRules)
	}
	unique(s, "[[tool]] name", f.tools, func(t tool) (string, string) { return t.path + ".name", t.name })
	unique(s, "[[rule]] id", f.rules, func(r rule) (string, string) { return r.path + ".id", r.id })
	if len(f.budgets) > MaxBudgets {
		s.key("budget", "", "%d budgets: at most %d are allowed", len(f.budgets), MaxBudgets)
	}
	unique(s, "[[budget]] id", f.budgets, func(b Budget) (string, string) { return b.path + ".id", b.ID })
	unique(s, "[[test]] name", f.tests, func(t test) (string, string) { return t.path + ".name", t.name })
	return f
}

// unique reports a name that is given twice.
func unique[T any](s *source, what string, all []T, name func(T) (path, name string)) {
	seen := map[string]string{}
	for _, one := range all {
		path, n := name(one)
		if first, ok := seen[n]; ok && n != "" {
			line, _, _ := s.position(s.keyOffset(first))
			s.val(path, "", "the %s %q is already on line %d", what, n, line)
			continue
		}
		seen[n] = path
	}
}

func (f *file) header(root table) {
	p, ok := root.table("policy")
	if !ok {
		if _, there := root.m["policy"]; !there {
			root.s.at(0, `there is no [policy] with id, version and format`, "")
		}
		return
	}
	p.only("id", "version", "format", "mode")
	f.id = p.name("id")
	if v, ok := p.need("version"); ok {
		if f.version, ok = v.(int64); !ok || f.version < 1 {
			p.s.val(p.path+".version", "", "version must be an integer from 1")
		}
	}
	if format := p.str("format"); format != "" && format != Format {
		p.s.val(p.path+".format", Format, "the format %q is not known", format)
	}
	f.mode = helm.Enforce
	if _, there := p.m["mode"]; there {
		if m := p.str("mode"); m != "" {
			f.mode = helm.Mode(m)
			if !f.mode.Valid() {
				p.s.val(p.path+".mode", closest(m, []string{"enforce", "shadow"}), "the mode is %q: it must be enforce or shadow", m)
			}
		}
	}
}

func (f *file) readLists(root table) {
	f.lists = map[string][]string{}
	if _, there := root.m["lists"]; !there {
		return
	}
	lists, ok := root.table("lists")
	if !ok {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(lists.m)) {
		if !identifier(name) {
			lists.s.key(lists.path+"."+name, "", "the list's name %q cannot be written after \"lists.\": letters, digits and _ only", name)
			continue
		}
		f.lists[name] = lists.strings(name)
	}
}

func identifier(s string) bool {
	for i, r := range s {
		if r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != "" && s != "true" && s != "false" && s != "null" && s != "in"
}

func (t table) tool() tool {
	t.only("name", "args", "extra")
	out := tool{path: t.path, name: t.name("name")}
	if strings.Contains(out.name, "*") {
		t.s.val(t.path+".name", "", "a tool is declared by its full name, without *")
	}
	if len(out.name) > helm.MaxNameBytes-len("tool:") {
		t.s.val(t.path+".name", "", "the tool's name has %d bytes: at most %d are allowed, because \"tool:NAME\" is a rule's name too", len(out.name), helm.MaxNameBytes-len("tool:"))
	}
	if v, there := t.m["extra"]; there {
		var ok bool
		if out.extra, ok = v.(bool); !ok {
			t.s.val(t.path+".extra", "", "extra must be true or false, this is %s", kindOf(v))
		}
	}
	if _, there := t.m["args"]; !there {
		return out
	}
	args, ok := t.table("args")
	if !ok {
		return out
	}
	for _, name := range slices.Sorted(maps.Keys(args.m)) {
		text, optional := strings.CutSuffix(args.str(name), "?")
		text, most := args.most(name, text)
		if text != "" && !slices.Contains(kinds, text) {
			args.s.val(args.path+"."+name, closest(text, kinds), "%q is not a type of an argument", text)
		}
		out.args = append(out.args, argument{name, text, optional, most})
	}
	return out
}

// most reads how many bytes a string may have: string(4096).
func (t table) most(name, text string) (kind string, most int) {
	kind, rest, ok := strings.Cut(text, "(")
	if !ok {
		return text, 0
	}
	digits, closed := strings.CutSuffix(rest, ")")
	most, err := strconv.Atoi(digits)
	if kind != "string" || !closed || err != nil || most < 1 || most > helm.MaxInputBytes || strconv.Itoa(most) != digits {
		t.s.val(t.path+"."+name, "", "%q is not a type of an argument: a bound is written as string(4096), from 1 to %d bytes", text, helm.MaxInputBytes)
		return "string", 0
	}
	return kind, most
}

func (t table) rule() rule {
	t.only("id", "verdict", "reason", "message", "tools", "when", "approvers")
	r := rule{path: t.path, id: t.name("id")}
	if r.id == "default" || strings.Contains(r.id, ":") {
		t.s.val(t.path+".id", "", "the id %q is the kernel's own: \"default\" and ids with a colon are kept for it", r.id)
	}
	if v := t.str("verdict"); v != "" {
		if r.verdict = helm.Verdict(v); !r.verdict.Valid() {
			t.s.val(t.path+".verdict", closest(v, []string{"ALLOW", "DENY", "ESCALATE"}), "the verdict is %q: it must be ALLOW, DENY or ESCALATE", v)
		}
	}
	t.reason(&r)
	if _, ok := t.need("tools"); ok {
		r.tools = t.strings("tools")
		if r.tools != nil && len(r.tools) == 0 {
			t.s.val(t.path+".tools", "", "a rule without tools decides nothing")
		}
	}
	if _, there := t.m["when"]; there {
		r.when = t.str("when")
		if len(r.when) > MaxWhenBytes {
			t.s.val(t.path+".when", "", "the condition has %d bytes: at most %d are allowed", len(r.when), MaxWhenBytes)
			r.when = "true"
		}
	}
	r.asks = t.approvers(r.verdict)
	return r
}

func (t table) reason(r *rule) {
	switch r.verdict {
	case helm.Allow:
		r.reason = helm.Reason{Code: helm.AllowedByRule, Message: "the rule " + r.id + " allows it"}
	case helm.Escalate:
		r.reason = helm.Reason{Code: helm.EscalatedByRule, Message: "the rule " + r.id + " asks a person"}
	default:
		r.reason = helm.Reason{Code: helm.DeniedByRule, Message: "the rule " + r.id + " denies it"}
	}
	if _, there := t.m["reason"]; there {
		if code := helm.Code(t.str("reason")); code != "" {
			switch {
			case !code.Valid():
				t.s.val(t.path+".reason", "", "the reason %q is no code: it must be [A-Z][A-Z0-9_]*, at most 64 bytes", string(code))
			case code.Reserved():
				t.s.val(t.path+".reason", "", "the reason %s is the kernel's own", code)
			}
			r.reason.Code = code
		}
	}
	if _, there := t.m["message"]; there {
		if r.reason.Message = t.str("message"); len(r.reason.Message) > MaxMessageBytes {
			t.s.val(t.path+".message", "", "the message has %d bytes: at most %d are allowed", len(r.reason.Message), MaxMessageBytes)
		}
	}
}
