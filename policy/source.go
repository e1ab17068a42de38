package policy

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// An Error is why a policy file is refused: everything that was found wrong with
// it, in the order of the file.
type Error struct {
	Findings []Finding
}

// A Finding is one thing that is wrong with a policy file, and where.
type Finding struct {
	File       string `json:"file"`
	Line       int    `json:"line"`   // from 1
	Column     int    `json:"column"` // from 1, in characters
	Excerpt    string `json:"excerpt,omitzero"`
	Message    string `json:"message"`
	Suggestion string `json:"suggestion,omitzero"` // what was probably meant, or ""
	Code       string `json:"code"`                // of what kind it is: one of Codes
	Warning    bool   `json:"warning,omitzero"`    // the file is good all the same
}

// The kinds of findings, append-only (spec/policy.md).
const (
	CodeSyntax      = "syntax"       // it is no TOML
	CodeForm        = "form"         // a key or a value is not what it must be
	CodeUnknownTool = "unknown-tool" // no declared tool has the name
	CodeCondition   = "condition"    // a condition is wrong
	CodeCost        = "cost"         // a condition may cost too much
	CodeUnreachable = "unreachable"  // a rule never decides
	CodeTest        = "test"         // a test of the file fails
	CodeDuplicate   = "duplicate"    // a rule changes nothing
	CodeUnused      = "unused"       // nothing uses it
)

// Codes are the kinds of findings, each with what it says.
var Codes = []struct{ Code, Says string }{
	{CodeSyntax, "The file is no TOML."},
	{CodeForm, "A key or a value is not what it must be."},
	{CodeUnknownTool, "No tool that is declared has the name."},
	{CodeCondition, "A condition is wrong: its syntax, its types, or what a fact is asked for."},
	{CodeCost, "A condition may cost more than is allowed."},
	{CodeUnreachable, "A rule never decides."},
	{CodeTest, "A test of the file fails."},
	{CodeDuplicate, "A rule changes nothing."},
	{CodeUnused, "A list or a tool is not used."},
}

func (e *Error) Error() string {
	var b strings.Builder
	for i, f := range e.Findings {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(f.String())
	}
	return b.String()
}

// String prints the finding as a compiler does: place and message, the line, a
// caret under the place.
func (f Finding) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: ", f.File, f.Line, f.Column)
	if f.Warning {
		b.WriteString("warning: ")
	}
	b.WriteString(f.Message)
	if f.Suggestion != "" {
		fmt.Fprintf(&b, "; did you mean %q?", f.Suggestion)
	}
	if f.Excerpt == "" {
		return b.String()
	}
	fmt.Fprintf(&b, "\n  | %s\n  | ", f.Excerpt)
	n := 1
	for _, r := range f.Excerpt {
		if n == f.Column {
			break
		}
		if r != '\t' {
			r = ' ' // a tab stays one, so that the caret stands under its character
		}
		b.WriteRune(r)
		n++
	}
	b.WriteByte('^')
	return b.String()
}

// maxFindings bounds what one refusal prints.
const maxFindings = 20

// A source is a policy file's text, where each of its keys and values stands,
// and what was found wrong with it.
//
// A path names a key by its way through the file, as "rule.2.when".
type source struct {
	name     string
	text     []byte
	keys     map[string]int    // path -> offset of the key
	values   map[string][2]int // path -> offsets of the value, from and to, where the parser gives them
	findings []found
	warnings []found

	accepted bool // Compile has accepted it before: see Accepted
}

type found struct {
	offset int
	same   string // two findings at one place that say the same are one
	Finding
}

// parse reads TOML into s and returns the document.
func (s *source) parse() map[string]any {
	var doc map[string]any
	if err := toml.Unmarshal(s.text, &doc); err != nil {
		offset := 0
		if at := (*toml.DecodeError)(nil); errors.As(err, &at) {
			line, column := at.Position()
			offset = s.offset(line, column)
		}
		s.at(offset, strings.TrimPrefix(err.Error(), "toml: "), "")
		s.code(CodeSyntax)
		return nil
	}
	s.locate()
	return doc
}

// locate walks the syntax tree once more, because the decoder does not tell
// where a value stands.
func (s *source) locate() {
	s.keys, s.values = map[string]int{}, map[string][2]int{}
	tables := map[string]int{} // path of an array of tables -> how many there are
	p := unstable.Parser{}
	p.Reset(s.text)
	prefix := ""
	for p.NextExpression() {
		e := p.Expression()
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			prefix = ""
			for it := e.Key(); it.Next(); {
				prefix = join(prefix, string(it.Node().Data))
				if _, seen := s.keys[prefix]; !seen {
					s.keys[prefix] = int(it.Node().Raw.Offset) // of an unknown array of tables, too
				}
				if it.IsLast() && e.Kind == unstable.ArrayTable {
					tables[prefix]++
				}
				if n := tables[prefix]; n > 0 {
					prefix = fmt.Sprintf("%s.%d", prefix, n-1)
				}
				if _, seen := s.keys[prefix]; !seen {
					s.keys[prefix] = int(it.Node().Raw.Offset)
				}
			}
		case unstable.KeyValue:
			s.keyValue(&p, prefix, e)
		}
	}
}

func (s *source) keyValue(p *unstable.Parser, path string, kv *unstable.Node) {
	for it := kv.Key(); it.Next(); {
		path = join(path, string(it.Node().Data))
		if _, seen := s.keys[path]; !seen {
			s.keys[path] = int(it.Node().Raw.Offset)
		}
	}
	s.value(p, path, kv.Value())
}

