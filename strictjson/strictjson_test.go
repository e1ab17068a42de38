package strictjson

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// The facts of RFC 8785: section 3.2.2.2's escape rules, the example of section
// 3.2.2 whose output is section 3.2.4's, and the strings of the test data that its
// authors publish (cyberphone/json-canonicalization).
func TestStringsAreRFC8785(t *testing.T) {
	tests := []struct{ in, want string }{
		{`"\u0008\u0009\u000a\u000c\u000d"`, `"\b\t\n\f\r"`},
		{`"\u0022\u005c"`, `"\"\\"`},
		{`"\u0000\u0001\u000b\u000e\u001f"`, `"\u0000\u0001\u000b\u000e\u001f"`},
		{`"\u000B\u001F"`, `"\u000b\u001f"`},
		{`"\/"`, `"/"`},
		{`"\u007f\u0080"`, "\"\x7f\u0080\""},
		{`"\u2028\u2029"`, "\"\u2028\u2029\""},
		{`"</script>&"`, `"</script>&"`},
		{`"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/"`, `"€$\u000f\nA'B\"\\\\\"/"`}, // section 3.2.2
		{`"\ud83d\ude02"`, `"😂"`},
		{`"\ufb33"`, "\"\ufb33\""},
		{`"\u1e0d\u0307"`, "\"\u1e0d\u0307\""}, // not normalised
		{`    "this is a test string 1235"`, `"this is a test string 1235"`},
	}
	for _, tt := range tests {
		v, err := Parse([]byte(tt.in))
		if err != nil {
			t.Errorf("Parse(%s): %v", tt.in, err)
			continue
		}
		if got := string(v.Append(nil)); got != tt.want {
			t.Errorf("Parse(%s) prints %s, RFC 8785 prints %s", tt.in, got, tt.want)
		}
		s, rest, err := ReadString([]byte(tt.want + ","))
		if err != nil || s != v.Text || string(rest) != "," {
			t.Errorf("ReadString(%s) = %q, %q, %v", tt.want, s, rest, err)
		}
	}

	// Every code point on its own: the standard library reads what we write as the
	// same character, and only the escapes of the table are used.
	for r := rune(0); r <= 0x10ffff; r++ {
		if r >= 0xd800 && r <= 0xdfff {
			continue
		}
		got := AppendString(nil, string(r))
		short, escaped := map[rune]string{'\b': `\b`, '\t': `\t`, '\n': `\n`, '\f': `\f`, '\r': `\r`, '"': `\"`, '\\': `\\`}[r]
		switch {
		case escaped:
		case r < 0x20:
			short = fmt.Sprintf(`\u%04x`, r)
		default:
			short = string(r)
		}
		if string(got) != `"`+short+`"` {
			t.Fatalf("U+%04X prints as %s", r, got)
		}
		if r < 0x3000 {
			var s string
			if err := json.Unmarshal(got, &s); err != nil || s != string(r) {
				t.Fatalf("U+%04X prints as %s, which encoding/json reads as %q, %v", r, got, s, err)
			}
		}
	}
}

