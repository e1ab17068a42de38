package httpapi

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

func marshalProblem(p *Problem) []byte {
	// Details can quote what a client sent, which need not be UTF-8.
	p.Detail = strings.ToValidUTF8(p.Detail, "\uFFFD")
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and a number
	}
	return append(b, '\n')
}

// Misread says in plain words why JSON could not be read into one of the requests.
func Misread(err error) error {
	var s *json.SemanticError
	if !errors.As(err, &s) {
		return errors.New(strings.TrimPrefix(err.Error(), "jsontext: "))
	}
	kind := s.JSONKind.String()
	switch s.JSONKind {
	case '{', '}':
		kind = "object"
	case '[', ']':
		kind = "array"
	}
	where := "the whole"
	if s.JSONPointer != "" {
		where = string(s.JSONPointer)
	}
	switch {
	case errors.Is(err, json.ErrUnknownName):
		return fmt.Errorf("there is no member %q", s.JSONPointer.LastToken())
	case s.GoType == nil:
	case s.GoType.Kind() == reflect.Struct:
		return fmt.Errorf("%s must be an object, and is a JSON %s", where, kind)
	case s.GoType.Kind() == reflect.String:
		return fmt.Errorf("%s must be a string, and is a JSON %s", where, kind)
	case s.GoType.Kind() == reflect.Uint64:
		return fmt.Errorf("%s must be a whole number from 0 to 18446744073709551615", where)
	}
	return fmt.Errorf("%s cannot be read: it is a JSON %s", where, kind)
}

// A DecisionRequest is the body of POST /v1/decisions.
type DecisionRequest struct {
	Agent     string         `json:"agent"`
	Session   string         `json:"session"`
	CallID    string         `json:"call_id,omitzero"`
	Tool      string         `json:"tool"`
	Arguments jsontext.Value `json:"arguments"`
	Context   jsontext.Value `json:"context,omitzero"`
}

// A DecisionAnswer is the answer to it.
type DecisionAnswer struct {
	ID       string         `json:"id"`
	Index    uint64         `json:"index"`
	Verdict  helm.Verdict   `json:"verdict"`
	Rule     string         `json:"rule"`
	Reason   helm.Reason    `json:"reason"`
	Enforced bool           `json:"enforced"`
	Repeated bool           `json:"repeated,omitzero"` // the answer was given before: a call that was made is not made again
	Approval *ApprovalRef   `json:"approval,omitzero"` // what an ESCALATE waits for
	Opening  string         `json:"opening"`           // base64: the secret that opens the commitment to the arguments
	Receipt  jsontext.Value `json:"receipt"`
}

// An ApprovalRef names an approval that is waited for.
type ApprovalRef struct {
	ID      string `json:"id"`
	Expires string `json:"expires"`
	Grade   string `json:"grade"` // the lowest that answers: client-user, operator-token or ssh-signature
}

// MaxWait is how long a caller may wait for an answer to an ESCALATE.
const MaxWait = time.Minute

// wait reads how long a caller wants to wait, makes room for that, and prepares the
// connection. What it returns ends the waiting, and is never nil.
func (s *Server) wait(w http.ResponseWriter, r *http.Request) (time.Duration, func(), error) {
	if r.URL.RawQuery == "" {
		return 0, func() {}, nil
	}
	q, err := query(r, "wait")
	if err != nil || q["wait"] == "" {
		return 0, func() {}, err
	}
	d, err := time.ParseDuration(q["wait"])
	if err != nil || d < 0 || d > MaxWait {
		return 0, func() {}, refuse(helm.BadRequest, "wait is %.20q: it must be a duration such as 30s, at most %s", q["wait"], MaxWait)
	}
	select {
	case s.waiters <- struct{}{}:
	default:
		return 0, func() {}, refuse(helm.Overloaded, "%d callers wait for answers: no more can", s.MaxWaiters)
	}
	// Another minute for what comes before and after. A deadline of reading that passes
	// meanwhile would be taken for the client's going.
	until := time.Now().Add(d + time.Minute)
	out := http.NewResponseController(w)
	if err := errors.Join(out.SetWriteDeadline(until), out.SetReadDeadline(until)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		<-s.waiters
		return 0, func() {}, err
	}
	return d, func() { <-s.waiters }, nil
}

// await waits until the approval is no longer in that state, the time is over, or the
// client or the server goes.
func (s *Server) await(r *http.Request, id, from string, d time.Duration) (string, error) {
	ctx, stop := context.WithTimeout(r.Context(), d)
	defer stop()
	go func() {
		select {
		case <-s.closing:
			stop()
		case <-ctx.Done():
		}
	}()
	state, err := s.Kernel.Await(ctx, id, from)
	if ctx.Err() != nil && r.Context().Err() == nil {
		return from, nil // the time is over, or the server ends: it is as it was
	}
	return state, err
}

