package ledger

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// ErrNotFound is wrapped when there is no such entry.
var ErrNotFound = errors.New("not found")

// A View is one consistent state of the log. It is used by one goroutine.
type View struct {
	rows Reader
	head headRow
	meta *meta

	recent *recentIDs        // or nil
	tiles  map[string][]byte // read already
}

// View calls read with the log's committed state.
func (l *Log) View(ctx context.Context, read func(*View) error) error {
	return l.store.View(ctx, func(r Reader) error {
		h, err := readHead(r)
		if err != nil {
			return err
		}
		return read(&View{rows: r, head: *h, meta: l.meta, recent: &l.recent})
	})
}

// Size is how many entries the log has.
func (v *View) Size() uint64 { return v.head.Size }

// Root is the tree's root.
func (v *View) Root() Hash { return Hash(v.head.Root) }

// Checkpoint is the signed checkpoint of the log's head.
func (v *View) Checkpoint() string { return v.head.Checkpoint }

// Time is the last entry's time.
func (v *View) Time() time.Time { return v.head.Time }

// Control is the head of the control stream.
func (v *View) Control() receipt.Link {
	return receipt.Link{Seq: v.head.ControlSeq, Hash: Hash(v.head.Control)}
}

// ActivePolicy is the SHA-256 of the active policy, the index of its activation
// and since when it is active. The index is 0 when there is none yet.
func (v *View) ActivePolicy() (sha Hash, index uint64, since time.Time) {
	return Hash(v.head.Policy), v.head.PolicyIndex, v.head.PolicySince
}

// Frozen is the index of the freeze entry that is in force, or 0.
func (v *View) Frozen() uint64 { return v.head.Frozen }

// Key is the public key that signs now.
func (v *View) Key() [32]byte { return v.head.Key }

// Counts are how many entries there are of what people ask for.
type Counts struct {
	Allowed, Denied, Escalated, Outcomes uint64
	ApprovalsOpen                        uint64 // approvals that still can decide something, or expired unseen
	SessionsOpen                         uint64
}

// Counts are of the whole log.
func (v *View) Counts() Counts {
	h := &v.head
	return Counts{h.Allowed, h.Denied, h.Escalated, h.Outcomes, h.ApprovalsOpen, h.SessionsOpen}
}

// Entry is the entry at that index.
func (v *View) Entry(index uint64) (*Entry, error) {
	if index >= v.head.Size {
		return nil, fmt.Errorf("entry %d: %w in a log of %d entries", index, ErrNotFound, v.head.Size)
	}
	b, err := v.rows.Get(Entries, key8(index))
	if err != nil {
		return nil, err
	}
	if b == nil {
		return nil, missing(index)
	}
	return parseEntry(index, b)
}

// missing is not ErrNotFound: there is such an entry, and the store has lost it.
func missing(index uint64) error { return fmt.Errorf("entry %d is missing in the store", index) }

// Entries are the entries from index lo to before hi.
func (v *View) Entries(lo, hi uint64) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		hi = min(hi, v.head.Size)
		next := lo
		for row, err := range v.rows.Scan(Entries, key8(lo), key8(hi)) {
			if err != nil {
				yield(nil, err)
				return
			}
			n, err := num8(row.Key)
			if err == nil && n != next {
				err = missing(next)
			}
			var e *Entry
			if err == nil {
				e, err = parseEntry(n, row.Value)
			}
			if !yield(e, err) || err != nil {
				return
			}
			next++
		}
		if next < hi {
			yield(nil, missing(next))
		}
	}
}

// Statement is the parsed statement at that index.
func (v *View) Statement(index uint64) (*Entry, *receipt.Statement, error) {
	e, err := v.Entry(index)
	if err != nil {
		return nil, nil, err
	}
	s, err := receipt.ParseStatement(e.Statement)
	if err != nil {
		return nil, nil, fmt.Errorf("entry %d: %w", index, err)
	}
	return e, s, nil
}

// Payload is what the entry's subject commits to, or nil where nothing is kept.
func (v *View) Payload(index uint64) (*Payload, error) {
	b, err := v.rows.Get(Payloads, key8(index))
	if b == nil || err != nil {
		return nil, err
	}
	if len(b) < 32 {
		return nil, fmt.Errorf("a row of table %s is damaged", Payloads)
	}
	p := &Payload{Value: b[32:]}
	copy(p.Secret[:], b)
	return p, nil
}

// Policy is the bytes of the policy with that SHA-256.
func (v *View) Policy(sha Hash) ([]byte, error) {
	b, err := v.rows.Get(Policies, sha[:])
	if err == nil && b == nil {
		err = fmt.Errorf("policy %x: %w", sha, ErrNotFound)
	}
	return b, err
}

