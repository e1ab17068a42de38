package kernel

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
	"github.com/helm-ai-kernel/helm-ai-kernel/policy"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

// A Decision is what the kernel answered, and its receipt.
type Decision struct {
	Recorded
	Verdict  helm.Verdict
	Rule     string
	Reason   helm.Reason
	Enforced bool // false: in shadow mode, the call passes whatever the verdict
	Approval *PendingApproval
	Opening  receipt.Secret // opens the commitment to the arguments
	Shadowed *Shadowed      // what a shadow policy said, if there is one and the call was looked at
}

// A PendingApproval is what an ESCALATE waits for.
type PendingApproval struct {
	ID      string
	Expires time.Time
	Grade   string // the lowest that answers all of it: receipt.GradeClient, GradeOperator or GradeSSH
}

func waitsFor(id string, expires time.Time, requires []receipt.Requirement) *PendingApproval {
	p := &PendingApproval{id, expires, receipt.GradeClient}
	for _, r := range requires {
		switch {
		case r.Count > 0:
			p.Grade = receipt.GradeSSH
		case !r.Client && p.Grade == receipt.GradeClient:
			p.Grade = receipt.GradeOperator
		}
	}
	return p
}

// input is a call that was validated, and what it commits to.
type input struct {
	helm.Call
	arguments, context strictjson.Value
	lines              []receipt.Line
	value              []byte // compact JSON of what is committed to
	payload            ledger.Payload
	commitment         receipt.Hash
}

// Decide answers a call under the active policy and records the answer. An *Error
// means that there is no decision: the call must not be made.
func (k *Kernel) Decide(ctx context.Context, call helm.Call) (*Decision, error) {
	if err := k.log.Err(); err != nil {
		return nil, coded(err)
	}
	in, err := read(call)
	if err != nil {
		return nil, err
	}
	evaluated := evaluation{policy: k.active.Load(), now: k.now().UTC().Truncate(time.Microsecond)}
	if evaluated.policy != nil {
		evaluated.result = evaluated.policy.Evaluate(in.policyInput(evaluated.now))
	}
	b := k.beside(in.policyInput(evaluated.now))
	evaluated.beside = b
	rec, said, err := k.record(ctx, in, evaluated)
	if b != nil && errors.Is(err, receipt.ErrStatementTooLarge) {
		evaluated.beside = nil // the decision goes before what is said beside it
		rec, said, err = k.record(ctx, in, evaluated)
	}
	if err != nil {
		return nil, err
	}
	if rec.Repeated {
		return k.repeated(ctx, rec)
	}
	d := answer(rec, &said.body, said.payload.Secret, said.pending)
	if b != nil {
		d.Shadowed = b.count(said.said)
	}
	return d, nil
}

// record decides a call in the state of the log, and records it.
func (k *Kernel) record(ctx context.Context, in *input, evaluated evaluation) (Recorded, *decided, error) {
	var repeat uint64
	var said *decided
	rec, err := k.append(ctx, &repeat, func(v *ledger.View) (*ledger.Draft, error) {
		d, again, err := k.decide(v, in, evaluated)
		if err != nil {
			return nil, err
		}
		if again != nil {
			repeat = *again
			return nil, errRepeat
		}
		said = d
		return &ledger.Draft{Agent: in.Agent, Session: in.Session, Body: &d.body, Payload: &d.payload,
			Subject: receipt.Subject{Name: receipt.SubjectInput, SHA256: d.commitment}}, nil
	})
	if err != nil { // of a caller that went away: the call may still be decided meanwhile
		return rec, nil, err
	}
	return rec, said, nil
}

func answer(rec Recorded, b *receipt.Decision, opening receipt.Secret, pending *PendingApproval) *Decision {
	d := &Decision{Recorded: rec, Verdict: b.Verdict, Rule: b.Rule, Reason: b.Reason, Enforced: b.Enforced, Opening: opening, Approval: pending}
	if b.Escalation != nil {
		d.Approval = waitsFor(rec.ID, b.Escalation.Expires, b.Escalation.Requires)
	}
	return d
}

