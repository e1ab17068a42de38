package policy

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"

	helm "github.com/helm-ai-kernel/helm-ai-kernel"
)

// TestAccepted: an accepted policy says of every call what the compiled one does, also to many
// that ask at once, and requires the same answers.
func TestAccepted(t *testing.T) {
	files, err := filepath.Glob("../policies/*.toml")
	if err != nil || len(files) < 4 {
		t.Fatal(files, err)
	}
	for _, path := range append(files, "../release.high_risk.v3.toml") {
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want, err := Compile(path, src)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Accepted(path, src)
		if err != nil {
			t.Fatal(err)
		}
		_, f := (&source{name: path, text: src}).compile()
		var wg sync.WaitGroup
		for _, one := range f.tests {
			calls := []Input{one.in, one.in}
			calls[1].Tool = "undeclared." + one.in.Tool
			for _, in := range calls {
				wg.Go(func() {
					if a, b := want.Evaluate(in), got.Evaluate(in); !reflect.DeepEqual(a, b) {
						t.Errorf("%s: %s of %s is %+v, and of the accepted policy %+v", path, one.name, in.Tool, a, b)
					}
				})
			}
		}
		wg.Wait()
		for _, r := range f.rules {
			a, aok := want.Requirements(r.id, "a", "p")
			b, bok := got.Requirements(r.id, "a", "p")
			if !reflect.DeepEqual(a, b) || aok != bok || want.Expires(r.id) != got.Expires(r.id) {
				t.Errorf("%s: %s requires %v and %v", path, r.id, a, b)
			}
		}
		if want.SHA256() != got.SHA256() || want.ID() != got.ID() || want.Version() != got.Version() || want.Mode() != got.Mode() {
			t.Errorf("%s: they are not the same", path)
		}
	}
}

// TestAcceptedWrongly: a rule that does not compile denies, and the others decide.
func TestAcceptedWrongly(t *testing.T) {
	src := `[policy]
id = "p"
version = 1
format = "helm.policy/v1"
[[tool]]
name = "a"
args = { n = "int" }
[[tool]]
name = "b"
args = { n = "int" }
[[rule]]
id = "wrong"
verdict = "ALLOW"
tools = ["a"]
when = "args.nothing > 1"
[[rule]]
id = "right"
verdict = "ALLOW"
tools = ["a", "b"]
when = "args.n > 1"
`
	if _, err := Compile("p.toml", []byte(src)); err == nil {
		t.Fatal("it compiles")
	}
	p, err := Accepted("p.toml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	for tool, want := range map[string]helm.Verdict{"a": helm.Deny, "b": helm.Allow, "c": helm.Deny} {
		in := Input{Tool: tool, Arguments: parse(t, `{"n":2}`)}
		if got := p.Evaluate(in); got.Verdict != want || tool == "a" && got.Reason.Code != helm.RuleError {
			t.Errorf("%s: %+v", tool, got)
		}
	}
	for _, bad := range []string{"", "[policy]\n", "x = ["} {
		if _, err := Accepted("p.toml", []byte(bad)); err == nil {
			t.Errorf("%q is a policy", bad)
		}
	}
}

// TestAcceptedAtOnce: a rule that cannot be evaluated names its line for one tool while it is
// compiled for another. It is for the race detector.
func TestAcceptedAtOnce(t *testing.T) {
	src := "[policy]\nid = \"p\"\nversion = 1\nformat = \"helm.policy/v1\"\nmode = \"enforce\"\n"
	var tools []string
	for i := range 32 {
		name := fmt.Sprintf("t%d", i)
		tools = append(tools, name)
		src += fmt.Sprintf("[[tool]]\nname = %q\nargs = { n = \"int\" }\n", name)
	}
	src += "[[rule]]\nid = \"overflow\"\nverdict = \"ALLOW\"\ntools = [\"t*\"]\nwhen = \"args.n + 9223372036854775807 > 1\"\n"
	want, err := Compile("p.toml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	p, err := Accepted("p.toml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, tool := range tools {
		wg.Go(func() {
			in := Input{Tool: tool, Arguments: parse(t, `{"n":1}`)}
			for range 20 {
				if a, b := want.Evaluate(in), p.Evaluate(in); a.Reason.Code != helm.RuleError || !reflect.DeepEqual(a, b) {
					t.Errorf("%+v, and of the accepted policy %+v", a, b)
				}
			}
		})
	}
	wg.Wait()
}

// TestWarm: the condition that is thrown away is one.
func TestWarm(t *testing.T) {
	if err := Warm(); err != nil {
		t.Error(err)
	}
}
