package policy

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

const twoTools = head + `
[[tool]]
name = "a.one"
args = { n = "int", s = "string", b = "bool" }
[[tool]]
name = "a.two"
args = { n = "int", s = "string", b = "bool" }
`

func aRule(id, verdict, tools, when string) string {
	r := fmt.Sprintf("[[rule]]\nid = %q\nverdict = %q\ntools = [%q]\n", id, verdict, tools)
	if when != "" {
		r += "when = '''" + when + "'''\n"
	}
	return r
}

func TestImplied(t *testing.T) {
	for _, c := range []struct {
		name, rules string
		says        string // "" : good, without a warning; "warning: ...": good, with it
	}{
		{"the same condition", aRule("d", "DENY", "a.*", "args.n > 5") + aRule("r", "ALLOW", "a.one", "args.n > 5"), `the rule never decides: whenever its condition holds, that of the rule "d" does`},
		{"one part more", aRule("d", "DENY", "a.*", "args.n > 5") + aRule("r", "ALLOW", "a.one", "args.b && args.n>5"), "never decides"},
		{"in another order", aRule("d", "DENY", "a.*", "args.b && args.n > 5") + aRule("r", "ESCALATE", "a.*", `args.s == "x" && (args.n > 5 && args.b)`), "never decides"},
		{"one of several ways", aRule("d", "DENY", "a.*", `args.b || args.n > 5`) + aRule("r", "ALLOW", "a.*", `args.n > 5 && args.s == "x"`), "never decides"},
		{"each of its ways", aRule("d", "DENY", "a.*", `args.b || args.n > 5`) + aRule("r", "ALLOW", "a.*", `args.n > 5 || args.b && args.s == "x"`), "never decides"},
		{"a condition that folds to true", aRule("d", "DENY", "a.*", `1 < 2`) + aRule("r", "ALLOW", "a.*", `args.b`), `the rule "d" always gives DENY`},
		{"one of its ways is free", aRule("d", "DENY", "a.*", `args.b`) + aRule("r", "ALLOW", "a.*", `args.n > 5 || args.b`), ""},
		{"less is asked of it", aRule("d", "DENY", "a.*", `args.b && args.n > 5`) + aRule("r", "ALLOW", "a.*", `args.b`), ""},
		{"one tool is free", aRule("d", "DENY", "a.one", "args.n > 5") + aRule("r", "ALLOW", "a.*", "args.n > 5"), ""},
		{"it outranks", aRule("d", "ALLOW", "a.*", "args.b") + aRule("r", "DENY", "a.*", "args.b && args.n > 5"), ""},
		{"another number", aRule("d", "DENY", "a.*", "args.n > 5") + aRule("r", "ALLOW", "a.*", "args.n > 6"), ""},
		{"no number", aRule("r", "ALLOW", "a.*", "args.n > 5 && args.n < 3"), "the condition never holds, so the rule never decides: no value of args.n is in this range"},
		{"no number between", aRule("r", "ALLOW", "a.*", "args.n >= 5 && args.b && 5 > args.n"), "no value of args.n is in this range"},
		{"one number", aRule("r", "ALLOW", "a.*", "args.n >= 5 && args.n <= 5"), ""},
		{"two numbers at once", aRule("r", "ALLOW", "a.*", "args.n == 5 && args.n == 6"), "no value of args.n is in this range"},
		{"two texts at once", aRule("r", "ALLOW", "a.*", `args.s == "x" && "y" == args.s`), `args.s cannot be "x" and "y"`},
		{"true and false", aRule("r", "ALLOW", "a.*", `args.b && args.n > 1 && !args.b`), "args.b cannot be true and false"},
		{"a way that never holds beside one that does", aRule("r", "ALLOW", "a.*", `args.n > 5 && args.n < 3 || args.b`), ""},
		{"changes nothing", aRule("all", "ALLOW", "a.*", "") + aRule("r", "ALLOW", "a.*", "args.b"), `warning: the rule changes nothing: whenever its condition holds, that of the rule "all" does, which gives ALLOW too`},
		{"the same twice", aRule("q", "DENY", "a.*", "args.b") + aRule("r", "DENY", "a.*", "args.b"), "warning: the rule changes nothing"},
		{"a tool of which nobody says anything", aRule("r", "ALLOW", "a.one", ""), "warning: no rule is for the tool a.two"},
		{"a list that nobody reads", "[lists]\nl = [\"x\"]\n" + aRule("r", "ALLOW", "a.*", ""), "warning: no rule reads lists.l"},
	} {
		p, err := Compile("test.toml", []byte(twoTools+c.rules))
		var warnings []Finding
		if p != nil {
			warnings = p.Warnings()
		}
		want, warns := strings.CutPrefix(c.says, "warning: ")
		switch {
		case c.says == "":
			if err != nil || len(warnings) > 0 {
				t.Errorf("%s: %v %v", c.name, err, warnings)
			}
		case warns:
			if err != nil || len(warnings) == 0 || !strings.Contains(warnings[0].String(), ": warning: "+want) {
				t.Errorf("%s: %v, want a warning %q", c.name, err, want)
			}
		case err == nil || !strings.Contains(err.Error(), want):
			t.Errorf("%s: %v, want %q", c.name, err, want)
		}
	}
}

