// Package ledger keeps a tamper-evident log of signed statements (spec/log.md).
//
// One sequencer a process takes whatever entries wait, builds and signs them and
// their checkpoint, commits them durably in one transaction of a Store, and only
// then answers. The next batch is built against the expected head while the last
// one commits; where another process moved the head meanwhile, it is built again
// inside the transaction. Nothing leaves before its commit.
package ledger

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// Limits of the sequencer.
const (
	MaxBatch = 512  // entries that one transaction commits
	MaxQueue = 4096 // entries that may wait
)

var (
	// ErrOverloaded is returned when MaxQueue entries wait already. Nothing was
	// recorded.
	ErrOverloaded = errors.New("too many entries wait to be recorded")

	// ErrStopped is wrapped after the log stopped. Only a restart, which reads back
	// what is there, goes on.
	ErrStopped = errors.New("the log has stopped")
)

// meta is what is fixed when the log is made: the row "log" of table Meta.
type meta struct {
	Format    int    `json:"format"`
	Origin    string `json:"origin"`
	StreamKey digest `json:"stream_key"`
	Genesis   digest `json:"genesis"`   // leaf hash of entry 0
	Statement digest `json:"statement"` // SHA-256 of the genesis statement

	streamKey receipt.StreamKey
}

const metaFormat = 1

var metaKey = []byte("log")

// Options configure a Log. Now and Key are required.
type Options struct {
	Key crypto.Signer    // Ed25519: signs statements, checkpoints and packs
	Now func() time.Time // the clock

	HighWater string // path of the high-water file, or "" for none
	Reserve   string // path of the disk-full reserve, or "" for none

	// AuditFor is how long Open may check before it returns; the rest is checked in
	// the background. Zero checks everything first; negative only head, last tile
	// and high-water file, and nothing in the background, for a process that lives
	// shortly.
	AuditFor time.Duration
}

// A Log is an open log. All its methods may be called at once.
type Log struct {
	store Store
	opts  Options
	key   ed25519.PublicKey
	keyID string
	meta  *meta

	queue   chan *pending
	commits chan *batch

	inFlight atomic.Pointer[batch] // built and not yet committed
	stale    atomic.Bool           // what is in flight was rebuilt or failed: wait for it before building on
	idle     sync.WaitGroup        // counts the batch in flight

	last atomic.Pointer[headRow] // the last head seen, verified

	recent recentIDs
	known  knownStreams // of buildBatches

	grown atomic.Pointer[chan struct{}] // closed at the next commit of this process

	failure  atomic.Pointer[error]
	degraded atomic.Pointer[error]
	failed   chan struct{} // closed at the first failure
	failOnce sync.Once

	drained   chan struct{} // closed when the log is closed and nothing more is recorded
	closing   context.Context
	close     context.CancelFunc
	wg        sync.WaitGroup
	closeOnce sync.Once

	audit auditState
}

// NewOrigin is a log's name: a prefix such as "helm.local" and 128 random bits.
func NewOrigin(prefix string) string {
	var b [16]byte
	rand.Read(b[:])
	return prefix + "/" + hex.EncodeToString(b[:])
}

// Create makes a log in an empty store: its genesis entry, which commits to the
// key and to a new stream key.
func Create(ctx context.Context, store Store, origin string, opts Options) error {
	if err := receipt.CheckOrigin(origin); err != nil {
		return fmt.Errorf("create log: %w", err)
	}
	pub, err := publicKey(opts.Key)
	if err != nil {
		return fmt.Errorf("create log: %w", err)
	}
	m := &meta{Format: metaFormat, Origin: origin}
	rand.Read(m.StreamKey[:])
	m.streamKey = receipt.StreamKey(m.StreamKey)
	l := &Log{store: store, opts: opts, key: pub, keyID: receipt.KeyID(pub), meta: m, failed: make(chan struct{})}
	g := &receipt.Genesis{Key: [32]byte(pub), StreamKey: m.streamKey.Hash()}
	draft := &Draft{Subject: KeySubject(pub), Body: g}
	var checkpoint string
	err = store.Update(ctx, func(w Writer) error {
		if b, err := w.Get(Heads, nil); err != nil || b != nil {
			if err == nil {
				err = errors.New("the store holds a log already")
			}
			return err
		}
		p := &pending{propose: func(*View) (*Draft, error) { return draft, nil }}
		b, err := l.build(w, &headRow{Time: time.Unix(0, 0).UTC(), Key: digest(pub)}, []*pending{p})
		if err == nil {
			err = p.err
		}
		if err != nil {
			return err
		}
		m.Genesis = digest(p.result.Leaf)
		m.Statement = digest(p.result.statementHash())
		b.over.put(Meta, metaKey, marshalRow(m))
		checkpoint = b.head.Checkpoint
		return b.over.flush(w)
	})
	if err == nil && opts.HighWater != "" {
		err = WriteFile(opts.HighWater, []byte(checkpoint))
	}
	if err != nil {
		return fmt.Errorf("create log: %w", err)
	}
	return nil
}

