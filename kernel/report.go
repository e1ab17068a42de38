package kernel

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

// A Report is how a call ended, as the boundary that asked for its decision says.
type Report struct {
	Decision               string // id or index of the decision; or
	Agent, Session, CallID string // the call that it was on
	Status                 helm.OutcomeStatus
	Duration               time.Duration
	Result                 json.RawMessage // any JSON value, or nil
	Principal, Boundary    string
}

// An Outcome is a report that was recorded.
type Outcome struct {
	Recorded
	Decision receipt.Ref
	Conflict bool // an earlier report for the same decision differs
	Opening  receipt.Secret
}

// Report records how a call ended. The same report twice is one entry; a differing
// one is recorded as a conflict.
func (k *Kernel) Report(ctx context.Context, rep Report) (*Outcome, error) {
	if !rep.Status.Valid() {
		return nil, refuse(helm.BadRequest, "the status %q is not ok, error, timeout or not_executed", rep.Status)
	}
	if rep.Duration < 0 || rep.Duration > MaxDuration {
		return nil, refuse(helm.BadRequest, "the duration %s is negative or over a century", rep.Duration)
	}
	if len(rep.Result) > helm.MaxInputBytes {
		return nil, refuse(helm.TooLarge, "the result has %d bytes: at most %d are allowed", len(rep.Result), helm.MaxInputBytes)
	}
	payload, commitment, err := readResult(rep.Result)
	if err != nil {
		return nil, err
	}
	var repeat uint64
	out := new(Outcome)
	rec, err := k.append(ctx, &repeat, func(v *ledger.View) (*ledger.Draft, error) {
		index, err := findDecision(v, &rep)
		if err != nil {
			return nil, err
		}
		e, st, err := v.Statement(index)
		if err != nil {
			return nil, err
		}
		d, ok := st.Body.(*receipt.Decision)
		if !ok {
			return nil, refuse(helm.NotFound, "entry %d is a %s, not a decision", index, st.Body.Kind())
		}
		if d.Principal != rep.Principal || d.Boundary != rep.Boundary {
			return nil, refuse(helm.Forbidden, "only %s at %s, who obtained the decision of entry %d, may report its outcome", d.Principal, d.Boundary, index)
		}
		b := &receipt.Outcome{Agent: d.Agent, Session: d.Session, Principal: rep.Principal, Boundary: rep.Boundary, Tool: d.Tool,
			Decision: receipt.Ref{ID: e.Leaf, Index: index}, Verdict: d.Verdict, Enforced: d.Enforced,
			Status: rep.Status, DurationMicros: uint64(rep.Duration.Microseconds())}
		out.Decision, out.Conflict, out.Opening = b.Decision, false, receipt.Secret{}
		if payload != nil {
			out.Opening = payload.Secret
		}
		first, reported, err := v.Outcome(index)
		if err != nil {
			return nil, err
		}
		if reported {
			same, ref, opening, err := sameReport(v, first, b, payload)
			if err != nil {
				return nil, err
			}
			if same {
				repeat, out.Opening = first, opening
				return nil, errRepeat
			}
			b.Conflict, out.Conflict = ref, true
		}
		draft := &ledger.Draft{Agent: d.Agent, Session: d.Session, Body: b, Payload: payload,
			Subject: receipt.Subject{Name: receipt.SubjectResult, SHA256: commitment}}
		if payload == nil {
			draft.Subject = receipt.Subject{Name: receipt.SubjectStatement, SHA256: receipt.StatementHash(e.Statement)}
		}
		return draft, nil
	})
	if err != nil {
		return nil, err
	}
	out.Recorded = rec
	return out, nil
}

