package receipt

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strconv"
	"strings"

	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

// Limits of what can be committed to.
const (
	MaxFields       = 4096    // lines of one value
	MaxPointerBytes = 4096    // of one line's pointer
	MaxFlatBytes    = 4 << 20 // of all lines of one value
)

// A Secret salts the lines of one payload. The answer to a call returns it as
// "opening"; erasing it, with the payload, leaves a commitment that tells nothing.
type Secret [32]byte

// Salt is the salt of one line: the first 16 bytes of HMAC-SHA-256 under the
// secret of "helm/salt/v1", LF and the line's pointer.
func (s *Secret) Salt(pointer string) [16]byte { return newSalter(s).salt(pointer) }

type salter struct {
	mac hash.Hash
	buf []byte
}

func newSalter(s *Secret) *salter { return &salter{mac: hmac.New(sha256.New, s[:])} }

func (s *salter) salt(pointer string) (salt [16]byte) {
	s.mac.Reset()
	s.buf = append(append(s.buf[:0], "helm/salt/v1\n"...), pointer...)
	s.mac.Write(s.buf)
	s.buf = s.mac.Sum(s.buf[:0])
	copy(salt[:], s.buf)
	return salt
}

// A Line is one line of a flattened value: a container with what it holds, or a
// scalar.
type Line struct {
	Pointer string // RFC 6901
	Kind    strictjson.Kind
	Keys    []string // of an Object, in byte order
	Count   uint64   // of an Array
	Bool    bool     // of a Bool
	Text    string   // of a String, or a Number's digits as they came in
}

// Input is the value that a decision commits to. A call without a context has no
// such member.
func Input(arguments, context strictjson.Value) strictjson.Value {
	v := strictjson.Value{Kind: strictjson.Object, Members: []strictjson.Member{{Name: "arguments", Value: arguments}}}
	if context.Kind != strictjson.Null {
		v.Members = append(v.Members, strictjson.Member{Name: "context", Value: context})
	}
	return v
}

// Flatten turns a value into lines, in byte order of their pointers. Two values
// that differ have different lines.
func Flatten(v strictjson.Value) ([]Line, error) {
	f := flattener{lines: make([]Line, 0, 8)}
	if err := f.add("", v, 0); err != nil {
		return nil, fmt.Errorf("flatten: %w", err)
	}
	slices.SortFunc(f.lines, func(a, b Line) int { return strings.Compare(a.Pointer, b.Pointer) })
	return f.lines, nil
}

type flattener struct {
	lines []Line
	size  int
}

// add appends the lines of a value inside depth containers.
func (f *flattener) add(pointer string, v strictjson.Value, depth int) error {
	f.size += len(pointer) + len(v.Text) + 16
	for _, m := range v.Members {
		f.size += len(m.Name) + 3
	}
	if f.size > MaxFlatBytes {
		return fmt.Errorf("the value has more than %d bytes in lines", MaxFlatBytes)
	}
	if len(f.lines)+len(v.Members)+len(v.Elems) >= MaxFields {
		return fmt.Errorf("the value has more than %d fields", MaxFields)
	}
	if len(pointer) > MaxPointerBytes {
		return fmt.Errorf("a field's pointer has more than %d bytes", MaxPointerBytes)
	}
	l := Line{Pointer: pointer, Kind: v.Kind, Bool: v.Bool, Text: v.Text, Count: uint64(len(v.Elems))}
	if l.container() && depth == strictjson.MaxDepth {
		return fmt.Errorf("arrays and objects nest deeper than %d", strictjson.MaxDepth)
	}
	if len(v.Members) > 0 {
		l.Keys = make([]string, len(v.Members))
		for i, m := range v.Members {
			l.Keys[i] = m.Name
		}
	}
	f.lines = append(f.lines, l)
	for i, e := range v.Elems {
		if err := f.add(pointer+"/"+strconv.Itoa(i), e, depth+1); err != nil {
			return err
		}
	}
	for _, m := range v.Members {
		if err := f.add(pointer+"/"+escapeToken(m.Name), m.Value, depth+1); err != nil {
			return err
		}
	}
	return nil
}

