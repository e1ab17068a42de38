package verify

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/decimal"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/sshsig"
)

// An escalation is an ESCALATE that opened an approval, and what became of it.
type escalation struct {
	id, statement, input, policy receipt.Hash
	agent, session, tool         string
	expires                      time.Time
	requires                     []receipt.Requirement

	operator uint64 // index of an operator's approval, or 0
	client   uint64 // index of an approval by the user of the client that asked, or 0
	asker    asker
	signed   []string  // names of those who signed an approval
	unpinned string    // one of them whom the auditor's file does not name with that key, or ""
	until    time.Time // the earliest expiry that an approval names
	refused  uint64    // index of a refusal, or 0
	used     uint64    // index of the ALLOW that used it up, or 0
}

func (c *chain) openEscalation(it *item, d *receipt.Decision) {
	e := &escalation{id: it.hash, statement: it.digest, input: it.st.Subject.SHA256, policy: d.Policy.SHA256,
		agent: d.Agent, session: d.Session, tool: d.Tool, expires: d.Escalation.Expires, asker: asker{d.Principal, d.Boundary}, until: d.Escalation.Expires, requires: d.Escalation.Requires}
	c.escalations[it.st.Index] = e
	for c.asking += e.size(); c.asking > maxAsking; {
		before := c.asking
		for _, old := range c.escalations {
			if it.st.Time.After(old.until) {
				c.close(old)
			}
		}
		if c.asking > before/2 { // else the next entry would look through all of them again
			c.wrong(it, Approvals, "approvals-many", "more approvals are open than a kernel keeps")
			c.close(e)
			break
		}
	}
}

// maxAsking bounds what is held of open escalations: a kernel keeps 1,000 of them, and a
// statement has room for some 400 keys.
const maxAsking = 500_000

// size is how many requirements and keys are held of it.
func (e *escalation) size() (n int) {
	for _, r := range e.requires {
		n += 1 + len(r.Keys)
	}
	return n
}

// close forgets what is not needed of an escalation that nothing can be done with any more.
func (c *chain) close(e *escalation) {
	c.asking -= e.size()
	e.requires, e.signed = nil, nil
}

// asks reports whether an escalation has a requirement for that rule.
func (e *escalation) asks(rule string) bool {
	return slices.ContainsFunc(e.requires, func(r receipt.Requirement) bool { return r.Rule == rule })
}

// satisfied reports whether all are there who must answer.
func (e *escalation) satisfied() bool {
	return receipt.Satisfied(e.requires, receipt.Approved{Signed: func(name string) bool { return slices.Contains(e.signed, name) },
		Operator: e.operator > 0, Client: e.client > 0})
}

// An asker is who obtained an ESCALATE, and where.
type asker struct{ principal, boundary string }

// user reports whether a requirement asks for the user of the client.
func (e *escalation) user() bool {
	return slices.ContainsFunc(e.requires, func(r receipt.Requirement) bool { return r.Client })
}

// token reports whether a requirement asks for an operator's token.
func (e *escalation) token() bool {
	return slices.ContainsFunc(e.requires, func(r receipt.Requirement) bool { return r.Count == 0 })
}

// key is the fingerprint of the one key that the escalation has under a name, or "".
func (e *escalation) key(name string) string {
	for _, r := range e.requires {
		for _, k := range r.Keys {
			if k.Name == name {
				return k.Fingerprint
			}
		}
	}
	return ""
}