func (s *Server) decide(w http.ResponseWriter, r *http.Request, c caller) error {
	wait, done, err := s.wait(w, r)
	if err != nil {
		return err
	}
	defer done()
	var req DecisionRequest
	if err := readJSON(w, r, &req); err != nil {
		return err
	}
	if c.agent != "" && req.Agent != c.agent {
		return refuse(helm.Forbidden, "%s speaks for the agent %s only", c.principal, c.agent)
	}
	if err := s.limit(c, req.Agent); err != nil {
		return err
	}
	call := helm.Call{Agent: req.Agent, Session: req.Session, CallID: req.CallID, Tool: req.Tool,
		Arguments: []byte(req.Arguments), Context: []byte(req.Context), Principal: c.principal, Boundary: s.Boundary}
	d, err := s.observed(r, call)
	if err != nil {
		return err
	}
	if wait > 0 && d.Verdict == helm.Escalate && d.Approval != nil {
		state, err := s.await(r, d.Approval.ID, ledger.ApprovalPending, wait)
		if err != nil {
			return err
		}
		if state == ledger.ApprovalApproved || state == ledger.ApprovalRefused { // else it would only be asked again
			if d, err = s.observed(r, call); err != nil {
				return err
			}
		}
	}
	a := DecisionAnswer{ID: d.ID, Index: d.Index, Verdict: d.Verdict, Rule: d.Rule, Reason: d.Reason, Enforced: d.Enforced, Repeated: d.Repeated,
		Opening: base64.StdEncoding.EncodeToString(d.Opening[:]), Receipt: bytes.TrimSuffix(d.Receipt, []byte("\n"))}
	if d.Approval != nil {
		a.Approval = &ApprovalRef{d.Approval.ID, receipt.FormatTime(d.Approval.Expires), d.Approval.Grade}
	}
	return writeJSON(w, http.StatusOK, a)
}

func (s *Server) observed(r *http.Request, call helm.Call) (*kernel.Decision, error) {
	d, err := s.Kernel.Decide(r.Context(), call)
	if err == nil && s.Observe != nil {
		s.Observe(d)
	}
	return d, err
}

// An OutcomeRequest is the body of POST /v1/outcomes. It names the decision by its
// id or index, or by agent, session and call_id.
type OutcomeRequest struct {
	Decision       string             `json:"decision,omitzero"`
	Agent          string             `json:"agent,omitzero"`
	Session        string             `json:"session,omitzero"`
	CallID         string             `json:"call_id,omitzero"`
	Status         helm.OutcomeStatus `json:"status"`
	DurationMicros uint64             `json:"duration_us,omitzero"`
	Result         jsontext.Value     `json:"result,omitzero"`
}

// An OutcomeAnswer is the answer to it.
type OutcomeAnswer struct {
	ID       string         `json:"id"`
	Index    uint64         `json:"index"`
	Decision string         `json:"decision"`
	Conflict bool           `json:"conflict,omitzero"` // an earlier report for the same decision differs
	Repeated bool           `json:"repeated,omitzero"`
	Opening  string         `json:"opening,omitzero"`
	Receipt  jsontext.Value `json:"receipt"`
}

func (s *Server) outcome(w http.ResponseWriter, r *http.Request, c caller) error {
	var req OutcomeRequest
	if err := readJSON(w, r, &req); err != nil {
		return err
	}
	if req.DurationMicros > uint64(kernel.MaxDuration.Microseconds()) {
		return refuse(helm.BadRequest, "duration_us is %d: that is more than a century", req.DurationMicros)
	}
	o, err := s.Kernel.Report(r.Context(), kernel.Report{Decision: req.Decision, Agent: req.Agent, Session: req.Session, CallID: req.CallID,
		Status: req.Status, Duration: time.Duration(req.DurationMicros) * time.Microsecond, Result: []byte(req.Result),
		Principal: c.principal, Boundary: s.Boundary})
	if err != nil {
		return err
	}
	a := OutcomeAnswer{ID: o.ID, Index: o.Index, Decision: hexID(o.Decision.ID), Conflict: o.Conflict, Repeated: o.Repeated,
		Receipt: bytes.TrimSuffix(o.Receipt, []byte("\n"))}
	if o.Opening != (receipt.Secret{}) {
		a.Opening = base64.StdEncoding.EncodeToString(o.Opening[:])
	}
	return writeJSON(w, http.StatusOK, a)
}

// A CloseRequest is the body of POST /v1/sessions/close.
type CloseRequest struct {
	Agent   string `json:"agent"`
	Session string `json:"session"`
}

// An EntryAnswer names an entry that was recorded, with its receipt.
type EntryAnswer struct {
	ID      string         `json:"id"`
	Index   uint64         `json:"index"`
	Receipt jsontext.Value `json:"receipt"`
}

func writeEntry(w http.ResponseWriter, rec kernel.Recorded) error {
	return writeJSON(w, http.StatusOK, EntryAnswer{rec.ID, rec.Index, bytes.TrimSuffix(rec.Receipt, []byte("\n"))})
}

func (s *Server) closeSession(w http.ResponseWriter, r *http.Request, c caller) error {
	var req CloseRequest
	if err := readJSON(w, r, &req); err != nil {
		return err
	}
	if c.agent != "" && req.Agent != c.agent {
		return refuse(helm.Forbidden, "%s speaks for the agent %s only", c.principal, c.agent)
	}
	rec, err := s.Kernel.CloseSession(r.Context(), req.Agent, req.Session, c.principal, s.Boundary, receipt.CloseAPI)
	if err != nil {
		return err
	}
	return writeEntry(w, rec)
}
