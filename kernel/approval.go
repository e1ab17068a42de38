package kernel

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
	"github.com/helm-ai-kernel/helm-ai-kernel/policy"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/sshsig"
)

// An Answer is a person's answer to an ESCALATE: signed by an approver's key, or
// given with an operator's token.
type Answer struct {
	ID                  string // of the approval
	Approve             bool
	Approver, Signature string // SSH signature of receipt.ApprovalText; both "": an operator answers, Principal
	Principal, Boundary string // who handed it in
	Client              bool   // it is the asking client's user, as the client says
}

// Answer records an answer to an ESCALATE.
func (k *Kernel) Answer(ctx context.Context, ans Answer) (Recorded, error) {
	if (ans.Approver == "") != (ans.Signature == "") {
		return Recorded{}, refuse(helm.BadRequest, "approver and signature are given together, or neither")
	}
	if len(ans.Signature) > receipt.MaxSignatureBytes {
		return Recorded{}, refuse(helm.TooLarge, "the signature has %d bytes: at most %d are allowed", len(ans.Signature), receipt.MaxSignatureBytes)
	}
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
		}
		if ans.Signature != "" {
			b.Grade, b.Approver, b.Signature = receipt.GradeSSH, ans.Approver, ans.Signature
			err = k.maySign(v, a, d, b, receipt.StatementHash(e.Statement))
		} else if ans.Client {
			b.Grade = receipt.GradeClient
			err = maySay(a, d, &ans)
		} else if ans.Approve {
			err = mayApprove(a, d, ans.Principal)
		}
		if err == nil && ans.Approve && a.Answered(b.Grade, b.Approver) {
			err = refuse(helm.Conflict, "%s has approved it already, and it waits for others", b.Approver)
		}
		if err != nil {
			return nil, err
		}
		return &ledger.Draft{Agent: d.Agent, Session: d.Session, Body: b,
			Subject: receipt.Subject{Name: receipt.SubjectStatement, SHA256: receipt.StatementHash(e.Statement)}}, nil
	})
}

// mayApprove returns an error unless an operator's token is asked for.
func mayApprove(a *ledger.Approval, d *receipt.Decision, principal string) error {
	if !slices.ContainsFunc(a.Requires, func(r receipt.Requirement) bool { return r.Count == 0 }) {
		return refuse(helm.Forbidden, "rule %s wants the signatures of its approvers: an operator's token cannot stand for them", a.Requires[0].Rule)
	}
	if d.Principal == principal {
		return refuse(helm.Forbidden, "%s asked for this call and cannot approve it", principal)
	}
	return nil
}

// maySay returns an error unless the client that asked may say what its user answers.
func maySay(a *ledger.Approval, d *receipt.Decision, ans *Answer) error {
	if !slices.ContainsFunc(a.Requires, func(r receipt.Requirement) bool { return r.Client }) {
		return refuse(helm.Forbidden, "rule %s does not take the answer of the client's user: its approvers have no grade = \"client\"", a.Requires[0].Rule)
	}
	if d.Principal != ans.Principal || d.Boundary != ans.Boundary {
		return refuse(helm.Forbidden, "%s at %s asked for this call, and only they say what their user answers", d.Principal, d.Boundary)
	}
	return nil
}

// maySign returns an error unless the approver is asked for an answer, and signed this
// one.
func (k *Kernel) maySign(v *ledger.View, a *ledger.Approval, d *receipt.Decision, b *receipt.Approval, escalation receipt.Hash) error {
	want := a.Fingerprint(b.Approver)
	if want == "" {
		why := "the policy does not ask for " + b.Approver
		active, err := k.activeIn(v)
		if err != nil {
			return err
		}
		for _, one := range active.Approvers() {
			switch {
			case one.Name != b.Approver:
			case one.Revoked:
				why = "the key of " + b.Approver + " is revoked"
			case one.Asks(d.Agent, d.Principal):
				why = b.Approver + " asks for this call, and cannot answer it"
			}
		}
		return refuse(helm.Forbidden, "%s", why)
	}
	return signedBy(k.log.Origin(), escalation, b, want)
}

// signedBy returns an error unless the approval's signature is by the key with that
// fingerprint, over exactly what the approval says.
func signedBy(origin string, escalation receipt.Hash, b *receipt.Approval, fingerprint string) error {
	key, err := sshsig.Verify(receipt.ApprovalNamespace, receipt.ApprovalText(b.Answer, origin, escalation, b.Input, b.Expires, b.Approver), b.Signature)
	if err != nil {
		return &Error{helm.Forbidden, err}
	}
	if got := key.Fingerprint(); got != fingerprint {
		return refuse(helm.Forbidden, "it is signed with the key %s, and the policy's key of %s is %s", got, b.Approver, fingerprint)
	}
	return nil
}

// requirements are what the policy asks for by the rules that the approval is for.
func requirements(p *policy.Policy, in *input, a *ledger.Approval) (out []receipt.Requirement) {
	last := ""
	for _, r := range a.Requires {
		if r.Rule != last {
			asked, _ := p.Requirements(r.Rule, in.Agent, in.Principal)
			out, last = append(out, asked...), r.Rule
		}
	}
	return out
}

// stillApproved verifies the answers of an approval once more, against what the active
// policy asks for: no row that somebody wrote into the store allows a call.
func (k *Kernel) stillApproved(v *ledger.View, a *ledger.Approval, e *ledger.Entry, escalation *receipt.Decision, input receipt.Hash, requires []receipt.Requirement) error {
	given := &ledger.Approval{Requires: requires}
	for _, ans := range a.Answers {
		_, st, err := v.Statement(ans.Index)
		if err != nil {
			return err
		}
		b, ok := st.Body.(*receipt.Approval)
		if !ok || b.Escalation != (receipt.Ref{ID: e.Leaf, Index: e.Index}) || b.Answer != receipt.AnswerApprove || b.Input != input || !v.Now().Before(b.Expires) {
			return refuse(helm.NotRecorded, "entry %d does not approve the call of entry %d, and is said to: the store was changed", ans.Index, e.Index)
		}
		if b.Grade == receipt.GradeSSH {
			if err := signedBy(k.log.Origin(), receipt.StatementHash(e.Statement), b, given.Fingerprint(b.Approver)); err != nil {
				return refuse(helm.NotRecorded, "entry %d does not approve the call of entry %d: %w", ans.Index, e.Index, err)
			}
		}
		if d := escalation; b.Grade == receipt.GradeClient && (b.Principal != d.Principal || b.Boundary != d.Boundary) {
			return refuse(helm.NotRecorded, "entry %d does not approve the call of entry %d: another asked for that call", ans.Index, e.Index)
		}
		given.Answers = append(given.Answers, ledger.Answer{Index: ans.Index, Answer: b.Answer, Grade: b.Grade, Approver: b.Approver})
	}
	if !given.Satisfied() {
		return refuse(helm.NotRecorded, "the call of entry %d is said to be approved, and is not by what the policy asks for: the store was changed", e.Index)
	}
	return nil
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
	Opening   receipt.Secret  // opens the commitment, unless Input is nil
	Receipt   []byte          // receipt file of the ESCALATE; of one that was asked for by its id
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
		if w, err = k.waiting(v, a); err != nil {
			return err
		}
		e, err := v.Entry(index)
		if err != nil {
			return err
		}
		w.Receipt, err = v.ReceiptOf(e)
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
		w.Input, w.Opening = p.Value, p.Secret
	}
	w.State, w.Void = k.stateOf(v, a)
	return w, nil
}
