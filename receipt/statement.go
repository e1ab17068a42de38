// Package receipt holds the formats of spec/receipt.md: statements, their DSSE
// signatures, the leaves that commit to them, stream ids, commitments to a call's
// fields and their disclosure, checkpoints and proofs of inclusion.
//
// Everything here is pure: time and randomness are passed in. Every parser is
// strict: what it accepts, the printer prints again byte for byte.
package receipt

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/helm-ai-kernel/helm-ai-kernel"
)

// Limits of a statement.
const (
	MaxStatementBytes = 32 << 10
	MaxReasonBytes    = 1000 // a message, or the reason of a freeze
	MaxMatched        = 64   // matched rules that a decision lists
	MaxBudgets        = 64
	MaxRequirements   = 64
	MaxTools          = 64
	MaxKeys           = 64
	MaxSignatureBytes = 4096 // of an approval
)

// A Hash is a SHA-256 digest: of a statement, a leaf (RFC 6962) or a file.
type Hash = [sha256.Size]byte

// A Kind is the kind of an entry. The list is append-only.
type Kind string

// The kinds of entries. timestamp, erasure and review are reserved: no version of
// this package writes or accepts them yet.
const (
	KindGenesis  Kind = "genesis"
	KindPolicy   Kind = "policy"
	KindSession  Kind = "session"
	KindDecision Kind = "decision"
	KindOutcome  Kind = "outcome"
	KindApproval Kind = "approval"
	KindBoundary Kind = "boundary"
	KindFreeze   Kind = "freeze"
	KindUnfreeze Kind = "unfreeze"
	KindKey      Kind = "key"
)

// Control reports whether entries of this kind are in the control stream. All
// others are in the streams of an agent and a session.
func (k Kind) Control() bool {
	switch k {
	case KindGenesis, KindPolicy, KindBoundary, KindFreeze, KindUnfreeze, KindKey:
		return true
	}
	return false
}

// The names of streams.
const (
	StreamAgent   = "agent"
	StreamSession = "session"
	StreamControl = "control"
)

// A Stream is an entry's place in one numbered chain through the log.
type Stream struct {
	Name string // StreamAgent, StreamSession or StreamControl
	ID   Hash   // see StreamKey
	Seq  uint64 // from 1, contiguous
	Prev Hash   // leaf hash of the stream's previous entry; zero at Seq 1
}

// A Link is a place in the control stream: the head that was in force.
type Link struct {
	Seq  uint64 // 0 before genesis
	Hash Hash   // leaf hash of that entry; zero at Seq 0
}

// A Ref names another entry of the same log.
type Ref struct {
	ID    Hash // its leaf hash
	Index uint64
}

// A Subject is the file that a statement is about, by its SHA-256.
type Subject struct {
	Name   string
	SHA256 Hash
}

// The names of subjects, and the file that each one's digest is of.
const (
	SubjectInput     = "input"     // the fields file of a call's arguments and context
	SubjectResult    = "result"    // the fields file of an outcome's result
	SubjectStatement = "statement" // a statement of this log: see each kind
	SubjectPolicy    = "policy"    // a policy file
	SubjectKey       = "key"       // a public key in PEM, as PublicPEM prints it
)

// A Statement is what an entry says, and what its signature is over.
type Statement struct {
	Subject Subject

	Origin  string
	Index   uint64
	Nonce   [16]byte
	Time    time.Time // UTC, microseconds; never before the previous entry's
	Streams []Stream  // agent and session, or control
	Control Link      // the head of the control stream when it was decided

	Body Body
}

// A Body is the part of a statement that depends on its kind: *Genesis, *Policy,
// *Session, *Decision, *Outcome, *Approval, *Boundary, *Freeze, *Unfreeze or *Key.
type Body interface {
	Kind() Kind
	describe(c *codec)
}

