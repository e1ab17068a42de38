package receipt

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

// A codec writes or reads compact JSON whose members stand in one fixed order.
// Each format is described once, by a function over a codec, and that one
// description both prints and parses: what the parser accepts is exactly what the
// printer writes. After the first error every call does nothing.
type codec struct {
	writing bool
	buf     []byte // written so far, or left to read
	size    int    // of the input, for offsets in errors
	first   bool   // the next member is its object's first
	err     error
}

// encode prints what describe describes, which has about size bytes.
func encode(size int, describe func(*codec)) ([]byte, error) {
	c := &codec{writing: true, buf: make([]byte, 0, size)}
	describe(c)
	return c.buf, c.err
}

// decode parses data as what describe describes, to its last byte.
func decode(data []byte, describe func(*codec)) error {
	c := &codec{buf: data, size: len(data)}
	describe(c)
	if c.err == nil && len(c.buf) > 0 {
		c.fail("%d bytes follow the end", len(c.buf))
	}
	return c.err
}

func (c *codec) fail(format string, args ...any) {
	if c.err != nil {
		return
	}
	c.err = fmt.Errorf(format, args...)
	if !c.writing {
		c.err = fmt.Errorf("byte %d: %w", c.size-len(c.buf), c.err)
	}
}

// lit is bytes that always stand here.
func (c *codec) lit(s string) {
	switch {
	case c.err != nil:
	case c.writing:
		c.buf = append(c.buf, s...)
	case len(c.buf) < len(s) || string(c.buf[:len(s)]) != s:
		c.fail("%q was expected", s)
	default:
		c.buf = c.buf[len(s):]
	}
}

// object is an object with the members that describe describes.
func (c *codec) object(describe func()) {
	c.lit("{")
	outer := c.first
	c.first = true
	describe()
	c.first = outer
	c.lit("}")
}

// name is a member's name, with the comma before it and the colon after it.
func (c *codec) name(name string) {
	if c.err != nil {
		return
	}
	first := c.first
	c.first = false
	if c.writing {
		if !first {
			c.buf = append(c.buf, ',')
		}
		c.buf = append(c.buf, '"')
		c.buf = append(c.buf, name...)
		c.buf = append(c.buf, `":`...)
		return
	}
	rest, ok := c.buf, true
	if !first {
		rest, ok = bytes.CutPrefix(rest, []byte(","))
	}
	if !ok || !startsWithName(rest, name) {
		c.fail("the member %q was expected", name)
		return
	}
	c.buf = rest[len(name)+3:]
}

// startsWithName reports whether b starts with the member's name in quotes and a colon.
func startsWithName(b []byte, name string) bool {
	end := len(name) + 3
	return len(b) >= end && b[0] == '"' && string(b[1:end-2]) == name && b[end-2] == '"' && b[end-1] == ':'
}

// optional is the name of a member that may be absent; present says whether it is
// to be written. It reports whether the member's value stands here.
func (c *codec) optional(name string, present bool) bool {
	if c.err != nil {
		return false
	}
	if !c.writing {
		rest := c.buf
		if !c.first {
			rest = bytes.TrimPrefix(rest, []byte(","))
		}
		present = startsWithName(rest, name)
	}
	if present {
		c.name(name)
	}
	return present
}

// text is a string value of at most max bytes.
func (c *codec) text(s *string, max int) {
	if c.err != nil {
		return
	}
	if !c.writing {
		v, rest, err := strictjson.ReadString(c.buf)
		if err != nil {
			c.fail("%w", err)
			return
		}
		if len(v) > max {
			c.fail("a string has %d bytes: at most %d are allowed", len(v), max)
			return
		}
		*s, c.buf = v, rest
		return
	}
	if len(*s) > max {
		c.fail("a string has %d bytes: at most %d are allowed", len(*s), max)
		return
	}
	if !validText(*s) {
		c.fail("a string is not valid UTF-8")
		return
	}
	c.buf = strictjson.AppendString(c.buf, *s)
}

// checked is a string value that check accepts.
func (c *codec) checked(s *string, max int, check func(string) error) {
	c.text(s, max)
	if c.err == nil {
		if err := check(*s); err != nil {
			c.fail("%w", err)
		}
	}
}

// number is a decimal without leading zeros, below 2^53, so that every JSON
// reader holds it exactly.
func (c *codec) number(n *uint64) {
	if c.err != nil {
		return
	}
	if c.writing {
		if *n > maxNumber {
			c.fail("the number %d is over %d", *n, uint64(maxNumber))
			return
		}
		c.buf = strconv.AppendUint(c.buf, *n, 10)
		return
	}
	end := 0
	for end < len(c.buf) && c.buf[end] >= '0' && c.buf[end] <= '9' {
		end++
	}
	v, err := parseNumber(c.buf[:end])
	if err != nil {
		c.fail("%w", err)
		return
	}
	*n, c.buf = v, c.buf[end:]
}

const maxNumber = 1<<53 - 1

