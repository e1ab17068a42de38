package verify

import (
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// An escalation is an ESCALATE that opened an approval, and what became of it.
type escalation struct {
	id, statement, input, policy receipt.Hash
	agent, session, tool         string
	expires                      time.Time
	keys                         bool // a requirement asks for signatures
	token                        bool // one asks for an operator's token

	operator uint64    // index of an operator's approval, or 0
	signed   uint64    // index of the last signed approval, or 0
	until    time.Time // the earliest expiry that an approval names
	refused  uint64    // index of a refusal, or 0
	used     uint64    // index of the ALLOW that used it up, or 0
}

func (c *chain) openEscalation(it *item, d *receipt.Decision) {
	e := &escalation{id: it.hash, statement: it.digest, input: it.st.Subject.SHA256, policy: d.Policy.SHA256,
		agent: d.Agent, session: d.Session, tool: d.Tool, expires: d.Escalation.Expires, until: d.Escalation.Expires}
	for _, r := range d.Escalation.Requires {
		e.keys, e.token = e.keys || r.Count > 0, e.token || r.Count == 0
	}
	c.escalations[it.st.Index] = e
}

// approval holds an answer to its ESCALATE.
func (c *chain) approval(it *item, a *receipt.Approval) {
	st := it.st
	e := c.escalations[a.Escalation.Index]
	if e == nil {
		if c.inWindow(st) {
			c.wrong(it, Approvals, "reference", "the ESCALATE that it answers, entry %d, is not in the pack, or opened no approval", a.Escalation.Index)
		}
		return
	}
	var fault string
	switch {
	case a.Escalation.ID != e.id:
		fault = "it names another entry by its id"
	case st.Subject != (receipt.Subject{Name: receipt.SubjectStatement, SHA256: e.statement}):
		fault = "its subject is not that statement"
	case a.Agent != e.agent || a.Session != e.session:
		fault = "that is of another agent or session"
	case a.Input != e.input:
		fault = "that is for another input"
	case a.Expires.After(e.expires):
		fault = "it lasts longer than that allows"
	case st.Time.After(a.Expires):
		fault = "it came after its own expiry"
	case e.used > 0 || e.refused > 0:
		fault = "that was used up or refused already"
	case a.Answer == receipt.AnswerApprove && a.Grade == receipt.GradeOperator && !e.token:
		fault = "that asks for signatures, and an operator's token is none"
	}
	if fault != "" {
		c.wrong(it, Approvals, "approval-mismatch", "it does not answer entry %d: %s", a.Escalation.Index, fault)
		return
	}
	switch {
	case a.Answer == receipt.AnswerRefuse:
		e.refused = st.Index
	case a.Grade == receipt.GradeOperator:
		e.operator = st.Index
	default:
		e.signed = st.Index
	}
	if a.Expires.Before(e.until) {
		e.until = a.Expires
	}
}

// useApproval holds a decision to the approval that it rests on.
func (c *chain) useApproval(it *item, d *receipt.Decision) {
	at := d.Approval.Index
	e := c.escalations[at]
	if e == nil || e.id != d.Approval.ID {
		if e != nil || c.inWindow(it.st) {
			c.wrong(it, Approvals, "reference", "the ESCALATE that it rests on, entry %d, is not in the pack, or opened no approval", at)
		}
		return
	}
	var fault string
	switch {
	case d.Agent != e.agent || d.Session != e.session || d.Tool != e.tool:
		fault = "that is of another agent, session or tool"
	case it.st.Subject.SHA256 != e.input:
		fault = "that is for another input"
	case d.Verdict != helm.Allow:
		if d.Reason.Code == helm.ApprovalRefused && e.refused == 0 {
			fault = "nobody refused it"
		}
	case d.Policy.SHA256 != e.policy:
		fault = "that was decided under another policy"
	case e.refused > 0:
		fault = "it was refused"
	case e.used > 0:
		fault = "it was used up already"
	case e.operator == 0 && e.signed == 0:
		fault = "nobody approved it"
	case it.st.Time.After(e.until):
		fault = "it had expired"
	}
	if fault != "" {
		c.wrong(it, Approvals, "approval-mismatch", "it does not fit to the ESCALATE that it rests on, entry %d: %s", at, fault)
		return
	}
	if d.Verdict == helm.Allow {
		e.used = it.st.Index
		if e.keys {
			c.add(Approvals, NotProved, "approval-signatures", "entry %d was allowed by signed approvals: this version verifies no SSH signature", it.st.Index).at(it.st.Index, it.hash)
		}
	}
}

func (c *chain) concludeApprovals() {
	if c.wrongIn[Approvals] > 0 {
		return
	}
	var used, operator uint64
	for _, e := range c.escalations {
		if e.used > 0 {
			used++
		}
		if e.operator > 0 {
			operator++
		}
	}
	c.add(Approvals, OK, "approvals", "%s, of which %d were approved and carried out, each once and for exactly the call that was approved", count(uint64(len(c.escalations)), "escalation"), used)
	if operator > 0 {
		c.add(Approvals, Info, "approval-operator", "%s given with an operator's token: no person signed, and which one it was is not shown", count(operator, "approval"))
	}
}