// repeated is the answer that was given before.
func (k *Kernel) repeated(ctx context.Context, rec Recorded) (*Decision, error) {
	st, err := receipt.ParseStatement(rec.Statement)
	if err != nil {
		return nil, coded(err)
	}
	b := st.Body.(*receipt.Decision)
	var opening receipt.Secret
	var waits *PendingApproval
	err = k.log.View(ctx, func(v *ledger.View) error {
		p, err := v.Payload(rec.Index)
		if err != nil {
			return err
		}
		if p != nil {
			opening = p.Secret
		}
		if b.Verdict == helm.Escalate && b.Approval != nil {
			a, err := v.Approval(b.Approval.Index)
			if err != nil {
				return err
			}
			waits = waitsFor(a.ID, a.Expires, a.Requires)
		}
		return nil
	})
	if err != nil {
		return nil, coded(err)
	}
	return answer(rec, b, opening, waits), nil
}

// read validates a call. What it refuses leaves no receipt.
func read(call helm.Call) (*input, error) {
	for _, n := range [][2]string{{"agent", call.Agent}, {"session", call.Session}, {"tool", call.Tool},
		{"principal", call.Principal}, {"boundary", call.Boundary}} {
		if err := helm.CheckName(n[0], n[1]); err != nil {
			return nil, &Error{helm.BadRequest, err}
		}
	}
	if call.CallID != "" {
		if err := helm.CheckName("call_id", call.CallID); err != nil {
			return nil, &Error{helm.BadRequest, err}
		}
	}
	if n := len(call.Arguments) + len(call.Context); n > helm.MaxInputBytes {
		return nil, refuse(helm.TooLarge, "arguments and context have %d bytes: at most %d are allowed", n, helm.MaxInputBytes)
	}
	in := &input{Call: call}
	var err error
	if in.arguments, err = readObject("arguments", call.Arguments); err != nil {
		return nil, err
	}
	if len(call.Context) > 0 {
		if in.context, err = readObject("context", call.Context); err != nil {
			return nil, err
		}
	}
	v := receipt.Input(in.arguments, in.context)
	if in.lines, err = receipt.Flatten(v); err != nil {
		return nil, &Error{helm.TooLarge, err}
	}
	in.value = v.Append(nil)
	in.payload.Value = in.value
	rand.Read(in.payload.Secret[:])
	in.commitment = receipt.Commit(&in.payload.Secret, in.lines)
	return in, nil
}

func readObject(what string, raw []byte) (strictjson.Value, error) {
	v, err := strictjson.Parse(raw)
	if err != nil {
		return v, refuse(helm.BadRequest, "%s: %w", what, err)
	}
	if v.Kind != strictjson.Object {
		return v, refuse(helm.BadRequest, "%s: an object is needed, this is a JSON %s", what, v.Kind)
	}
	return v, nil
}

func (in *input) policyInput(now time.Time) policy.Input {
	return policy.Input{Agent: in.Agent, Session: in.Session, Tool: in.Tool, Principal: in.Principal, Boundary: in.Boundary,
		Arguments: in.arguments, Context: in.context, Now: now}
}

// An evaluation is what a policy says of a call at a time.
type evaluation struct {
	policy *policy.Policy
	now    time.Time
	result policy.Result
	beside *beside // what a shadow policy says, or nil
}

// decided is a decision before it has its place in the log.
type decided struct {
	body       receipt.Decision
	payload    ledger.Payload
	commitment receipt.Hash
	pending    *PendingApproval
	said       policy.Result // by the active policy
}

