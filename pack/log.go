package pack

import (
	"crypto"
	"iter"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

// A Snapshot is a log as it was at one size. Everything that Write reads comes
// from it, so that the same query at the same size gives the same bytes.
type Snapshot struct {
	Checkpoint string // signed, of that size, by Key
	StreamKey  receipt.StreamKey
	Key        crypto.Signer // the log's key; it signs pack.json
	Log        Log
}

// A Log gives what a pack is made of. Every index, seq and hash asked for is
// below the snapshot's size; the log behind it may be longer. It is used by one
// goroutine.
type Log interface {
	// Entries yields the entries from index lo to before hi, ascending and without
	// a gap. It yields an error last.
	Entries(lo, hi uint64) iter.Seq2[Entry, error]

	// StreamLen is how many entries the stream has below the snapshot's size, 0 for
	// an unknown one, and StreamIndex the index of the one with that seq, from 1.
	StreamLen(id receipt.Hash) (uint64, error)
	StreamIndex(id receipt.Hash, seq uint64) (uint64, error)

	// Answers are the indexes of the approval entries that answer the ESCALATE at
	// that index, ascending. Those at or past the snapshot's size are passed over.
	Answers(escalation uint64) ([]uint64, error)

	// Payload is what the subject of the entry at that index commits to, or nil
	// where nothing is kept or it was erased.
	Payload(index uint64) (*Payload, error)

	// Policy is the bytes of the policy with that SHA-256.
	Policy(sha receipt.Hash) ([]byte, error)

	// ReadHashes gives nodes of the tree by their stored hash index.
	tlog.HashReader
}

// An Entry is a signed statement and its place in the log.
type Entry struct {
	Index      uint64
	Statement  []byte
	Signatures []receipt.Signature
}

// A Payload is a value, such as receipt.Input returns, and the secret that salts
// its fields.
type Payload struct {
	Secret receipt.Secret
	Value  strictjson.Value
}
