package verifycmd

import (
	"bufio"
	"fmt"
	"strings"
	"unicode/utf16"

	"github.com/helm-ai-kernel/helm-ai-kernel/pack"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
	"github.com/helm-ai-kernel/helm-ai-kernel/verify"
)

// list verifies a pack, says the verdict, and prints the entries that were examined.
func (c *Command) list(f *flags, o verify.Options, trustFile string) (int, error) {
	file, err := c.openPack(f.files[0])
	if err != nil {
		return 0, err
	}
	defer file.Close()
	rep, err := file.verify(o)
	if err != nil {
		return 0, err
	}
	rep.TrustFile = trustFile
	c.hint(rep)
	if f.json {
		_, err = fmt.Fprintf(c.Stderr, "%s\n", rep.Verdict)
	} else {
		err = c.printDoubts(rep)
	}
	if err != nil {
		return 0, err
	}
	p, err := pack.Open(file, file.size)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", file.Name(), err)
	}
	l := &lister{w: bufio.NewWriterSize(c.Stdout, 1<<16), json: f.json, full: f.full}
	if err := l.run(p, rep.Entries); err != nil {
		return 0, fmt.Errorf("%s: %w", file.Name(), err)
	}
	return rep.Exit, l.w.Flush()
}

// printDoubts prints a report without what is proved and what decides nothing.
func (c *Command) printDoubts(rep *verify.Report) error {
	short := *rep
	short.Findings = nil
	for _, f := range rep.Findings {
		if f.Status == verify.Wrong || f.Status == verify.NotProved {
			short.Findings = append(short.Findings, f)
		}
	}
	err := short.Print(c.Stdout)
	if err == nil && len(short.Findings) > 0 {
		_, err = fmt.Fprintln(c.Stdout)
	}
	return err
}

// A lister prints entries, one at a time, so that its memory does not grow with
// their number. What it prints was verified before.
type lister struct {
	w          *bufio.Writer
	json, full bool

	buf []byte
}

func (l *lister) run(p *pack.Reader, entries uint64) error {
	for e, err := range p.Entries(entries) {
		if err != nil {
			return err
		}
		d := newDisclosed(&e)
		l.buf = l.buf[:0]
		if l.json {
			l.object(e.Envelope, e.Statement, d)
		} else {
			l.line(e.Statement, d)
		}
		if _, err := l.w.Write(append(l.buf, '\n')); err != nil {
			return err
		}
	}
	return nil
}

// newDisclosed is what the pack discloses of an entry, or nil.
func newDisclosed(e *pack.Disclosed) *disclosed {
	if e.Disclosure == nil {
		return nil
	}
	v := &disclosed{input: e.Statement.Subject.Name == receipt.SubjectInput, open: map[string]*receipt.Line{}}
	for i := range e.Disclosure.Lines {
		if l := &e.Disclosure.Lines[i]; l.Open {
			v.open[l.Line.Pointer] = &l.Line
		}
	}
	return v
}

// object is an entry as a line of JSON.
func (l *lister) object(env *receipt.Envelope, st *receipt.Statement, d *disclosed) {
	leaf := st.Leaf(env.Payload).Hash()
	l.buf = fmt.Appendf(l.buf, `{"index":%d,"id":"%x","kind":"%s","statement":`, st.Index, leaf[:], st.Body.Kind())
	l.buf = appendASCII(l.buf, env.Payload)
	if d != nil {
		d.hole = "null"
		l.buf = append(l.buf, `,"disclosed":{"value":`...)
		l.buf = appendASCII(l.buf, d.append(nil, ""))
		if len(d.closed) > 0 {
			l.buf = append(l.buf, `,"closed":[`...)
			for i, pointer := range d.closed {
				if i > 0 {
					l.buf = append(l.buf, ',')
				}
				l.buf = appendASCII(l.buf, strictjson.AppendString(nil, pointer))
			}
			l.buf = append(l.buf, ']')
		}
		l.buf = append(l.buf, '}')
	}
	l.buf = append(l.buf, '}')
}