func readResult(raw []byte) (*ledger.Payload, receipt.Hash, error) {
	if raw == nil {
		return nil, receipt.Hash{}, nil
	}
	v, err := strictjson.Parse(raw)
	if err != nil {
		return nil, receipt.Hash{}, refuse(helm.BadRequest, "result: %w", err)
	}
	lines, err := receipt.Flatten(v)
	if err != nil {
		return nil, receipt.Hash{}, refuse(helm.TooLarge, "result: %w", err)
	}
	p := &ledger.Payload{Value: v.Append(nil)}
	rand.Read(p.Secret[:])
	return p, receipt.Commit(&p.Secret, lines), nil
}

func findDecision(v *ledger.View, rep *Report) (uint64, error) {
	if rep.Decision != "" {
		return v.ParseID(rep.Decision)
	}
	if rep.Agent == "" || rep.Session == "" || rep.CallID == "" {
		return 0, refuse(helm.BadRequest, "an outcome names its decision, or agent, session and call_id")
	}
	index, found, err := v.Call(rep.Agent, rep.Session, rep.Principal, rep.CallID)
	if err == nil && !found {
		err = refuse(helm.NotFound, "there is no decision of %s on the call_id %s in session %s of %s", rep.Principal, rep.CallID, rep.Session, rep.Agent)
	}
	return index, err
}

// sameReport reports whether the first report for a decision says the same; then
// the secret is the one that opens its result.
func sameReport(v *ledger.View, first uint64, b *receipt.Outcome, payload *ledger.Payload) (bool, *receipt.Ref, receipt.Secret, error) {
	var opening receipt.Secret
	e, st, err := v.Statement(first)
	if err != nil {
		return false, nil, opening, err
	}
	before, ok := st.Body.(*receipt.Outcome)
	if !ok {
		return false, nil, opening, fmt.Errorf("entry %d is a %s, not an outcome", first, st.Body.Kind())
	}
	p, err := v.Payload(first)
	if err != nil {
		return false, nil, opening, err
	}
	same := before.Status == b.Status && before.DurationMicros == b.DurationMicros && (p == nil) == (payload == nil)
	if same && p != nil {
		same, opening = bytes.Equal(p.Value, payload.Value), p.Secret
	}
	return same, &receipt.Ref{ID: e.Leaf, Index: e.Index}, opening, nil
}

// An Answer is a person's answer to an ESCALATE, given with an operator's token.
type Answer struct {
	ID                  string // of the approval
	Approve             bool
	Principal, Boundary string
}

// Answer records an answer to an ESCALATE.
func (k *Kernel) Answer(ctx context.Context, ans Answer) (Recorded, error) {
	return k.insist(ctx, nil, func(v *ledger.View) (*ledger.Draft, error) {
		index, err := v.ParseID(ans.ID)
		if err != nil {
			return nil, err
		}
		a, err := v.Approval(index)
		if err != nil {
			return nil, err
		}
		e, st, err := v.Statement(index)
		if err != nil {
			return nil, err
		}
		d, ok := st.Body.(*receipt.Decision)
		if !ok {
			return nil, refuse(helm.NotFound, "entry %d is no decision", index)
		}
		if err := answerable(v, a); err != nil {
			return nil, err
		}
		b := &receipt.Approval{Agent: d.Agent, Session: d.Session, Escalation: receipt.Ref{ID: e.Leaf, Index: index}, Input: st.Subject.SHA256,
			Answer: receipt.AnswerRefuse, Grade: receipt.GradeOperator, Principal: ans.Principal, Boundary: ans.Boundary,
			Approver: ans.Principal, Expires: a.Expires}
		if ans.Approve {
			b.Answer = receipt.AnswerApprove
			for _, r := range a.Requires {
				if r.Count > 0 {
					return nil, refuse(helm.Forbidden, "rule %s wants the signatures of its approvers: an operator's token cannot stand for them", r.Rule)
				}
			}
			if d.Principal == ans.Principal {
				return nil, refuse(helm.Forbidden, "%s asked for this call and cannot approve it", ans.Principal)
			}
		}
		return &ledger.Draft{Agent: d.Agent, Session: d.Session, Body: b,
			Subject: receipt.Subject{Name: receipt.SubjectStatement, SHA256: receipt.StatementHash(e.Statement)}}, nil
	})
}