// signerOf verifies the signature of an approval and returns the key that made it.
func signerOf(st *receipt.Statement, a *receipt.Approval) (*sshsig.Key, error) {
	text := receipt.ApprovalText(a.Answer, st.Origin, st.Subject.SHA256, a.Input, a.Expires, a.Approver)
	return sshsig.Verify(receipt.ApprovalNamespace, text, a.Signature)
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
	case a.Answer == receipt.AnswerApprove && a.Grade == receipt.GradeOperator && !e.token():
		fault = "that asks for signatures, and an operator's token is none"
	case a.Grade == receipt.GradeClient && !e.user():
		fault = "that does not ask for the user of the client"
	case a.Grade == receipt.GradeClient && e.asker != asker{a.Principal, a.Boundary}:
		fault = "that was obtained by another than the one who says what his user answered"
	}
	if fault != "" {
		c.wrong(it, Approvals, "approval-mismatch", "it does not answer entry %d: %s", a.Escalation.Index, fault)
		return
	}
	if a.Grade == receipt.GradeSSH && !c.signed(it, a, e) {
		return
	}
	switch {
	case a.Answer == receipt.AnswerRefuse:
		e.refused = st.Index
		c.close(e)
	case a.Grade == receipt.GradeOperator:
		e.operator = st.Index
	case a.Grade == receipt.GradeClient:
		e.client = st.Index
	default:
		e.signed = append(e.signed, a.Approver)
	}
	if a.Expires.Before(e.until) {
		e.until = a.Expires
	}
}

// signedAlone verifies the signature of an answer of which nothing else is known.
func (r *reporter) signedAlone(st *receipt.Statement, a *receipt.Approval, leaf receipt.Hash, pins *Approvers) {
	k, err := signerOf(st, a)
	switch {
	case err != nil:
		r.add(Approvals, Wrong, "approval-signature", "%v", err).at(st.Index, leaf)
	case pins == nil:
		r.add(Approvals, OK, "approval-signatures", "key %s, which is called %s here, signed: %s. Whom the policy asked is in the receipt of entry %d", k.Fingerprint(), a.Approver, a.Answer, a.Escalation.Index).at(st.Index, leaf)
	case pins.has(a.Approver, k, st.Time):
		r.add(Approvals, OK, "approval-signatures", "key %s, which the approvers' file calls %s too, signed: %s", k.Fingerprint(), a.Approver, a.Answer).at(st.Index, leaf)
	default:
		r.add(Approvals, NotProved, "approver-unpinned", "key %s, which is called %s here and not in the approvers' file at that time, signed: %s", k.Fingerprint(), a.Approver, a.Answer).at(st.Index, leaf)
	}
}

// An approver is a key under the name that the policy gives it, and what it answered.
type approver struct {
	name, fingerprint string
	pinned            bool // the auditor's file has the key under that name
	approved, refused uint64
	first             uint64 // index of its first answer
}

// maxApprovers is how many approvers are told one by one.
const maxApprovers = 100

// signed holds a signed answer to the key that the escalation has for its approver.
func (c *chain) signed(it *item, a *receipt.Approval, e *escalation) bool {
	k, err := signerOf(it.st, a)
	var fault string
	switch {
	case err != nil:
		fault = err.Error()
	case e.key(a.Approver) == "":
		fault = fmt.Sprintf("it is of the key %s, and entry %d asks nobody who is called %s", k.Fingerprint(), a.Escalation.Index, a.Approver)
	case e.key(a.Approver) != k.Fingerprint():
		fault = fmt.Sprintf("it is of the key %s, and the policy calls %s %s", k.Fingerprint(), e.key(a.Approver), a.Approver)
	case slices.Contains(e.signed, a.Approver):
		fault = a.Approver + " had answered already"
	}
	if fault != "" {
		c.wrong(it, Approvals, "approval-signature", "the signature of the answer to entry %d does not hold: %s", a.Escalation.Index, fault)
		return false
	}
	if c.approvers == nil {
		c.approvers = map[[2]string]*approver{}
	}
	id := [2]string{a.Approver, k.Fingerprint()}
	by := c.approvers[id]
	if by == nil {
		by = &approver{name: a.Approver, fingerprint: k.Fingerprint(), first: it.st.Index, pinned: true}
		c.approvers[id] = by
	}
	if a.Answer == receipt.AnswerApprove {
		by.approved++
	} else {
		by.refused++
	}
	if c.pins != nil && !c.pins.has(a.Approver, k, it.st.Time) {
		by.pinned, e.unpinned = false, a.Approver
	}
	return true
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
	case it.st.Time.After(e.until):
		fault = "it had expired"
	case !e.satisfied():
		fault = "not all have approved it who must"
	case unanswered(d, e) != "":
		fault = "it does not answer for " + unanswered(d, e)
	}
	if fault != "" {
		c.wrong(it, Approvals, "approval-mismatch", "it does not fit to the ESCALATE that it rests on, entry %d: %s", at, fault)
		return
	}
	if d.Verdict == helm.Allow {
		e.used = it.st.Index
		if e.unpinned != "" {
			c.add(Approvals, NotProved, "approver-unpinned", "it was allowed by the key %s, which the policy calls %s and the approvers' file does not have under that name at that time",
				e.key(e.unpinned), e.unpinned).at(it.st.Index, it.hash)
		}
		c.close(e)
	}
}

