package pack

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"iter"

	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// Lines are the lines of a file of the pack. A line is the reader's until the next.
func (p *Reader) Lines(name string, max int) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		f, ok := p.File(name)
		if !ok {
			return
		}
		s := bufio.NewScanner(p.Section(f))
		s.Buffer(nil, max+2)
		for s.Scan() {
			if !yield(s.Bytes(), nil) {
				return
			}
		}
		if err := s.Err(); err != nil {
			yield(nil, fmt.Errorf("%s: %w", name, err))
		}
	}
}

// A Disclosed is an entry of a pack with what is disclosed of its payload.
type Disclosed struct {
	Envelope   *receipt.Envelope
	Statement  *receipt.Statement
	Disclosure *receipt.Disclosure // or nil: nothing in the pack opens its commitment
}

// Entries are the first n entries with their disclosures, in log order, one at a time.
// No signature is verified here: that was done before by package verify, whose report
// says how many entries it found good.
func (p *Reader) Entries(n uint64) iter.Seq2[Disclosed, error] {
	return func(yield func(Disclosed, error) bool) {
		payloads, stop := iter.Pull2(p.Lines(Payloads, MaxDisclosureBytes))
		defer stop()
		var payload []byte // that waits for its entry
		for line, err := range p.Lines(Entries, receipt.MaxEnvelopeBytes) {
			if n == 0 {
				return
			}
			n--
			var e Disclosed
			if err == nil {
				e, err = parseEntry(line)
			}
			if err == nil && payload == nil {
				payload, err, _ = payloads()
			}
			if err != nil {
				yield(Disclosed{}, err)
				return
			}
			if bytes.HasPrefix(payload, fmt.Appendf(nil, `{"index":%d,`, e.Statement.Index)) {
				// What does not lead to the entry's commitment is not shown.
				if d, err := receipt.ParseDisclosure(payload); err == nil && d.Verify(e.Statement.Subject.SHA256) == nil {
					e.Disclosure = d
				}
				payload = nil
			}
			if !yield(e, nil) {
				return
			}
		}
		if n > 0 {
			yield(Disclosed{}, errors.New("entries.jsonl ends too early"))
		}
	}
}

func parseEntry(line []byte) (e Disclosed, err error) {
	if e.Envelope, err = receipt.ParseEnvelope(line); err != nil {
		return e, err
	}
	e.Statement, err = receipt.ParseStatement(e.Envelope.Payload)
	return e, err
}
