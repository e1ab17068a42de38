package policy

import (
	"fmt"
	"strings"
	"testing"
)

const covered = head + `[[tool]]
name = "a.one"
args = { n = "int", s = "string", l = "list" }

[[rule]]
id = "ask"
verdict = "ESCALATE"
tools = ["a.one"]
when = '''
args.n > 5 &&
(args.s == "x" || args.s == "y") &&
args.l.exists(e, e == "z" && e != "")
'''

[[rule]]
id = "all"
verdict = "ALLOW"
tools = ["a.one"]

[[rule]]
id = "odd"
verdict = "DENY"
tools = ["a.one"]
when = "10 / args.n > 20 ? true : false"

[[budget]]
id = "b"
tools = ["a.one"]
per = "all"
limit = 3
window = "1h"
`

func aTest(name, args, used, expect string) string {
	return fmt.Sprintf("[[test]]\nname = %q\ncall = { tool = \"a.one\", args = %s }\nused = %s\nexpect = %s\n", name, args, used, expect)
}

// TestCoverage: what each test adds to what was seen.
func TestCoverage(t *testing.T) {
	tests := ""
	for _, step := range []struct{ test, want string }{
		{"", "0/19 all 0,0 ask 0,0: 1=0/0 2=0/0 3=0/0 4=0/0 5=0/0 6=0/0 odd 0,0: 1=0/0 2=0/0 b 0/0"},
		{aTest("small", `{ n = 1, s = "x", l = [] }`, "{}", `{ verdict = "ALLOW" }`),
			"6/19 all 1,0 ask 0,1: 1=0/1 2=0/1 3=0/0 4=0/0 5=0/0 6=0/0 odd 0,1: 1=0/1 2=0/1 b 1/0"},
		{aTest("used up", `{ n = 9, s = "y", l = ["q"] }`, "{ b = 3 }", `{ verdict = "DENY", rule = "budget:b" }`),
			"12/19 all 2,0 ask 0,2: 1=0/2 2=1/1 3=1/0 4=0/1 5=1/0 6=0/1 odd 0,2: 1=0/2 2=0/2 b 1/1"},
		{aTest("asked", `{ n = 9, s = "x", l = ["z"] }`, "{}", `{ verdict = "ESCALATE" }`),
			"15/19 all 3,0 ask 1,2: 1=1/2 2=2/1 3=2/0 4=1/1 5=1/0 6=1/1 odd 0,3: 1=0/3 2=0/3 b 1/1"},
		{aTest("an error", `{ n = 0, s = "x", l = [] }`, "{}", `{ verdict = "DENY", reason = "RULE_ERROR" }`),
			"15/19 all 4,0 ask 1,3: 1=1/3 2=2/2 3=2/0 4=1/1 5=1/0 6=1/1 odd 0,3: 1=0/3 2=0/3 b 1/1"},
	} {
		tests += step.test
		results, c, err := Test("test.toml", []byte(covered+tests))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			if !r.OK {
				t.Errorf("%s: %s", r.Name, r.Message)
			}
		}
		got := fmt.Sprintf("%d/%d", c.Seen, c.Of)
		for _, r := range c.Rules {
			got += fmt.Sprintf(" %s %d,%d", r.Rule, r.Matched, r.Not)
			for i, b := range r.Branches {
				if i == 0 {
					got += ":"
				}
				got += fmt.Sprintf(" %d=%d/%d", i+1, b.True, b.False)
			}
		}
		for _, b := range c.Budgets {
			got += fmt.Sprintf(" %s %d/%d", b.Budget, b.Fitted, b.Full)
		}
		if got != step.want {
			t.Errorf("after %q:\n%s, want\n%s", strings.SplitN(step.test, "\n", 3), got, step.want)
		}
	}
	_, c, err := Test("test.toml", []byte(covered))
	if err != nil {
		t.Fatal(err)
	}
	var shown []string
	for _, b := range c.Rules[1].Branches {
		shown = append(shown, fmt.Sprintf("%d %s", b.Line, strings.Join(strings.Fields(b.Expr), " ")))
	}
	want := []string{`14 args.n > 5 && (args.s == "x" || args.s == "y") && args.l.exists(e, e == "z" && e != "")`, `14 args.n > 5`, `15 args.s == "x" || args.s == "y"`,
		`15 args.s == "x"`, `15 args.s == "y"`, `16 args.l.exists(e, e == "z" && e != "")`}
	if strings.Join(shown, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s\nwant\n%s", strings.Join(shown, "\n"), strings.Join(want, "\n"))
	}
}