func (s *source) value(p *unstable.Parser, path string, v *unstable.Node) {
	if v.Raw.Length > 0 {
		s.values[path] = [2]int{int(v.Raw.Offset), int(v.Raw.Offset + v.Raw.Length)}
	}
	switch v.Kind {
	case unstable.Array:
		i := 0
		for it := v.Children(); it.Next(); {
			if it.Node().Kind == unstable.Comment {
				continue
			}
			s.value(p, indexed(path, i), it.Node())
			i++
		}
	case unstable.InlineTable:
		for it := v.Children(); it.Next(); {
			if it.Node().Kind == unstable.KeyValue {
				s.keyValue(p, path, it.Node())
			}
		}
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// key reports what is wrong with the key at path.
func (s *source) key(path, suggestion, format string, a ...any) {
	s.at(s.keyOffset(path), fmt.Sprintf(format, a...), suggestion)
}

func (s *source) keyOffset(path string) int {
	for {
		if at, ok := s.keys[path]; ok {
			return at
		}
		i := strings.LastIndexByte(path, '.')
		if i < 0 {
			return 0
		}
		path = path[:i]
	}
}

// val reports what is wrong with the value at path.
func (s *source) val(path, suggestion, format string, a ...any) {
	offset := s.keyOffset(path)
	if at, ok := s.values[path]; ok {
		offset = at[0]
	}
	s.at(offset, fmt.Sprintf(format, a...), suggestion)
}

// inside returns the offset in the file of a byte of the string value at path:
// the value's own start when the string was written with escapes.
func (s *source) inside(path, text string, offset int) int {
	at, ok := s.values[path]
	if !ok {
		return s.keyOffset(path)
	}
	if i := bytes.Index(s.text[at[0]:at[1]], []byte(text)); i >= 0 {
		return at[0] + i + min(offset, len(text))
	}
	return at[0]
}

func (s *source) at(offset int, message, suggestion string) {
	s.findings = append(s.findings, s.found(offset, message, suggestion))
}

func (s *source) found(offset int, message, suggestion string) found {
	line, column, excerpt := s.position(offset)
	return found{offset, message, Finding{File: s.name, Line: line, Column: column, Excerpt: excerpt, Message: message, Suggestion: suggestion, Code: CodeForm}}
}

// code says of what kind the last finding is.
func (s *source) code(code string) { s.findings[len(s.findings)-1].Code = code }

// warn reports what is probably not meant at the key of that path, and refuses nothing.
func (s *source) warn(code, path, format string, a ...any) {
	f := s.found(s.keyOffset(path), fmt.Sprintf(format, a...), "")
	f.Code, f.Warning = code, true
	s.warnings = append(s.warnings, f)
}

// position turns a byte offset into line, column and the line's text.
func (s *source) position(offset int) (line, column int, excerpt string) {
	offset = min(offset, len(s.text))
	start := bytes.LastIndexByte(s.text[:offset], '\n') + 1
	rest := s.text[start:]
	if end := bytes.IndexByte(rest, '\n'); end >= 0 {
		rest = rest[:end]
	}
	return bytes.Count(s.text[:offset], []byte{'\n'}) + 1, utf8.RuneCount(s.text[start:offset]) + 1, printable(strings.TrimSuffix(string(rest), "\r"))
}

// printable keeps an excerpt from driving the terminal that it is shown on, or
// filling it: one character stays one character.
func printable(s string) string {
	n := 0
	return strings.Map(func(r rune) rune {
		n++
		switch {
		case n > 300:
			return -1
		case r == '\t' || (r >= 0x20 && r < 0x7f) || r >= 0xa0 && r != utf8.RuneError && r != 0x2028 && r != 0x2029 && (r < 0x202a || r > 0x202e) && (r < 0x2066 || r > 0x2069):
			return r
		}
		return '?'
	}, s)
}

// offset is where a line and a column, in bytes, both from 1, stand.
func (s *source) offset(line, column int) int {
	at := 0
	for ; line > 1; line-- {
		i := bytes.IndexByte(s.text[at:], '\n')
		if i < 0 {
			break
		}
		at += i + 1
	}
	return min(at+max(column-1, 0), len(s.text))
}

// err returns what was found, or nil.
func (s *source) err() error {
	if len(s.findings) == 0 {
		return nil
	}
	return &Error{inOrder(s.findings)}
}

// inOrder are findings in the order of the file, each once.
func inOrder(all []found) (out []Finding) {
	slices.SortStableFunc(all, func(a, b found) int { return a.offset - b.offset })
	seen := map[string]bool{}
	for _, f := range all {
		if id := fmt.Sprint(f.offset, f.same); !seen[id] && len(out) < maxFindings {
			seen[id] = true
			out = append(out, f.Finding)
		}
	}
	return out
}

// closest returns the candidate that s was probably meant to be, or "".
func closest(s string, candidates []string) string {
	best, least := "", min(len(s)/2, 3)+1
	for _, c := range candidates {
		if strings.EqualFold(c, s) {
			return c
		}
		if len(c) > 200 || len(s) > 200 {
			continue
		}
		if d := distance(s, c); d < least {
			best, least = c, d
		}
	}
	return best
}

// distance counts the letters to insert, drop, change or swap between a and b
// (optimal string alignment).
func distance(a, b string) int {
	var before, last []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}

func indexed(path string, i int) string { return fmt.Sprintf("%s.%d", path, i) }

func sorted(all []string) []string {
	slices.Sort(all)
	return slices.Compact(all)
}
