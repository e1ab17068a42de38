package policy

import (
	"fmt"
	"strings"
	"testing"
)

func controlled(comments ...string) string {
	s := head + "[[tool]]\nname = \"a.one\"\nargs = { n = \"int\", s = \"string\", b = \"bool\" }\n"
	for i, c := range comments {
		s += c + "\n" + aRule(fmt.Sprint("r", i), "DENY", "a.one", fmt.Sprintf("args.n == %d", i))
	}
	return s
}

func TestControls(t *testing.T) {
	src := controlled("# A rule.\n# controls: SOC 2 CC6.1;  HIPAA   164.312(a)(1)", "# controls: SOC 2 CC6.1\n# and more words", "# controls: far away\n", "", "#controls: House rule 7; EU AI Act Art. 26(6); SEC 17a-4(f)(2); ISO 42001 A.6.2.8; EU AI Act Annex III") +
		"# controls: SOC 2 CC7.2\n[[budget]]\nid = \"b\"\ntools = [\"a.one\"]\nper = \"all\"\nlimit = 1\nwindow = \"1h\"\n"
	all, without, err := Controls("test.toml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, c := range all {
		got += c.Name + "=" + strings.Join(c.Rules, ",") + " | "
	}
	if want := "EU AI Act Annex III=r4 | EU AI Act Art. 26(6)=r4 | HIPAA 164.312(a)(1)=r0 | House rule 7=r4 | ISO 42001 A.6.2.8=r4 | SEC 17a-4(f)(2)=r4 | SOC 2 CC6.1=r0,r1 | SOC 2 CC7.2=budget:b | "; got != want {
		t.Errorf("%s, want\n%s", got, want)
	}
	if strings.Join(without, " ") != "r2 r3" {
		t.Errorf("%v name no control", without)
	}
	for comment, says := range map[string]string{
		"# controls: SOC 2 6.1":                   `"SOC 2 6.1" is no reference to SOC 2: it is written as in SOC 2 CC6.1`,
		"# controls: soc 2 CC6.1":                 "is no reference to SOC 2",
		"# controls: EU AI Act Article 14":        "is no reference to EU AI Act",
		"# controls: HIPAA §164.312":              "is no reference to HIPAA",
		"# controls: SEC 17a4":                    "is no reference to SEC 17",
		"# controls: ISO 42001 6.2.x":             "is no reference to ISO 42001",
		"# controls:":                             "a control without a name",
		"# controls: a;":                          "a control without a name",
		"# controls: a; b; a":                     `the control "a" is named twice`,
		"# controls: a\n# controls: b":            "a second line of controls",
		"# controls: " + strings.Repeat("x", 101): "at most 100 bytes",
		"# controls: a\u202eb":                    "no control characters",
	} {
		if _, _, err := Controls("test.toml", []byte(controlled(comment))); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", comment, err, says)
		} else if !strings.HasPrefix(err.Error(), "test.toml:") {
			t.Errorf("%q: without a place: %v", comment, err)
		}
	}
	if _, _, err := Controls("test.toml", []byte("x = ")); err == nil {
		t.Error("what is no policy has controls")
	}
}