func newBody(k Kind) Body {
	switch k {
	case KindGenesis:
		return new(Genesis)
	case KindPolicy:
		return new(Policy)
	case KindSession:
		return new(Session)
	case KindDecision:
		return new(Decision)
	case KindOutcome:
		return new(Outcome)
	case KindApproval:
		return new(Approval)
	case KindBoundary:
		return new(Boundary)
	case KindFreeze:
		return new(Freeze)
	case KindUnfreeze:
		return new(Unfreeze)
	case KindKey:
		return new(Key)
	}
	return nil
}

const (
	statementType   = "https://in-toto.io/Statement/v1"
	predicatePrefix = "https://" + helm.Module + "/spec/"
	predicateSuffix = "/v1"
)

// PredicateType is the in-toto predicate type of a kind.
func PredicateType(k Kind) string { return predicatePrefix + string(k) + predicateSuffix }

// ErrStatementTooLarge is wrapped when a statement has more than MaxStatementBytes.
var ErrStatementTooLarge = errors.New("the statement is too large")

// Marshal prints the statement in the one form that spec/receipt.md allows.
func (s *Statement) Marshal() ([]byte, error) {
	if s.Body == nil {
		return nil, errors.New("marshal statement: it has no body")
	}
	b, err := encode(2048, s.describe)
	if err == nil && len(b) > MaxStatementBytes {
		err = fmt.Errorf("%w: it has %d bytes, and at most %d are allowed", ErrStatementTooLarge, len(b), MaxStatementBytes)
	}
	if err == nil {
		err = s.check()
	}
	if err != nil {
		return nil, fmt.Errorf("marshal %s statement: %w", s.Body.Kind(), err)
	}
	return b, nil
}

// ParseStatement reads what Marshal prints, and nothing else. Its caller has
// verified the signature over data already.
func ParseStatement(data []byte) (*Statement, error) {
	if len(data) > MaxStatementBytes {
		return nil, fmt.Errorf("parse statement: it has %d bytes: at most %d are allowed", len(data), MaxStatementBytes)
	}
	s := new(Statement)
	err := decode(data, s.describe)
	if err == nil {
		err = s.check()
	}
	if err != nil {
		return nil, fmt.Errorf("parse statement: %w", err)
	}
	return s, nil
}

func (s *Statement) describe(c *codec) {
	c.object(func() {
		subjects := []Subject{s.Subject}
		k := describeHead(c, &subjects, 1, s.Body)
		if c.err != nil {
			return
		}
		s.Subject = subjects[0]
		if !c.writing {
			if s.Body = newBody(k); s.Body == nil {
				c.fail("the kind %q is unknown", k)
				return
			}
		}
		c.name("predicate")
		c.object(func() {
			c.name("origin")
			c.checked(&s.Origin, helm.MaxNameBytes, CheckOrigin)
			c.name("index")
			c.number(&s.Index)
			c.name("nonce")
			c.base64(s.Nonce[:])
			c.name("time")
			c.time(&s.Time)
			c.name("streams")
			list(c, &s.Streams, 2, func(st *Stream) { st.describe(c) })
			c.name("control")
			c.object(func() {
				c.name("seq")
				c.number(&s.Control.Seq)
				c.name("hash")
				c.link(s.Control.Seq == 0, &s.Control.Hash)
			})
			s.Body.describe(c)
		})
	})
}

// describeHead is the front of every in-toto statement: type, subjects and
// predicate type, whose kind it returns.
func describeHead(c *codec, subjects *[]Subject, max int, body interface{ Kind() Kind }) Kind {
	c.name("_type")
	c.lit(`"` + statementType + `"`)
	c.name("subject")
	if !c.writing {
		*subjects = nil
	}
	list(c, subjects, max, func(sub *Subject) {
		c.object(func() {
			c.name("name")
			c.text(&sub.Name, helm.MaxNameBytes)
			c.name("digest")
			c.object(func() {
				c.name("sha256")
				c.hex(sub.SHA256[:])
			})
		})
	})
	if len(*subjects) == 0 {
		c.fail("a statement has no subject")
	}
	c.name("predicateType")
	if c.writing {
		c.lit(`"` + PredicateType(body.Kind()) + `"`)
		return body.Kind()
	}
	var pt string
	c.text(&pt, 2*helm.MaxNameBytes)
	k, ok := strings.CutPrefix(pt, predicatePrefix)
	k, ok2 := strings.CutSuffix(k, predicateSuffix)
	if c.err == nil && (!ok || !ok2) {
		c.fail("the predicate type %q is not one of %s", pt, predicatePrefix)
	}
	return Kind(k)
}

