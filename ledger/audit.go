package ledger

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// auditAll is the size up to which Open checks everything before it returns,
// whatever time that takes: about two seconds.
const auditAll = 10_000

// auditChunk is how many entries are checked on one snapshot, so that no snapshot
// lives long.
const auditChunk = 1024

// An Audit says what has been checked since the start.
type Audit struct {
	Newest  uint64 // entries checked at the start, from the newest backwards
	Checked uint64 // entries checked from the beginning, against all derived rows
	Done    bool   // everything was checked
	Of      uint64 // the log's size then
}

type auditState struct {
	mu sync.Mutex
	Audit
}

// Audit says how far the audit has come. A mismatch stops the log.
func (l *Log) Audit() Audit {
	l.audit.mu.Lock()
	defer l.audit.mu.Unlock()
	return l.audit.Audit
}

func (l *Log) note(f func(*Audit)) {
	l.audit.mu.Lock()
	defer l.audit.mu.Unlock()
	f(&l.audit.Audit)
}

// auditAtOpen checks what Options.AuditFor asks for.
func (l *Log) auditAtOpen(ctx context.Context) error {
	var size uint64
	var edge error
	signed, err := l.readHighWater()
	if err != nil {
		return err
	}
	err = l.View(ctx, func(v *View) error {
		size = v.Size()
		if err := l.verifyHead(&v.head); err != nil {
			return err
		}
		if err := l.checkGenesis(v); err != nil {
			return err
		}
		l.last.Store(&v.head)
		if edge = l.checkEdge(v); edge != nil {
			return nil
		}
		if l.opts.HighWater == "" {
			return nil
		}
		return l.checkHighWater(v, signed)
	})
	if err != nil {
		return err
	}
	all := l.opts.AuditFor == 0 || l.opts.AuditFor > 0 && size <= auditAll
	if edge != nil {
		return l.locate(ctx, size, all, edge)
	}
	if l.opts.AuditFor < 0 {
		return nil
	}
	if all {
		return l.Check(ctx, nil)
	}
	if err := l.checkNewest(ctx, size, l.opts.AuditFor); err != nil {
		return err
	}
	l.wg.Go(func() {
		if err := l.Check(l.closing, nil); err != nil && l.closing.Err() == nil {
			l.fail(err)
		}
	})
	return nil
}

// locate is the mismatch of single entries that an edge which does not fit comes
// from, or else the edge's error.
func (l *Log) locate(ctx context.Context, size uint64, all bool, edge error) error {
	check := func() error { return l.Check(ctx, nil) }
	if !all {
		check = func() error { return l.checkNewest(ctx, size, max(l.opts.AuditFor, time.Second)) }
	}
	return cmp.Or(check(), edge)
}

func (l *Log) checkGenesis(v *View) error {
	e, st, err := v.Statement(0)
	if err != nil {
		return err
	}
	g, ok := st.Body.(*receipt.Genesis)
	if !ok || e.Leaf != l.Fingerprint() || sha256Sum(e.Statement) != Hash(l.meta.Statement) || st.Leaf(e.Statement).Hash() != e.Leaf {
		return fmt.Errorf("entry 0 is not the genesis whose fingerprint is %x", l.Fingerprint())
	}
	if st.Origin != l.meta.Origin || g.StreamKey != l.meta.streamKey.Hash() {
		return errors.New("the stored origin or stream key is not the one that genesis commits to")
	}
	return nil
}

// checkEdge checks that the head's tree is that of the stored entries and tiles at
// the right edge, and that no entry stands behind the head.
func (l *Log) checkEdge(v *View) error {
	if err := checkBehind(v, Entries); err != nil {
		return err
	}
	indexes := frontierIndexes(v.head.Size)
	hashes, err := v.ReadHashes(indexes)
	if err != nil {
		return err
	}
	if len(hashes) != len(v.head.Frontier) {
		return errors.New("the log's head is damaged: its frontier does not fit its size")
	}
	for i, h := range hashes {
		if digest(h) != v.head.Frontier[i] {
			level, n := tlog.SplitStoredHashIndex(indexes[i])
			return fmt.Errorf("the tree's right edge differs from the stored entries and tiles from index %d on: %x in the head, %x of the entries",
				n<<level, v.head.Frontier[i], digest(h))
		}
	}
	root, err := tlog.TreeHash(int64(v.head.Size), v)
	if err != nil {
		return err
	}
	if digest(root) != v.head.Root {
		return fmt.Errorf("the stored entries and tiles lead to the root %x, the signed checkpoint of size %d says %x", digest(root), v.head.Size, v.head.Root)
	}
	return nil
}