func TestMembersAreInByteOrder(t *testing.T) {
	// RFC 8785 sorts by UTF-16 code units; this project by UTF-8 bytes, as RFC 6901
	// pointers are compared. They differ above U+FFFF: U+1F602 comes after U+FB33.
	in := "{\"\u20ac\":1,\"1\":2,\"\u0080\":3,\"\U0001f602\":4,\"\u00f6\":5,\"\ufb33\":6,\"</script>\":7,\"\":8,\"10\":9}"
	want := "{\"\":8,\"1\":2,\"10\":9,\"</script>\":7,\"\u0080\":3,\"\u00f6\":5,\"\u20ac\":1,\"\ufb33\":6,\"\U0001f602\":4}"
	v, err := Parse([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(v.Append(nil)); got != want {
		t.Errorf("members print as\n%s, want\n%s", got, want)
	}
	for _, name := range []string{"", "1", "10", "\u20ac"} {
		if _, ok := v.Get(name); !ok {
			t.Errorf("Get(%q) finds nothing", name)
		}
	}
	if _, ok := v.Get("2"); ok {
		t.Error(`Get("2") finds a member that is not there`)
	}
}

func TestNumbersKeepTheirDigits(t *testing.T) {
	for _, n := range []string{"0", "-0", "-0.0", "1", "1.0", "1.00", "1e0", "1E+0", "1e-0", "1e400", "-1e-400",
		"9007199254740992", "9007199254740993", "333333333.33333329", "0.1", "1E30", "4.50",
		"123456789012345678901234567890.123456789012345678901234567890"} {
		v, err := Parse([]byte(" " + n + "\n"))
		if err != nil || v.Kind != Number || v.Text != n {
			t.Errorf("Parse(%s) = %v %q, %v", n, v.Kind, v.Text, err)
		}
		if got := string(v.Append(nil)); got != n {
			t.Errorf("%s prints as %s", n, got)
		}
		digits, rest, err := ReadNumber([]byte(n + "]"))
		if err != nil || digits != n || string(rest) != "]" {
			t.Errorf("ReadNumber(%s]) = %q, %q, %v", n, digits, rest, err)
		}
	}
	for _, n := range []string{"", "-", "+1", ".5", "-.5", "1.", "1.e3", "1e", "1e+", "e1", "NaN", "Infinity", "-Infinity"} {
		if v, err := Parse([]byte(n)); err == nil {
			t.Errorf("Parse(%s) = %q", n, v.Text)
		}
		if digits, _, err := ReadNumber([]byte(n)); err == nil {
			t.Errorf("ReadNumber(%s) = %q", n, digits)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	many := func(n int) string { return "[" + strings.Repeat("0,", n-2) + "0]" } // n values, the array included
	tests := []struct{ why, in, says string }{
		{"nothing", "", "no JSON value"},
		{"only space", " \n", "no JSON value"},
		{"a duplicate name", `{"a":1,"a":1}`, "duplicate"},
		{"a duplicate name in two spellings", `{"a":1,"\u0061":1}`, "duplicate"},
		{"a duplicate name far away", `{"a":1,` + strings.Repeat(" ", 5000) + `"b":1,"a":1}`, "duplicate"},
		{"a duplicate of the empty name", `{"":1,"":1}`, "duplicate"},
		{"invalid UTF-8", "\"\xff\"", "UTF-8"},
		{"invalid UTF-8 in a name", "{\"\xff\":1}", "UTF-8"},
		{"overlong UTF-8", "\"\xc0\xaf\"", "UTF-8"},
		{"a raw surrogate", "\"\xed\xa0\x80\"", "UTF-8"},
		{"a raw surrogate pair", "\"\xed\xa0\xbd\xed\xb8\x82\"", "UTF-8"},
		{"an escaped lone high surrogate", `"\ud800"`, "surrogate"},
		{"an escaped lone low surrogate", `"\udc00"`, "surrogate"},
		{"two high surrogates", `"\ud800\ud800"`, "surrogate"},
		{"surrogates swapped", `"\ude02\ud83d"`, "surrogate"},
		{"a lone surrogate in a name", `{"\ud800":1}`, "surrogate"},
		{"a byte order mark", "\xef\xbb\xbf1", ""},
		{"a second value", "1 2", "more follows the JSON value that ends at byte 1"},
		{"a second object", `{}{}`, "more follows"},
		{"trailing garbage", "1 x", ""},
		{"a NUL after the value", "1\x00", ""},
		{"a trailing comma", "[1,]", ""},
		{"a trailing comma in an object", `{"a":1,}`, ""},
		{"a comment", "[1/*x*/]", ""},
		{"single quotes", "'a'", ""},
		{"a control character", "\"\x01\"", ""},
		{"a bad escape", `"\x41"`, ""},
		{"a leading zero", "01", ""},
		{"a plus", "+1", ""},
		{"a capital literal", "True", ""},
		{"an unfinished array", "[1", ""},
		{"an unfinished string", `"a`, ""},
		{"a number as a name", "{1:1}", ""},
		{"65 arrays", deep(MaxDepth + 1), "deeper than 64 at byte 65"},
		{"65 objects", strings.Repeat(`{"a":`, MaxDepth+1) + "1" + strings.Repeat("}", MaxDepth+1), "deeper than 64"},
		{"too many values", many(MaxValues + 1), "more than 16384 values"},
	}
	for _, tt := range tests {
		v, err := Parse([]byte(tt.in))
		if err == nil {
			t.Errorf("%s: Parse(%.40q) = %.80s", tt.why, tt.in, v.Append(nil))
		} else if !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: the error is %q, without %q", tt.why, err, tt.says)
		} else if strings.Contains(err.Error(), "jsontext") {
			t.Errorf("%s: the error %q names a library", tt.why, err)
		}
	}
	for _, in := range []string{deep(MaxDepth), many(MaxValues)} {
		if _, err := Parse([]byte(in)); err != nil {
			t.Errorf("Parse(%.20q...): %v", in, err)
		}
	}
}

func TestReadStringRefuses(t *testing.T) {
	for _, in := range []string{
		``, `"`, `a`, `'a'`, `"a`, `"a\`, `"a\"`, ` "a"`,
		`"\/"`, `"\u0041"`, `"\u0008"`, `"\u0009"`, `"\u000a"`, `"\u000c"`, `"\u000d"`, `"\u0022"`, `"\u005c"`, `"\u0020"`, `"\u007f"`,
		`"\u000B"`, `"\u001F"`, `"\U0001"`, `"\u0"`, `"\u00"`, `"\u001"`, `"\u00 1"`, `"\ud83d\ude02"`, `"\u20ac"`, `"\a"`, `"\x01"`, `"\0"`, `"\v"`,
		"\"\n\"", "\"\x00\"", "\"\x1f\"", "\"\xff\"", "\"\xed\xa0\x80\"", "\"\xc0\xaf\"", "\"\xf4\x90\x80\x80\"", "\"\xff\\n\"",
	} {
		if s, _, err := ReadString([]byte(in)); err == nil {
			t.Errorf("ReadString(%q) = %q", in, s)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"b":[1,-0.0,1e400],"a":{"":"\u0000\n€😂"},"c":null,"d":true}`, `"\ud800"`, `{"a":1,"\u0061":2}`, "[[[]]]"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := Parse(data)
		if err != nil {
			return
		}
		printed := v.Append(nil)
		again, err := Parse(printed)
		if err != nil {
			t.Fatalf("%q prints as %q, which is refused: %v", data, printed, err)
		}
		if !reflect.DeepEqual(v, again) {
			t.Fatalf("%q and its print %q are two values", data, printed)
		}
		if twice := again.Append(nil); string(twice) != string(printed) {
			t.Fatalf("%q prints as %q, then as %q", data, printed, twice)
		}
		if !json.Valid(data) {
			t.Fatalf("encoding/json refuses %q", data)
		}
	})
}

func FuzzReadString(f *testing.F) {
	for _, s := range []string{`"a"rest`, `"\u001f\b\"\\"`, `"\u0041"`, `"\`, "\"\xff\""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, rest, err := ReadString(data)
		if err != nil {
			return
		}
		if again := append(AppendString(nil, s), rest...); string(again) != string(data) {
			t.Fatalf("ReadString(%q) = %q, which AppendString writes as %q", data, s, again)
		}
	})
}

func FuzzReadNumber(f *testing.F) {
	for _, s := range []string{"0", "-0.0e+12,", "01", "1.", "-"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		digits, rest, err := ReadNumber(data)
		if err != nil {
			return
		}
		if digits+string(rest) != string(data) {
			t.Fatalf("ReadNumber(%q) = %q, %q", data, digits, rest)
		}
		if v, err := Parse([]byte(digits)); err != nil || v.Kind != Number || v.Text != digits {
			t.Fatalf("ReadNumber(%q) = %q, which Parse reads as %q, %v", data, digits, v.Text, err)
		}
	})
}