var (
	tokenEscaper   = strings.NewReplacer("~", "~0", "/", "~1")
	tokenUnescaper = strings.NewReplacer("~1", "/", "~0", "~")
)

// escapeToken escapes one reference token of RFC 6901.
func escapeToken(s string) string {
	if !strings.ContainsAny(s, "~/") {
		return s
	}
	return tokenEscaper.Replace(s)
}

func (l *Line) container() bool {
	return l.Kind == strictjson.Object || l.Kind == strictjson.Array
}

// Append prints the line: [pointer,{"object":[keys]}], [pointer,{"array":count}]
// or [pointer,"v",value].
func (l *Line) Append(dst []byte) []byte {
	dst = append(dst, '[')
	dst = strictjson.AppendString(dst, l.Pointer)
	switch l.Kind {
	case strictjson.Object:
		dst = append(dst, `,{"object":[`...)
		for i, k := range l.Keys {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = strictjson.AppendString(dst, k)
		}
		return append(dst, "]}]"...)
	case strictjson.Array:
		dst = append(dst, `,{"array":`...)
		dst = strconv.AppendUint(dst, l.Count, 10)
		return append(dst, "}]"...)
	default:
		dst = append(dst, `,"v",`...)
		dst = strictjson.Value{Kind: l.Kind, Bool: l.Bool, Text: l.Text}.Append(dst)
		return append(dst, ']')
	}
}

const fieldsHeader = "helm/fields/v1\n"

// FieldsFile is the fields file of a flattened value under a secret: a header and
// one digest a line. Its SHA-256 is the commitment.
func FieldsFile(secret *Secret, lines []Line) []byte {
	s := newSalter(secret)
	b := make([]byte, 0, len(fieldsHeader)+45*len(lines))
	b = append(b, fieldsHeader...)
	var buf []byte
	for i := range lines {
		salt := s.salt(lines[i].Pointer)
		buf = lines[i].Append(append(buf[:0], salt[:]...))
		b = appendDigest(b, sha256.Sum256(buf))
	}
	return b
}

func appendDigest(b []byte, digest Hash) []byte {
	b = base64.StdEncoding.AppendEncode(b, digest[:])
	return append(b, '\n')
}

// Commit is the commitment to a flattened value under a secret.
func Commit(secret *Secret, lines []Line) Hash { return sha256.Sum256(FieldsFile(secret, lines)) }

// A Disclosure opens some lines of a commitment and leaves the others closed.
type Disclosure struct {
	Index uint64 // of the entry whose subject it opens
	Lines []DisclosedLine
}

// A DisclosedLine is an open line with its salt or, where it is closed, its
// digest.
type DisclosedLine struct {
	Open   bool
	Digest Hash // of a closed line
	Salt   [16]byte
	Line   Line
}

// Disclose opens every line.
func Disclose(index uint64, secret *Secret, lines []Line) Disclosure {
	s := newSalter(secret)
	d := Disclosure{Index: index, Lines: make([]DisclosedLine, len(lines))}
	for i := range lines {
		d.Lines[i] = DisclosedLine{Open: true, Salt: s.salt(lines[i].Pointer), Line: lines[i]}
	}
	return d
}

// Close closes line i. What it contains must be closed already.
func (d *Disclosure) Close(i int) {
	d.Lines[i] = DisclosedLine{Digest: d.Lines[i].digest()}
}

func (l *DisclosedLine) digest() Hash {
	if !l.Open {
		return l.Digest
	}
	return sha256.Sum256(l.Line.Append(append(make([]byte, 0, 256), l.Salt[:]...)))
}

// FieldsFile is the fields file that the disclosure leads to.
func (d *Disclosure) FieldsFile() []byte {
	b := []byte(fieldsHeader)
	for i := range d.Lines {
		b = appendDigest(b, d.Lines[i].digest())
	}
	return b
}

// Marshal prints the disclosure on one line, without the LF that ends it.
func (d *Disclosure) Marshal() ([]byte, error) { return encode(64+96*len(d.Lines), d.describe) }

