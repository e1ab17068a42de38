package receipt

import (
	"errors"
	"fmt"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
)

// Limits of pack.json (spec/pack.md).
const (
	MaxPackFiles          = 4200
	MaxPackStatementBytes = 1 << 20
	MaxPackFileBytes      = 3 << 19 // the envelope, and its LF
	MaxRedactionBytes     = 8 << 10
)

// KindPack is the kind of the statement in pack.json. It is never an entry.
const KindPack Kind = "pack"

// A Pack is the statement in pack.json: what an EvidencePack was asked for, and
// what it consists of.
type Pack struct {
	Files []Subject // every file before pack.json, in the tar's order

	Origin          string
	Size            uint64 // of the log, and of the checkpoint in the pack
	Query           Query
	Stream          *Hash // the id of the stream asked for; nil where everything was
	Window          Window
	Leaves          bool       // the pack has every leaf of the window
	StreamKey       *StreamKey // or nil, where it was left out
	ConsistencyFrom uint64     // the size that the file consistency leads from; 0: there is none
}

// A Query is what a pack is asked for: everything, an agent, or one session of an
// agent; between two times or not.
type Query struct {
	All            bool
	Agent, Session string
	Since, Until   time.Time // from Since to before Until; zero: no bound
}

// A Window is a range of indexes, First to before End.
type Window struct{ First, End uint64 }

// Check returns an error unless the query can be asked.
func (q *Query) Check() error {
	if q.All == (q.Agent != "") {
		return errors.New("a query asks for everything, or for one agent")
	}
	if q.All && q.Session != "" {
		return errors.New("a query asks for everything and for a session")
	}
	for _, n := range []struct{ what, name string }{{"agent", q.Agent}, {"session", q.Session}} {
		if n.name != "" {
			if err := helm.CheckName(n.what, n.name); err != nil {
				return err
			}
		}
	}
	if !q.Since.IsZero() && !q.Until.IsZero() && !q.Since.Before(q.Until) {
		return fmt.Errorf("a query asks for a time since %s and until %s", FormatTime(q.Since), FormatTime(q.Until))
	}
	return nil
}

// Kind implements what describeHead asks for.
func (p *Pack) Kind() Kind { return KindPack }

// Marshal prints the statement in the one form that spec/pack.md allows.
func (p *Pack) Marshal() ([]byte, error) {
	b, err := encode(4096, p.describe)
	if err == nil && len(b) > MaxPackStatementBytes {
		err = fmt.Errorf("it has %d bytes: at most %d are allowed", len(b), MaxPackStatementBytes)
	}
	if err != nil {
		return nil, fmt.Errorf("marshal pack statement: %w", err)
	}
	return b, nil
}

// ParsePack reads what Marshal prints, and nothing else.
func ParsePack(data []byte) (*Pack, error) {
	p := new(Pack)
	if err := decode(data, p.describe); err != nil {
		return nil, fmt.Errorf("parse pack statement: %w", err)
	}
	return p, nil
}

func (p *Pack) describe(c *codec) {
	c.object(func() {
		if k := describeHead(c, &p.Files, MaxPackFiles, p); c.err == nil && k != KindPack {
			c.fail("the statement's kind is %q, not %q", k, KindPack)
		}
		c.name("predicate")
		c.object(func() {
			c.name("origin")
			c.checked(&p.Origin, helm.MaxNameBytes, CheckOrigin)
			c.name("size")
			c.number(&p.Size)
			c.name("query")
			p.Query.describe(c)
			if c.optional("stream", p.Stream != nil) {
				c.base64(allocate(c, &p.Stream)[:])
			}
			if c.err == nil && (p.Stream == nil) != p.Query.All {
				c.fail("a stream is named, or none, and the query asks for another thing")
			}
			c.name("window")
			c.object(func() {
				c.name("first")
				c.number(&p.Window.First)
				c.name("end")
				c.number(&p.Window.End)
			})
			if c.err == nil && (p.Window.First > p.Window.End || p.Window.End > p.Size) {
				c.fail("the window from %d to %d is not one of a log of %d entries", p.Window.First, p.Window.End, p.Size)
			}
			c.name("leaves")
			c.boolean(&p.Leaves)
			if c.optional("stream_key", p.StreamKey != nil) {
				c.base64(allocate(c, &p.StreamKey)[:])
			}
			if c.optional("consistency_from", p.ConsistencyFrom > 0) {
				c.positive(&p.ConsistencyFrom)
				if c.err == nil && p.ConsistencyFrom > p.Size {
					c.fail("the consistency from %d is not one of a log of %d entries", p.ConsistencyFrom, p.Size)
				}
			}
		})
	})
}

