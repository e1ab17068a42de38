package ledger

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// A Draft is an entry before the sequencer gives it its place.
type Draft struct {
	Agent, Session string // whose streams it is in; both "" for the control stream
	Subject        receipt.Subject
	Body           receipt.Body

	Payload *Payload // what the subject commits to, kept beside the log, or nil
	Policy  []byte   // the policy's bytes, of a policy entry
}

// Appended is an entry that is durable in the log.
type Appended struct {
	Entry
	Time time.Time

	growth     *growth
	checkpoint string
}

// Receipt is the entry's receipt file, with the proof of inclusion in the
// checkpoint that was committed with it.
func (a *Appended) Receipt() ([]byte, error) {
	hashes, err := prove(a.growth.size, a.Index, a.growth)
	if err != nil {
		return nil, err
	}
	return receiptFile(a.Statement, a.Signatures, &receipt.Proof{Index: a.Index, Hashes: hashes, Checkpoint: a.checkpoint})
}

func (a *Appended) statementHash() Hash { return sha256Sum(a.Statement) }

func sha256Sum(b []byte) Hash { return sha256.Sum256(b) }

// pending is one entry that waits. The sequencer owns result and err until done is
// closed.
type pending struct {
	propose func(*View) (*Draft, error)
	result  *Appended
	err     error
	done    chan struct{}
}

// orElse is the entry's answer, or else an error.
func (p *pending) orElse(err error) (*Appended, error) {
	select {
	case <-p.done:
		return p.result, p.err
	default:
		return nil, err
	}
}

var errClosed = fmt.Errorf("%w: it is being closed", ErrStopped)

// Append records one entry. propose is called with the state that the entry will
// be appended to, and returns it, or an error that Append returns as it is. It may
// be called more than once, each time with another state, and only what the last
// call returned counts; it must not wait for anything. Time is the view's.
//
// When Append returns an entry, the entry is durable. After an error that wraps
// ErrAborted or is ErrOverloaded, nothing was recorded; after any other, whether
// something was is found out at the next start.
func (l *Log) Append(ctx context.Context, propose func(*View) (*Draft, error)) (*Appended, error) {
	p := &pending{propose: propose, done: make(chan struct{})}
	if err := l.Err(); err != nil {
		return nil, err
	}
	if l.closing.Err() != nil {
		return nil, errClosed
	}
	select {
	case l.queue <- p:
	default:
		return nil, ErrOverloaded
	}
	select {
	case <-p.done:
		return p.result, p.err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.failed:
		// The batch that failed tells its own callers; the rest wait for nothing.
		return p.orElse(l.Err())
	case <-l.drained: // it came too late for the last batch, or its answer is there
		return p.orElse(errClosed)
	}
}

// A batch is entries that are built, signed and not yet committed.
type batch struct {
	base    []byte // the head's row that it was built on
	pending []*pending
	entries []*Appended
	over    *overlay
	head    *headRow
	row     []byte // head, as a row

	committed chan struct{} // closed when its commit has ended, well or not
}

// buildBatches builds one batch after the other from whatever waits.
func (l *Log) buildBatches() {
	defer l.wg.Done()
	defer close(l.commits)
	for {
		ps := l.take()
		if ps == nil {
			return
		}
		if l.stale.Load() {
			l.idle.Wait()
			l.stale.Store(false)
		}
		b, err := l.buildAhead(ps)
		if errors.Is(err, errMoved) {
			l.idle.Wait()
			b, err = l.buildAhead(ps)
		}
		if err != nil {
			l.refuse(ps, err)
			continue
		}
		b.committed = make(chan struct{})
		l.idle.Add(1)
		l.inFlight.Store(b)
		l.commits <- b
	}
}

// take waits for entries and takes a batch of them, or returns nil when the log is
// closed and nothing waits. Behind a batch that is being committed it waits for as
// many, or for its end, and it leaves as many as it takes: callers that wait for
// their answers would else all be in one batch, and nothing to build while that is
// committed.
func (l *Log) take() []*pending {
	var ps []*pending
	select {
	case p := <-l.queue:
		ps = append(ps, p)
	case <-l.closing.Done():
	}
	ahead := 0
	if b := l.inFlight.Load(); b != nil {
		ahead = len(b.pending)
		for waits := len(ps) > 0; waits && len(ps) < ahead; {
			select {
			case p := <-l.queue:
				ps = append(ps, p)
			case <-b.committed:
				ahead, waits = 0, false
			}
		}
	}
	size := min(max((ahead+len(ps)+len(l.queue)+1)/2, minHalved), MaxBatch)
	for len(ps) < size {
		select {
		case p := <-l.queue:
			ps = append(ps, p)
			continue
		default:
		}
		break
	}
	return ps
}

// minHalved is the size from which batches are halved: the sync of a smaller one
// costs more than building the other half meanwhile saves.
const minHalved = 16

// refuse answers entries that were not recorded.
func (l *Log) refuse(ps []*pending, err error) {
	for _, p := range ps {
		p.result, p.err = nil, err
		close(p.done)
	}
}

