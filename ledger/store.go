package ledger

import (
	"context"
	"errors"
	"iter"
)

// A Store keeps a log's rows: ordered tables of keys and values. It knows nothing
// of what they mean. ledger/storetest is the conformance suite that every store
// passes.
//
// Durable: when Update returns nil, what it wrote survives the loss of power.
// When it returns an error that wraps ErrAborted, nothing of it was written and
// the store can be used on; after any other error nothing is known, and the log
// stops.
//
// Concurrent: any number of Views run at once and beside an Update, each on one
// consistent snapshot, and none waits for the other. Updates exclude one another
// across all processes that share the store: inside one, what is read is what was
// last written, and stays so until it returns.
//
// No operation costs more than the logarithm of what is stored, and Scan that of
// where it begins, plus what it yields.
type Store interface {
	View(ctx context.Context, read func(Reader) error) error
	Update(ctx context.Context, write func(Writer) error) error
	Close() error
}

// A Reader reads one consistent state of a store. It is used by one goroutine, and
// only until the function that it was given to returns. Values belong to the
// caller.
type Reader interface {
	// Get returns nil and no error where there is no such row.
	Get(t Table, key []byte) ([]byte, error)

	// Scan yields the rows with from <= key < to, in byte order of the keys; a nil
	// to is the end of the table. A failed scan yields one last error.
	Scan(t Table, from, to []byte) iter.Seq2[Row, error]
}

// A Writer also writes. It reads back its own writes.
type Writer interface {
	Reader

	// Put writes a row, in place of one with the same key. Its arguments may not be
	// changed until Update returns.
	Put(t Table, key, value []byte) error

	// Delete removes a row, if there is one.
	Delete(t Table, key []byte) error
}

// A Row is a key and its value.
type Row struct{ Key, Value []byte }

// ErrAborted is wrapped by the errors after which it is sure that nothing was
// written, such as a failed begin, a function that returned an error, or a full
// disk that the store rolled back.
var ErrAborted = errors.New("nothing was written")

// ErrFull is wrapped, beside ErrAborted, when the disk is full.
var ErrFull = errors.New("the disk is full")

// A Table is one ordered table of a store.
type Table uint8

// The tables. Keys of 8 bytes are big-endian numbers below 2^63; a store may use
// that where Dense says so.
const (
	Meta          Table = iota // name -> what is fixed when the log is made
	Heads                      // "" -> Head: the log's head and all small state that decides
	Entries                    // index -> leaf hash, signatures, statement
	Payloads                   // index -> secret, value
	Tiles                      // level, number -> hashes
	Streams                    // stream id -> its head
	IDs                        // level, run, page -> sorted ids and their places; see ids.go
	Calls                      // session's stream number, principal, call_id -> index of the decision
	Outcomes                   // index of the decision -> its first outcome
	Approvals                  // index of the ESCALATE -> state of its approval
	OpenApprovals              // expiry, index of the ESCALATE -> the session's stream number
	OpenSessions               // session's stream number -> names
	Policies                   // SHA-256 -> bytes
	Budgets                    // id, whose, what is added up -> what was taken, by slots of time
	numTables
)

// Tables is how many tables there are; they are numbered from 0.
const Tables = int(numTables)

// String is the table's name in a store.
func (t Table) String() string {
	return [...]string{"meta", "head", "entries", "payloads", "tiles", "streams", "ids", "calls",
		"outcomes", "approvals", "open_approvals", "open_sessions", "policies", "budgets"}[t]
}

// Dense reports whether every key of the table is 8 bytes and most rows are
// large and appended in order, so that a store can cluster them by number.
func (t Table) Dense() bool { return t == Entries || t == Payloads }
