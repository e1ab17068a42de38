package replay

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/pack"
	"github.com/helm-ai-kernel/helm-ai-kernel/policy"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

// A session is what earlier entries of a session decide about later ones.
type session struct {
	whole     bool               // the pack has every entry of it so far
	seq       uint64             // of the newest
	calls     map[string]*called // by principal and call_id
	decisions map[uint64]*called // those of calls, by index
	approvals []*approval        // that may still decide something
}

// A called is the newest decision on a call_id.
type called struct {
	index     uint64
	policy    receipt.Hash
	made      made
	done      bool // it has an outcome
	escalated bool // it asked for an approval, or rests on one: it is made anew once that was answered
}

// An approval is what an ESCALATE opened.
type approval struct {
	index     uint64
	principal string
	made      made
	requires  []receipt.Requirement
	expires   time.Time
	answer    string   // or "" as long as it waits
	signed    []string // who approved with a key
	operator  bool     // an operator approved
	client    bool     // the user of the client did
}

// A made is what a call was: a digest of tool, arguments and context, and whether all
// of them were disclosed.
type made struct {
	digest [16]byte
	whole  bool
}

func madeOf(tool string, in policy.Input) made {
	whole := !hides(in.Arguments) && !hides(in.Context)
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s", tool, receipt.Input(in.Arguments, in.Context).Append(nil)))
	return made{[16]byte(sum[:16]), whole}
}

func hides(v strictjson.Value) bool {
	return v.Kind == strictjson.Hidden ||
		slices.ContainsFunc(v.Elems, hides) ||
		slices.ContainsFunc(v.Members, func(m strictjson.Member) bool { return hides(m.Value) })
}

// session is the session that an entry is in, or nil. It notes whether the pack has
// left out any entry of it so far: those that are only referred to come alone.
func (r *replayer) session(st *receipt.Statement) *session {
	for i := range st.Streams {
		in := &st.Streams[i]
		if in.Name != receipt.StreamSession {
			continue
		}
		s := r.sessions[in.ID]
		if s == nil {
			s = &session{whole: true, calls: map[string]*called{}, decisions: map[uint64]*called{}}
			r.sessions[in.ID] = s
		}
		s.whole = s.whole && in.Seq == s.seq+1
		s.seq = in.Seq
		return s
	}
	return nil
}

func (s *session) outcome(b *receipt.Outcome) {
	if c := s.decisions[b.Decision.Index]; c != nil && b.Conflict == nil {
		c.done = true
	}
}

func (s *session) answer(b *receipt.Approval) {
	for _, a := range s.approvals {
		switch {
		case a.index != b.Escalation.Index:
			continue
		case b.Answer == receipt.AnswerRefuse:
			a.answer = b.Answer
		case b.Grade == receipt.GradeOperator:
			a.operator = true
		case b.Grade == receipt.GradeClient:
			a.client = true
		default:
			a.signed = append(a.signed, b.Approver)
		}
		if a.answer == "" && receipt.Satisfied(a.requires, receipt.Approved{Signed: func(name string) bool { return slices.Contains(a.signed, name) }, Operator: a.operator, Client: a.client}) {
			a.answer = receipt.AnswerApprove
		}
	}
}

// remember notes what a decision means for later ones of its session.
func (s *session) remember(r *replayer, e *pack.Disclosed, b *receipt.Decision, in policy.Input) {
	m := madeOf(b.Tool, in)
	switch b.Reason.Code {
	case helm.Frozen, helm.DiskFull, helm.CallIDReused, helm.CallAlreadyDone, helm.BudgetExhausted, helm.ApprovalsFull, helm.ToolChanged: // the call may be made again
	default:
		if b.CallID != "" {
			key := b.Principal + " " + b.CallID
			if old := s.calls[key]; old != nil {
				delete(s.decisions, old.index)
			}
			c := &called{index: e.Statement.Index, policy: b.Policy.SHA256, made: m,
				escalated: b.Verdict == helm.Escalate && (b.Approval != nil || b.Escalation != nil) || b.Reason.Code == helm.ApprovalRefused}
			s.calls[key], s.decisions[c.index] = c, c
		}
	}
	if b.Escalation != nil {
		s.approvals = append(s.approvals, &approval{index: e.Statement.Index, principal: b.Principal, made: m,
			requires: b.Escalation.Requires, expires: b.Escalation.Expires})
	}
	if b.Approval != nil && b.Verdict == helm.Allow {
		s.approvals = slices.DeleteFunc(s.approvals, func(a *approval) bool { return a.index == b.Approval.Index })
	}
}

// repeated answers for a call_id that an earlier call of the session had. It reports
// false where that call says nothing about this one.
func (s *session) repeated(d *Decision, b *receipt.Decision, r *replayer, in policy.Input) bool {
	c := s.calls[b.Principal+" "+b.CallID]
	if c == nil {
		return false
	}
	m := madeOf(b.Tool, in)
	if !m.whole || !c.made.whole {
		d.cannotTell("entry %d has the same call_id, and whether it was the same call is not known: its arguments, or these, are not disclosed", c.index)
		return true
	}
	code := helm.Code("")
	switch {
	case m != c.made:
		code = helm.CallIDReused
	case c.done:
		code = helm.CallAlreadyDone
	case c.policy != b.Policy.SHA256 || c.escalated:
		return false // made anew; an approval that still waits or refuses is answered for by escalated
	default:
		d.differ("entry %d had answered the same call: a repetition makes no entry", c.index)
		return true
	}
	if d.Replayed = (&Said{helm.Deny, "kernel:call_id", code}); d.Recorded != *d.Replayed {
		d.differ("%s because of entry %d, and not %s", d.Replayed, c.index, d.Recorded)
	}
	return true
}

