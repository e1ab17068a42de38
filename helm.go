// Package helm holds the words that every other package shares: a call that an
// agent wants to make, the decision that the kernel answered, and the codes that
// give the reason. It imports the standard library only.
//
// The words are those of spec/receipt.md; nothing here knows a wire format, a
// policy or a store.
package helm

import (
	"encoding/json"
	"fmt"
)

// Module is the module path; predicate types are built from it.
const Module = "github.com/helm-ai-kernel/helm-ai-kernel"

// Limits that every boundary and every parser keeps.
const (
	MaxNameBytes  = 200     // agent, session, tool, boundary, rule, approver, principal, call_id
	MaxInputBytes = 1 << 20 // a call's arguments and context, or an outcome's result, as JSON
)

// A Call is one tool call that an agent wants to make, as a boundary understood
// it. A boundary fills it in and decides nothing.
type Call struct {
	Agent   string // who wants to act
	Session string // the agent's session
	CallID  string // the host's own id of the call, or "": then it is never a repetition
	Tool    string // "server.tool"

	// Arguments is a JSON object, Context one or empty. Both are kept as they
	// came in: numbers are never rounded.
	Arguments json.RawMessage
	Context   json.RawMessage

	Principal string // who was authenticated, or PrincipalNone
	Boundary  string // the way the call came in, such as "http"
}

// Principals that are no token's.
const (
	PrincipalNone   = "none"   // a caller whom nobody authenticated
	PrincipalKernel = "kernel" // the kernel itself, as when it closes an idle session
)

// A Verdict is the kernel's answer to a call.
type Verdict string

// The verdicts. Precedence: DENY > ESCALATE > ALLOW > the policy's default, which is DENY.
const (
	Allow    Verdict = "ALLOW"
	Deny     Verdict = "DENY"
	Escalate Verdict = "ESCALATE"
)

// Valid reports whether v is one of the three verdicts.
func (v Verdict) Valid() bool { return v == Allow || v == Deny || v == Escalate }

// A Mode says whether a verdict is enforced.
type Mode string

// The modes of a policy.
const (
	Enforce Mode = "enforce"
	Shadow  Mode = "shadow" // decide and record, never block
)

// Valid reports whether m is one of the modes.
func (m Mode) Valid() bool { return m == Enforce || m == Shadow }

// A Reason says why: a code for programs and a sentence for people.
type Reason struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

// A Code is a reason code, [A-Z][A-Z0-9_]*, at most 64 bytes.
type Code string

// The kernel's own reason codes. The list is append-only: a code never changes
// its meaning and never goes away, because receipts carry it for years. A
// policy's rules may use any other code.
const (
	AllowedByRule    Code = "ALLOWED_BY_RULE"    // an ALLOW rule that names no reason matched
	DeniedByRule     Code = "DENIED_BY_RULE"     // a DENY rule that names no reason matched
	EscalatedByRule  Code = "ESCALATED_BY_RULE"  // an ESCALATE rule that names no reason matched
	DefaultDeny      Code = "DEFAULT_DENY"       // no rule matched
	RuleError        Code = "RULE_ERROR"         // a rule's condition could not be evaluated
	ArgumentsInvalid Code = "ARGUMENTS_INVALID"  // the arguments do not fit the tool's declaration
	Approved         Code = "APPROVED"           // an ESCALATE was approved; this ALLOW uses it up
	ApprovalRefused  Code = "APPROVAL_REFUSED"   // an ESCALATE was refused
	ApprovalsFull    Code = "APPROVALS_FULL"     // too many approvals are open to open another
	NoApprover       Code = "NO_APPROVER"        // too few could approve: the one who asks cannot
	Frozen           Code = "FROZEN"             // the boundary is frozen
	CallAlreadyDone  Code = "CALL_ALREADY_DONE"  // the call_id has an outcome
	CallIDReused     Code = "CALL_ID_REUSED"     // the call_id was used with another tool or other arguments
	BudgetExhausted  Code = "BUDGET_EXHAUSTED"   // a budget is used up
	NotRecorded      Code = "NOT_RECORDED"       // the decision could not be recorded, so there is none
	Overloaded       Code = "OVERLOADED"         // too many calls wait
	RateLimited      Code = "RATE_LIMITED"       // this agent asks too often
	KernelStopped    Code = "KERNEL_STOPPED"     // the kernel stopped answering; a restart reads back what is there
	BadRequest       Code = "BAD_REQUEST"        // the request could not be read
	TooLarge         Code = "TOO_LARGE"          // the request is over a limit
	Unauthenticated  Code = "UNAUTHENTICATED"    // a token is missing or unknown
	Forbidden        Code = "FORBIDDEN"          // the token's role does not allow this
	NotFound         Code = "NOT_FOUND"          // there is no such thing
	Conflict         Code = "CONFLICT"           // the thing is no longer in a state that allows this
	MethodNotAllowed Code = "METHOD_NOT_ALLOWED" // the path exists, the method does not
	DiskFull         Code = "DISK_FULL"          // the disk was full: nothing is allowed until a restart
	ToolChanged      Code = "TOOL_CHANGED"       // the tool's definition is another than the one that was pinned
)