func (v *View) stream(id Hash) (*streamRow, error) {
	b, err := v.rows.Get(Streams, id[:])
	if b == nil || err != nil {
		return nil, err
	}
	s := new(streamRow)
	return s, s.unmarshal(b)
}

// StreamHead is the seq and index of the stream's last entry; 0, 0 where it has
// none.
func (v *View) StreamHead(id Hash) (seq, index uint64, err error) {
	s, err := v.stream(id)
	if s == nil || err != nil {
		return 0, 0, err
	}
	return s.Seq, s.Index, nil
}

// streamChunk is how many entries of a stream are walked back at once.
const streamChunk = 256

// StreamEntries are the indexes of a stream's entries from seq on, ascending.
func (v *View) StreamEntries(id Hash, seq uint64) iter.Seq2[uint64, error] {
	return func(yield func(uint64, error) bool) {
		head, err := v.stream(id)
		if err != nil {
			yield(0, err)
			return
		}
		for seq = max(seq, 1); head != nil && seq <= head.Seq; seq += streamChunk {
			last := min(seq+streamChunk-1, head.Seq)
			chunk := make([]uint64, last-seq+1)
			at, err := v.seek(id, head, func(n node) bool { return n.Seq >= last })
			for i := len(chunk) - 1; i >= 0 && err == nil; i-- {
				chunk[i] = at.Index
				var l link
				l, err = v.link(id, at)
				at = node{l.Prev, at.Seq - 1}
			}
			if err != nil {
				yield(0, err)
				return
			}
			for _, index := range chunk {
				if !yield(index, nil) {
					return
				}
			}
		}
	}
}

// StreamFrom is the seq of the stream's first entry at or after that index. It is
// past the head's where there is none.
func (v *View) StreamFrom(id Hash, index uint64) (uint64, error) {
	head, err := v.stream(id)
	if head == nil || err != nil {
		return 1, err
	}
	if head.Index < index {
		return head.Seq + 1, nil
	}
	at, err := v.seek(id, head, func(n node) bool { return n.Index >= index })
	return at.Seq, err
}

// seek is the first node of a stream for which holds is true, as it is for all
// behind it and for the head.
func (v *View) seek(id Hash, head *streamRow, holds func(node) bool) (node, error) {
	at := node{head.Index, head.Seq}
	for {
		l, err := v.link(id, at)
		if at.Seq == 1 || err != nil {
			return at, err
		}
		prev := node{l.Prev, at.Seq - 1}
		switch {
		case !holds(prev):
			_, err := v.link(id, prev) // else an edited link would hide entries
			return at, err
		case holds(l.Jump):
			at = l.Jump
		default:
			at = prev
		}
	}
}

// link is the link of a stream's entry. It is an error where that is not the
// stream's at that seq.
func (v *View) link(id Hash, at node) (link, error) {
	e, st, err := v.Statement(at.Index)
	if err != nil {
		return link{}, err
	}
	for i := range st.Streams {
		if in := &st.Streams[i]; in.ID == id && in.Seq == at.Seq && i < len(e.links) {
			if l := e.links[i]; at.Seq == 1 || l.Prev < at.Index && l.Jump.Index < at.Index && l.Jump.Seq < at.Seq {
				return l, nil
			}
		}
	}
	return link{}, fmt.Errorf("entry %d: it is not at %d of the stream %x, or its links are damaged", at.Index, at.Seq, id)
}

// Call is the index of the latest decision on that call_id, or false.
func (v *View) Call(agent, session, principal, callID string) (uint64, bool, error) {
	s, err := v.stream(v.meta.streamKey.Session(agent, session))
	if s == nil || err != nil {
		return 0, false, err
	}
	b, err := v.rows.Get(Calls, callKey(s.Number, principal, callID))
	if b == nil || err != nil {
		return 0, false, err
	}
	n, err := num8(b)
	return n, err == nil, err
}

// Outcome is the index of the first outcome of the decision, or false.
func (v *View) Outcome(decision uint64) (uint64, bool, error) {
	b, err := v.rows.Get(Outcomes, key8(decision))
	if b == nil || err != nil {
		return 0, false, err
	}
	n, err := num8(b)
	return n, err == nil, err
}

// Approval is the state of the approval that the ESCALATE at that index opened.
func (v *View) Approval(escalation uint64) (*Approval, error) {
	b, err := v.rows.Get(Approvals, key8(escalation))
	if err != nil {
		return nil, err
	}
	if b == nil {
		return nil, fmt.Errorf("approval of entry %d: %w", escalation, ErrNotFound)
	}
	a := new(Approval)
	return a, unmarshalRow(Approvals, b, a)
}

