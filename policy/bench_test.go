package policy

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkEvaluate measures a policy of 1,000 rules over 100 tools, of which ten
// rules and one pattern are for the tool that is called, and one whose 1,000
// rules are all for it. The budget is 25 us for the first.
func BenchmarkEvaluate(b *testing.B) {
	for _, tools := range []int{100, 1} {
		b.Run(fmt.Sprintf("rules=1000/tools=%d", tools), func(b *testing.B) {
			p, in := large(b, tools)
			b.ReportAllocs()
			for b.Loop() {
				if r := p.Evaluate(in); r.Rule != "r0500" && r.Rule != "all" {
					b.Fatalf("%+v", r)
				}
			}
		})
	}
	b.Run("undeclared", func(b *testing.B) {
		p, _ := large(b, 100)
		in := input(b, "other.tool", `{"amount":1}`, "")
		b.ReportAllocs()
		for b.Loop() {
			p.Evaluate(in)
		}
	})
}

func BenchmarkCompile(b *testing.B) {
	src := []byte(head + largeSource(100))
	for b.Loop() {
		if _, err := Compile("x", src); err != nil {
			b.Fatal(err)
		}
	}
}

func large(b testing.TB, tools int) (*Policy, Input) {
	return mustCompile(b, largeSource(tools)), input(b, "t.0", `{"amount":5001,"to":"acct_9","path":"/srv/app/x"}`, "")
}

func largeSource(tools int) string {
	var src strings.Builder
	for i := range tools {
		fmt.Fprintf(&src, "[[tool]]\nname = \"t.%d\"\nargs = { amount = \"int\", to = \"string\", path = \"path\" }\n", i)
	}
	for i := range 999 {
		when := []string{`args.amount > 1000 && args.to == "x"`, `facts.path.under("/srv/other")`, `args.to.startsWith("b") || args.to in ["q", "r"]`}[i%3]
		fmt.Fprintf(&src, "[[rule]]\nid = \"r%04d\"\nverdict = \"DENY\"\ntools = [\"t.%d\"]\nwhen = '%s'\n", i, i%tools, when)
	}
	src.WriteString("[[rule]]\nid = \"all\"\nverdict = \"ALLOW\"\ntools = [\"*\"]\nwhen = 'args.amount > 5000'\n")
	return strings.Replace(src.String(), "args.amount > 5000'", "agent == \"a\"'", 1)
}