// errMoved is that the store is not where the batch in flight was built on, nor
// where it leads to: another process was here, and that batch will be built again.
var errMoved = errors.New("another process moved the head")

// buildAhead builds a batch on the head that is expected: that of the batch in
// flight, or else the store's.
func (l *Log) buildAhead(ps []*pending) (b *batch, err error) {
	if err := l.Err(); err != nil {
		return nil, err
	}
	ahead, last := l.inFlight.Load(), l.last.Load()
	err = l.store.View(context.Background(), func(r Reader) error {
		row, err := r.Get(Heads, nil)
		if err != nil {
			return err
		}
		if ahead != nil {
			// Before its commit, or behind it, where its rows are seen twice. On any other
			// state they would contradict what is below them.
			if !bytes.Equal(row, ahead.base) && !bytes.Equal(row, ahead.row) {
				return errMoved
			}
			b, err = l.build(&overlay{below: l.known.over(r, ahead.row), rows: ahead.over.rows}, ahead.head, ps)
			return l.built(b, ahead.row, err)
		}
		head, err := parseHead(row)
		if err == nil {
			err = l.observe(last, head, r)
		}
		if err != nil {
			return l.fail(err)
		}
		b, err = l.build(l.known.over(r, row), head, ps)
		return l.built(b, row, err)
	})
	return b, err
}

// built notes what a batch was built on. One without entries leads nowhere else.
func (l *Log) built(b *batch, base []byte, err error) error {
	if err != nil {
		l.known = knownStreams{}
		return err
	}
	b.base = base
	if len(b.entries) == 0 {
		b.row = base
	}
	l.known.learn(b)
	return nil
}