// checkBehind checks that a table of what entries have ends with the last one.
func checkBehind(v *View, t Table) error {
	for row, err := range v.rows.Scan(t, key8(v.head.Size), nil) {
		if err != nil {
			return err
		}
		n, err := num8(row.Key)
		if err != nil {
			return err
		}
		return fmt.Errorf("table %s: the store has an entry %d, and the log's head has only %d entries", t, n, v.head.Size)
	}
	return nil
}

// checkEntry checks an entry's bytes: its leaf, its place and its signatures.
func (l *Log) checkEntry(e *Entry, key ed25519.PublicKey) (*receipt.Statement, error) {
	if !e.Signatures[0].Verify(key, e.Statement) { // the second one, of a key entry, below
		return nil, fmt.Errorf("entry %d: its signature does not verify: its statement was changed, or another key signed it", e.Index)
	}
	if e.Signatures[0].KeyID != receipt.KeyID(key) {
		return nil, fmt.Errorf("entry %d: its signature names the key %s, and is of %s", e.Index, e.Signatures[0].KeyID, receipt.KeyID(key))
	}
	st, err := receipt.ParseStatement(e.Statement)
	if err != nil {
		return nil, fmt.Errorf("entry %d: %w", e.Index, err)
	}
	if st.Index != e.Index || st.Origin != l.meta.Origin {
		return nil, fmt.Errorf("entry %d: its statement is of entry %d of %s", e.Index, st.Index, st.Origin)
	}
	if leaf := st.Leaf(e.Statement).Hash(); leaf != e.Leaf {
		return nil, fmt.Errorf("entry %d: its leaf hash is %x, the stored one %x", e.Index, leaf, e.Leaf)
	}
	if k, ok := st.Body.(*receipt.Key); ok {
		if len(e.Signatures) != 2 || e.Signatures[1].KeyID != receipt.KeyID(k.New[:]) || !e.Signatures[1].Verify(k.New[:], e.Statement) {
			return nil, fmt.Errorf("entry %d: the new key did not sign its own introduction", e.Index)
		}
	} else if len(e.Signatures) != 1 {
		return nil, fmt.Errorf("entry %d: it has %d signatures, not 1", e.Index, len(e.Signatures))
	}
	return st, nil
}

func collect[T any](s iter.Seq2[T, error]) ([]T, error) {
	var all []T
	for x, err := range s {
		if err != nil {
			return nil, err
		}
		all = append(all, x)
	}
	return all, nil
}

