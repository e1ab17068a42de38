package pack

import (
	"errors"
	"fmt"
	"io"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// A subtree is a node of RFC 6962's tree: the leaves from lo to before hi.
type subtree struct{ lo, hi uint64 }

// cover yields the nodes of the multi-proof for the gap from lo to before hi in a
// tree of that size: the fewest subtrees of the tree that fill it, from the left. hi
// is the next known index, or size where there is none.
func cover(lo, hi, size uint64, yield func(subtree) error) error {
	for lo < hi {
		next := lo + largest(lo, hi)
		if hi == size && spine(lo, size) {
			next = size
		}
		if err := yield(subtree{lo, next}); err != nil {
			return err
		}
		lo = next
	}
	return nil
}

// largest is the width of the largest complete subtree that begins at lo and ends
// at or before hi.
func largest(lo, hi uint64) uint64 {
	n := uint64(1) << (bits.Len64(hi-lo) - 1)
	if lo > 0 {
		n = min(n, lo&-lo)
	}
	return n
}

// spine reports whether the leaves from lo on are a node at the tree's right edge:
// lo is what is left of size when some of its lowest bits are taken away.
func spine(lo, size uint64) bool { return lo&(1<<bits.Len64(size-lo)-1) == 0 }

// writeNodes prints the multi-proof for known indexes: spans that are ascending
// and do not touch.
func writeNodes(w io.Writer, size uint64, known []receipt.Window, r tlog.HashReader) error {
	lo := uint64(0)
	emit := func(n subtree) error {
		h, err := nodeHash(n, r)
		if err != nil {
			return fmt.Errorf("the tree's node from %d to %d: %w", n.lo, n.hi, err)
		}
		_, err = w.Write(h[:])
		return err
	}
	for _, k := range known {
		if err := cover(lo, k.First, size, emit); err != nil {
			return err
		}
		lo = k.End
	}
	return cover(lo, size, size, emit)
}

// nodeHash is a node's hash out of the stored, complete nodes.
func nodeHash(n subtree, r tlog.HashReader) (tlog.Hash, error) {
	width := largest(n.lo, n.hi)
	level := bits.Len64(width) - 1
	hashes, err := r.ReadHashes([]int64{tlog.StoredHashIndex(level, int64(n.lo>>level))})
	if err != nil {
		return tlog.Hash{}, err
	}
	if n.lo+width == n.hi {
		return hashes[0], nil
	}
	right, err := nodeHash(subtree{n.lo + width, n.hi}, r)
	if err != nil {
		return tlog.Hash{}, err
	}
	return tlog.NodeHash(hashes[0], right), nil
}

// A Tree puts the root of a tree together again out of known leaves and the nodes
// of a multi-proof. It holds a logarithm of the tree.
type Tree struct {
	size  uint64
	nodes io.Reader // the file Nodes
	next  uint64    // everything before it is in done
	done  []part    // from the left, ever smaller

	older uint64       // an older size of the log that the root is kept of, or 0
	kept  receipt.Hash // that root, where a part of the proof ends there
}

type part struct {
	subtree
	hash tlog.Hash
}

// NewTree begins a tree of that size. Of older, a size that the log had before, the
// root is kept where the proof happens to give it: see Older.
func NewTree(size uint64, nodes io.Reader, older uint64) *Tree {
	return &Tree{size: size, nodes: nodes, older: older}
}

// Add adds the leaf hash of a known index; indexes are strictly ascending.
func (t *Tree) Add(index uint64, leaf receipt.Hash) error {
	if index < t.next || index >= t.size {
		return fmt.Errorf("the index %d comes after %d in a log of %d entries", index, t.next, t.size)
	}
	if err := t.fill(index); err != nil {
		return err
	}
	t.push(part{subtree{index, index + 1}, tlog.Hash(leaf)})
	return nil
}

// Root is the root, when every known leaf was added. No node may be left over.
func (t *Tree) Root() (receipt.Hash, error) {
	if err := t.fill(t.size); err != nil {
		return receipt.Hash{}, err
	}
	var one [1]byte
	if n, err := t.nodes.Read(one[:]); n != 0 || err != io.EOF {
		if n != 0 {
			err = errors.New("nodes are left over")
		}
		return receipt.Hash{}, err
	}
	if t.size == 0 {
		h, err := tlog.TreeHash(0, nil)
		return receipt.Hash(h), err
	}
	return fold(t.done), nil
}

// fold is the root over parts, from the right.
func fold(parts []part) receipt.Hash {
	h := parts[len(parts)-1].hash
	for i := len(parts) - 2; i >= 0; i-- {
		h = tlog.NodeHash(parts[i].hash, h)
	}
	return receipt.Hash(h)
}

// Older is the root of the tree at the older size, after Root. It is known where a
// known leaf or a node of the proof ends there, as in a pack of the whole log.
func (t *Tree) Older() (receipt.Hash, bool) { return t.kept, t.kept != receipt.Hash{} }

func (t *Tree) fill(to uint64) error {
	return cover(t.next, to, t.size, func(n subtree) error {
		p := part{subtree: n}
		if _, err := io.ReadFull(t.nodes, p.hash[:]); err != nil {
			return fmt.Errorf("the node from %d to %d is missing: %w", n.lo, n.hi, noEOF(err))
		}
		t.push(p)
		return nil
	})
}

// push adds the next part, and joins complete neighbours of one width.
func (t *Tree) push(p part) {
	t.next = p.hi
	for n := len(t.done); n > 0; n-- {
		l := t.done[n-1]
		width := l.hi - l.lo
		if p.hi-p.lo != width || l.lo&(2*width-1) != 0 || width&(width-1) != 0 {
			break
		}
		p = part{subtree{l.lo, p.hi}, tlog.NodeHash(l.hash, p.hash)}
		t.done = t.done[:n-1]
	}
	t.done = append(t.done, p)
	if t.next == t.older {
		t.kept = fold(t.done)
	}
}
