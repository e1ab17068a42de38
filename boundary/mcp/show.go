package mcp

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Visible is a text with all that a person would not see, or see as something else, written
// as \u{XXXX} or \xXX: control characters and escape sequences, blanks but the plain one, the tab
// and line ends,
// characters without a width, of direction, of private use, tags, and a backslash that stands
// before what looks like one of these.
func Visible(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		c, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case c == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02X`, s[i])
		case c == '\\' && (strings.HasPrefix(s[i:], `\u{`) || strings.HasPrefix(s[i:], `\x`)):
			b.WriteString(`\\`)
		case c == '\n' || c == '\t' || c == '\r' && strings.HasPrefix(s[i+1:], "\n"), unicode.IsPrint(c) && !unicode.In(c, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point):
			b.WriteRune(c)
		default:
			fmt.Fprintf(&b, `\u{%04X}`, c)
		}
		i += n
	}
	return b.String()
}

// Summary is what is recorded of a result that is too large to be, or of a form that cannot
// be.
func Summary(result json.RawMessage) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"summary":{"bytes":%d,"sha256":"%x"}}`, len(result), sha256.Sum256(result)))
}

// Hidden counts the characters in the strings of JSON that Visible does not show as they are.
func Hidden(definition string) (n int) {
	dec := jsontext.NewDecoder(strings.NewReader(definition), lenient...)
	for {
		t, err := dec.ReadToken()
		if err != nil {
			return n
		}
		if t.Kind() != '"' {
			continue
		}
		for _, c := range strings.ReplaceAll(t.String(), "\r\n", "\n") {
			if c != '\\' && Visible(string(c)) != string(c) {
				n++
			}
		}
	}
}