var reserved = map[Code]bool{
	AllowedByRule: true, DeniedByRule: true, EscalatedByRule: true, DefaultDeny: true, RuleError: true,
	ArgumentsInvalid: true, Approved: true, ApprovalRefused: true, ApprovalsFull: true, NoApprover: true, Frozen: true,
	CallAlreadyDone: true, CallIDReused: true, BudgetExhausted: true, NotRecorded: true, Overloaded: true,
	RateLimited: true, KernelStopped: true, BadRequest: true, TooLarge: true, Unauthenticated: true,
	Forbidden: true, NotFound: true, Conflict: true, MethodNotAllowed: true, DiskFull: true, ToolChanged: true,
}

// Reserved reports whether c is one of the kernel's own codes, which a policy's
// rule may not use.
func (c Code) Reserved() bool { return reserved[c] }

// Valid reports whether c has the form of a reason code.
func (c Code) Valid() bool {
	if len(c) == 0 || len(c) > 64 || c[0] < 'A' || c[0] > 'Z' {
		return false
	}
	for i := 0; i < len(c); i++ {
		if b := c[i]; (b < 'A' || b > 'Z') && (b < '0' || b > '9') && b != '_' {
			return false
		}
	}
	return true
}

// An OutcomeStatus says how a call that was decided ended.
type OutcomeStatus string

// The statuses of an outcome.
const (
	OutcomeOK          OutcomeStatus = "ok"
	OutcomeError       OutcomeStatus = "error"
	OutcomeTimeout     OutcomeStatus = "timeout"
	OutcomeNotExecuted OutcomeStatus = "not_executed"
)

// Valid reports whether s is one of the statuses.
func (s OutcomeStatus) Valid() bool {
	return s == OutcomeOK || s == OutcomeError || s == OutcomeTimeout || s == OutcomeNotExecuted
}

// CheckName returns an error unless s is a name: 1 to 200 bytes of 0x21 to 0x7E.
// what is the member's name, for the error's text.
func CheckName(what, s string) error {
	if s == "" {
		return fmt.Errorf("%s is empty: it must be 1 to %d bytes of printable ASCII without spaces", what, MaxNameBytes)
	}
	if len(s) > MaxNameBytes {
		return fmt.Errorf("%s has %d bytes: at most %d are allowed", what, len(s), MaxNameBytes)
	}
	for i := 0; i < len(s); i++ {
		if s[i] < 0x21 || s[i] > 0x7e {
			return fmt.Errorf("%s has the byte 0x%02x at offset %d: only printable ASCII without spaces is allowed", what, s[i], i)
		}
	}
	return nil
}
