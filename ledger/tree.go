package ledger

import (
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// Hash is a SHA-256 digest.
type Hash = receipt.Hash

// TileHeight is the height of C2SP tlog-tiles: a full tile has 256 hashes.
const (
	TileHeight = 8
	tileWidth  = 1 << TileHeight
)

// A frontier is the right edge of a tree: the hashes of its maximal complete
// subtrees, the largest first. It is all that is needed to go on appending.
type frontier struct {
	size   uint64
	hashes []Hash
}

// indexes are the stored hash indexes (x/mod/sumdb/tlog) of a frontier's hashes.
func frontierIndexes(size uint64) []int64 {
	var idx []int64
	var done uint64
	for level := bits.Len64(size) - 1; level >= 0; level-- {
		if size&(1<<level) != 0 {
			idx = append(idx, tlog.StoredHashIndex(level, int64(done>>level)))
			done += 1 << level
		}
	}
	return idx
}

// A growth is a tree that grew by a batch: the old frontier and every node that
// the batch completed. It can prove the inclusion of each of the batch's entries
// without reading anything. It is immutable once made.
type growth struct {
	nodes map[int64]tlog.Hash // by stored hash index
	from  uint64
	size  uint64
}

// grow appends leaf hashes to the tree with that frontier.
func grow(f frontier, leaves []Hash) (*growth, error) {
	g := &growth{nodes: make(map[int64]tlog.Hash, len(f.hashes)+2*len(leaves)), from: f.size, size: f.size + uint64(len(leaves))}
	for i, idx := range frontierIndexes(f.size) {
		g.nodes[idx] = tlog.Hash(f.hashes[i])
	}
	for i, leaf := range leaves {
		n := int64(f.size) + int64(i)
		stored, err := tlog.StoredHashesForRecordHash(n, tlog.Hash(leaf), g)
		if err != nil {
			return nil, fmt.Errorf("extend the tree by entry %d: %w", n, err)
		}
		at := tlog.StoredHashIndex(0, n)
		for j, h := range stored {
			g.nodes[at+int64(j)] = h
		}
	}
	return g, nil
}

// ReadHashes implements tlog.HashReader.
func (g *growth) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, idx := range indexes {
		h, ok := g.nodes[idx]
		if !ok {
			level, n := tlog.SplitStoredHashIndex(idx)
			return nil, fmt.Errorf("the tree's node %d at level %d is not at hand", n, level)
		}
		out[i] = h
	}
	return out, nil
}

func (g *growth) root() (Hash, error) {
	h, err := tlog.TreeHash(int64(g.size), g)
	return Hash(h), err
}

func (g *growth) frontier() (frontier, error) {
	hashes, err := g.ReadHashes(frontierIndexes(g.size))
	if err != nil {
		return frontier{}, err
	}
	f := frontier{size: g.size}
	for _, h := range hashes {
		f.hashes = append(f.hashes, Hash(h))
	}
	return f, nil
}

// prove is the proof of inclusion of entry index in the tree.
func prove(size, index uint64, r tlog.HashReader) ([]Hash, error) {
	path, err := tlog.ProveRecord(int64(size), int64(index), r)
	if err != nil {
		return nil, fmt.Errorf("prove the inclusion of entry %d in a log of %d: %w", index, size, err)
	}
	out := make([]Hash, len(path))
	for i, h := range path {
		out[i] = Hash(h)
	}
	return out, nil
}

func storedHashIndex(level int, n uint64) int64 { return tlog.StoredHashIndex(level, int64(n)) }