func (q *Query) describe(c *codec) {
	c.object(func() {
		if c.optional("all", q.All) {
			q.All = true
			c.lit("true")
		}
		if c.optional("agent", q.Agent != "") {
			c.text(&q.Agent, helm.MaxNameBytes)
		}
		if c.optional("session", q.Session != "") {
			c.text(&q.Session, helm.MaxNameBytes)
		}
		for _, b := range []struct {
			name string
			t    *time.Time
		}{{"since", &q.Since}, {"until", &q.Until}} {
			if c.optional(b.name, !b.t.IsZero()) {
				c.time(b.t)
				if c.err == nil && b.t.IsZero() {
					c.fail("%s is the time that means no bound", b.name)
				}
			}
		}
	})
	if c.err == nil {
		if err := q.Check(); err != nil {
			c.fail("%w", err)
		}
	}
}

// MarshalPackFile prints pack.json: an envelope with one signature and no proof, and
// one LF.
func MarshalPackFile(e *Envelope) ([]byte, error) {
	b, err := encode(len(e.Payload)*4/3+1024, e.describePackFile)
	if err != nil {
		return nil, fmt.Errorf("marshal pack.json: %w", err)
	}
	return b, nil
}

// ParsePackFile reads what MarshalPackFile prints, and nothing else. Nothing in it is
// verified.
func ParsePackFile(data []byte) (*Envelope, error) {
	e := new(Envelope)
	if err := decode(data, e.describePackFile); err != nil {
		return nil, fmt.Errorf("parse pack.json: %w", err)
	}
	return e, nil
}

func (e *Envelope) describePackFile(c *codec) {
	e.describeUpTo(c, MaxPackStatementBytes)
	c.lit("\n")
	if c.err == nil && (e.Proof != "" || len(e.Signatures) != 1) {
		c.fail("it has a proof, or not exactly one signature")
	}
}

// A Redaction is redaction.json: what a holder who closed lines of payloads.jsonl
// puts into the pack. Nobody signs it, because it can only hide: every line that is
// still open is held to the commitment of its entry.
type Redaction struct {
	Payloads Hash   // SHA-256 of payloads.jsonl as it is now
	Note     string // by whom and why, for people
}

const redactionType = "https://" + helm.Module + "/spec/redaction/v1"

// Marshal prints the redaction, with the LF that ends it.
func (r *Redaction) Marshal() ([]byte, error) {
	b, err := encode(512, r.describe)
	if err != nil {
		return nil, fmt.Errorf("marshal redaction.json: %w", err)
	}
	return b, nil
}

// ParseRedaction reads what Marshal prints, and nothing else.
func ParseRedaction(data []byte) (*Redaction, error) {
	r := new(Redaction)
	if err := decode(data, r.describe); err != nil {
		return nil, fmt.Errorf("parse redaction.json: %w", err)
	}
	return r, nil
}

func (r *Redaction) describe(c *codec) {
	c.object(func() {
		c.name("type")
		c.lit(`"` + redactionType + `"`)
		c.name("payloads_sha256")
		c.hex(r.Payloads[:])
		c.name("note")
		c.text(&r.Note, MaxReasonBytes)
	})
	c.lit("\n")
}