// Check checks the whole log: every entry's bytes, signature, leaf and place in
// its streams, what payloads commit to, the tree with all its tiles, and every
// derived row, by folding the entries once more. progress may be nil.
func (l *Log) Check(ctx context.Context, progress func(done, of uint64)) error {
	c := &checker{log: l, over: &overlay{below: nothing{}}, key: l.key, policies: map[Hash]bool{}}
	c.st = &state{View: View{rows: c.over, meta: l.meta}, over: c.over}
	for done := false; !done; {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := l.View(ctx, func(v *View) error {
			if err := c.entries(v, min(c.st.head.Size+auditChunk, v.head.Size)); err != nil {
				return err
			}
			if v.head.Size < c.st.head.Size { // else it would never be done
				return fmt.Errorf("the log was rolled back while it was checked: it has %d entries, and had %d", v.head.Size, c.st.head.Size)
			}
			if done = c.st.head.Size == v.head.Size; done {
				return c.finish(v)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		size := max(l.Size(), c.st.head.Size)
		l.note(func(a *Audit) { a.Checked, a.Of, a.Done = c.st.head.Size, size, done })
		if progress != nil {
			progress(c.st.head.Size, size)
		}
	}
	return nil
}

// A checker folds a log again, beside the stored rows. Rows that are written once
// are compared at once and forgotten; the others are kept to the end.
type checker struct {
	log    *Log
	st     *state
	over   *overlay
	key    ed25519.PublicKey
	levels [][]byte // hashes of the tile that is being filled, per level of tiles
	counts [Tables]uint64

	policies map[Hash]bool // that were active
}

// writtenOnce are the tables whose rows never change.
var writtenOnce = []Table{Outcomes}

func (c *checker) entries(v *View, hi uint64) error {
	chunk, err := collect(v.Entries(c.st.head.Size, hi))
	if err != nil {
		return err
	}
	if len(chunk) > 0 && chunk[0].Index == 0 {
		g, err := receipt.ParseStatement(chunk[0].Statement)
		if err != nil {
			return fmt.Errorf("entry 0: %w", err)
		}
		if b, ok := g.Body.(*receipt.Genesis); ok {
			c.key = b.Key[:]
		}
	}
	statements := make([]*receipt.Statement, len(chunk))
	errs := make([]error, len(chunk))
	for from := 0; from < len(chunk); {
		// A key entry ends the stretch that one key signs.
		to := from
		for to < len(chunk) && len(chunk[to].Signatures) == 1 {
			to++
		}
		to = min(to+1, len(chunk))
		parallel(to-from, func(i int) { statements[from+i], errs[from+i] = c.log.checkEntry(chunk[from+i], c.key) })
		if err := cmp.Or(errs...); err != nil {
			return err
		}
		if k, ok := statements[to-1].Body.(*receipt.Key); ok {
			if !bytes.Equal(k.Old[:], c.key) {
				return fmt.Errorf("entry %d: it replaces a key that was not active", chunk[to-1].Index)
			}
			c.key = k.New[:]
		}
		from = to
	}
	for i, e := range chunk {
		if err := c.entry(v, e, statements[i]); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) entry(v *View, e *Entry, st *receipt.Statement) error {
	h := &c.st.head
	if st.Time.Before(h.Time) {
		return fmt.Errorf("entry %d: its time %s is before the previous entry's", e.Index, receipt.FormatTime(st.Time))
	}
	if st.Control != c.st.Control() {
		return fmt.Errorf("entry %d: it was decided under another head of the control stream than the log had", e.Index)
	}
	stored := e.links
	c.st.entry = v.Entry
	if err := c.st.fold(e, st); err != nil {
		return err
	}
	if !slices.Equal(stored, e.links) {
		return fmt.Errorf("entry %d: its links are %v, and must be %v", e.Index, stored, e.links)
	}
	h.Size++
	for _, t := range writtenOnce {
		for k, want := range c.over.rows[t] {
			got, err := v.rows.Get(t, []byte(k))
			if err != nil {
				return err
			}
			if got == nil {
				return fmt.Errorf("entry %d: its row in table %s is missing", e.Index, t)
			}
			if !bytes.Equal(got, want) {
				return fmt.Errorf("entry %d: its row in table %s is %x, and must be %x", e.Index, t, got, want)
			}
			c.counts[t]++
		}
		clear(c.over.rows[t])
	}
	for k := range c.over.rows[Calls] {
		got, err := v.rows.Get(Calls, []byte(k))
		if err != nil {
			return err
		}
		if got == nil {
			return fmt.Errorf("entry %d: its row in table %s is missing", e.Index, Calls)
		}
		if n, err := num8(got); err != nil || n < e.Index {
			return fmt.Errorf("entry %d: its row in table %s is %x", e.Index, Calls, got)
		}
	}
	clear(c.over.rows[Calls])
	if p, ok := st.Body.(*receipt.Policy); ok {
		b, err := v.Policy(p.Policy.SHA256)
		if err != nil {
			return fmt.Errorf("entry %d: %w", e.Index, err)
		}
		if sha256Sum(b) != p.Policy.SHA256 {
			return fmt.Errorf("entry %d: the stored policy is not the one with the SHA-256 %x", e.Index, p.Policy.SHA256)
		}
		c.policies[p.Policy.SHA256] = true
	}
	if err := checkPayload(v, e, st); err != nil {
		return err
	}
	return c.tile(v, 0, e.Leaf)
}

func checkPayload(v *View, e *Entry, st *receipt.Statement) error {
	p, err := v.Payload(e.Index)
	if p == nil || err != nil {
		return err
	}
	lines, err := p.Lines()
	if err != nil {
		return fmt.Errorf("entry %d: %w", e.Index, err)
	}
	if receipt.Commit(&p.Secret, lines) != st.Subject.SHA256 {
		return fmt.Errorf("entry %d: its stored payload is not what it commits to", e.Index)
	}
	return nil
}

// tile adds a hash to a level of tiles, and compares the tile when it is full.
func (c *checker) tile(v *View, level int, h Hash) error {
	if level == len(c.levels) {
		c.levels = append(c.levels, nil)
	}
	c.levels[level] = append(c.levels[level], h[:]...)
	full := c.levels[level]
	if len(full) < tileWidth*32 {
		return nil
	}
	number := (c.st.head.Size - 1) >> (TileHeight * (level + 1))
	got, err := v.rows.Get(Tiles, tileKey(level, number))
	if err != nil {
		return err
	}
	if err := sameTile(level, number, got, full); err != nil {
		return err
	}
	c.counts[Tiles]++
	if level == 0 {
		if err := putIDs(c.over, number, full); err != nil {
			return err
		}
	}
	hashes := make([]tlog.Hash, tileWidth)
	for i := range hashes {
		copy(hashes[i][:], full[i*32:])
	}
	c.levels[level] = full[:0]
	return c.tile(v, level+1, Hash(subtree(hashes)))
}

// sameTile says from which entry on a stored tile is another than it must be.
func sameTile(level int, number uint64, got, want []byte) error {
	if bytes.Equal(got, want) {
		return nil
	}
	if got == nil {
		return fmt.Errorf("tile %d at level %d is missing", number, level)
	}
	same := 0
	for same < len(got) && same < len(want) && got[same] == want[same] {
		same++
	}
	from := (number*tileWidth + uint64(same/32)) << (TileHeight * level)
	return fmt.Errorf("tile %d at level %d differs from the entries from index %d on", number, level, from)
}

// finish compares what is left when all entries are folded: the rows that change,
// the number of those that do not, and the head.
func (c *checker) finish(v *View) error {
	for level, partial := range c.levels {
		if level == 0 || len(partial) == 0 {
			continue
		}
		number := c.st.head.Size >> (TileHeight * (level + 1))
		got, err := v.rows.Get(Tiles, tileKey(level, number))
		if err != nil {
			return err
		}
		if err := sameTile(level, number, got, partial); err != nil {
			return err
		}
		c.counts[Tiles]++
	}
	if err := checkBehind(v, Payloads); err != nil {
		return err
	}
	c.counts[Heads], c.counts[Meta], c.counts[Policies] = 1, 1, uint64(len(c.policies))
	for _, t := range append(slices.Clone(writtenOnce), Tiles, Heads, Meta, Policies) {
		var n uint64
		for _, err := range v.rows.Scan(t, nil, nil) {
			if err != nil {
				return err
			}
			n++
		}
		if n != c.counts[t] {
			return fmt.Errorf("table %s has %d rows, the entries lead to %d", t, n, c.counts[t])
		}
	}
	for _, t := range []Table{IDs, Streams, Approvals, OpenApprovals, OpenSessions, Budgets} {
		if err := c.compare(v, t); err != nil {
			return err
		}
	}
	if err := checkCalls(v); err != nil {
		return err
	}
	// The tree's part of the head is checked against the tiles by checkEdge.
	want := c.st.head
	want.Root, want.Checkpoint, want.Frontier = v.head.Root, v.head.Checkpoint, v.head.Frontier
	if want := marshalRow(&want); !bytes.Equal(v.head.raw, want) {
		return fmt.Errorf("the log's head is %s, the entries lead to %s", v.head.raw, want)
	}
	if err := c.log.verifyHead(&v.head); err != nil {
		return err
	}
	return c.log.checkEdge(v)
}

func (c *checker) compare(v *View, t Table) error {
	next, stop := iter.Pull2(c.over.Scan(t, nil, nil))
	defer stop()
	for row, err := range v.rows.Scan(t, nil, nil) {
		if err != nil {
			return err
		}
		want, _, ok := next()
		switch order := bytes.Compare(row.Key, want.Key); {
		case !ok || order < 0:
			return fmt.Errorf("table %s: the row %x is there, the entries do not lead to it", t, row.Key)
		case order > 0:
			return fmt.Errorf("table %s: the row %x is missing", t, want.Key)
		case !bytes.Equal(row.Value, want.Value):
			return fmt.Errorf("table %s: the row %x is %q, the entries lead to %q", t, row.Key, row.Value, want.Value)
		}
	}
	if want, _, ok := next(); ok {
		return fmt.Errorf("table %s: the row %x is missing", t, want.Key)
	}
	return nil
}

// checkCalls checks that every row of Calls leads to a decision on that call_id.
func checkCalls(v *View) error {
	for row, err := range v.rows.Scan(Calls, nil, nil) {
		if err != nil {
			return err
		}
		n, err := num8(row.Value)
		if err != nil {
			return err
		}
		_, st, err := v.Statement(n)
		if err != nil {
			return err
		}
		d, ok := st.Body.(*receipt.Decision)
		if !ok || !remembered(d.Reason.Code) || len(row.Key) < 8 || !bytes.Equal(row.Key[8:], callKey(0, d.Principal, d.CallID)[8:]) {
			return fmt.Errorf("table %s: the row %x leads to entry %d, which is not a decision on it", Calls, row.Key, n)
		}
		s, err := v.stream(v.meta.streamKey.Session(d.Agent, d.Session))
		if err != nil {
			return err
		}
		if s == nil || !bytes.Equal(row.Key[:8], key8(s.Number)) {
			return fmt.Errorf("table %s: the row %x leads to entry %d of another session", Calls, row.Key, n)
		}
	}
	return nil
}

// nothing is a Reader without rows.
type nothing struct{}

func (nothing) Get(Table, []byte) ([]byte, error) { return nil, nil }

func (nothing) Scan(Table, []byte, []byte) iter.Seq2[Row, error] {
	return func(func(Row, error) bool) {}
}