// decide is what the state of the log makes of an evaluation. The index is of an
// earlier decision that is given again.
func (k *Kernel) decide(v *ledger.View, in *input, ev evaluation) (*decided, *uint64, error) {
	active, err := k.activeIn(v)
	if err != nil {
		return nil, nil, err
	}
	if ev.policy == nil || ev.policy.SHA256() != active.SHA256() {
		ev.policy, ev.result = active, active.Evaluate(in.policyInput(ev.now))
	}
	d := &decided{payload: in.payload, commitment: in.commitment}
	d.body = receipt.Decision{Agent: in.Agent, Session: in.Session, CallID: in.CallID, Principal: in.Principal, Boundary: in.Boundary, Tool: in.Tool,
		Now: ev.now, Mode: active.Mode(), Enforced: active.Mode() == helm.Enforce, Policy: ref(active)}
	d.result(ev.result)
	if ev.beside != nil && ev.beside.differs(ev.result) {
		d.body.Shadow = &ev.beside.said
	}

	if at := v.Frozen(); at != 0 {
		d.deny("kernel:freeze", helm.Frozen, fmt.Sprintf("the boundary is frozen since entry %d", at))
		d.body.Enforced = true
		return d, nil, nil
	}
	if k.log.Degraded() != nil {
		d.deny("kernel:disk", helm.DiskFull, "the disk was full: nothing is allowed until the kernel is started again with room")
		d.body.Enforced = true
		return d, nil, nil
	}
	if in.CallID != "" {
		again, err := k.repeat(v, in, active, d)
		if err != nil || again != nil {
			return d, again, err
		}
		if d.body.Rule == ruleCallID {
			return d, nil, nil
		}
	}
	if changed, err := k.changed(v, in); err != nil {
		return nil, nil, err
	} else if changed {
		d.deny(receipt.RuleTools, helm.ToolChanged, fmt.Sprintf("the definition of %s is another than the one that was pinned: an operator accepts it with `helm-ai-kernel mcp tools accept %s`", in.Tool, in.Tool))
		return d, nil, nil
	}
	matched := ev.result.Matched
	if d.body.Verdict == helm.Allow {
		asks, err := d.spend(v, ev.result, nil)
		if err != nil {
			return d, nil, err
		}
		matched = append(slices.Clone(matched), asks...)
	}
	if d.body.Verdict == helm.Escalate && active.Mode() == helm.Enforce {
		return d, nil, k.escalate(v, in, active, matched, ev.result, d)
	}
	return d, nil, nil
}

const ruleCallID = "kernel:call_id"

func (d *decided) deny(rule string, code helm.Code, message string) {
	d.body.Verdict, d.body.Rule, d.body.Reason = helm.Deny, rule, helm.Reason{Code: code, Message: message}
}

// result copies what the policy said.
func (d *decided) result(r policy.Result) {
	d.said = r
	d.body.Verdict, d.body.Rule, d.body.Reason = r.Verdict, r.Rule, r.Reason
	for i, m := range r.Matched {
		if i == receipt.MaxMatched {
			d.body.MatchedMore = uint64(len(r.Matched) - i)
			break
		}
		d.body.Matched = append(d.body.Matched, receipt.Match{Rule: m.Rule, Verdict: m.Verdict, Code: m.Code})
	}
}

// repeat looks at an earlier decision on the same call_id: it is given again, or
// this call is denied, or it is decided anew.
func (k *Kernel) repeat(v *ledger.View, in *input, active *policy.Policy, d *decided) (*uint64, error) {
	index, found, err := v.Call(in.Agent, in.Session, in.Principal, in.CallID)
	if err != nil || !found {
		return nil, err
	}
	_, st, err := v.Statement(index)
	if err != nil {
		return nil, err
	}
	before := st.Body.(*receipt.Decision)
	same, err := sameInput(v, index, before, in)
	if err != nil {
		return nil, err
	}
	if !same {
		d.deny(ruleCallID, helm.CallIDReused, fmt.Sprintf("the call_id was used by entry %d with another tool or other arguments", index))
		return nil, nil
	}
	if _, done, err := v.Outcome(index); err != nil {
		return nil, err
	} else if done {
		d.deny(ruleCallID, helm.CallAlreadyDone, fmt.Sprintf("the call of entry %d has an outcome: it is not made twice", index))
		return nil, nil
	}
	if before.Policy.SHA256 != active.SHA256() {
		return nil, nil
	}
	if before.Verdict == helm.Escalate || before.Reason.Code == helm.ApprovalRefused {
		waits, err := pendingStill(v, index, before)
		if err != nil || !waits {
			return nil, err
		}
	}
	return &index, nil
}

