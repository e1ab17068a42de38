package ledger

import (
	"encoding/hex"
	"fmt"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// A state is rows and a head that a batch of entries is folded into.
type state struct {
	View
	over *overlay

	entry func(index uint64) (*Entry, error) // an entry of the log so far
}

// fold brings every derived row up to date with one more entry. It is the only
// place that writes them, and a pure function of the entries so far: the audit
// folds the log again and compares. It gives the entry its links. Entries, Payloads, Policies, Tiles and the
// tree's part of the head are written by the sequencer.
func (s *state) fold(e *Entry, st *receipt.Statement) error {
	h := &s.head
	h.Time = st.Time
	session := uint64(0) // the session's stream number
	e.links = nil
	for i := range st.Streams {
		number, err := s.foldStream(e, st, i)
		if err != nil {
			return err
		}
		if st.Streams[i].Name == receipt.StreamSession {
			session = number
		}
	}
	if st.Body.Kind().Control() {
		h.ControlSeq, h.Control = st.Streams[0].Seq, digest(e.Leaf)
	}

	switch b := st.Body.(type) {
	case *receipt.Genesis:
		h.Key = b.Key
	case *receipt.Key:
		h.Key = b.New
	case *receipt.Policy:
		h.Policy, h.PolicyIndex, h.PolicySince = digest(b.Policy.SHA256), e.Index, st.Time
	case *receipt.Freeze:
		h.Frozen = e.Index
	case *receipt.Unfreeze:
		h.Frozen = 0
	case *receipt.Decision:
		return s.foldDecision(e, st, b, session)
	case *receipt.Outcome:
		h.Outcomes++
		if b.Conflict == nil {
			s.over.put(Outcomes, key8(b.Decision.Index), key8(e.Index))
		}
	case *receipt.Approval:
		return s.foldApproval(e, b)
	}
	return nil
}

func (s *state) foldStream(e *Entry, st *receipt.Statement, i int) (uint64, error) {
	in := &st.Streams[i]
	row, err := s.stream(in.ID)
	if err != nil {
		return 0, err
	}
	if row == nil {
		s.head.StreamCount++
		row = &streamRow{Number: s.head.StreamCount}
	}
	if in.Seq != row.Seq+1 || in.Prev != row.Leaf {
		return 0, fmt.Errorf("entry %d: its place in the %s stream is %d after %x, the stream's head is %d with %x",
			e.Index, in.Name, in.Seq, in.Prev, row.Seq, row.Leaf)
	}
	l, err := s.advance(row, node{e.Index, in.Seq}, i)
	if err != nil {
		return 0, err
	}
	e.links = append(e.links, l)
	row.Seq, row.Leaf, row.Index, row.Micros = in.Seq, e.Leaf, e.Index, st.Time.UnixMicro()
	if in.Name == receipt.StreamSession {
		switch b := st.Body.(type) {
		case *receipt.Session:
			if row.Open {
				row.Open = false
				s.head.SessionsOpen--
				s.over.delete(OpenSessions, key8(row.Number))
			}
		case *receipt.Decision: // late outcomes and answers open nothing
			if !row.Open {
				row.Open = true
				s.head.SessionsOpen++
				s.over.put(OpenSessions, key8(row.Number), marshalRow(OpenSession{Agent: b.Agent, Session: b.Session}))
			}
		}
	}
	s.over.put(Streams, in.ID[:], row.marshal())
	return row.Number, nil
}

// advance moves a stream's jumps to a new head, and gives that head's link. Where
// the last two jumps were equally long, the new one spans both. i is the stream's
// place in its entries' statements.
func (s *state) advance(row *streamRow, to node, i int) (link, error) {
	head := node{row.Index, row.Seq}
	switch {
	case to.Seq == 1:
		row.Jump, row.Jump2 = to, to
		return link{Prev: to.Index, Jump: to}, nil
	case head.Seq-row.Jump.Seq == row.Jump.Seq-row.Jump2.Seq:
		e, err := s.entry(row.Jump2.Index)
		if err != nil {
			return link{}, err
		}
		if i >= len(e.links) {
			return link{}, fmt.Errorf("entry %d: its row has no link for its stream %d", e.Index, i+1)
		}
		row.Jump, row.Jump2 = row.Jump2, e.links[i].Jump
	default:
		row.Jump, row.Jump2 = head, row.Jump
	}
	return link{Prev: head.Index, Jump: row.Jump}, nil
}

func (s *state) foldDecision(e *Entry, st *receipt.Statement, b *receipt.Decision, session uint64) error {
	h := &s.head
	switch b.Verdict {
	case helm.Allow:
		h.Allowed++
	case helm.Deny:
		h.Denied++
	case helm.Escalate:
		h.Escalated++
	}
	if b.CallID != "" && remembered(b.Reason.Code) {
		s.over.put(Calls, callKey(session, b.Principal, b.CallID), key8(e.Index))
	}
	if err := s.foldBudgets(e, b); err != nil {
		return err
	}
	if b.Escalation != nil {
		if err := s.dropExpired(st.Time); err != nil {
			return err
		}
		a := newApproval(e, b)
		s.over.put(Approvals, key8(e.Index), marshalRow(a))
		s.over.put(OpenApprovals, openKey(a), key8(session))
		h.ApprovalsOpen++
	}
	if b.Approval != nil && b.Verdict == helm.Allow {
		a, err := s.Approval(b.Approval.Index)
		if err != nil {
			return fmt.Errorf("entry %d uses an approval: %w", e.Index, err)
		}
		if a.State != ApprovalApproved {
			return fmt.Errorf("entry %d uses the approval of entry %d, which is %s", e.Index, a.Escalation, a.State)
		}
		a.State, a.Used = ApprovalUsed, e.Index
		s.over.put(Approvals, key8(a.Escalation), marshalRow(a))
		return s.closeApproval(a)
	}
	return nil
}

// remembered reports whether a repeated call_id meets a decision with this reason.
// A refusal to look at the call at all is none, nor is one for want of room: the call
// may be made again.
func remembered(c helm.Code) bool {
	switch c {
	case helm.Frozen, helm.DiskFull, helm.CallIDReused, helm.CallAlreadyDone, helm.BudgetExhausted, helm.ApprovalsFull, helm.ToolChanged:
		return false
	}
	return true
}

func (s *state) foldApproval(e *Entry, b *receipt.Approval) error {
	a, err := s.Approval(b.Escalation.Index)
	if err != nil {
		return fmt.Errorf("entry %d answers an approval: %w", e.Index, err)
	}
	if a.State != ApprovalPending {
		return fmt.Errorf("entry %d answers the approval of entry %d, which is %s", e.Index, a.Escalation, a.State)
	}
	if err := a.answered(e, b); err != nil {
		return fmt.Errorf("entry %d answers the approval of entry %d: %w", e.Index, a.Escalation, err)
	}
	s.over.put(Approvals, key8(a.Escalation), marshalRow(a))
	return nil
}

// newApproval is what an ESCALATE opens.
func newApproval(e *Entry, b *receipt.Decision) *Approval {
	return &Approval{Escalation: e.Index, ID: hex.EncodeToString(e.Leaf[:]), State: ApprovalPending,
		Expires: b.Escalation.Expires, Policy: hex.EncodeToString(b.Policy.SHA256[:]), Requires: b.Escalation.Requires}
}

// answered adds an answer. Signatures are the kernel's to verify.
func (a *Approval) answered(e *Entry, b *receipt.Approval) error {
	switch {
	case b.Grade == receipt.GradeSSH && a.Fingerprint(b.Approver) == "":
		return fmt.Errorf("%s has no key that could", b.Approver)
	case b.Answer == receipt.AnswerApprove && a.Answered(b.Grade, b.Approver):
		return fmt.Errorf("%s has approved it before", b.Approver)
	}
	a.Answers = append(a.Answers, Answer{Index: e.Index, Answer: b.Answer, Grade: b.Grade, Approver: b.Approver})
	switch {
	case b.Answer == receipt.AnswerRefuse:
		a.State = ApprovalRefused
	case a.Satisfied():
		a.State = ApprovalApproved
	}
	return nil
}

func openKey(a *Approval) []byte { return key16(uint64(a.Expires.UnixMicro()), a.Escalation) }

func (s *state) closeApproval(a *Approval) error {
	b, err := s.rows.Get(OpenApprovals, openKey(a))
	if b == nil || err != nil {
		return err // it expired, and was dropped
	}
	s.over.delete(OpenApprovals, openKey(a))
	s.head.ApprovalsOpen--
	return nil
}

// dropExpired forgets what can no longer decide anything, so that the table stays
// as small as what is open.
func (s *state) dropExpired(now time.Time) error {
	for row, err := range s.rows.Scan(OpenApprovals, nil, key8(uint64(now.UnixMicro())+1)) {
		if err != nil {
			return err
		}
		s.over.delete(OpenApprovals, row.Key)
		s.head.ApprovalsOpen--
	}
	return nil
}