// OpenApprovals are the approvals that are not used up, expired or not, of all
// sessions, or, where agent is not "", of that session; the earliest expiry first.
func (v *View) OpenApprovals(agent, session string) iter.Seq2[*Approval, error] {
	return func(yield func(*Approval, error) bool) {
		var number uint64
		if agent != "" {
			s, err := v.stream(v.meta.streamKey.Session(agent, session))
			if err != nil {
				yield(nil, err)
			}
			if s == nil || err != nil {
				return
			}
			number = s.Number
		}
		for row, err := range v.rows.Scan(OpenApprovals, nil, nil) {
			var of uint64
			if err == nil {
				of, err = num8(row.Value)
			}
			if err == nil && number != 0 && of != number {
				continue
			}
			var a *Approval
			if err == nil {
				var index uint64
				if index, err = num8(row.Key[8:]); err == nil {
					a, err = v.Approval(index)
				}
			}
			if !yield(a, err) || err != nil {
				return
			}
		}
	}
}

// approvalChunk is how many entries of the log are looked through at once.
const approvalChunk = 4096

// Approvals are the approvals of all sessions, in whatever state, the newest first.
func (v *View) Approvals() iter.Seq2[*Approval, error] {
	return func(yield func(*Approval, error) bool) {
		for hi := v.head.Size; hi > 0; hi -= min(hi, approvalChunk) {
			var chunk []*Approval
			for row, err := range v.rows.Scan(Approvals, key8(hi-min(hi, approvalChunk)), key8(hi)) {
				a := new(Approval)
				if err == nil {
					err = unmarshalRow(Approvals, row.Value, a)
				}
				if err != nil {
					yield(nil, err)
					return
				}
				chunk = append(chunk, a)
			}
			for _, a := range slices.Backward(chunk) {
				if !yield(a, nil) {
					return
				}
			}
		}
	}
}

// An OpenSession is a session that has not been closed since its last entry.
type OpenSession struct {
	Agent   string    `json:"agent"`
	Session string    `json:"session"`
	Last    time.Time `json:"-"` // time of its last entry
}

// OpenSessions are the sessions that are open.
func (v *View) OpenSessions() iter.Seq2[OpenSession, error] {
	return func(yield func(OpenSession, error) bool) {
		for row, err := range v.rows.Scan(OpenSessions, nil, nil) {
			var s OpenSession
			if err == nil {
				err = unmarshalRow(OpenSessions, row.Value, &s)
			}
			if err == nil {
				var head *streamRow
				if head, err = v.stream(v.meta.streamKey.Session(s.Agent, s.Session)); err == nil && head != nil {
					s.Last = time.UnixMicro(head.Micros).UTC()
				}
			}
			if !yield(s, err) || err != nil {
				return
			}
		}
	}
}

// ReadHashes implements tlog.HashReader over the stored tiles: nodes of the tree
// by their stored hash index.
func (v *View) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, idx := range indexes {
		level, n := tlog.SplitStoredHashIndex(idx)
		within := level % TileHeight
		hashes, err := v.tileHashes(level/TileHeight, uint64(n)<<within, 1<<within)
		if err != nil {
			return nil, fmt.Errorf("read the tree's node %d at level %d: %w", n, level, err)
		}
		out[i] = subtree(hashes)
	}
	return out, nil
}

// subtree is the root over a power of two of hashes.
func subtree(hashes []tlog.Hash) tlog.Hash {
	if len(hashes) == 1 {
		return hashes[0]
	}
	half := len(hashes) / 2
	return tlog.NodeHash(subtree(hashes[:half]), subtree(hashes[half:]))
}

// tileHashes are count hashes from number first on of a level of tiles; they are
// within one tile.
func (v *View) tileHashes(level int, first uint64, count int) ([]tlog.Hash, error) {
	at := int(first % tileWidth)
	b, err := v.Tile(level, first/tileWidth, at+count)
	if err != nil {
		return nil, err
	}
	out := make([]tlog.Hash, count)
	for i := range out {
		copy(out[i][:], b[(at+i)*32:])
	}
	return out, nil
}

