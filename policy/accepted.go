package policy

import (
	"sync"
	"sync/atomic"
)

// Accepted is the policy of bytes that Compile has accepted before, with the same Engine, as a
// log shows of its active policy. It evaluates every call as Compile's does. Its tests are not
// run and findings are not looked for; a rule is compiled when a tool that it reaches is first
// called, because a process that decides one call needs few of them. A rule that cannot be
// compiled after all denies as one that cannot be evaluated.
func Accepted(name string, src []byte) (*Policy, error) {
	s := &source{name: name, text: src, accepted: true}
	p, _ := s.compile()
	if p == nil {
		return nil, s.err()
	}
	return p, nil
}

// Warm compiles a condition and throws it away. The first one of a process costs as much again as
// many more, because the parser learns the grammar from it: a process that decides one call does
// that while it opens the log.
func Warm() error {
	l, err := newLanguage(&file{})
	if err != nil {
		return err
	}
	e, err := l.env(nil)
	if err != nil {
		return err
	}
	_, issues := e.Compile(`facts.shell.commands.exists(c, !(c.name in ["a", 'b']) && c.args.all(a, !a.startsWith("-") || a != "x" && a.matches(r"^[0-9]+$"))) ||
		has(context.cwd) && !facts.path.under(context.cwd) && (1 + 2 * 3 <= -4 ? args["d"] == 1.0 : facts.shell.unknown != [])`)
	return issues.Err()
}

// compilers is how many conditions are compiled at once, at most.
const compilers = 4

// late is what the rules of an accepted policy are compiled with.
type late struct {
	mu   sync.Mutex // guards the rest: a language grows
	s    *source
	l    *language
	done map[string]bool // tools; "" are those that are not declared
}

// compile compiles the rules for a tool of the policy; nil stands for those that are not
// declared.
func (x *late) compile(p *Policy, d *declared) {
	x.mu.Lock()
	defer x.mu.Unlock()
	name, to, t := "", &p.undefined, (*tool)(nil)
	if d != nil {
		name, to, t = d.tool.name, &d.conditions, &d.tool
	}
	if x.done[name] {
		return
	}
	var reached []*rule
	for i := range p.rules { // by id
		r := &p.rules[i]
		if t == nil && !r.pattern() || t != nil && !r.reaches(name) {
			continue
		}
		if r.line == 0 { // else others may be reading it
			r.line, _, _ = x.s.position(x.s.keyOffset(r.path + ".when"))
		}
		reached = append(reached, r)
	}
	// A process that decides one call waits for this. The environments are
	// there before, for the language keeps them.
	x.l.env(nil)
	x.l.env(t)
	all := make([]condition, len(reached))
	var next atomic.Int64
	var work sync.WaitGroup
	for range min(compilers, len(reached)) {
		work.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(reached); i = int(next.Add(1)) - 1 {
				all[i] = x.one(reached[i], t)
			}
		})
	}
	work.Wait()
	*to = append(*to, all...)
	x.done[name] = true
}

// one compiles a rule for a tool, or for those that are not declared.
func (x *late) one(r *rule, t *tool) condition {
	if !r.perTool() {
		t = nil
	}
	s := *x.s // its findings are this rule's
	s.findings = nil
	c, ok := x.l.compile(&s, r, t)
	if !ok {
		c = condition{rule: r, broken: s.err()}
	}
	return c
}
