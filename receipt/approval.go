package receipt

import (
	"encoding/base64"
	"time"
)

// ApprovalNamespace is the namespace of the SSH signatures of approvals, so that one
// made for anything else answers nothing here.
const ApprovalNamespace = "approval.v1@helm-ai-kernel"

// ApprovalText is what an approver signs (spec/receipt.md): the answer to the ESCALATE
// whose statement and whose commitment to the call's input have those hashes.
func ApprovalText(answer, origin string, statement, input Hash, expires time.Time, approver string) []byte {
	b64 := base64.StdEncoding.EncodeToString
	return []byte("helm/approval/v1 " + answer + "\n" + origin + "\n" + b64(statement[:]) + "\n" + b64(input[:]) + "\n" +
		FormatTime(expires) + "\n" + approver + "\n")
}

// Given is how many of the answers that the requirement asks for are there: approvals by
// the keys of those names, and whether an operator approved. A name has one key in an
// escalation, so different names are different keys.
func (r *Requirement) Given(signed func(name string) bool, operator bool) (n uint64) {
	for _, k := range r.Keys {
		if signed(k.Name) {
			n++
		}
	}
	if r.Count == 0 && operator {
		n++
	}
	return n
}

// Satisfied reports whether every requirement has what it asks for.
func Satisfied(requires []Requirement, signed func(name string) bool, operator bool) bool {
	for i := range requires {
		if r := &requires[i]; r.Given(signed, operator) < max(r.Count, 1) {
			return false
		}
	}
	return len(requires) > 0
}