func (st *Stream) describe(c *codec) {
	c.object(func() {
		c.oneOf("name", &st.Name, StreamAgent, StreamSession, StreamControl)
		c.name("id")
		c.base64(st.ID[:])
		c.name("seq")
		c.number(&st.Seq)
		c.name("prev")
		c.link(st.Seq <= 1, &st.Prev)
	})
}

// link is a leaf hash, or "" where there is none before.
func (c *codec) link(none bool, h *Hash) {
	if none {
		if *h != (Hash{}) {
			c.fail("the first of a stream names an entry before it")
		}
		c.lit(`""`)
		return
	}
	c.base64(h[:])
}

func (r *Ref) describe(c *codec) {
	c.object(func() {
		c.name("id")
		c.hex(r.ID[:])
		c.name("index")
		c.number(&r.Index)
	})
}

// check holds the rules that the order of members does not.
func (s *Statement) check() error {
	k := s.Body.Kind()
	if names := subjectNames(k); !slices.Contains(names, s.Subject.Name) {
		return fmt.Errorf("the subject of a %s entry is named %q, not %q", k, s.Subject.Name, strings.Join(names, " or "))
	}
	names := []string{StreamAgent, StreamSession}
	if k.Control() {
		names = []string{StreamControl}
	}
	if len(s.Streams) != len(names) {
		return fmt.Errorf("a %s entry is in %d streams, not %d", k, len(names), len(s.Streams))
	}
	for i, st := range s.Streams {
		if st.Name != names[i] {
			return fmt.Errorf("stream %d of a %s entry is %q, not %q", i+1, k, names[i], st.Name)
		}
		if st.Seq == 0 {
			return fmt.Errorf("the %s stream's seq is 0: it starts at 1", st.Name)
		}
	}
	if (k == KindGenesis) != (s.Index == 0) {
		return fmt.Errorf("a %s entry stands at index %d: genesis is entry 0 and nowhere else", k, s.Index)
	}
	if k.Control() {
		if st := s.Streams[0]; s.Control.Seq != st.Seq-1 || s.Control.Hash != st.Prev {
			return errors.New("a control entry's control head is not the entry before it in the control stream")
		}
	}
	if (k == KindGenesis) != (s.Control.Seq == 0) {
		return fmt.Errorf("the control head of a %s entry has the seq %d: only genesis has none before it", k, s.Control.Seq)
	}
	return nil
}

// subjectNames are what the subject of a kind can be: see spec/receipt.md.
func subjectNames(k Kind) []string {
	switch k {
	case KindGenesis, KindKey:
		return []string{SubjectKey}
	case KindPolicy:
		return []string{SubjectPolicy}
	case KindDecision:
		return []string{SubjectInput}
	case KindOutcome:
		return []string{SubjectResult, SubjectStatement}
	}
	return []string{SubjectStatement}
}

// CheckOrigin returns an error unless s can be a log's origin: [a-z0-9./-]+ and at
// most 200 bytes, so that no checkpoint can be taken for a DSSE
// pre-authentication encoding or the reverse.
func CheckOrigin(s string) error {
	if len(s) > helm.MaxNameBytes || s == "" || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789./-") != "" {
		return fmt.Errorf("the origin %q is not 1 to %d characters of a-z, 0-9, '.', '/' and '-'", s, helm.MaxNameBytes)
	}
	return nil
}

func validText(s string) bool { return utf8.ValidString(s) }

// StatementHash is the SHA-256 of a statement's bytes.
func StatementHash(statement []byte) Hash { return sha256.Sum256(statement) }