// answerable returns an error unless the approval waits for an answer.
func answerable(v *ledger.View, a *ledger.Approval) error {
	switch {
	case a.State != ledger.ApprovalPending:
		return refuse(helm.Conflict, "the approval is %s already", a.State)
	case !a.Live(v.Now()):
		return refuse(helm.Conflict, "the approval expired at %s", receipt.FormatTime(a.Expires))
	case void(v, a):
		return refuse(helm.Conflict, "another policy is active since the call was escalated: it must be decided again")
	}
	return nil
}

// States of an approval that is not used, beside the ledger's: it can no longer be
// answered or used.
const (
	ApprovalExpired = "expired"
	ApprovalVoid    = "void" // another policy was activated
)

// A Waiting is an approval with the call that waits for it. Its state is the
// ledger's, but where that is pending or approved and decides nothing any more.
type Waiting struct {
	ledger.Approval
	Time      time.Time
	Decision  *receipt.Decision
	Input     json.RawMessage // {"arguments":...,"context":...}, or nil after erasure
	InputHash receipt.Hash    // the commitment
	Void      bool            // it can no longer be answered or used, whatever its state
}

// maxClosed is how many approvals that decide nothing any more are listed: their
// number grows with the log.
const maxClosed = 1000

// Approvals are the calls that wait for an answer, the earliest expiry first. With
// all set, among them those whose answer stands, and behind them the newest of those
// that decide nothing any more.
func (k *Kernel) Approvals(ctx context.Context, all bool) ([]Waiting, error) {
	var out []Waiting
	err := k.log.View(ctx, func(v *ledger.View) error {
		for a, err := range v.OpenApprovals("", "") {
			if err != nil {
				return err
			}
			w, err := k.waiting(v, a)
			if err != nil {
				return err
			}
			if w.State == ledger.ApprovalPending || all && !w.Void {
				out = append(out, *w)
			}
		}
		if !all {
			return nil
		}
		closed := 0
		for a, err := range v.Approvals() {
			if err != nil {
				return err
			}
			w, err := k.waiting(v, a)
			if err != nil {
				return err
			}
			if !w.Void {
				continue // it is above
			}
			out = append(out, *w)
			if closed++; closed == maxClosed {
				break
			}
		}
		return nil
	})
	return out, coded(err)
}

// Approval is the approval with that id or index, whatever its state.
func (k *Kernel) Approval(ctx context.Context, id string) (w *Waiting, err error) {
	err = k.log.View(ctx, func(v *ledger.View) error {
		index, err := v.ParseID(id)
		if err != nil {
			return err
		}
		a, err := v.Approval(index)
		if err != nil {
			return err
		}
		w, err = k.waiting(v, a)
		return err
	})
	return w, coded(err)
}

func (k *Kernel) waiting(v *ledger.View, a *ledger.Approval) (*Waiting, error) {
	_, st, err := v.Statement(a.Escalation)
	if err != nil {
		return nil, err
	}
	d, ok := st.Body.(*receipt.Decision)
	if !ok {
		return nil, fmt.Errorf("entry %d is no decision", a.Escalation)
	}
	p, err := v.Payload(a.Escalation)
	if err != nil {
		return nil, err
	}
	w := &Waiting{Approval: *a, Time: st.Time, Decision: d, InputHash: st.Subject.SHA256}
	if p != nil {
		w.Input = p.Value
	}
	expired := !a.Live(k.now())
	w.Void = expired || void(v, a)
	switch answered := a.State == ledger.ApprovalRefused || a.State == ledger.ApprovalUsed; {
	case answered:
	case expired:
		w.State = ApprovalExpired
	case w.Void:
		w.State = ApprovalVoid
	}
	return w, nil
}
