package ledger

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

// digest is a Hash that is hex in a JSON row.
type digest Hash

func (d digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

func (d *digest) UnmarshalText(b []byte) error {
	if len(b) != hex.EncodedLen(len(d)) {
		return fmt.Errorf("a digest has %d hex digits, not %d", len(b), hex.EncodedLen(len(d)))
	}
	_, err := hex.Decode(d[:], b)
	return err
}

// A headRow is the one row of table Heads: the log's head and the small state
// that decides. Everything in it follows from the entries; see fold.
type headRow struct {
	Size       uint64    `json:"size"`
	Root       digest    `json:"root"`
	Checkpoint string    `json:"checkpoint"`
	Frontier   []digest  `json:"frontier"`
	Time       time.Time `json:"time"`
	ControlSeq uint64    `json:"control_seq"`
	Control    digest    `json:"control"`
	Key        digest    `json:"key"`

	Policy      digest    `json:"policy"`
	PolicyIndex uint64    `json:"policy_index"` // of its activation; 0: none
	PolicySince time.Time `json:"policy_since"`

	Frozen        uint64 `json:"frozen"` // index of the freeze entry; 0: not frozen
	StreamCount   uint64 `json:"stream_count"`
	ApprovalsOpen uint64 `json:"approvals_open"` // rows of OpenApprovals
	SessionsOpen  uint64 `json:"sessions_open"`  // rows of OpenSessions

	Allowed   uint64 `json:"allowed"`
	Denied    uint64 `json:"denied"`
	Escalated uint64 `json:"escalated"`
	Outcomes  uint64 `json:"outcomes"`

	raw []byte // the row itself, when it was read or is to be written
}

// A streamRow is a stream's head.
type streamRow struct {
	Number uint64 // from 1, in order of appearance: a short key for other tables
	Seq    uint64
	Leaf   Hash
	Index  uint64
	Micros int64 // time of the head entry
	Open   bool  // of a session: in OpenSessions
	Jump   node  // where the head's link jumps to
	Jump2  node  // and where that one's does
}

const streamRowBytes = 8 + 8 + 32 + 8 + 8 + 1 + 4*8

func (s *streamRow) marshal() []byte {
	b := make([]byte, 0, streamRowBytes)
	b = binary.BigEndian.AppendUint64(b, s.Number)
	b = binary.BigEndian.AppendUint64(b, s.Seq)
	b = append(b, s.Leaf[:]...)
	b = binary.BigEndian.AppendUint64(b, s.Index)
	b = binary.BigEndian.AppendUint64(b, uint64(s.Micros))
	open := byte(0)
	if s.Open {
		open = 1
	}
	b = append(b, open)
	return s.Jump2.append(s.Jump.append(b))
}

func (s *streamRow) unmarshal(b []byte) error {
	if len(b) != streamRowBytes || b[64] > 1 {
		return fmt.Errorf("a row of table %s is damaged", Streams)
	}
	s.Number = binary.BigEndian.Uint64(b)
	s.Seq = binary.BigEndian.Uint64(b[8:])
	copy(s.Leaf[:], b[16:])
	s.Index = binary.BigEndian.Uint64(b[48:])
	s.Micros = int64(binary.BigEndian.Uint64(b[56:]))
	s.Open = b[64] == 1
	s.Jump.read(b[65:])
	s.Jump2.read(b[81:])
	return nil
}

// A node is an entry's place in a stream.
type node struct{ Index, Seq uint64 }

func (n node) append(b []byte) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, n.Index), n.Seq)
}

func (n *node) read(b []byte) {
	n.Index, n.Seq = binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
}

// A link leads from an entry back along one of its streams: to the entry before
// it, and by a jump to one far before it, so that any place in a stream is found
// from its head in a logarithm of steps (Myers, An applicative random-access
// stack, 1983). It is beside the entry, where appending is cheap, and not in a
// table, where every stream would have a page of its own.
type link struct {
	Prev uint64 // index; its own at seq 1
	Jump node   // itself at seq 1
}

const linkBytes = 8 + 16

// An Entry is one record of the log.
type Entry struct {
	Index      uint64
	Leaf       Hash // leaf hash: in hex, the receipt's id
	Statement  []byte
	Signatures []receipt.Signature

	links []link // one for each stream, in the statement's order
}

// marshal is the value of a row of Entries: leaf hash, number of links, each,
// number of signatures, each with its 32 byte key id, statement.
func (e *Entry) marshal() ([]byte, error) {
	b := make([]byte, 0, 32+2+linkBytes*len(e.links)+96*len(e.Signatures)+len(e.Statement))
	b = append(b, e.Leaf[:]...)
	b = append(b, byte(len(e.links)))
	for _, l := range e.links {
		b = l.Jump.append(binary.BigEndian.AppendUint64(b, l.Prev))
	}
	b = append(b, byte(len(e.Signatures)))
	for _, s := range e.Signatures {
		id, err := hex.DecodeString(s.KeyID)
		if err != nil || len(id) != 32 {
			return nil, fmt.Errorf("entry %d: the key id %q is not 64 hex digits", e.Index, s.KeyID)
		}
		b = append(b, id...)
		b = append(b, s.Sig[:]...)
	}
	return append(b, e.Statement...), nil
}

