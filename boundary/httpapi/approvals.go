package httpapi

import (
	"bytes"
	"encoding/base64"
	"net/http"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// An ApprovalAnswer is an approval and the call that waits for it. One that is asked
// for by its id also has what shows that this is the call: its receipt, and the secret
// that opens the commitment to the input.
type ApprovalAnswer struct {
	ID        string              `json:"id"`
	Index     uint64              `json:"index"` // of the ESCALATE
	State     string              `json:"state"` // pending, approved, refused, used, expired or void
	Void      bool                `json:"void"`  // expired, or another policy is active: it decides nothing any more
	Opened    string              `json:"opened"`
	Expires   string              `json:"expires"`
	Agent     string              `json:"agent"`
	Session   string              `json:"session"`
	Principal string              `json:"principal"`
	Tool      string              `json:"tool"`
	Rule      string              `json:"rule"`
	Reason    helm.Reason         `json:"reason"`
	Requires  []RequirementAnswer `json:"requires"`
	Input     jsontext.Value      `json:"input,omitzero"`   // {"arguments":...,"context":...}
	Opening   string              `json:"opening,omitzero"` // base64
	Receipt   jsontext.Value      `json:"receipt,omitzero"`
}

// A RequirementAnswer is a thing that must be given before the call is approved:
// signatures by count of the keys, or, where count is 0, an operator's answer.
type RequirementAnswer struct {
	Rule  string              `json:"rule"`
	Count uint64              `json:"count"`
	Given uint64              `json:"given"` // how many are there
	Keys  []ApproverKeyAnswer `json:"keys"`

	Client bool `json:"client,omitzero"` // with a count of 0: the user of the client that asked may answer too
}

// An ApproverKeyAnswer is a key that may answer.
type ApproverKeyAnswer struct {
	Name        string `json:"name"`
	Fingerprint string `json:"fingerprint"`
	Approved    bool   `json:"approved"`
}

func approvalAnswer(w *kernel.Waiting) ApprovalAnswer {
	a := ApprovalAnswer{ID: w.ID, Index: w.Escalation, State: w.State, Void: w.Void, Opened: receipt.FormatTime(w.Time), Expires: receipt.FormatTime(w.Expires),
		Agent: w.Decision.Agent, Session: w.Decision.Session, Principal: w.Decision.Principal, Tool: w.Decision.Tool,
		Rule: w.Decision.Rule, Reason: w.Decision.Reason, Input: jsontext.Value(w.Input)}
	for i := range w.Requires {
		r := &w.Requires[i]
		one := RequirementAnswer{Rule: r.Rule, Count: r.Count, Given: w.Given(r), Client: r.Client}
		for _, k := range r.Keys {
			one.Keys = append(one.Keys, ApproverKeyAnswer{k.Name, k.Fingerprint, w.Answered(receipt.GradeSSH, k.Name)})
		}
		a.Requires = append(a.Requires, one)
	}
	return a
}

func (s *Server) listApprovals(w http.ResponseWriter, r *http.Request, _ caller) error {
	q, err := query(r, "all")
	if err != nil {
		return err
	}
	waiting, err := s.Kernel.Approvals(r.Context(), q["all"] == "true")
	if err != nil {
		return err
	}
	out := struct {
		Approvals []ApprovalAnswer `json:"approvals"`
	}{}
	for i := range waiting {
		out.Approvals = append(out.Approvals, approvalAnswer(&waiting[i]))
	}
	return writeJSON(w, http.StatusOK, out)
}

func (s *Server) approval(w http.ResponseWriter, r *http.Request, _ caller) error {
	wait, done, err := s.wait(w, r)
	if err != nil {
		return err
	}
	defer done()
	found, err := s.Kernel.Approval(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	if wait > 0 {
		if _, err := s.await(r, found.ID, found.State, wait); err != nil {
			return err
		}
		if found, err = s.Kernel.Approval(r.Context(), found.ID); err != nil {
			return err
		}
	}
	a := approvalAnswer(found)
	a.Receipt = bytes.TrimSuffix(found.Receipt, []byte("\n"))
	if found.Input != nil {
		a.Opening = base64.StdEncoding.EncodeToString(found.Opening[:])
	}
	return writeJSON(w, http.StatusOK, a)
}

// A ClientAnswerRequest is the body of POST /v1/approvals/{id}/client: what the user of the
// client answered that asked for the call, as the client says.
type ClientAnswerRequest struct {
	Answer string `json:"answer"`
}

func (s *Server) clientAnswer(w http.ResponseWriter, r *http.Request, c caller) error {
	var req ClientAnswerRequest
	if err := readJSON(w, r, &req); err != nil {
		return err
	}
	if err := checkAnswer(req.Answer); err != nil {
		return err
	}
	rec, err := s.Kernel.Answer(r.Context(), kernel.Answer{ID: r.PathValue("id"), Approve: req.Answer == receipt.AnswerApprove,
		Client: true, Principal: c.principal, Boundary: s.Boundary})
	if err != nil {
		return err
	}
	return writeEntry(w, rec)
}

func checkAnswer(answer string) error {
	if answer != receipt.AnswerApprove && answer != receipt.AnswerRefuse {
		return refuse(helm.BadRequest, "the answer %.20q is not approve or refuse", answer)
	}
	return nil
}

// An AnswerRequest is the body of POST /v1/approvals/{id}. With approver and signature
// it is that person's answer, whoever hands it in; else it is the operator's.
type AnswerRequest struct {
	Answer    string `json:"answer"`
	Approver  string `json:"approver,omitzero"`
	Signature string `json:"signature,omitzero"` // SSH signature, armoured, of receipt.ApprovalText
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, c caller) error {
	var req AnswerRequest
	if err := readJSON(w, r, &req); err != nil {
		return err
	}
	if err := checkAnswer(req.Answer); err != nil {
		return err
	}
	if req.Signature == "" && !c.operator {
		return refuse(helm.Forbidden, "%s may hand in an approver's signature, and not answer itself: an operator's token is needed", c.principal)
	}
	rec, err := s.Kernel.Answer(r.Context(), kernel.Answer{ID: r.PathValue("id"), Approve: req.Answer == receipt.AnswerApprove,
		Approver: req.Approver, Signature: req.Signature, Principal: c.principal, Boundary: s.Boundary})
	if err != nil {
		return err
	}
	return writeEntry(w, rec)
}
