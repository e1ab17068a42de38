package decimal

import (
	"math/big"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]string{
		"0": "0", "-0": "0", "0.000": "0", "0e99999999999999999999": "0", "-0.0e5": "0",
		"1": "1", "10": "10", "1.50": "1.5", "15e-1": "1.5", "0.15E+1": "1.5", "1e3": "1000", "1000": "1000",
		"0.1": "0.1", "1e-18": "0.000000000000000001", "0.0000000000000000010": "0.000000000000000001",
		"9007199254740993": "9007199254740993", strings.Repeat("9", 30): strings.Repeat("9", 30),
		"1e29": "1" + strings.Repeat("0", 29), "100000e24": "1" + strings.Repeat("0", 29),
		"1e30": "!10^30", "1" + strings.Repeat("0", 30): "!10^30", "1e999999999999999999999": "!10^30", "10e29": "!10^30",
		"1e-19": "!places", "0.0000000000000000001": "!places", "1e-99999999999999999999": "!places",
		"-1": "!negative", "-1e-30": "!negative",
		"": "!decimal", "-": "!decimal", "+1": "!decimal", "01": "!decimal", ".5": "!decimal", "5.": "!decimal", "1e": "!decimal",
		"1e+": "!decimal", "1e++1": "!decimal", "NaN": "!decimal", "0x10": "!decimal", "1_000": "!decimal", " 1": "!decimal", "1,5": "!decimal", "--1": "!decimal", "٣": "!decimal",
	} {
		got, err := Parse(in)
		if why, bad := strings.CutPrefix(want, "!"); bad {
			if err == nil || !strings.Contains(err.Error(), why) {
				t.Errorf("Parse(%q) = %s, %v, want an error with %q", in, got, err, why)
			}
			continue
		}
		if err != nil || got.String() != want {
			t.Errorf("Parse(%q) = %s, %v, want %s", in, got, err, want)
		}
	}
}

func TestAdd(t *testing.T) {
	sum := Decimal{}
	tenth, _ := Parse("0.1")
	for range 10 {
		sum, _ = sum.Add(tenth)
	}
	if sum.Cmp(One()) != 0 || sum.String() != "1" {
		t.Errorf("ten times 0.1 is %s", sum)
	}
	most, _ := Parse(strings.Repeat("9", 30))
	if _, ok := most.Add(One()); ok {
		t.Error("10^30 is not refused")
	}
	if got, ok := most.Add(tenth); !ok || got.Cmp(most) != 1 {
		t.Errorf("%s, %t", got, ok)
	}
	if One().String() != "1" || (Decimal{}).String() != "0" {
		t.Error("an operand was changed")
	}
}

// What is read has the value that big.Rat reads, and is written so that it is read back.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"0", "1.50", "15e-1", "1e29", "1e-18", "-1", "0.1e+3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := Parse(s)
		if err != nil {
			return
		}
		if len(s) < 60 && !strings.Contains(strings.ToLower(s), "e") || len(s) < 8 {
			if want, ok := new(big.Rat).SetString(s); !ok || want.Cmp(new(big.Rat).SetFrac(d.int(), one)) != 0 {
				t.Errorf("Parse(%q) = %s", s, d)
			}
		}
		if again, err := Parse(d.String()); err != nil || again.Cmp(d) != 0 || again.String() != d.String() {
			t.Errorf("%q is written as %s, which reads as %s, %v", s, d, again, err)
		}
	})
}
