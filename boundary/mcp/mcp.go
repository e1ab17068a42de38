// Package mcp stands between a client and a server of the Model Context Protocol, and puts
// every tools/call to the kernel before the server is told. spec/mcp.md says how.
//
// It relays JSON-RPC messages, byte for byte, and is neither a client nor a server: what it
// does not know it does not lose, in either direction and in any revision of the protocol. Of
// the official SDK it takes the types of what it says itself, and the HTTP transports; its
// codec and its connections end a session at the first line that they cannot read, and would
// write again what they read.
package mcp

import (
	"context"
	"encoding/json"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
)

// A Kernel is how calls are put to the kernel. Its methods are called concurrently.
type Kernel interface {
	// Decide decides a call, and waits so long, at most MaxAsk, while it waits for people.
	Decide(ctx context.Context, call helm.Call, wait time.Duration) (*Decision, error)
	// Report records the outcome of a call that was allowed.
	Report(ctx context.Context, o Outcome) error
	// List tells all tools that a server lists now, and pins those that were not known.
	List(ctx context.Context, server string, tools []Tool) error
	// Answer hands in what the client's user answered to an ESCALATE.
	Answer(ctx context.Context, approval string, approve bool) error
}

// An UnfitError says that the kernel does not take a result, and never will.
type UnfitError struct{ Err error }

func (e *UnfitError) Error() string { return e.Err.Error() }
func (e *UnfitError) Unwrap() error { return e.Err }

// A BusyError says that the kernel would take it later: it is told too much at once.
type BusyError struct{ Err error }

func (e *BusyError) Error() string { return e.Err.Error() }
func (e *BusyError) Unwrap() error { return e.Err }

// MaxAsk is how long one question to the kernel may wait for people.
const MaxAsk = time.Minute

// A Decision is what the kernel answered.
type Decision struct {
	ID       string // of its receipt
	Verdict  helm.Verdict
	Rule     string
	Reason   helm.Reason
	Enforced bool
	Repeated bool // it was answered before: the call may have been made
	Approval *Approval
}

// An Approval is what an ESCALATE waits for.
type Approval struct {
	ID       string
	Expires  string
	Approve  string // the command that approves it
	ByClient bool   // the client's user may answer
}

// An Outcome is how a call ended.
type Outcome struct {
	Agent, Session, CallID string
	Status                 helm.OutcomeStatus
	Duration               time.Duration
	Result                 json.RawMessage
}

// A Tool is a tool of a server by its escaped name, without the server's, and the SHA-256 of
// its definition in hex.
type Tool struct{ Name, SHA256 string }

// A Wire carries messages to and from a peer.
type Wire interface {
	// Read returns the next message, which is the caller's, or io.EOF after the last. One
	// goroutine reads.
	Read() ([]byte, error)
	// Write sends a message. It is called concurrently.
	Write(message []byte) error
	// Close says that nothing more will be written.
	Close() error
}