// unanswered is a rule that asks for an approval, or a budget that is used beyond its limit,
// for which the escalation asked nobody, or "".
func unanswered(d *receipt.Decision, e *escalation) string {
	for _, m := range d.Matched {
		if m.Verdict == helm.Escalate && !e.asks(m.Rule) {
			return "the rule " + m.Rule
		}
	}
	for i := range d.Budgets {
		if b := &d.Budgets[i]; beyond(b) && !e.asks("budget:"+b.ID) {
			return "the budget " + b.ID
		}
	}
	return ""
}

// beyond reports whether more is used of a budget than its limit.
func beyond(b *receipt.Budget) bool {
	limit, err := decimal.Parse(b.Limit)
	used, err2 := decimal.Parse(b.Used)
	return err != nil || err2 != nil || used.Cmp(limit) > 0
}

func (c *chain) concludeApprovals() {
	c.tellApprovers()
	if c.wrongIn[Approvals] > 0 {
		return
	}
	var used, operator, client uint64
	for _, e := range c.escalations {
		if e.used > 0 {
			used++
		}
		if e.operator > 0 {
			operator++
		}
		if e.client > 0 {
			client++
		}
	}
	c.add(Approvals, OK, "approvals", "%s, of which %d were approved and carried out, each once and for exactly the call that was approved", count(uint64(len(c.escalations)), "escalation"), used)
	if operator > 0 {
		c.add(Approvals, Info, "approval-operator", "%s given with an operator's token: no person signed, and which one it was is not shown", count(operator, "approval"))
	}
	if client > 0 {
		c.add(Approvals, Info, "approval-client", "%s given by the user of the client that asked, as that client says: nobody signed", count(client, "approval"))
	}
}

// tellApprovers says which keys answered, whose signatures verified, and who that is.
func (c *chain) tellApprovers() {
	var all []*approver
	for _, by := range c.approvers {
		all = append(all, by)
	}
	slices.SortFunc(all, func(a, b *approver) int {
		return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.fingerprint, b.fingerprint))
	})
	var answers uint64
	for _, by := range all {
		answers += by.approved + by.refused
	}
	if answers > 0 {
		c.add(Approvals, OK, "approval-signatures", "%s verify, each for exactly the call that was asked about, by %s", count(answers, "signed answer"), count(uint64(len(all)), "key"))
	}
	for i, by := range all {
		if i == maxApprovers {
			c.add(Approvals, Info, "approver", "%d more keys signed answers", len(all)-i)
			break
		}
		who := "who that is, no file of approvers confirms"
		switch {
		case c.pins != nil && by.pinned:
			who = "and so does the approvers' file"
		case c.pins != nil:
			who = "and the approvers' file does not, not at every time"
		}
		c.add(Approvals, Info, "approver", "key %s, which the policy calls %s (%s), signed %s and %s; the first is entry %d",
			by.fingerprint, by.name, who, count(by.approved, "approval"), count(by.refused, "refusal"), by.first)
	}
}
