package policy

import (
	"sync"
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
	for i := range p.rules { // by id
		r := &p.rules[i]
		if t == nil && !r.pattern() || t != nil && !r.reaches(name) {
			continue
		}
		if r.line == 0 { // else others may be reading it
			r.line, _, _ = x.s.position(x.s.keyOffset(r.path + ".when"))
		}
		of := t
		if !r.perTool() {
			of = nil
		}
		c, ok := x.l.compile(x.s, r, of)
		if !ok {
			c = condition{rule: r, broken: x.s.err()}
		}
		*to = append(*to, c)
	}
	x.done[name] = true
}