// build turns proposals into signed entries on top of a head, and everything that
// is to be written with them. It changes nothing but the proposals' results. An
// error is of the whole batch; that of one proposal is in its err.
func (l *Log) build(below Reader, base *headRow, ps []*pending) (*batch, error) {
	b := &batch{pending: ps, over: &overlay{below: below}}
	st := &state{View: View{rows: b.over, head: *base, meta: l.meta, recent: &l.recent}, over: b.over}
	st.entry = st.Entry
	for _, p := range ps {
		p.result, p.err = nil, nil
		st.head.Time = later(st.head.Time, l.opts.Now().UTC().Truncate(time.Microsecond))
		draft, err := p.propose(&st.View)
		if err == nil {
			p.result, err = st.append(draft)
			if errors.Is(err, errContradiction) {
				return nil, l.fail(err)
			}
		}
		if err != nil {
			p.err = err
			continue
		}
		b.entries = append(b.entries, p.result)
	}
	b.head = &st.head
	if len(b.entries) == 0 {
		return b, nil
	}
	return b, l.seal(b, base)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// errContradiction is wrapped when what is stored contradicts itself.
var errContradiction = errors.New("the store contradicts itself")

// append gives a draft its place behind the head and folds it in. It is unsigned
// yet.
func (s *state) append(d *Draft) (*Appended, error) {
	st := &receipt.Statement{Subject: d.Subject, Origin: s.meta.Origin, Index: s.head.Size, Time: s.head.Time, Control: s.Control(), Body: d.Body}
	rand.Read(st.Nonce[:])
	var ids []receipt.Stream
	if d.Body.Kind().Control() {
		ids = []receipt.Stream{{Name: receipt.StreamControl, ID: s.meta.streamKey.Control()}}
	} else {
		ids = []receipt.Stream{{Name: receipt.StreamAgent, ID: s.meta.streamKey.Agent(d.Agent)},
			{Name: receipt.StreamSession, ID: s.meta.streamKey.Session(d.Agent, d.Session)}}
	}
	for _, in := range ids {
		head, err := s.stream(in.ID)
		if err != nil {
			return nil, err
		}
		in.Seq = 1
		if head != nil {
			in.Seq, in.Prev = head.Seq+1, head.Leaf
		}
		st.Streams = append(st.Streams, in)
	}
	raw, err := st.Marshal()
	if err != nil {
		return nil, err
	}
	a := &Appended{Entry: Entry{Index: st.Index, Leaf: st.Leaf(raw).Hash(), Statement: raw}, Time: st.Time}
	if err := s.fold(&a.Entry, st); err != nil {
		return nil, fmt.Errorf("%w: %w", errContradiction, err)
	}
	s.head.Size++
	// Unsigned until seal, and there for proposals of the same batch.
	row, err := (&Entry{Leaf: a.Leaf, Statement: raw, Signatures: unsigned, links: a.links}).marshal()
	if err != nil {
		return nil, err
	}
	s.over.put(Entries, key8(a.Index), row)
	if d.Payload != nil {
		s.over.put(Payloads, key8(a.Index), append(d.Payload.Secret[:], d.Payload.Value...))
	}
	if p, ok := d.Body.(*receipt.Policy); ok {
		s.over.put(Policies, p.Policy.SHA256[:], d.Policy)
	}
	return a, nil
}

var unsigned = []receipt.Signature{{KeyID: strings.Repeat("0", 64)}}

// seal signs a batch's entries, extends the tree by them and signs its checkpoint.
func (l *Log) seal(b *batch, base *headRow) error {
	leaves := make([]Hash, len(b.entries))
	for i, a := range b.entries {
		leaves[i] = a.Leaf
	}
	g, err := growFrom(base, leaves)
	if err != nil {
		return l.fail(err)
	}
	root, err := g.root()
	if err != nil {
		return l.fail(err)
	}
	f, err := g.frontier()
	if err != nil {
		return l.fail(err)
	}
	b.head.Root, b.head.Frontier = digest(root), nil
	for _, h := range f.hashes {
		b.head.Frontier = append(b.head.Frontier, digest(h))
	}

	errs := make([]error, len(b.entries)+1)
	parallel(len(errs), func(i int) {
		if i == len(b.entries) { // the checkpoint
			b.head.Checkpoint, errs[i] = receipt.SignCheckpoint(l.opts.Key, receipt.Checkpoint{Origin: l.meta.Origin, Size: b.head.Size, Root: root})
			return
		}
		var sig receipt.Signature
		sig, errs[i] = receipt.Sign(l.opts.Key, b.entries[i].Statement)
		b.entries[i].Signatures = []receipt.Signature{sig}
	})
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, a := range b.entries {
		a.growth, a.checkpoint = g, b.head.Checkpoint
		row, err := a.marshal()
		if err != nil {
			return err
		}
		b.over.put(Entries, key8(a.Index), row)
	}
	if err := putTiles(b.over, base.Size, g); err != nil {
		return err
	}
	b.row = marshalRow(b.head)
	b.head.raw = b.row
	b.over.put(Heads, nil, b.row)
	return nil
}

// putTiles writes the tiles that a batch changed, and the ids of full ones: a level 0
// tile when it is full, since until then its hashes are in the entries, and the one
// above it, full or not.
func putTiles(over *overlay, from uint64, g *growth) error {
	v := &View{rows: over, head: headRow{Size: g.size}}
	for n := from / tileWidth; (n+1)*tileWidth <= g.size; n++ {
		tile, err := v.leafHashes(n * tileWidth)
		if err != nil {
			return err
		}
		over.put(Tiles, tileKey(0, n), tile)
		if err := putIDs(over, n, tile); err != nil {
			return err
		}
		number := n
		for level := 1; ; level++ {
			h := g.nodes[storedHashIndex(level*TileHeight, number)]
			key := tileKey(level, number/tileWidth)
			var row []byte
			if number%tileWidth != 0 {
				if row, err = over.Get(Tiles, key); err != nil {
					return err
				}
			}
			if uint64(len(row)) != number%tileWidth*32 {
				return fmt.Errorf("%w: tile %d at level %d has %d bytes", errContradiction, number/tileWidth, level, len(row))
			}
			row = append(row, h[:]...)
			over.put(Tiles, key, row)
			if len(row) < tileWidth*32 {
				break
			}
			number /= tileWidth
		}
	}
	return nil
}

// parallel calls do for 0 to n-1, on as many goroutines as there are processors.
func parallel(n int, do func(i int)) {
	workers := min(n, runtime.GOMAXPROCS(0))
	var next atomic.Int64
	work := func() {
		for {
			i := int(next.Add(1)) - 1
			if i >= n {
				return
			}
			do(i)
		}
	}
	var wg sync.WaitGroup
	for range workers - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
}

// commitBatches commits one batch after the other and answers.
func (l *Log) commitBatches() {
	defer l.wg.Done()
	defer close(l.drained)
	for b := range l.commits {
		l.commit(b)
		l.inFlight.CompareAndSwap(b, nil)
		close(b.committed)
		l.idle.Done()
	}
}

func (l *Log) commit(b *batch) {
	if err := l.Err(); err != nil {
		l.refuse(b.pending, err)
		return
	}
	committed := b
	err := l.store.Update(context.Background(), func(w Writer) error {
		row, err := w.Get(Heads, nil)
		if err != nil {
			return err
		}
		if !bytes.Equal(row, b.base) { // another process was here, or the batch before failed
			l.stale.Store(true)
			head, err := parseHead(row)
			if err == nil {
				err = l.observe(l.last.Load(), head, w)
			}
			if err != nil {
				return l.fail(err)
			}
			if committed, err = l.build(w, head, b.pending); err != nil {
				return err
			}
		}
		if len(committed.entries) == 0 {
			return nil
		}
		return committed.over.flush(w)
	})
	if err != nil {
		l.stale.Store(true)
		switch {
		case errors.Is(err, ErrFull):
			err = l.degrade(err)
		case !errors.Is(err, ErrAborted):
			err = l.fail(fmt.Errorf("commit of %d entries: %w", len(b.pending), err))
		}
		l.refuse(b.pending, err)
		return
	}
	if len(committed.entries) > 0 {
		l.last.Store(committed.head)
		l.recent.add(committed.entries)
		next := make(chan struct{})
		close(*l.grown.Swap(&next))
	}
	for _, p := range b.pending {
		close(p.done)
	}
}

// Now is the time that an entry proposed on this view will have.
func (v *View) Now() time.Time { return v.head.Time }

// Origin is the log's name.
func (v *View) Origin() string { return v.meta.Origin }
