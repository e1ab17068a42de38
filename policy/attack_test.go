package policy

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"

	helm "github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

// A DENY is never lost: not beside an error, not beside any number of ALLOWs, and
// not when its own condition cannot be evaluated.
func TestDenyIsNeverLost(t *testing.T) {
	var many strings.Builder
	for i := range 50 {
		fmt.Fprintf(&many, "[[rule]]\nid = \"%02d\"\nverdict = \"ALLOW\"\ntools = [\"*\"]\n", i)
	}
	for _, c := range []struct{ name, when, want string }{
		{"it matches", `true`, "DENY deny MINE"},
		{"a missing key", `context.nothing == 1`, "DENY deny RULE_ERROR"},
		{"a missing key behind &&", `true && context.nothing == 1`, "DENY deny RULE_ERROR"},
		{"another type", `context.word > 1`, "DENY deny RULE_ERROR"},
		{"an inexact number", `context.inexact > 1`, "DENY deny RULE_ERROR"},
		{"a list that is too long", `context.long.size() > 2000`, "DENY deny RULE_ERROR"},
		{"an error is false in no way", `!(context.word > 1) && context.word <= 1`, "DENY deny RULE_ERROR"},
		{"it does not match", `context.word == "other"`, "ALLOW 00 ALLOWED_BY_RULE"},
	} {
		p := mustCompile(t, decl+many.String()+"[[rule]]\nid = \"deny\"\nverdict = \"DENY\"\nreason = \"MINE\"\ntools = [\"fs.*\"]\nwhen = '''"+c.when+"'''\n")
		r := p.Evaluate(input(t, "fs.read", `{"path":"/x"}`, `{"word":"w","inexact":1e400,"long":[`+strings.Repeat("1,", 1024)+`1]}`))
		if got := fmt.Sprint(r.Verdict, " ", r.Rule, " ", r.Reason.Code); got != c.want {
			t.Errorf("%s: %s, not %s", c.name, got, c.want)
		}
	}
}

// What a result says holds nothing of the call's values.
func TestResultHoldsNoValues(t *testing.T) {
	const secret = "sk-live-4242"
	p := mustCompile(t, strings.Replace(decl, "[[tool]]\nname = \"fs", "[[tool]]\nname = \"other.declared\"\nargs = { q = \"map\", to = \"string\" }\n[[tool]]\nname = \"fs", 1)+`
[[rule]]
id = "key"
verdict = "ALLOW"
tools = ["pay.transfer"]
when = 'args.meta[args.to] == 1'
[[rule]]
id = "convert"
verdict = "ALLOW"
tools = ["pay.transfer"]
when = 'int(args.to) == 1'
[[rule]]
id = "time"
verdict = "ALLOW"
tools = ["pay.transfer"]
when = 'timestamp(args.to) < now'
[[rule]]
id = "type"
verdict = "ALLOW"
tools = ["pay.transfer"]
when = 'args.x > 1'
[[rule]]
id = "other"
verdict = "ALLOW"
tools = ["other.*"]
when = 'args.q[args.to] == 1'
`)
	for _, in := range []Input{
		input(t, "pay.transfer", `{"amount":1,"to":"`+secret+`","meta":{},"x":"`+secret+`"}`, `{"`+secret+`":"`+secret+`"}`),
		input(t, "pay.transfer", `{"amount":"`+secret+`","to":"x"}`, ``),
		input(t, "pay.transfer", `{"amount":1,"to":"x","key `+secret+`":"x"}`, ``),
		input(t, "other.tool", `{"to":"`+secret+`","q":{}}`, ``),
	} {
		r := p.Evaluate(in)
		if text := fmt.Sprintf("%+v", r); r.Verdict != helm.Deny || strings.Contains(text, "4242") {
			t.Errorf("%s", text)
		}
	}
}