func parseEntry(index uint64, b []byte) (*Entry, error) {
	if len(b) < 33 || b[32] == 0 || b[32] > 2 || len(b) < 34+linkBytes*int(b[32]) {
		return nil, fmt.Errorf("entry %d: its row has %d bytes: it is damaged", index, len(b))
	}
	e := &Entry{Index: index, links: make([]link, b[32])}
	copy(e.Leaf[:], b)
	b = b[33:]
	for i := range e.links {
		e.links[i].Prev = binary.BigEndian.Uint64(b)
		e.links[i].Jump.read(b[8:])
		b = b[linkBytes:]
	}
	n, b := int(b[0]), b[1:]
	if n == 0 || n > 2 || len(b) < 96*n {
		return nil, fmt.Errorf("entry %d: its row is damaged", index)
	}
	for range n {
		s := receipt.Signature{KeyID: hex.EncodeToString(b[:32])}
		copy(s.Sig[:], b[32:96])
		e.Signatures = append(e.Signatures, s)
		b = b[96:]
	}
	e.Statement = b
	return e, nil
}

// A Payload is what an entry's subject commits to. It lives beside the log.
type Payload struct {
	Secret receipt.Secret
	Value  []byte // compact JSON, as strictjson prints it
}

// Lines flattens the payload.
func (p *Payload) Lines() ([]receipt.Line, error) {
	v, err := strictjson.Parse(p.Value)
	if err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	return receipt.Flatten(v)
}

// States of an approval.
const (
	ApprovalPending  = "pending"
	ApprovalApproved = "approved" // and not used yet
	ApprovalRefused  = "refused"
	ApprovalUsed     = "used"
)

// An Approval is the state of what an ESCALATE waits for. An expired one keeps the
// state that it had.
type Approval struct {
	Escalation uint64                `json:"escalation"` // index of the ESCALATE
	ID         string                `json:"id"`         // its id
	State      string                `json:"state"`
	Expires    time.Time             `json:"expires"`
	Policy     string                `json:"policy"`  // SHA-256 of the policy that asked, in hex
	Answers    []Answer              `json:"answers"` // in order
	Used       uint64                `json:"used,omitempty"`
	Requires   []receipt.Requirement `json:"requires"`
}

// An Answer is one approval entry.
type Answer struct {
	Index    uint64 `json:"index"`
	Answer   string `json:"answer"`
	Grade    string `json:"grade"`
	Approver string `json:"approver"`
}

// Fingerprint is of the key by which somebody of that name may answer, or "".
func (a *Approval) Fingerprint(approver string) string {
	for _, r := range a.Requires {
		for _, k := range r.Keys {
			if k.Name == approver {
				return k.Fingerprint
			}
		}
	}
	return ""
}

// Answered reports whether the approver approved by a key of his, or, with another
// grade, whether anybody of that grade did.
func (a *Approval) Answered(grade, approver string) bool {
	return slices.ContainsFunc(a.Answers, func(ans Answer) bool {
		return ans.Answer == receipt.AnswerApprove && ans.Grade == grade && (ans.Approver == approver || grade != receipt.GradeSSH)
	})
}

// Given is how many of the answers that the requirement asks for are there.
func (a *Approval) Given(r *receipt.Requirement) uint64 {
	return r.Given(a.approved())
}

func (a *Approval) approved() receipt.Approved {
	return receipt.Approved{Signed: func(name string) bool { return a.Answered(receipt.GradeSSH, name) },
		Operator: a.Answered(receipt.GradeOperator, ""), Client: a.Answered(receipt.GradeClient, "")}
}

// Satisfied reports whether every requirement has what it asks for.
func (a *Approval) Satisfied() bool {
	return receipt.Satisfied(a.Requires, a.approved())
}

// Live reports whether the approval can still decide something at that time.
func (a *Approval) Live(now time.Time) bool {
	return a.State != ApprovalUsed && now.Before(a.Expires)
}

func key8(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func key16(a, b uint64) []byte { return binary.BigEndian.AppendUint64(key8(a), b) }

func num8(b []byte) (uint64, error) {
	if len(b) != 8 {
		return 0, fmt.Errorf("a number in a row has %d bytes, not 8: it is damaged", len(b))
	}
	return binary.BigEndian.Uint64(b), nil
}

// callKey is a call_id's key, per session and principal. Names hold no NUL.
func callKey(session uint64, principal, callID string) []byte {
	b := append(key8(session), principal...)
	b = append(b, 0)
	return append(b, callID...)
}

// marshalRow prints a row of a table whose values are JSON.
func marshalRow(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // rows hold strings, numbers and times
	}
	return b
}

func unmarshalRow(t Table, b []byte, v any) error {
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("a row of table %s is damaged: %w", t, err)
	}
	return nil
}
