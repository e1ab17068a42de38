package policy

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	helm "github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/decimal"
	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

// A TestResult is how one [[test]] of a policy file came out.
type TestResult struct {
	Name    string `json:"name"`
	Line    int    `json:"line"` // where the test begins, from 1
	OK      bool   `json:"ok"`
	Message string `json:"message"` // what was expected and what came instead; "" when OK
	Got     Result `json:"got"`

	path string
}

// Test runs the [[test]]s of a policy file, which must be right otherwise, and says how
// much of it they have seen. The error is an *Error.
func Test(name string, src []byte) ([]TestResult, *Coverage, error) {
	s := &source{name: name, text: slices.Clone(src)}
	p, f := s.compile()
	if p == nil {
		return nil, nil, s.err()
	}
	out := p.run(f)
	for i := range out {
		out[i].Line, _, _ = s.position(s.keyOffset(out[i].path))
	}
	return out, p.cover(s, f), nil
}

// A test is a [[test]] as it is written. What expect leaves out is not compared.
type test struct {
	path    string
	name    string
	in      Input
	used    map[string]decimal.Decimal // of budgets, before the call; 0 of others
	verdict helm.Verdict
	rule    string
	reason  helm.Code
}

// testNow is the time of a test that gives none.
var testNow = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func (t table) test() test {
	t.only("name", "call", "used", "expect")
	out := test{path: t.path, name: t.str("name")}
	if _, ok := t.need("call"); ok {
		if call, ok := t.table("call"); ok {
			out.in = call.input()
		}
	}
	if _, there := t.m["used"]; there {
		if used, ok := t.table("used"); ok {
			out.used = used.amounts()
		}
	}
	if _, ok := t.need("expect"); !ok {
		return out
	}
	expect, ok := t.table("expect")
	if !ok {
		return out
	}
	expect.only("verdict", "rule", "reason")
	if v := expect.str("verdict"); v != "" {
		if out.verdict = helm.Verdict(v); !out.verdict.Valid() {
			t.s.val(expect.path+".verdict", closest(v, []string{"ALLOW", "DENY", "ESCALATE"}), "the verdict is %q: it must be ALLOW, DENY or ESCALATE", v)
		}
	}
	if _, there := expect.m["rule"]; there {
		out.rule = expect.str("rule")
	}
	if _, there := expect.m["reason"]; there {
		out.reason = helm.Code(expect.str("reason"))
	}
	return out
}

// amounts are what budgets have been used.
func (t table) amounts() map[string]decimal.Decimal {
	out := map[string]decimal.Decimal{}
	for _, id := range slices.Sorted(maps.Keys(t.m)) {
		if d, ok := t.decimal(id); ok {
			out[id] = d
		}
	}
	return out
}

func (t table) input() Input {
	t.only("tool", "args", "context", "agent", "session", "principal", "boundary", "now")
	in := Input{Tool: t.name("tool"), Agent: "test", Session: "test", Principal: helm.PrincipalNone, Boundary: "test", Now: testNow,
		Arguments: strictjson.Value{Kind: strictjson.Object}}
	for key, to := range map[string]*string{"agent": &in.Agent, "session": &in.Session, "principal": &in.Principal, "boundary": &in.Boundary} {
		if _, there := t.m[key]; there {
			*to = t.name(key)
		}
	}
	for key, to := range map[string]*strictjson.Value{"args": &in.Arguments, "context": &in.Context} {
		if _, there := t.m[key]; !there {
			continue
		}
		if sub, ok := t.table(key); ok {
			*to = sub.s.json(sub.path, sub.m, 1)
		}
	}
	if v, there := t.m["now"]; there {
		now, ok := v.(time.Time)
		if !ok {
			t.s.val(t.path+".now", "", "now must be a time with its offset, such as 2026-01-01T00:00:00Z")
		}
		in.Now = now
	}
	return in
}

// json turns a TOML value into the JSON value that a call would bring.
func (s *source) json(path string, v any, depth int) strictjson.Value {
	if depth > strictjson.MaxDepth {
		s.val(path, "", "this nests deeper than a call may: %d", strictjson.MaxDepth)
		return strictjson.Value{}
	}
	switch v := v.(type) {
	case string:
		return strictjson.Value{Kind: strictjson.String, Text: v}
	case bool:
		return strictjson.Value{Kind: strictjson.Bool, Bool: v}
	case int64:
		return strictjson.Value{Kind: strictjson.Number, Text: strconv.FormatInt(v, 10)}
	case float64:
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			return strictjson.Value{Kind: strictjson.Number, Text: strconv.FormatFloat(v, 'g', -1, 64)}
		}
	case []any:
		out := strictjson.Value{Kind: strictjson.Array}
		for i, e := range v {
			out.Elems = append(out.Elems, s.json(indexed(path, i), e, depth+1))
		}
		return out
	case map[string]any:
		out := strictjson.Value{Kind: strictjson.Object}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			out.Members = append(out.Members, strictjson.Member{Name: name, Value: s.json(join(path, name), v[name], depth+1)})
		}
		return out
	}
	s.val(path, "", "a call's JSON cannot hold %s: write it as a string", kindOf(v))
	return strictjson.Value{}
}

func (p *Policy) run(f *file) []TestResult {
	out := []TestResult{}
	for _, t := range f.tests {
		got := spend(p.Evaluate(t.in), t.used)
		r := TestResult{Name: t.name, OK: true, Got: got, path: t.path}
		if got.Verdict != t.verdict || t.rule != "" && t.rule != got.Rule || t.reason != "" && t.reason != got.Reason.Code {
			r.OK = false
			r.Message = fmt.Sprintf("expected %s, got %s by %s (%s: %s)", t.expected(), got.Verdict, got.Rule, got.Reason.Code, got.Reason.Message)
		}
		out = append(out, r)
	}
	return out
}

// spend is what budgets that have been used so far make of a result.
func spend(r Result, used map[string]decimal.Decimal) Result {
	var so []decimal.Decimal
	for _, u := range r.Budgets {
		so = append(so, used[u.ID])
	}
	s := Spend(r.Budgets, so, func(string) bool { return false })
	s.Apply(&r)
	return r
}

func (t *test) expected() string {
	out := string(t.verdict)
	if t.rule != "" {
		out += " by " + t.rule
	}
	if t.reason != "" {
		out += " (" + string(t.reason) + ")"
	}
	return out
}