func publicKey(key crypto.Signer) (ed25519.PublicKey, error) {
	if key == nil {
		return nil, errors.New("there is no key")
	}
	pub, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("the key is a %T, not Ed25519", key.Public())
	}
	return pub, nil
}

// Exists reports whether the store holds a log.
func Exists(ctx context.Context, store Store) (bool, error) {
	found := false
	err := store.View(ctx, func(r Reader) error {
		for _, t := range []Table{Heads, Meta, Entries} {
			for _, err := range r.Scan(t, nil, nil) {
				found = true
				return err
			}
		}
		return nil
	})
	return found, err
}

// Open opens the log in a store and audits it: see Options.AuditFor. Its error
// says what is wrong, and from which index.
func Open(ctx context.Context, store Store, opts Options) (*Log, error) {
	pub, err := publicKey(opts.Key)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	l := &Log{store: store, opts: opts, key: pub, keyID: receipt.KeyID(pub),
		queue: make(chan *pending, MaxQueue), commits: make(chan *batch), failed: make(chan struct{}), drained: make(chan struct{})}
	l.closing, l.close = context.WithCancel(context.Background())
	grown := make(chan struct{})
	l.grown.Store(&grown)
	if l.meta, err = readMeta(ctx, store); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	if err := l.openReserve(); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	if err := l.auditAtOpen(ctx); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	l.wg.Add(3)
	go l.buildBatches()
	go l.commitBatches()
	go l.keepHighWater()
	return l, nil
}