// Tile is the first width hashes of a tile (C2SP tlog-tiles), concatenated.
func (v *View) Tile(level int, number uint64, width int) ([]byte, error) {
	key := tileKey(level, number)
	b := v.tiles[string(key)]
	if len(b) < 32*width {
		var err error
		if b, err = v.rows.Get(Tiles, key); err != nil {
			return nil, err
		}
		if b == nil && level == 0 {
			if b, err = v.leafHashes(number * tileWidth); err != nil {
				return nil, err
			}
		}
		if v.tiles == nil {
			v.tiles = map[string][]byte{}
		}
		v.tiles[string(key)] = b
	}
	if width <= 0 || len(b) < 32*width {
		return nil, fmt.Errorf("tile %d at level %d has %d hashes, not %d: %w", number, level, len(b)/32, width, ErrNotFound)
	}
	return b[:32*width], nil
}

// EntryBundle is a C2SP tlog-tiles entry bundle of that width: each entry's leaf,
// after its length in two bytes.
func (v *View) EntryBundle(number uint64, width int) ([]byte, error) {
	from := number * tileWidth
	if width <= 0 || from+uint64(width) > v.head.Size {
		return nil, fmt.Errorf("bundle %d of %d entries: %w in a log of %d entries", number, width, ErrNotFound, v.head.Size)
	}
	var b []byte
	for e, err := range v.Entries(from, from+uint64(width)) {
		if err != nil {
			return nil, err
		}
		st, err := receipt.ParseStatement(e.Statement)
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", e.Index, err)
		}
		leaf := st.Leaf(e.Statement).Marshal()
		b = binary.BigEndian.AppendUint16(b, uint16(len(leaf)))
		b = append(b, leaf...)
	}
	return b, nil
}

// leafHashes is the level 0 tile that begins at that index, out of the entries.
func (v *View) leafHashes(from uint64) ([]byte, error) {
	var b []byte
	for e, err := range v.Entries(from, from+tileWidth) {
		if err != nil {
			return nil, err
		}
		b = append(b, e.Leaf[:]...)
	}
	return b, nil
}

func tileKey(level int, number uint64) []byte {
	return append([]byte{byte(level)}, key8(number)...)
}

// RootAt is the tree's root at a size that the log once had.
func (v *View) RootAt(size uint64) (Hash, error) {
	if size > v.head.Size {
		return Hash{}, fmt.Errorf("size %d: %w in a log of %d entries", size, ErrNotFound, v.head.Size)
	}
	if size == v.head.Size {
		return v.Root(), nil
	}
	h, err := tlog.TreeHash(int64(size), v)
	return Hash(h), err
}

// extends checks by a proof that the tree is an extension of the one with that root.
func (v *View) extends(size uint64, root Hash) error {
	if size > v.head.Size {
		return fmt.Errorf("size %d: %w in a log of %d entries", size, ErrNotFound, v.head.Size)
	}
	proof, err := tlog.ProveTree(int64(v.head.Size), int64(size), v)
	if err != nil {
		return err
	}
	if err := tlog.CheckTree(proof, int64(v.head.Size), tlog.Hash(v.head.Root), int64(size), tlog.Hash(root)); err != nil {
		return fmt.Errorf("the tree of %d entries with the root %x does not extend the one of %d with %x", v.head.Size, v.head.Root, size, root)
	}
	return nil
}

// Receipt is the receipt file of an entry: its envelope with a proof of inclusion
// in the log's head, and one LF.
func (v *View) Receipt(index uint64) ([]byte, error) {
	e, err := v.Entry(index)
	if err != nil {
		return nil, err
	}
	return v.ReceiptOf(e)
}

// ReceiptOf is Receipt for an entry of this view.
func (v *View) ReceiptOf(e *Entry) ([]byte, error) {
	hashes, err := prove(v.head.Size, e.Index, v)
	if err != nil {
		return nil, err
	}
	return receiptFile(e.Statement, e.Signatures, &receipt.Proof{Index: e.Index, Hashes: hashes, Checkpoint: v.head.Checkpoint})
}

func receiptFile(statement []byte, sigs []receipt.Signature, p *receipt.Proof) ([]byte, error) {
	env := receipt.Envelope{Payload: statement, Signatures: sigs, Proof: p.Marshal()}
	b, err := env.Marshal()
	return append(b, '\n'), err
}

// ParseID reads an entry's id: a leaf hash in hex, or an index.
func (v *View) ParseID(s string) (uint64, error) {
	if len(s) == 64 {
		var id Hash
		if _, err := hex.Decode(id[:], []byte(s)); err == nil && strings.ToLower(s) == s {
			return v.FindID(id)
		}
	}
	var n uint64
	if _, err := fmt.Sscanf(s, "%d", &n); err != nil || fmt.Sprint(n) != s {
		return 0, fmt.Errorf("%q is neither an id of 64 hex digits nor an index: %w", s, ErrNotFound)
	}
	_, err := v.Entry(n)
	return n, err
}
