package policy

import (
	"strings"
	"testing"

	helm "github.com/helm-ai-kernel/helm-ai-kernel"
)

// TestStringBound: a longer string is refused before any rule, and a bound lets a
// condition cost what it could not over a megabyte.
func TestStringBound(t *testing.T) {
	long := `args.s.matches("` + strings.Repeat("a?", 200) + `")`
	src := func(kind string) string {
		return head + "[[tool]]\nname = \"t\"\nargs = { s = \"" + kind + "\" }\n[[rule]]\nid = \"r\"\nverdict = \"ALLOW\"\ntools = [\"t\"]\nwhen = '''" + long + "'''\n"
	}
	if _, err := Compile("test.toml", []byte(src("string"))); err == nil || !strings.Contains(err.Error(), "may cost") {
		t.Errorf("%v", err)
	}
	for _, kind := range []string{"string(5)", "string(5)?"} {
		p, err := Compile("test.toml", []byte(src(kind)))
		if err != nil {
			t.Fatal(err)
		}
		for s, want := range map[string]helm.Code{"": helm.AllowedByRule, "aaaaa": helm.AllowedByRule, "aaaaaa": helm.ArgumentsInvalid, "€€": helm.ArgumentsInvalid} {
			if r := p.Evaluate(input(t, "t", `{"s":"`+s+`"}`, "")); r.Reason.Code != want {
				t.Errorf("%s of %q: %s %s", kind, s, r.Reason.Code, r.Reason.Message)
			}
		}
	}
	for _, bad := range []string{"string()", "string(0)", "string(-1)", "string(05)", "string(5", "string(5))", "string(1048577)", "string(9999999999999999999)", "int(5)", "url(5)", "(5)", "string(5 )"} {
		if _, err := Compile("test.toml", []byte(src(bad))); err == nil || !strings.Contains(err.Error(), "is not a type of an argument") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