// escalated answers for a call that the policy escalates: an approval that was opened
// before for the same call decides, or one is opened now. It returns what the receipt must
// show of budgets, where an approval made them be consulted.
func (s *session) escalated(d *Decision, e *pack.Disclosed, b *receipt.Decision, r *replayer, p *policy.Policy, got policy.Result, in policy.Input) (budgets []receipt.Budget) {
	now := e.Statement.Time
	var requires []receipt.Requirement
	expires, never := time.Time{}, false
	for _, m := range got.Matched {
		if m.Verdict == helm.Escalate {
			asked, ok := p.Requirements(m.Rule, b.Agent, b.Principal)
			requires, never = append(requires, asked...), never || !ok
			if at := now.Add(p.Expires(m.Rule)); expires.IsZero() || at.Before(expires) {
				expires = at
			}
		}
	}
	slices.SortStableFunc(requires, func(a, b receipt.Requirement) int { return strings.Compare(a.Rule, b.Rule) })
	a, ok := s.waiting(d, b, r, requires, madeOf(b.Tool, in), now)
	if !ok {
		return nil
	}
	if a != nil && a.answer == receipt.AnswerApprove {
		spending, state, ok := r.spend(d, e.Statement, b, got.Budgets, a.requires)
		switch {
		case !ok:
			return nil
		case spending.Full != nil: // the approval is not used
			if d.Replayed = (&Said{helm.Deny, spending.Full.Rule(), helm.BudgetExhausted}); d.Recorded != *d.Replayed || b.Approval != nil {
				d.differ("%s, and not %s", d.Replayed, d.Recorded)
			}
			return state
		case len(spending.Asks) > 0: // for which it does not answer
			got.Matched = append(slices.Clone(got.Matched), spending.Asks...)
			if again := s.escalated(d, e, b, r, p, got, in); again != nil {
				return again
			}
			return state
		}
		budgets = state
	}
	want := *d.Replayed
	switch {
	case a == nil && never:
		want = Said{helm.Deny, "kernel:approvals", helm.NoApprover}
	case a == nil:
	case a.answer == receipt.AnswerApprove:
		want.Verdict, want.Code = helm.Allow, helm.Approved
	case a.answer == receipt.AnswerRefuse:
		want.Verdict, want.Code = helm.Deny, helm.ApprovalRefused
	}
	d.Replayed = &want
	switch {
	case d.Recorded != want:
		d.differ("%s, and not %s", want, d.Recorded)
	case want == *said(got) && b.Reason.Message != got.Reason.Message:
		d.differ("its message is %q, and not %q", got.Reason.Message, b.Reason.Message)
	case a != nil && (b.Approval == nil || b.Approval.Index != a.index):
		d.differ("it rests on the approval of entry %d", a.index)
	case a == nil && b.Approval != nil:
		d.differ("it rests on the approval of entry %d, which is not for this call, or not open any more", b.Approval.Index)
	case a == nil && !never && (b.Escalation == nil || !b.Escalation.Expires.Equal(expires) || !slices.EqualFunc(b.Escalation.Requires, requires, sameRequirement)):
		d.differ("what answers the ESCALATE is not what the policy's rules ask for")
	}
	return budgets
}

func sameRequirement(a, b receipt.Requirement) bool {
	return a.Rule == b.Rule && a.Count == b.Count && a.Client == b.Client && slices.Equal(a.Keys, b.Keys)
}

// waiting is the approval that decides about a call, or nil: one that was refused, or
// else the one that expires first. It reports false after it has answered that this cannot be told.
func (s *session) waiting(d *Decision, b *receipt.Decision, r *replayer, requires []receipt.Requirement, m made, now time.Time) (*approval, bool) {
	if !s.whole {
		d.cannotTell("earlier entries of the session are not in the pack: whether an approval was open is not known")
		return nil, false
	}
	s.approvals = slices.DeleteFunc(s.approvals, func(a *approval) bool { return !now.Before(a.expires) || a.index < r.activated })
	var first *approval
	for _, a := range s.approvals {
		if a.principal != b.Principal || a.answer != receipt.AnswerRefuse && !covers(a, requires) {
			continue
		}
		if !m.whole || !a.made.whole {
			d.cannotTell("entry %d opened an approval, and whether it was for this call is not known: its arguments, or these, are not disclosed", a.index)
			return nil, false
		}
		refused := a.answer == receipt.AnswerRefuse
		if a.made == m && (first == nil || refused && first.answer != receipt.AnswerRefuse ||
			refused == (first.answer == receipt.AnswerRefuse) && a.expires.Before(first.expires)) {
			first = a
		}
	}
	return first, true
}

// covers reports whether an approval answers every rule that asks now.
func covers(a *approval, requires []receipt.Requirement) bool {
	return !slices.ContainsFunc(requires, func(want receipt.Requirement) bool {
		return !slices.ContainsFunc(a.requires, func(r receipt.Requirement) bool { return r.Rule == want.Rule })
	})
}