// TestImpliedIsSound makes policies by dice. A rule that is reported as one that never
// decides gives its verdict to no call.
func TestImpliedIsSound(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	parts := []string{"args.b", "!args.b", "args.n > 5", "args.n < 3", "args.n >= 5", "args.n == 5", `args.s == "x"`, `args.s != "x"`, "1 < 2", "args.n / args.n == 1"}
	condition := func() string {
		var ways []string
		for range 1 + rng.IntN(2) {
			var w []string
			for range 1 + rng.IntN(3) {
				w = append(w, parts[rng.IntN(len(parts))])
			}
			ways = append(ways, strings.Join(w, " && "))
		}
		return strings.Join(ways, " || ")
	}
	var calls []Input
	for _, n := range []string{"0", "2", "5", "6"} {
		for _, s := range []string{"x", "y"} {
			for _, b := range []string{"true", "false"} {
				for _, tool := range []string{"a.one", "a.two"} {
					in := input(t, tool, `{"n":`+n+`,"s":"`+s+`","b":`+b+`}`, "")
					calls = append(calls, in)
				}
			}
		}
	}
	reported := 0
	for range 1500 {
		verdicts, tools := []string{"ALLOW", "DENY", "ESCALATE"}, []string{"a.*", "a.one", "*"}
		over := aRule("b", verdicts[rng.IntN(3)], tools[rng.IntN(3)], condition())
		under := aRule("a", verdicts[rng.IntN(3)], tools[rng.IntN(3)], condition())
		_, err := Compile("test.toml", []byte(twoTools+over+under))
		if err == nil || !strings.Contains(err.Error(), "never") {
			continue
		}
		if strings.Contains(err.Error(), "always false") {
			continue // CEL's own folding
		}
		reported++
		f, s := (*file)(nil), &source{name: "test.toml", text: []byte(twoTools + over + under)}
		f = s.read()
		l, lerr := newLanguage(f)
		if lerr != nil {
			t.Fatal(lerr)
		}
		p := &Policy{tools: map[string]*declared{}}
		for _, one := range f.tools {
			p.tools[one.name] = &declared{tool: one}
		}
		for i := range f.rules {
			p.add(s, l, f, &f.rules[i])
		}
		accused := map[string]bool{}
		for _, finding := range err.(*Error).Findings {
			line := strings.Split(string(s.text), "\n")[:finding.Line]
			for i := len(line) - 1; i >= 0; i-- {
				if id, ok := strings.CutPrefix(line[i], "id = "); ok {
					accused[strings.Trim(id, `"`)] = true
					break
				}
			}
		}
		for _, in := range calls {
			r := p.Evaluate(in)
			if accused[r.Rule] && r.Reason.Code != "RULE_ERROR" {
				t.Fatalf("%s\nis said to have a rule that never decides, and %s of it decides %s\n%v", over+under, r.Rule, in.Arguments.Append(nil), err)
			}
		}
	}
	if reported < 50 {
		t.Errorf("%d policies were reported: this shows little", reported)
	}
}
