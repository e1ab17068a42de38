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
