package pack

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// Redact writes the pack again with lines of its disclosures closed, as any holder
// may before he hands it on. hide says of each open line whether to close it; what
// a closed container holds is closed with it. pack.json stays as it was signed, and
// redaction.json says that payloads.jsonl is no longer the file that it lists. dir
// is for a temporary file; "" is the system's.
func (p *Reader) Redact(w io.Writer, note, dir string, hide func(index uint64, line *receipt.Line) bool) error {
	payloads := &spool{dir: dir}
	defer payloads.remove()
	if err := p.redactPayloads(payloads, hide); err != nil {
		return fmt.Errorf("redact pack: %w", err)
	}
	t := &tarWriter{w: w}
	var redacted receipt.Hash
	for _, f := range p.Files {
		switch f.Name {
		case Payloads:
			t.file(f.Name, []*spool{payloads})
			redacted = t.sum
		case Redaction: // written anew
		default:
			t.copy(f.Name, f.Size, p.Section(f))
		}
	}
	b, err := (&receipt.Redaction{Payloads: redacted, Note: note}).Marshal()
	if err == nil {
		t.file(Redaction, []*spool{text(string(b))})
		err = t.end()
	}
	if err != nil {
		return fmt.Errorf("redact pack: %w", err)
	}
	return nil
}

func (p *Reader) redactPayloads(w io.Writer, hide func(uint64, *receipt.Line) bool) error {
	f, _ := p.File(Payloads)
	s := bufio.NewScanner(p.Section(f))
	s.Buffer(nil, MaxDisclosureBytes+1)
	for n := 1; s.Scan(); n++ {
		d, err := receipt.ParseDisclosure(s.Bytes())
		if err != nil {
			return fmt.Errorf("%s: line %d: %w", Payloads, n, err)
		}
		closed := map[string]bool{}
		for i := range d.Lines {
			l := &d.Lines[i]
			if !l.Open {
				continue
			}
			parent := l.Line.Pointer[:max(0, strings.LastIndexByte(l.Line.Pointer, '/'))]
			inClosed := l.Line.Pointer != "" && closed[parent]
			if inClosed || hide(d.Index, &l.Line) {
				closed[l.Line.Pointer] = true
				d.Close(i)
			}
		}
		b, err := d.Marshal()
		if err != nil {
			return err
		}
		if _, err := w.Write(append(b, '\n')); err != nil {
			return err
		}
	}
	return s.Err()
}

// copy prints a file as it is.
func (t *tarWriter) copy(name string, size int64, r io.Reader) {
	h := header(name, size)
	t.write(h[:])
	if t.err == nil {
		_, t.err = io.CopyN(t.w, r, size)
	}
	t.write(make([]byte, -size&(block-1)))
}

// remove removes the spool's file, if it has one.
func (s *spool) remove() {
	if s.file != nil {
		s.file.Close()
		os.Remove(s.file.Name())
	}
}