func readMeta(ctx context.Context, store Store) (*meta, error) {
	m := new(meta)
	err := store.View(ctx, func(r Reader) error {
		b, err := r.Get(Meta, metaKey)
		if err != nil {
			return err
		}
		if b == nil {
			return errors.New("the store holds no log")
		}
		if err := unmarshalRow(Meta, b, m); err != nil {
			return err
		}
		if m.Format == metaFormat && !bytes.Equal(b, marshalRow(m)) {
			return fmt.Errorf("a row of table %s is damaged: it has more than the log's name and keys", Meta) // a secret is in it
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if m.Format != metaFormat {
		return nil, fmt.Errorf("the store's format is %d, this version knows %d", m.Format, metaFormat)
	}
	m.streamKey = receipt.StreamKey(m.StreamKey)
	return m, receipt.CheckOrigin(m.Origin)
}

func readHead(r Reader) (*headRow, error) {
	b, err := r.Get(Heads, nil)
	if err != nil {
		return nil, err
	}
	return parseHead(b)
}

func parseHead(b []byte) (*headRow, error) {
	if b == nil {
		return nil, errors.New("the log's head is missing in the store")
	}
	h := new(headRow)
	if err := json.Unmarshal(b, h); err != nil {
		return nil, fmt.Errorf("the log's head is damaged: %w", err)
	}
	h.raw = b
	return h, nil
}

// Origin is the log's name.
func (l *Log) Origin() string { return l.meta.Origin }

// Fingerprint is the leaf hash of genesis.
func (l *Log) Fingerprint() Hash { return Hash(l.meta.Genesis) }

// GenesisSubject is the subject of entries that are about the log itself.
func (l *Log) GenesisSubject() receipt.Subject {
	return receipt.Subject{Name: receipt.SubjectStatement, SHA256: Hash(l.meta.Statement)}
}

// Key is the public key that this process signs with.
func (l *Log) Key() ed25519.PublicKey { return l.key }

// Signer is the key itself, for packs.
func (l *Log) Signer() crypto.Signer { return l.opts.Key }

// StreamKey turns names into stream ids.
func (l *Log) StreamKey() *receipt.StreamKey { return &l.meta.streamKey }

// Size is the size of the last head that this process saw.
func (l *Log) Size() uint64 { return l.last.Load().Size }

// pollEvery is how often Wait looks for what other processes appended.
const pollEvery = 250 * time.Millisecond

// Wait returns when the log has more than size entries, with the size it then has.
func (l *Log) Wait(ctx context.Context, size uint64) (uint64, error) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		grown := *l.grown.Load()
		var now uint64
		if err := l.View(ctx, func(v *View) error { now = v.Size(); return nil }); err != nil {
			return 0, err
		}
		if now > size {
			return now, nil
		}
		select {
		case <-grown:
		case <-tick.C:
		case <-ctx.Done():
			return now, ctx.Err()
		case <-l.failed:
			return now, l.Err()
		}
	}
}

// Failed is closed when the log has stopped; Err then says why.
func (l *Log) Failed() <-chan struct{} { return l.failed }

// Err is why the log stopped, or nil.
func (l *Log) Err() error {
	if p := l.failure.Load(); p != nil {
		return *p
	}
	return nil
}

// Degraded is not nil after the disk was full: DENYs can still be recorded, and
// nothing may be allowed until a restart.
func (l *Log) Degraded() error {
	if p := l.degraded.Load(); p != nil {
		return *p
	}
	return nil
}

// fail stops the log.
func (l *Log) fail(err error) error {
	l.failOnce.Do(func() {
		err := fmt.Errorf("%w: %w", ErrStopped, err)
		l.failure.Store(&err)
		close(l.failed)
	})
	return l.Err()
}

// Close finishes what waits, writes the high-water file and stops. It does not
// close the store.
func (l *Log) Close() error {
	l.closeOnce.Do(func() {
		l.close()
		l.wg.Wait()
	})
	return l.Err()
}

// observe takes note of a head that r shows. last is the head that was seen before
// r was: the new one must not be smaller, nor differ at equal size. One that this
// process did not write is verified, and so is that its tree extends the one seen.
func (l *Log) observe(last, h *headRow, r Reader) error {
	switch {
	case bytes.Equal(h.raw, last.raw):
		return nil
	case h.Size < last.Size:
		return fmt.Errorf("the store shows a log of %d entries, and this process saw %d: entries from index %d on are gone",
			h.Size, last.Size, h.Size)
	case h.Size == last.Size && h.Root != last.Root:
		return fmt.Errorf("the store shows another root for the size %d than this process saw: %x, not %x", h.Size, h.Root, last.Root)
	case h.Size == last.Size:
		return fmt.Errorf("the log's head was edited: at the size %d it is %s, and this process saw %s", h.Size, h.raw, last.raw)
	case h.Key != last.Key:
		return ErrReplaced
	}
	if err := l.verifyHead(h); err != nil {
		return err
	}
	v := &View{rows: r, head: *h, meta: l.meta}
	if err := v.extends(last.Size, Hash(last.Root)); err != nil {
		return fmt.Errorf("the store shows another history than this process saw: an entry below index %d was changed: %w", last.Size, err)
	}
	l.last.CompareAndSwap(last, h)
	return nil
}

// verifyHead verifies that the head's checkpoint is this log's and says what the
// head says. The next checkpoint is built on the frontier: it must be that of the
// root.
func (l *Log) verifyHead(h *headRow) error {
	if !bytes.Equal(h.Key[:], l.key) {
		return fmt.Errorf("the log's key is %s, this process holds %s: one of the two was replaced, or they are of two logs", receipt.KeyID(h.Key[:]), l.keyID)
	}
	c, err := receipt.VerifyCheckpoint(h.Checkpoint, l.meta.Origin, l.key)
	if err != nil {
		return fmt.Errorf("the log's head: %w", err)
	}
	if c.Size != h.Size || c.Root != Hash(h.Root) {
		return fmt.Errorf("the log's head says %d entries and root %x, its signed checkpoint says %d and %x", h.Size, h.Root, c.Size, c.Root)
	}
	g, err := growFrom(h, nil)
	if err != nil {
		return err
	}
	root, err := g.root()
	if err != nil {
		return err
	}
	if digest(root) != h.Root {
		return fmt.Errorf("the log's head is damaged: its frontier leads to the root %x, its signed checkpoint of size %d says %x", root, h.Size, h.Root)
	}
	return nil
}

// growFrom appends leaf hashes to a head's tree.
func growFrom(h *headRow, leaves []Hash) (*growth, error) {
	f := frontier{size: h.Size}
	for _, hash := range h.Frontier {
		f.hashes = append(f.hashes, Hash(hash))
	}
	if len(f.hashes) != len(frontierIndexes(f.size)) {
		return nil, fmt.Errorf("the log's head has %d frontier hashes for %d entries", len(f.hashes), f.size)
	}
	return grow(f, leaves)
}

// KeySubject is the subject of statements about a public key.
func KeySubject(pub ed25519.PublicKey) receipt.Subject {
	return receipt.Subject{Name: receipt.SubjectKey, SHA256: sha256Sum(receipt.PublicPEM(pub))}
}