// sameInput reports whether an earlier decision was on the same tool with the same
// arguments and context. Where the earlier payload was erased nobody can tell, and
// the answer is no.
func sameInput(v *ledger.View, index uint64, before *receipt.Decision, in *input) (bool, error) {
	p, err := v.Payload(index)
	return p != nil && before.Tool == in.Tool && bytes.Equal(p.Value, in.value), err
}

// pendingStill reports whether what an ESCALATE waits for is still unanswered, or
// a refusal still in force.
func pendingStill(v *ledger.View, index uint64, before *receipt.Decision) (bool, error) {
	if before.Approval != nil {
		index = before.Approval.Index
	} else if before.Escalation == nil {
		return true, nil // shadow mode: it waits for nothing
	}
	a, err := v.Approval(index)
	if err != nil {
		return false, err
	}
	want := ledger.ApprovalPending
	if before.Verdict == helm.Deny {
		want = ledger.ApprovalRefused
	}
	return a.State == want && a.Live(v.Now()) && !void(v, a), nil
}

// void reports whether another policy became active since the approval was opened.
// That the old one is active again does not bring it back.
func void(v *ledger.View, a *ledger.Approval) bool {
	_, activation, _ := v.ActivePolicy()
	return a.Escalation < activation
}

// escalate finds the approval that an ESCALATE on the same input opened under the
// same policy, and uses it where the budgets have room, or opens one.
func (k *Kernel) escalate(v *ledger.View, in *input, active *policy.Policy, matched []policy.Match, r policy.Result, d *decided) error {
	a, err := approvalOf(v, in, matched)
	if err != nil {
		return err
	}
	if a == nil {
		return d.open(v, in, active, matched)
	}
	if a.State == ledger.ApprovalApproved {
		asks, err := d.spend(v, r, a.Requires)
		if err != nil || d.body.Verdict == helm.Deny {
			return err // by a budget: the approval is not used
		}
		if len(asks) > 0 { // which it does not answer for
			return k.escalate(v, in, active, append(slices.Clone(matched), asks...), r, d)
		}
	}
	e, st, err := v.Statement(a.Escalation)
	if err != nil {
		return err
	}
	p, err := v.Payload(a.Escalation)
	if err != nil {
		return err
	}
	if a.State == ledger.ApprovalApproved {
		if err := k.stillApproved(v, a, e, st.Body.(*receipt.Decision), receipt.Commit(&p.Secret, in.lines), requirements(active, in, a)); err != nil {
			return err
		}
	}
	d.body.Approval = &receipt.Ref{ID: e.Leaf, Index: e.Index}
	// The same secret gives the same commitment: a verifier sees, without the
	// arguments, that this is the call that was asked about.
	d.payload.Secret, d.commitment = p.Secret, st.Subject.SHA256
	switch a.State {
	case ledger.ApprovalApproved:
		d.body.Verdict = helm.Allow
		d.body.Reason = helm.Reason{Code: helm.Approved, Message: fmt.Sprintf("the escalation of entry %d was approved", a.Escalation)}
	case ledger.ApprovalRefused:
		d.body.Verdict = helm.Deny
		d.body.Reason = helm.Reason{Code: helm.ApprovalRefused, Message: fmt.Sprintf("the escalation of entry %d was refused", a.Escalation)}
	default:
		d.pending = waitsFor(a.ID, a.Expires, a.Requires)
	}
	return nil
}

