// Package strictjson reads JSON without losing anything: duplicate member names,
// invalid UTF-8 and lone surrogates are refused, and a number keeps the digits it
// came in. It writes strings as RFC 8785, section 3.2.2.2, does.
//
// Commitments (spec/receipt.md) and policy evaluation (spec/policy.md) both read
// values of this package, so that what is decided is what was committed to.
package strictjson

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Limits of what Parse accepts.
const (
	MaxDepth  = 64      // how deep arrays and objects may nest
	MaxValues = 1 << 14 // values in one text, so that "[0,0,0,..." costs no more memory than it should
)

// A Kind is the kind of a JSON value.
type Kind uint8

// The kinds of a JSON value.
const (
	Null Kind = iota
	Bool
	Number
	String
	Array
	Object

	// Hidden stands for a value that is not shown. Parse never gives it, and Append prints
	// it as null. Its Text says where it is, as an RFC 6901 pointer.
	Hidden
)

func (k Kind) String() string {
	return [...]string{"null", "boolean", "number", "string", "array", "object", "hidden value"}[k]
}

// A Value is a JSON value. The zero Value is null.
type Value struct {
	Kind    Kind
	Bool    bool     // of a Bool
	Text    string   // a String's characters, a Number's digits as they came in, or a Hidden's place
	Elems   []Value  // of an Array
	Members []Member // of an Object, in byte order of their names
}

// A Member is one member of an object.
type Member struct {
	Name  string
	Value Value
}

// Get returns the object's member of that name.
func (v Value) Get(name string) (Value, bool) {
	i, ok := slices.BinarySearchFunc(v.Members, name, func(m Member, name string) int { return strings.Compare(m.Name, name) })
	if !ok {
		return Value{}, false
	}
	return v.Members[i].Value, true
}

// Parse reads exactly one JSON value. Its errors name the byte offset.
func Parse(data []byte) (Value, error) {
	d := jsontext.NewDecoder(bytes.NewBuffer(data))
	left := MaxValues
	v, err := parse(d, 0, &left)
	if err != nil {
		return Value{}, clean(err)
	}
	end := d.InputOffset()
	if _, err := d.ReadToken(); err != io.EOF {
		if err == nil {
			err = fmt.Errorf("more follows the JSON value that ends at byte %d", end)
		}
		return Value{}, clean(err)
	}
	return v, nil
}

func clean(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("there is no JSON value")
	}
	return fmt.Errorf("%s", strings.TrimPrefix(err.Error(), "jsontext: "))
}

// parse reads one value at the given depth; left counts how many more there may be.
func parse(d *jsontext.Decoder, depth int, left *int) (Value, error) {
	t, err := d.ReadToken()
	if err != nil {
		return Value{}, err
	}
	if *left--; *left < 0 {
		return Value{}, fmt.Errorf("there are more than %d values at byte %d", MaxValues, d.InputOffset())
	}
	if k := t.Kind(); (k == '{' || k == '[') && depth == MaxDepth {
		return Value{}, fmt.Errorf("arrays and objects nest deeper than %d at byte %d", MaxDepth, d.InputOffset())
	}
	switch t.Kind() {
	case 'n':
		return Value{}, nil
	case 't', 'f':
		return Value{Kind: Bool, Bool: t.Bool()}, nil
	case '0':
		return Value{Kind: Number, Text: t.String()}, nil
	case '"':
		return Value{Kind: String, Text: t.String()}, nil
	case '[':
		v := Value{Kind: Array}
		for d.PeekKind() != ']' {
			e, err := parse(d, depth+1, left)
			if err != nil {
				return Value{}, err
			}
			v.Elems = append(v.Elems, e)
		}
		_, err := d.ReadToken()
		return v, err
	default:
		v := Value{Kind: Object}
		for d.PeekKind() != '}' {
			t, err := d.ReadToken()
			if err != nil {
				return Value{}, err
			}
			name := t.String()
			e, err := parse(d, depth+1, left)
			if err != nil {
				return Value{}, err
			}
			v.Members = append(v.Members, Member{name, e})
		}
		slices.SortFunc(v.Members, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
		_, err := d.ReadToken()
		return v, err
	}
}

// Append writes v compactly: members in byte order of their names, strings as
// AppendString does, numbers with the digits they came in. Parse of the result
// gives v again.
func (v Value) Append(dst []byte) []byte {
	switch v.Kind {
	case Null, Hidden:
		return append(dst, "null"...)
	case Bool:
		if v.Bool {
			return append(dst, "true"...)
		}
		return append(dst, "false"...)
	case Number:
		return append(dst, v.Text...)
	case String:
		return AppendString(dst, v.Text)
	case Array:
		dst = append(dst, '[')
		for i, e := range v.Elems {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = e.Append(dst)
		}
		return append(dst, ']')
	default:
		dst = append(dst, '{')
		for i, m := range v.Members {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = AppendString(dst, m.Name)
			dst = append(dst, ':')
			dst = m.Value.Append(dst)
		}
		return append(dst, '}')
	}
}

const lowerHex = "0123456789abcdef"

// AppendString writes s as a JSON string in the one form that RFC 8785, section
// 3.2.2.2, allows. s must be valid UTF-8.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\r':
			dst = append(dst, '\\', 'r')
		default:
			dst = append(dst, '\\', 'u', '0', '0', lowerHex[c>>4], lowerHex[c&15])
		}
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