// ParseDisclosure reads what Marshal prints, and nothing else. Verify says whether
// it opens a commitment.
func ParseDisclosure(data []byte) (*Disclosure, error) {
	d := new(Disclosure)
	if err := decode(data, d.describe); err != nil {
		return nil, fmt.Errorf("parse disclosure: %w", err)
	}
	return d, nil
}

func (d *Disclosure) describe(c *codec) {
	c.object(func() {
		c.name("index")
		c.number(&d.Index)
		c.name("lines")
		list(c, &d.Lines, MaxFields, func(l *DisclosedLine) {
			if !c.writing {
				l.Open = bytes.HasPrefix(c.buf, []byte("["))
			}
			if !l.Open {
				c.base64(l.Digest[:])
				return
			}
			c.lit("[")
			c.base64(l.Salt[:])
			c.lit(",")
			c.line(&l.Line)
			c.lit("]")
		})
	})
}

func (c *codec) line(l *Line) {
	if c.err != nil {
		return
	}
	if c.writing {
		c.buf = l.Append(c.buf)
		return
	}
	c.lit("[")
	c.text(&l.Pointer, MaxPointerBytes)
	switch {
	case bytes.HasPrefix(c.buf, []byte(`,{"object":[`)):
		l.Kind = strictjson.Object
		c.lit(`,{"object":`)
		list(c, &l.Keys, MaxFields, func(k *string) { c.text(k, MaxFlatBytes) })
		for i := 1; i < len(l.Keys); i++ {
			if l.Keys[i-1] >= l.Keys[i] {
				c.fail("an object's keys are not in byte order")
			}
		}
		c.lit("}]")
	case bytes.HasPrefix(c.buf, []byte(`,{"array":`)):
		l.Kind = strictjson.Array
		c.lit(`,{"array":`)
		c.number(&l.Count)
		c.lit("}]")
	default:
		c.lit(`,"v",`)
		c.scalar(l)
		c.lit("]")
	}
}

func (c *codec) scalar(l *Line) {
	if c.err != nil {
		return
	}
	switch {
	case bytes.HasPrefix(c.buf, []byte(`"`)):
		l.Kind = strictjson.String
		c.text(&l.Text, MaxFlatBytes)
	case bytes.HasPrefix(c.buf, []byte("null")):
		c.lit("null")
	case bytes.HasPrefix(c.buf, []byte("t")), bytes.HasPrefix(c.buf, []byte("f")):
		l.Kind = strictjson.Bool
		c.boolean(&l.Bool)
	default:
		digits, rest, err := strictjson.ReadNumber(c.buf)
		if err != nil {
			c.fail("a scalar was expected")
			return
		}
		l.Kind, l.Text, c.buf = strictjson.Number, digits, rest
	}
}

// Verify returns an error unless the disclosure leads to the commitment, and its
// open lines are parts of one value: every open line's containers are open and
// hold it, and what an open container holds and no open line shows has a closed
// line where it belongs. So a field is absent only when an open container lacks
// it.
func (d *Disclosure) Verify(commitment Hash) error {
	if got := sha256.Sum256(d.FieldsFile()); got != commitment {
		return fmt.Errorf("disclosure of entry %d: its lines lead to the commitment %x, the entry's is %x", d.Index, got, commitment)
	}
	if err := d.checkShape(); err != nil {
		return fmt.Errorf("disclosure of entry %d: %w", d.Index, err)
	}
	return nil
}