// The worst case that was estimated is one: what a full input costs is below it.
func TestWorstCase(t *testing.T) {
	big := func(n int, element string) string { return strings.TrimSuffix(strings.Repeat(element+",", n), ",") }
	text := strings.Repeat("x", 1000)
	full := input(t, "t", `{"s":"`+strings.Repeat("x", 900_000)+`","l":[`+big(1024, `"`+text[:50]+`"`)+`],"m":{"a":[`+big(1024, "1")+`]},"n":1,"x":[`+big(1024, "7")+`]}`, `{}`)
	f := &file{lists: map[string][]string{"some": {"a", "bc", "def"}}, tools: []tool{{name: "t", args: []argument{
		{"l", "list", false, 0}, {"m", "map", false, 0}, {"n", "int", false, 0}, {"s", "string", false, 0}, {"x", "any", false, 0}}}}}
	l, err := newLanguage(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{
		`args.s.contains("y")`, `args.s.matches("^(x|xx)*y$")`, `args.s + args.s == args.s`, `args.s in lists.some`,
		`args.l.exists(a, a == "y")`, `args.l.exists(a, a.contains("y"))`, `args.l.exists(a, args.s.startsWith(a + "y"))`,
		`args.l.filter(a, a == "y").size() == 1`, `args.l.map(a, a + a).exists(a, a == "y")`,
		`args.m.a.exists(a, a == 2)`, `args.m.exists(k, k == "b")`, `args.x.exists(a, a == 8)`, `args.x.all(a, args.l.exists(b, b == "y") || a == 7)`,
		`lists.some.exists(a, args.s.endsWith(a))`, `args.n in args.x`, `args.x == args.m.a`,
	} {
		e, err := l.env(&f.tools[0])
		if err != nil {
			t.Fatal(err)
		}
		checked, issues := e.Compile(when)
		if issues.Err() != nil {
			t.Fatal(issues.Err())
		}
		c := checker{s: &source{}, l: l}
		c.walk(checked.NativeRep())
		worst, err := cost.Cost(checked.NativeRep(), sizes{f.lists, c.ranges, nil})
		if err != nil {
			t.Fatal(err)
		}
		program, err := e.Program(checked, cel.EvalOptions(cel.OptOptimize, cel.OptTrackCost))
		if err != nil {
			t.Fatal(err)
		}
		_, details, err := program.Eval(&activation{in: &full, tool: &f.tools[0]})
		if err != nil {
			t.Errorf("%s: %v", when, err)
			continue
		}
		if actual := *details.ActualCost(); actual > worst.Max {
			t.Errorf("%s costs %d, and %d was the worst", when, actual, worst.Max)
		}
	}
}

// The dearest condition that is let through ends soon on the largest input.
func TestDearestCondition(t *testing.T) {
	p := mustCompile(t, `
[[tool]]
name = "t"
args = { l = "list", s = "string" }
[[rule]]
id = "loops"
verdict = "DENY"
tools = ["t"]
when = 'args.l.exists(a, a + 1 in args.l)'
[[rule]]
id = "regexp"
verdict = "DENY"
tools = ["t"]
when = 'args.s.matches("^((a|aa)*b)*$")'
`)
	in := input(t, "t", `{"l":[`+strings.TrimSuffix(strings.Repeat("5,", MaxElements), ",")+`],"s":"`+strings.Repeat("a", 1_000_000)+`"}`, "")
	start := time.Now()
	r := p.Evaluate(in)
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	if r.Rule != "default" {
		t.Errorf("%+v", r)
	}
}

// A command may have more words than its share, and a loop within a loop over
// them is stopped. A redirection that every command of a block inherits does not
// multiply what a rule reads.
func TestShellBombs(t *testing.T) {
	const args = `cmd = "command"`
	words := `{"cmd":"a` + strings.Repeat(" b", 1000) + `"}`
	if got := holds(t, args, `facts.shell.commands.exists(c, c.args.exists(a, a == "x"))`, words, ""); got != "false" {
		t.Errorf("one loop over many words: %s", got)
	}
	if got := holds(t, args, `facts.shell.commands.exists(c, c.args.exists(a, c.args.exists(b, a == b + "x")))`, words, ""); got != "operation cancelled: actual cost limit exceeded" {
		t.Errorf("a loop within a loop over many words: %s", got)
	}
	block := `{"cmd":"{ ` + strings.Repeat("a;", 200) + ` } > ` + strings.Repeat("f", 1000) + `"}`
	if got := holds(t, args, `facts.shell.opaque && facts.shell.commands.size() == 0`, block, ""); got != "true" {
		t.Errorf("an inherited redirection: %s", got)
	}
}

// Deeply nested and empty arguments are read without harm.
func TestHostileInput(t *testing.T) {
	p := mustCompile(t, decl+"[[rule]]\nid = \"r\"\nverdict = \"ALLOW\"\ntools = [\"pay.*\"]\nwhen = 'args.x == args.x && args.x != null'\n")
	deep := strings.Repeat("[", strictjson.MaxDepth-2) + strings.Repeat("]", strictjson.MaxDepth-2)
	for _, c := range []struct{ tool, args, want string }{
		{"pay.transfer", `{"amount":1,"to":"","x":` + deep + `}`, "ALLOW"},
		{"pay.other", `{"x":` + deep + `}`, "ALLOW"},
		{"pay.other", `{}`, "DENY"},
		{"pay.other", `{"x":null}`, "DENY"},
	} {
		if got := p.Evaluate(input(t, c.tool, c.args, "")); string(got.Verdict) != c.want {
			t.Errorf("%s %.30s: %+v", c.tool, c.args, got)
		}
	}
	if r := p.Evaluate(Input{}); r.Verdict != helm.Deny {
		t.Errorf("the empty input: %+v", r)
	}
}

// Evaluate is concurrent: the race detector watches.
func TestConcurrent(t *testing.T) {
	p := mustCompile(t, decl+"[[rule]]\nid = \"r\"\nverdict = \"ALLOW\"\ntools = [\"fs.*\"]\nwhen = 'facts.path.under(\"/srv\") && args.path != \"\"'\n")
	in := input(t, "fs.read", `{"path":"/srv/x"}`, "")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				if r := p.Evaluate(in); r.Verdict != helm.Allow {
					t.Errorf("%+v", r)
				}
			}
		})
	}
	all.Wait()
}