// ReadString reads one JSON string in exactly the form that AppendString writes
// from the front of data, and returns what follows it.
func ReadString(data []byte) (s string, rest []byte, err error) {
	if len(data) == 0 || data[0] != '"' {
		return "", nil, errors.New("a string was expected")
	}
	plain := true
	for i := 1; i < len(data); i++ {
		switch c := data[i]; {
		case c == '"':
			raw := data[1:i]
			if !utf8.Valid(raw) {
				return "", nil, errors.New("a string is not valid UTF-8")
			}
			if plain {
				return string(raw), data[i+1:], nil
			}
			s, err := unescape(raw)
			return s, data[i+1:], err
		case c == '\\':
			plain = false
			i++
		case c < 0x20:
			return "", nil, fmt.Errorf("a string has the control character 0x%02x unescaped", c)
		}
	}
	return "", nil, errors.New("a string has no end")
}

// ReadNumber reads one JSON number (RFC 8259, section 6) from the front of data, and
// returns its digits as they stand and what follows it.
func ReadNumber(data []byte) (digits string, rest []byte, err error) {
	i := 0
	at := func(c byte) bool { return i < len(data) && data[i] == c }
	run := func() bool { // one digit or more
		from := i
		for i < len(data) && data[i] >= '0' && data[i] <= '9' {
			i++
		}
		return i > from
	}
	if at('-') {
		i++
	}
	ok := true
	if at('0') {
		i++
	} else {
		ok = run()
	}
	if ok && at('.') {
		i++
		ok = run()
	}
	if ok && (at('e') || at('E')) {
		i++
		if at('+') || at('-') {
			i++
		}
		ok = run()
	}
	if !ok {
		return "", nil, errors.New("a number was expected")
	}
	return string(data[:i]), data[i:], nil
}

var errEscape = errors.New("a string has an escape that RFC 8785 does not write")

func unescape(raw []byte) (string, error) {
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			out = append(out, raw[i])
			continue
		}
		i++ // ReadString saw to it that a byte follows
		switch c := raw[i]; c {
		case '"', '\\':
			out = append(out, c)
		case 'b':
			out = append(out, '\b')
		case 't':
			out = append(out, '\t')
		case 'n':
			out = append(out, '\n')
		case 'f':
			out = append(out, '\f')
		case 'r':
			out = append(out, '\r')
		case 'u':
			if i+4 >= len(raw) || raw[i+1] != '0' || raw[i+2] != '0' {
				return "", errEscape
			}
			hi, lo := strings.IndexByte("01", raw[i+3]), strings.IndexByte(lowerHex, raw[i+4])
			if hi < 0 || lo < 0 {
				return "", errEscape
			}
			b := byte(hi<<4 | lo)
			if strings.IndexByte("\b\t\n\f\r", b) >= 0 {
				return "", errEscape
			}
			out = append(out, b)
			i += 4
		default:
			return "", errEscape
		}
	}
	return string(out), nil
}