func (d *Disclosure) checkShape() error {
	if len(d.Lines) == 0 {
		return errors.New("it has no line")
	}
	open := map[string]*Line{}
	var pointers []string // of open lines, in order
	gaps := []int{0}      // closed lines before each of them, and after the last
	for i := range d.Lines {
		if !d.Lines[i].Open {
			gaps[len(pointers)]++
			continue
		}
		l := &d.Lines[i].Line
		if (l.Pointer == "") != (i == 0) {
			return fmt.Errorf("line %d has the pointer %q: the first line, and only it, is the whole value", i+1, l.Pointer)
		}
		if n := len(pointers); n > 0 && pointers[n-1] >= l.Pointer {
			return fmt.Errorf("the pointers %q and %q are not in byte order", pointers[n-1], l.Pointer)
		}
		if l.container() && strings.Count(l.Pointer, "/") >= strictjson.MaxDepth {
			return fmt.Errorf("the container %q nests deeper than %d", l.Pointer, strictjson.MaxDepth)
		}
		if l.Pointer != "" {
			cut := strings.LastIndexByte(l.Pointer, '/')
			if cut < 0 {
				return fmt.Errorf("%q is not a pointer", l.Pointer)
			}
			parent := open[l.Pointer[:cut]]
			if parent == nil {
				return fmt.Errorf("the field %q is open and what contains it is not", l.Pointer)
			}
			if !parent.holds(l.Pointer[cut+1:]) {
				return fmt.Errorf("the field %q is not one that its container holds", l.Pointer)
			}
		}
		open[l.Pointer] = l
		pointers = append(pointers, l.Pointer)
		gaps = append(gaps, 0)
	}
	if len(pointers) == 0 {
		return nil // the whole value is closed
	}
	return checkClosed(open, pointers, gaps)
}

// checkClosed holds the closed lines to what the open containers say: each child that
// is not open has one in the gap where its pointer belongs, and all others can be
// below such a child. What is below it has its pointer and "/" in front, and so stands in
// one gap, because none of it can be open. Its work is bounded by the number of lines,
// whatever an array's line claims to hold.
func checkClosed(open map[string]*Line, pointers []string, gaps []int) error {
	below := make([]bool, len(gaps)) // a hidden child's descendants belong there
	for _, p := range pointers {
		for child := range open[p].children() {
			if open[child] != nil {
				continue
			}
			at, _ := slices.BinarySearch(pointers, child)
			if gaps[at]--; gaps[at] < 0 {
				return fmt.Errorf("the container %q holds %q, which has neither an open nor a closed line", p, child)
			}
			at, _ = slices.BinarySearch(pointers, child+"/")
			below[at] = true
		}
	}
	for i, n := range gaps {
		if n > 0 && !below[i] {
			return errors.New("a closed line stands where no container has a hidden field")
		}
	}
	return nil
}

// holds reports whether a container's line says that it holds this token.
func (l *Line) holds(token string) bool {
	switch l.Kind {
	case strictjson.Object:
		name := tokenUnescaper.Replace(token)
		_, found := slices.BinarySearch(l.Keys, name)
		return found && escapeToken(name) == token
	case strictjson.Array:
		n, err := parseNumber(token)
		return err == nil && n < l.Count
	}
	return false
}

// children are the pointers of what a container holds.
func (l *Line) children() func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for _, k := range l.Keys {
			if !yield(l.Pointer + "/" + escapeToken(k)) {
				return
			}
		}
		for i := range l.Count {
			if !yield(l.Pointer + "/" + strconv.FormatUint(i, 10)) {
				return
			}
		}
	}
}

// Value puts the disclosed value together again, with strictjson.Hidden in the place of
// what is closed; whole is that nothing is. The disclosure must have passed Verify.
func (d *Disclosure) Value() (v strictjson.Value, whole bool) {
	lines := make(map[string]*Line, len(d.Lines))
	for i := range d.Lines {
		if l := &d.Lines[i]; l.Open {
			lines[l.Line.Pointer] = &l.Line
		}
	}
	return rebuild(lines, ""), len(lines) == len(d.Lines)
}

func rebuild(lines map[string]*Line, pointer string) strictjson.Value {
	l := lines[pointer]
	if l == nil {
		return strictjson.Value{Kind: strictjson.Hidden, Text: pointer}
	}
	v := strictjson.Value{Kind: l.Kind, Bool: l.Bool, Text: l.Text}
	for _, k := range l.Keys {
		v.Members = append(v.Members, strictjson.Member{Name: k, Value: rebuild(lines, pointer+"/"+escapeToken(k))})
	}
	for i := range l.Count {
		v.Elems = append(v.Elems, rebuild(lines, pointer+"/"+strconv.FormatUint(i, 10)))
	}
	return v
}
