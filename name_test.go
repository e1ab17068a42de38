package helm

import (
	"strings"
	"testing"
)

func TestName(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, s := range []string{"a", "a b", long, long + "y", strings.Repeat("\x00", 100), "%20", "é"} {
		if err := CheckName("name", Name(s)); err != nil {
			t.Errorf("%.20q: %v", s, err)
		}
	}
	if Name(long) == Name(long+"y") || Name("a b") == Name("a%20b") {
		t.Error("two names became one")
	}
	if got := Name("a b%é"); got != "a%20b%25%C3%A9" {
		t.Error(got)
	}
}