// line is an entry as a line for people.
func (l *lister) line(st *receipt.Statement, d *disclosed) {
	who, tool, verdict, rest := "-", "-", "-", ""
	switch b := st.Body.(type) {
	case *receipt.Decision:
		who, tool, verdict = b.Agent+"/"+b.Session, b.Tool, string(b.Verdict)
		rest = fmt.Sprintf("%s %s", b.Rule, b.Reason.Code)
		if !b.Enforced {
			rest += " (not enforced)"
		}
		if b.Approval != nil {
			rest += fmt.Sprintf(" (approval of entry %d)", b.Approval.Index)
		}
		if b.Shadow != nil {
			rest += fmt.Sprintf(" (shadow policy %s version %d: %s %s %s)", b.Shadow.Policy.ID, b.Shadow.Policy.Version, b.Shadow.Verdict, b.Shadow.Rule, b.Shadow.Code)
		}
	case *receipt.Outcome:
		who, tool = b.Agent+"/"+b.Session, b.Tool
		rest = fmt.Sprintf("%s after %d us, of entry %d", b.Status, b.DurationMicros, b.Decision.Index)
		if b.Conflict != nil {
			rest += fmt.Sprintf(", in conflict with entry %d", b.Conflict.Index)
		}
	case *receipt.Approval:
		who = b.Agent + "/" + b.Session
		rest = fmt.Sprintf("%s of entry %d by %s (%s)", b.Answer, b.Escalation.Index, b.Approver, b.Grade)
	case *receipt.Session:
		who = b.Agent + "/" + b.Session
		rest = fmt.Sprintf("closed (%s)", b.Cause)
	case *receipt.Genesis:
		rest = st.Origin
	case *receipt.Policy:
		rest = fmt.Sprintf("%s version %d, %s, SHA-256 %x", b.Policy.ID, b.Policy.Version, b.Mode, b.Policy.SHA256)
	case *receipt.Key:
		rest = "new key " + receipt.KeyID(b.New[:])
	case *receipt.Boundary:
		rest = fmt.Sprintf("%s %s: %s", b.Boundary, b.Event, b.Covers)
	case *receipt.Freeze:
		rest = fmt.Sprintf("by %s: %s", b.Principal, b.Reason)
	case *receipt.Unfreeze:
		rest = fmt.Sprintf("by %s: %s", b.Principal, b.Reason)
	}
	l.buf = fmt.Appendf(l.buf, "%7d  %s  %-8s  %-32s  %-16s  %-8s  %s", st.Index, receipt.FormatTime(st.Time), st.Body.Kind(),
		verify.Escape(who), verify.Escape(tool), verdict, l.cut([]byte(verify.Escape(rest))))
	switch st.Subject.Name {
	case receipt.SubjectInput, receipt.SubjectResult:
		l.payloadText(d)
	}
}

// payloadText adds what is disclosed of arguments and context, or of a result.
func (l *lister) payloadText(d *disclosed) {
	if d == nil {
		l.buf = append(l.buf, "  <not in the pack>"...)
		return
	}
	d.hole = "<closed>"
	add := func(name, pointer string) {
		l.buf = fmt.Appendf(l.buf, "  %s%s", name, l.cut(appendASCII(nil, d.append(nil, pointer))))
	}
	switch root := d.open[""]; {
	case d.input && root != nil && len(root.Keys) > 1:
		add("", "/arguments")
		add("context ", "/context")
	case d.input:
		add("", "/arguments")
	default:
		add("", "")
	}
}

// maxShown is how many bytes of one value a line for people shows.
const maxShown = 200

func (l *lister) cut(text []byte) []byte {
	if l.full || len(text) <= maxShown {
		return text
	}
	return fmt.Appendf(text[:maxShown:maxShown], "... (cut: %d bytes)", len(text))
}

// A disclosed is a value of which a holder may have closed parts.
type disclosed struct {
	input  bool                     // of a call: {"arguments":...,"context":...}
	open   map[string]*receipt.Line // by pointer
	hole   string                   // is printed for what is closed
	closed []string                 // the pointers of that
}

var tokenEscaper = strings.NewReplacer("~", "~0", "/", "~1")

// append prints the part of the value at a pointer as JSON.
func (d *disclosed) append(b []byte, pointer string) []byte {
	l := d.open[pointer]
	if l == nil {
		d.closed = append(d.closed, pointer)
		return append(b, d.hole...)
	}
	switch l.Kind {
	case strictjson.Object:
		b = append(b, '{')
		for i, k := range l.Keys {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(strictjson.AppendString(b, k), ':')
			b = d.append(b, pointer+"/"+tokenEscaper.Replace(k))
		}
		return append(b, '}')
	case strictjson.Array:
		b = append(b, '[')
		for i := range l.Count {
			if i > 0 {
				b = append(b, ',')
			}
			b = d.append(b, fmt.Sprintf("%s/%d", pointer, i))
		}
		return append(b, ']')
	}
	return strictjson.Value{Kind: l.Kind, Bool: l.Bool, Text: l.Text}.Append(b)
}

// appendASCII appends JSON with what is not printable ASCII in its strings escaped,
// so that it means the same and cannot move a terminal's cursor.
func appendASCII(b, json []byte) []byte {
	for _, r := range string(json) {
		switch {
		case r >= 0x20 && r < 0x7f:
			b = append(b, byte(r))
		case r < 0x10000:
			b = fmt.Appendf(b, `\u%04x`, r)
		default:
			high, low := utf16.EncodeRune(r)
			b = fmt.Appendf(b, `\u%04x\u%04x`, high, low)
		}
	}
	return b
}
