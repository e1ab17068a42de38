// Package policy turns a policy file, TOML with conditions in CEL, into checked
// rules and evaluates calls under them. spec/policy.md is the specification.
//
// The package is pure: the same bytes and the same input give the same result,
// on any machine. It reads no clock, no environment and no file.
package policy

import (
	"crypto/sha256"
	"slices"
	"strings"
	"time"

	helm "github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

// Format is the only format of a policy file that this package knows. It pins the
// language of conditions, the facts and what they mean.
const Format = "helm.policy/v1"

// Engine is what evaluates conditions; every receipt names it.
const Engine = "cel-go/0.33.2"

// A Policy is a policy file that was checked. It never changes, and any number of
// goroutines may use it.
type Policy struct {
	source    []byte
	sha256    [32]byte
	id        string
	version   int64
	mode      helm.Mode
	approvers []Approver       // by name
	asks      map[string]*asks // of what escalates, by rule
	tools     map[string]*declared
	undefined []condition // of the rules that reach tools which are not declared, by rule id
	rules     []rule      // all of them, by id
	budgets   []Budget    // by id
	warnings  []Finding
	lists     map[string][]string
	late      *late // of one that was accepted before, or nil
}

// declared is a tool that the policy declares.
type declared struct {
	tool       tool
	conditions []condition // of the rules for this tool, by rule id
}

// An Input is a call, as rules see it.
type Input struct {
	Agent, Session, Tool, Principal, Boundary string

	Arguments strictjson.Value // an object
	Context   strictjson.Value // an object, or null when there is none
	Now       time.Time
}

// A Result is what a policy says of a call. Of the call's arguments and context it holds
// no value but the amounts that budgets add up.
type Result struct {
	Verdict helm.Verdict `json:"verdict"`
	Rule    string       `json:"rule"` // the rule that decides, "default", or "tool:NAME" for ARGUMENTS_INVALID
	Reason  helm.Reason  `json:"reason"`
	Matched []Match      `json:"matched"`          // every rule that matched or could not be evaluated, by id
	Budgets []Use        `json:"-"`                // what the call takes of budgets, by id; none of a DENY
	Hidden  []string     `json:"hidden,omitempty"` // places of hidden values without which the result cannot be told
}

// A Match is a rule that matched.
type Match struct {
	Rule    string       `json:"rule"`
	Verdict helm.Verdict `json:"verdict"`
	Code    helm.Code    `json:"code"`
}

// Compile checks the policy file src; name stands for it in messages. The error
// is an *Error. A file whose own tests fail is refused.
func Compile(name string, src []byte) (*Policy, error) {
	s := &source{name: name, text: slices.Clone(src)}
	p, f := s.compile()
	if p == nil {
		return nil, s.err()
	}
	for _, r := range p.run(f) {
		if !r.OK {
			s.val(r.path+".expect", "", "the test %q fails: %s", r.Name, r.Message)
			s.code(CodeTest)
		}
	}
	if err := s.err(); err != nil {
		return nil, err
	}
	return p, nil
}

// Warnings are what is probably not meant in the file, in its order.
func (p *Policy) Warnings() []Finding { return slices.Clone(p.warnings) }

// ID returns the policy's id, a helm name.
func (p *Policy) ID() string { return p.id }

// Version returns the policy's version, from 1.
func (p *Policy) Version() int64 { return p.version }

// Mode returns whether verdicts are enforced.
func (p *Policy) Mode() helm.Mode { return p.mode }

// SHA256 returns the hash of the file's bytes.
func (p *Policy) SHA256() [32]byte { return p.sha256 }

// Source returns the file's bytes.
func (p *Policy) Source() []byte { return slices.Clone(p.source) }

// Tools are the names and patterns of the tools that rules other than DENY are about, sorted:
// a call of any other tool is denied, whatever it says.
func (p *Policy) Tools() []string {
	names := []string{}
	for i := range p.rules {
		if p.rules[i].verdict != helm.Deny {
			names = append(names, p.rules[i].tools...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Expires returns how long an approval that the ESCALATE rule asks for stays
// open.
func (p *Policy) Expires(rule string) time.Duration {
	if a, ok := p.asks[rule]; ok {
		return a.expires
	}
	return DefaultExpires
}

// compile checks the file but for its tests. It returns nothing when it is refused.
func (s *source) compile() (*Policy, *file) {
	f := s.read()
	if f == nil {
		return nil, nil
	}
	l, err := newLanguage(f)
	if err != nil {
		s.at(0, err.Error(), "")
		return nil, nil
	}
	p := &Policy{source: s.text, sha256: sha256.Sum256(s.text), id: f.id, version: f.version, mode: f.mode,
		tools: map[string]*declared{}}
	for _, t := range f.tools {
		p.tools[t.name] = &declared{tool: t}
	}
	if s.accepted {
		p.late = &late{s: s, l: l, done: map[string]bool{}}
	}
	for i := range f.rules {
		if p.late == nil {
			p.add(s, l, f, &f.rules[i])
		}
	}
	p.takeApprovers(s, f)
	s.budgets(f)
	p.budgets = f.budgets
	slices.SortFunc(p.budgets, func(a, b Budget) int { return strings.Compare(a.ID, b.ID) })
	byID := func(a, b condition) int { return strings.Compare(a.rule.id, b.rule.id) }
	for _, d := range p.tools {
		slices.SortFunc(d.conditions, byID)
	}
	slices.SortFunc(p.undefined, byID)
	p.rules, p.lists = slices.Clone(f.rules), f.lists
	slices.SortFunc(p.rules, func(a, b rule) int { return strings.Compare(a.id, b.id) })
	if len(s.findings) == 0 && !s.accepted {
		p.implied(s, f)
	}
	if len(s.findings) > 0 {
		return nil, nil
	}
	if !s.accepted {
		s.unused(f)
	}
	p.warnings = inOrder(s.warnings)
	return p, f
}

// conditionsOf are the rules' conditions for a tool, and what is declared of it, or nil. Those
// for tools that are not declared may be of rules that do not reach it.
func (p *Policy) conditionsOf(tool string) ([]condition, *declared) {
	d := p.tools[tool]
	if p.late != nil {
		p.late.compile(p, d)
	}
	if d == nil {
		return p.undefined, nil
	}
	return d.conditions, d
}

// add compiles a rule for every tool that it reaches.
func (p *Policy) add(s *source, l *language, f *file, r *rule) {
	r.line, _, _ = s.position(s.keyOffset(r.path + ".when"))
	s.reaches(f, r)
	perTool := r.perTool()
	var c condition
	var ok bool
	if !perTool || r.pattern() {
		c, ok = l.compile(s, r, nil)
		if ok && r.pattern() {
			p.undefined = append(p.undefined, c)
		}
	}
	for i := range f.tools {
		t := &f.tools[i]
		if !r.reaches(t.name) {
			continue
		}
		if perTool {
			c, ok = l.compile(s, r, t)
		}
		if ok {
			p.tools[t.name].conditions = append(p.tools[t.name].conditions, c)
			s.factless(r, t, c.facts)
		}
	}
	if ok {
		s.half(r, c.facts)
	}
}

// factless reports a fact that a tool named by the rule has no argument for: it
// would be opaque in every call.
func (s *source) factless(r *rule, t *tool, read []string) {
	if !slices.Contains(r.tools, t.name) {
		return
	}
	for _, fact := range read {
		part, _, _ := strings.Cut(fact, ".")
		if !slices.ContainsFunc(t.args, func(a argument) bool { return slices.Contains(readFrom[part], a.kind) }) {
			s.val(r.path+".when", "", "facts.%s is opaque in every call: the tool %s has no argument of the type %s", part, t.name, strings.Join(readFrom[part], " or "))
			return
		}
	}
}

// half reports an ALLOW rule that looks at what could be read and forgets what
// could not.
func (s *source) half(r *rule, read []string) {
	for _, fact := range read {
		part, _, _ := strings.Cut(fact, ".")
		cover, instead := whole[part], "!facts."+part+".opaque"
		if slices.Contains(followed, fact) {
			cover, instead = []string{"shell.unknown", "shell.only"}, "facts.shell.unknown == []"
		}
		if r.verdict == helm.Allow && slices.Contains(partial, fact) && !slices.ContainsFunc(cover, func(w string) bool { return slices.Contains(read, w) }) {
			s.val(r.path+".when", "", "facts.%s says nothing of what is opaque, so this would allow what nobody can read: add %s", fact, instead)
			return
		}
	}
}

// reaches reports names and patterns that no declared tool has. The pattern * is
// no slip of a pen.
func (s *source) reaches(f *file, r *rule) {
	var names []string
	for _, t := range f.tools {
		names = append(names, t.name)
	}
	for i, pattern := range r.tools {
		if pattern != "*" && !slices.ContainsFunc(names, func(n string) bool { return match(pattern, n) }) {
			s.val(indexed(r.path+".tools", i), closest(pattern, names), "no [[tool]] that is declared is named %q", pattern)
			s.code(CodeUnknownTool)
		}
	}
}

func (r *rule) reaches(tool string) bool {
	return slices.ContainsFunc(r.tools, func(pattern string) bool { return match(pattern, tool) })
}

// covers reports whether the rule reaches every tool that the pattern does: a star
// of the pattern, taken as a letter, fits nothing but a star of the rule's.
func (r *rule) covers(pattern string) bool { return r.reaches(pattern) }

// perTool reports whether each tool has a program of its own for the rule: else one does for all.
func (r *rule) perTool() bool { return strings.Contains(r.when, "args") }

func (r *rule) pattern() bool {
	return slices.ContainsFunc(r.tools, func(t string) bool { return strings.Contains(t, "*") })
}

// match reports whether name has the form of the pattern, in which * stands for
// any bytes, none included, and everything else for itself.
func match(pattern, name string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == name
	}
	name, ok := strings.CutPrefix(name, head)
	if !ok {
		return false
	}
	for {
		part, after, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(name, part)
		}
		i := strings.Index(name, part)
		if i < 0 {
			return false
		}
		name, rest = name[i+len(part):], after
	}
}

// rank orders verdicts: the higher one decides.
func rank(v helm.Verdict) int {
	switch v {
	case helm.Deny:
		return 2
	case helm.Escalate:
		return 1
	}
	return 0
}