// approvalOf is the approval that decides about a call, or nil: one that was refused, or
// else of those that answer for every rule that asks now the one that expires first.
func approvalOf(v *ledger.View, in *input, matched []policy.Match) (*ledger.Approval, error) {
	var first *ledger.Approval
	for a, err := range v.OpenApprovals(in.Agent, in.Session) {
		if err != nil {
			return nil, err
		}
		refused := a.State == ledger.ApprovalRefused
		if !a.Live(v.Now()) || void(v, a) || !refused && (first != nil || !covers(a, matched)) {
			continue
		}
		p, err := v.Payload(a.Escalation)
		if err != nil {
			return nil, err
		}
		if p == nil || !bytes.Equal(p.Value, in.value) { // before the statement: a comparison costs less than to parse one
			continue
		}
		_, st, err := v.Statement(a.Escalation)
		if err != nil {
			return nil, err
		}
		if before := st.Body.(*receipt.Decision); before.Tool != in.Tool || before.Principal != in.Principal {
			continue
		}
		if refused {
			return a, nil
		}
		first = a
	}
	return first, nil
}

// open asks for an approval.
func (d *decided) open(v *ledger.View, in *input, active *policy.Policy, matched []policy.Match) error {
	live := v.Counts().ApprovalsOpen
	if live >= MaxOpenApprovals {
		for a, err := range v.OpenApprovals("", "") { // the expired ones come first
			if err != nil {
				return err
			}
			if a.Live(v.Now()) {
				break
			}
			live--
		}
	}
	if live >= MaxOpenApprovals {
		d.deny("kernel:approvals", helm.ApprovalsFull, fmt.Sprintf("%d approvals are open: no more than that can wait", live))
		return nil
	}
	asked, never := escalation(active, in, matched, v.Now())
	switch {
	case never != "":
		d.deny("kernel:approvals", helm.NoApprover, "too few can answer what the rule "+never+" asks: nobody approves for himself")
	case len(asked.Requires) > receipt.MaxRequirements || size(asked) > maxAsked:
		d.deny("kernel:approvals", helm.ApprovalsFull, fmt.Sprintf("the rules that match ask for %d things, with %d bytes of keys: that is too much for one receipt", len(asked.Requires), size(asked)))
	default:
		d.body.Escalation = asked
	}
	return nil
}

// maxAsked is how many bytes the requirements of one ESCALATE have, so that there is room for
// them in its statement.
const maxAsked = receipt.MaxStatementBytes / 2

func size(e *receipt.Escalation) (n int) {
	for _, r := range e.Requires {
		n += len(`{"rule":"","count":64,"keys":[]},`) + len(r.Rule)
		for _, k := range r.Keys {
			n += len(`{"name":"","fingerprint":""},`) + len(k.Name) + len(k.Fingerprint)
		}
	}
	return n
}

// covers reports whether the approval answers every rule that asks now. A rule that
// looks at the time or the boundary may ask now and not have asked then.
func covers(a *ledger.Approval, matched []policy.Match) bool {
	return !slices.ContainsFunc(matched, func(m policy.Match) bool {
		return m.Verdict == helm.Escalate && !answers(a.Requires, m.Rule)
	})
}

func answers(requires []receipt.Requirement, rule string) bool {
	return slices.ContainsFunc(requires, func(r receipt.Requirement) bool { return r.Rule == rule })
}

// escalation is what answers an ESCALATE: every matched ESCALATE rule must be satisfied,
// each within its time. The rule is one that cannot be, or "".
func escalation(p *policy.Policy, in *input, matched []policy.Match, now time.Time) (e *receipt.Escalation, never string) {
	e = &receipt.Escalation{}
	for _, m := range matched {
		if m.Verdict != helm.Escalate {
			continue
		}
		expires := now.Add(p.Expires(m.Rule))
		if e.Expires.IsZero() || expires.Before(e.Expires) {
			e.Expires = expires
		}
		asked, ok := p.Requirements(m.Rule, in.Agent, in.Principal)
		if e.Requires = append(e.Requires, asked...); !ok && never == "" {
			never = m.Rule
		}
	}
	slices.SortStableFunc(e.Requires, func(a, b receipt.Requirement) int { return strings.Compare(a.Rule, b.Rule) })
	return e, never
}
