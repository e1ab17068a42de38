package policy

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// maxNesting bounds how deep arrays and inline tables may nest in what Tidy takes.
const maxNesting = 100

// Tidy gives a policy file's text in its one form: spec/policy.md, Form. White space,
// commas behind the last element and the quotes of plain strings change, nothing else does.
// That is checked: the result holds the same document and the same comments as src, or it
// is an error. What src says need not be a policy; where it is no TOML, the error is an *Error.
func Tidy(name string, src []byte) ([]byte, error) {
	s := &source{name: name, text: src}
	if len(src) > MaxFileBytes {
		s.at(0, "the file is too large: at most 1 MiB is allowed", "")
		return nil, s.err()
	}
	before := s.parse()
	if before == nil {
		return nil, s.err()
	}
	f := &formatter{in: src}
	if err := f.file(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	out := f.out.Bytes()
	var after map[string]any
	if err := toml.Unmarshal(out, &after); err != nil || !reflect.DeepEqual(before, after) || !slices.Equal(comments(src), comments(out)) {
		return nil, fmt.Errorf("%s: its text cannot be put into form without changing what it says: leave it as it is, and report this", name)
	}
	return out, nil
}

// comments are those of a TOML document, as the parser finds them.
func comments(doc []byte) []string {
	p := unstable.Parser{KeepComments: true}
	p.Reset(doc)
	at := map[uint32]string{}
	var walk func(n *unstable.Node)
	walk = func(n *unstable.Node) {
		for ; n != nil; n = n.Next() {
			if n.Kind == unstable.Comment {
				at[n.Raw.Offset] = strings.TrimRight(string(n.Data), " \t\r")
			}
			walk(n.Child())
		}
	}
	var out []string
	for p.NextExpression() {
		clear(at)
		walk(p.Expression())
		var offsets []uint32
		for o := range at {
			offsets = append(offsets, o)
		}
		slices.Sort(offsets)
		for _, o := range offsets {
			out = append(out, at[o])
		}
	}
	return out
}

// A formatter writes a TOML document that a parser has accepted, so what it meets is well formed.
type formatter struct {
	in    []byte
	at    int // what was read of it
	out   bytes.Buffer
	depth int // of arrays and inline tables
	wide  int // of them, those that go over several lines
}

var errLost = errors.New("the formatter lost its way: report this")

// file writes the lines of a document. One blank line stands before each table, with the
// comment that belongs to it; elsewhere there is one where there was one or more.
func (f *formatter) file() error {
	afterHeader := false
	for {
		blank := f.blankLines() && f.out.Len() > 0 && !afterHeader
		if f.at == len(f.in) {
			return nil
		}
		block := f.commentBlock()
		header := f.peek() == '['
		if blank || header && f.out.Len() > 0 {
			f.out.WriteByte('\n')
		}
		f.out.Write(block)
		afterHeader = false
		switch c := f.peek(); {
		case c == 0 || c == '\n' || c == '\r': // the comment stands alone
			continue
		case header:
			f.header()
			afterHeader = true
		default:
			if err := f.keyValue(); err != nil {
				return err
			}
		}
		if !f.endLine() {
			return errLost
		}
	}
}

// blankLines takes empty lines, and reports whether there was one.
func (f *formatter) blankLines() bool {
	found := false
	for {
		f.space()
		if !f.newline() {
			return found
		}
		found = true
	}
}

// commentBlock takes the comments of the next lines that nothing parts.
func (f *formatter) commentBlock() []byte {
	var out []byte
	for {
		f.space()
		if f.peek() != '#' {
			return out
		}
		out = append(out, f.comment()...)
		out = append(out, '\n')
		f.newline()
	}
}

// endLine takes the rest of a line behind a header or a value.
func (f *formatter) endLine() bool {
	f.space()
	if f.peek() == '#' {
		f.out.WriteByte(' ')
		f.out.Write(f.comment())
	}
	f.out.WriteByte('\n')
	return f.newline() || f.at == len(f.in)
}

func (f *formatter) header() {
	n := 1
	if f.at++; f.peek() == '[' {
		f.at++
		n = 2
	}
	f.out.WriteString("[["[:n])
	f.key()
	f.at += n
	f.out.WriteString("]]"[:n])
}

func (f *formatter) keyValue() error {
	f.key()
	if f.peek() != '=' {
		return errLost
	}
	f.at++
	f.out.WriteString(" = ")
	f.space()
	return f.value()
}

// key writes a key and its dots.
func (f *formatter) key() {
	for {
		f.space()
		switch f.peek() {
		case '"', '\'':
			f.out.Write(plainKey(f.text()))
		default:
			f.out.Write(f.word())
		}
		f.space()
		if f.peek() != '.' {
			return
		}
		f.at++
		f.out.WriteByte('.')
	}
}

func (f *formatter) value() error {
	switch f.peek() {
	case '"', '\'':
		f.out.Write(plainText(f.text()))
		return nil
	case '[':
		return f.list(']', f.value)
	case '{':
		return f.list('}', f.keyValue)
	}
	w := f.bare()
	if len(w) == 0 {
		return errLost
	}
	f.out.Write(w)
	return nil
}

// list writes an array or an inline table. One that goes over several lines has brackets
// on lines of their own and a comma behind each element, and keeps its lines otherwise.
func (f *formatter) list(closing byte, element func() error) error {
	if f.depth++; f.depth > maxNesting {
		return fmt.Errorf("arrays and inline tables nest deeper than %d", maxNesting)
	}
	defer func() { f.depth-- }()
	wide := f.isWide()
	f.out.WriteByte(f.in[f.at])
	f.at++
	if wide {
		return f.wideList(closing, element)
	}
	pad := ""
	if closing == '}' {
		pad = " "
	}
	for first := true; ; first = false {
		f.gap()
		switch {
		case f.peek() == 0:
			return errLost
		case f.peek() == closing && first:
			pad = ""
			fallthrough
		case f.peek() == closing:
			f.at++
			f.out.WriteString(pad + string(closing))
			return nil
		case first:
			f.out.WriteString(pad)
		default:
			f.out.WriteString(", ")
		}
		if err := element(); err != nil {
			return err
		}
	}
}

func (f *formatter) wideList(closing byte, element func() error) error {
	f.wide++
	for first := true; ; first = false {
		line, blank := f.gap()
		c := f.peek()
		switch {
		case c == 0:
			return errLost
		case c == closing:
			f.at++
			f.wide--
			f.indent()
			f.out.WriteByte(closing)
			return nil
		case line || first:
			if blank && !first {
				f.out.WriteByte('\n')
			}
			f.indent()
		default:
			f.out.WriteByte(' ')
		}
		if c == '#' {
			f.out.Write(f.comment())
			continue
		}
		if err := element(); err != nil {
			return err
		}
		f.out.WriteByte(',')
	}
}

func (f *formatter) indent() {
	f.out.WriteByte('\n')
	f.out.WriteString(strings.Repeat("  ", f.wide))
}

// gap takes what stands between two elements but for comments, and reports whether a
// line ends there, and whether one is empty.
func (f *formatter) gap() (line, blank bool) {
	ends := 0
	for {
		f.space()
		switch {
		case f.newline():
			ends++
			line, blank = true, blank || ends > 1
		case f.peek() == ',':
			f.at++
			ends = 0
		default:
			return line, blank
		}
	}
}

// isWide reports whether a line ends between the brackets of the list that begins here,
// but not within an element of it, and something is there.
func (f *formatter) isWide() bool {
	defer func(at int) { f.at = at }(f.at)
	line, some := false, false
	for depth := 0; f.at < len(f.in); {
		switch f.peek() {
		case '[', '{':
			depth++
			some = some || depth > 1
			f.at++
		case ']', '}':
			if depth--; depth == 0 {
				return line && some
			}
			f.at++
		case '#':
			f.comment()
			some = true
		case '"', '\'':
			f.text()
			some = true
		case '\n':
			line = line || depth == 1
			f.at++
		case ' ', '\t', '\r', ',':
			f.at++
		default:
			some = true
			f.at++
		}
	}
	return false
}

// peek is the next byte, 0 at the end.
func (f *formatter) peek() byte {
	if f.at < len(f.in) {
		return f.in[f.at]
	}
	return 0
}

func (f *formatter) space() {
	for f.peek() == ' ' || f.peek() == '\t' {
		f.at++
	}
}

func (f *formatter) newline() bool {
	n := 0
	switch {
	case bytes.HasPrefix(f.in[f.at:], []byte("\n")):
		n = 1
	case bytes.HasPrefix(f.in[f.at:], []byte("\r\n")):
		n = 2
	}
	f.at += n
	return n > 0
}

// until takes the bytes before the first of stop.
func (f *formatter) until(stop string) []byte {
	from := f.at
	if i := bytes.IndexAny(f.in[from:], stop); i >= 0 {
		f.at += i
	} else {
		f.at = len(f.in)
	}
	return f.in[from:f.at]
}

func (f *formatter) comment() []byte { return bytes.TrimRight(f.until("\n"), " \t\r") }

// word takes a bare key, bare a value that is no string and no list. There is a space in
// some times.
func (f *formatter) word() []byte { return f.until(" \t.=]\r\n") }
func (f *formatter) bare() []byte { return bytes.TrimRight(f.until(",]}#\r\n"), " \t") }

// text takes a string, quotes included.
func (f *formatter) text() []byte {
	from, quote := f.at, f.in[f.at]
	end := []byte{quote}
	if triple := bytes.Repeat(end, 3); bytes.HasPrefix(f.in[from:], triple) {
		end = triple
	}
	for f.at += len(end); f.at < len(f.in); f.at++ {
		switch {
		case f.in[f.at] == '\\' && quote == '"':
			f.at++
		case bytes.HasPrefix(f.in[f.at:], end):
			f.at += len(end)
			for n := 0; n < 2 && len(end) == 3 && f.peek() == quote; n++ { // the string ends with quotes
				f.at++
			}
			return f.in[from:f.at]
		}
	}
	f.at = len(f.in)
	return f.in[from:]
}

// plainText gives a string of one line double quotes where nothing in it needs others.
func plainText(raw []byte) []byte {
	if raw[0] != '\'' || bytes.HasPrefix(raw, []byte("'''")) || bytes.ContainsAny(raw, `"\`) {
		return raw
	}
	return slices.Concat([]byte{'"'}, raw[1:len(raw)-1], []byte{'"'})
}

// plainKey takes the quotes off a key that needs none.
func plainKey(raw []byte) []byte {
	inner := raw[1 : len(raw)-1]
	if len(inner) == 0 || bytes.ContainsFunc(inner, func(r rune) bool {
		return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		return plainText(raw)
	}
	return inner
}
