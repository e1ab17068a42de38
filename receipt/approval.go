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

// Approved is who approved an escalation. A name has one key in an escalation, so different
// names are different keys.
type Approved struct {
	Signed   func(name string) bool // by the key of that name
	Operator bool                   // by an operator's token
	Client   bool                   // by the user of the client that asked
}

// Given is how many of the answers that the requirement asks for are there.
func (r *Requirement) Given(by Approved) (n uint64) {
	for _, k := range r.Keys {
		if by.Signed(k.Name) {
			n++
		}
	}
	if r.Count == 0 && (by.Operator || r.Client && by.Client) {
		n++
	}
	return n
}

// Satisfied reports whether every requirement has what it asks for.
func Satisfied(requires []Requirement, by Approved) bool {
	for i := range requires {
		if r := &requires[i]; r.Given(by) < max(r.Count, 1) {
			return false
		}
	}
	return len(requires) > 0
}