// parseNumber reads a decimal from 0 to maxNumber without leading zeros.
func parseNumber[T string | []byte](s T) (n uint64, err error) {
	ok := len(s) > 0 && len(s) <= len("9007199254740991") && (len(s) == 1 || s[0] != '0')
	for i := 0; ok && i < len(s); i++ {
		ok = s[i] >= '0' && s[i] <= '9'
		n = n*10 + uint64(s[i]-'0')
	}
	if !ok || n > maxNumber {
		return 0, fmt.Errorf("%.40q is not a decimal number from 0 to %d without leading zeros", s, uint64(maxNumber))
	}
	return n, nil
}

func (c *codec) boolean(b *bool) {
	if c.writing {
		c.lit(strconv.FormatBool(*b))
		return
	}
	*b = bytes.HasPrefix(c.buf, []byte("true"))
	c.lit(strconv.FormatBool(*b))
}

// base64 is a string value: b in standard, padded base64. b has its length already.
func (c *codec) base64(b []byte) {
	n := base64.StdEncoding.EncodedLen(len(b))
	c.lit(`"`)
	if c.writing && c.err == nil {
		c.buf = base64.StdEncoding.AppendEncode(c.buf, b)
	} else if c.err == nil {
		if len(c.buf) < n {
			c.fail("%d characters of base64 were expected", n)
			return
		}
		if err := DecodeBase64(b, c.buf[:n]); err != nil {
			c.fail("%w", err)
			return
		}
		c.buf = c.buf[n:]
	}
	c.lit(`"`)
}

// hex is a string value: b in lower case hex. b has its length already.
func (c *codec) hex(b []byte) {
	n := hex.EncodedLen(len(b))
	c.lit(`"`)
	if c.writing && c.err == nil {
		c.buf = hex.AppendEncode(c.buf, b)
	} else if c.err == nil {
		if len(c.buf) < n {
			c.fail("%d characters of hex were expected", n)
			return
		}
		s := c.buf[:n]
		if _, err := hex.Decode(b, s); err != nil || bytes.ContainsAny(s, "ABCDEF") {
			c.fail("%q is not lower case hex", s)
			return
		}
		c.buf = c.buf[n:]
	}
	c.lit(`"`)
}

// timeLayout is RFC 3339 in UTC with exactly six decimals.
const timeLayout = "2006-01-02T15:04:05.000000Z"

// FormatTime prints t as statements do: RFC 3339, UTC, microseconds.
func FormatTime(t time.Time) string { return t.UTC().Format(timeLayout) }

// ParseTime reads what FormatTime prints, and nothing else.
func ParseTime(s string) (time.Time, error) {
	t, err := time.Parse(timeLayout, s)
	var again [len(timeLayout)]byte
	if err != nil || string(t.AppendFormat(again[:0], timeLayout)) != s { // Parse takes a comma for the point, too
		return time.Time{}, fmt.Errorf("%q is not a UTC time with six decimals, as in 2026-01-02T15:04:05.000000Z", s)
	}
	return t, nil
}

func (c *codec) time(t *time.Time) {
	if c.writing {
		if u := t.UTC(); u.Year() < 0 || u.Year() > 9999 {
			c.fail("the year %d has not four digits", u.Year())
			return
		}
		c.lit(`"`)
		if c.err == nil {
			c.buf = t.UTC().AppendFormat(c.buf, timeLayout)
		}
		c.lit(`"`)
		return
	}
	var s string
	c.text(&s, len(timeLayout))
	if c.err == nil {
		v, err := ParseTime(s)
		if err != nil {
			c.fail("%w", err)
			return
		}
		*t = v
	}
}

// list is an array of at most max elements, each described by element.
func list[T any](c *codec, l *[]T, max int, element func(*T)) {
	c.lit("[")
	if c.writing {
		if len(*l) > max {
			c.fail("a list has %d elements: at most %d are allowed", len(*l), max)
		}
		for i := range *l {
			if i > 0 {
				c.lit(",")
			}
			element(&(*l)[i])
		}
		c.lit("]")
		return
	}
	for c.err == nil && !bytes.HasPrefix(c.buf, []byte("]")) {
		if len(*l) > 0 {
			c.lit(",")
		}
		if len(*l) == max {
			c.fail("a list has more than %d elements", max)
			return
		}
		if *l == nil {
			*l = make([]T, 0, min(max, 4))
		}
		*l = append(*l, *new(T))
		element(&(*l)[len(*l)-1])
	}
	c.lit("]")
}

var strictBase64 = base64.StdEncoding.Strict() // refuses trailing bits that are not zero

// DecodeBase64 decodes standard, padded, canonical base64 of exactly len(dst) bytes.
// After an error dst holds nothing of use.
func DecodeBase64[T string | []byte](dst []byte, s T) error {
	if len(s) != base64.StdEncoding.EncodedLen(len(dst)) {
		return fmt.Errorf("base64 of %d bytes has %d characters, not %d", len(dst), base64.StdEncoding.EncodedLen(len(dst)), len(s))
	}
	// The decoder skips CR and LF: a text that has one decodes to fewer bytes.
	buf, err := strictBase64.AppendDecode(dst[:0:len(dst)], []byte(s))
	if err != nil || len(buf) != len(dst) {
		return errors.New("text is not canonical base64")
	}
	return nil
}
