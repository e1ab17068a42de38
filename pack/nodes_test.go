package pack

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

type hashes []tlog.Hash

func (s hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, idx := range indexes {
		out[i] = s[idx]
	}
	return out, nil
}

// specNodes is the recursion of spec/pack.md, word for word.
func specNodes(t *testing.T, lo, hi uint64, known map[uint64]bool, node func(lo, hi uint64)) {
	inside := 0
	for i := range known {
		if lo <= i && i < hi {
			inside++
		}
	}
	switch {
	case inside == 0:
		node(lo, hi)
	case hi-lo == 1:
	default:
		k := uint64(1)
		for k*2 < hi-lo {
			k *= 2
		}
		specNodes(t, lo, lo+k, known, node)
		specNodes(t, lo+k, hi, known, node)
	}
}

// TestNodes holds the multi-proof of every set of known indexes in every tree up
// to ten leaves against the recursion in the spec and x/mod's roots.
func TestNodes(t *testing.T) {
	var stored hashes
	var leaves []receipt.Hash
	for i := range 10 {
		leaf := fmt.Appendf(nil, "leaf %d", i)
		leaves = append(leaves, receipt.LeafHash(leaf))
		h, err := tlog.StoredHashes(int64(i), leaf, stored)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, h...)
	}
	for size := uint64(1); size <= 10; size++ {
		root, err := tlog.TreeHash(int64(size), stored)
		if err != nil {
			t.Fatal(err)
		}
		for set := range 1 << size {
			known := map[uint64]bool{}
			var spans []receipt.Window
			for i := range size {
				if set>>i&1 == 0 {
					continue
				}
				known[i] = true
				if n := len(spans); n > 0 && spans[n-1].End == i {
					spans[n-1].End++
				} else {
					spans = append(spans, receipt.Window{First: i, End: i + 1})
				}
			}
			var got, want bytes.Buffer
			if err := writeNodes(&got, size, spans, stored); err != nil {
				t.Fatal(err)
			}
			specNodes(t, 0, size, known, func(lo, hi uint64) {
				h, err := nodeHash(subtree{lo, hi}, stored)
				if err != nil {
					t.Fatal(err)
				}
				want.Write(h[:])
			})
			if !bytes.Equal(got.Bytes(), want.Bytes()) {
				t.Fatalf("size %d, known %b: the nodes differ from the spec's", size, set)
			}
			for older := range size {
				tree := NewTree(size, bytes.NewReader(got.Bytes()), older)
				for i := range size {
					if known[i] {
						if err := tree.Add(i, leaves[i]); err != nil {
							t.Fatal(err)
						}
					}
				}
				r, err := tree.Root()
				if err != nil || r != receipt.Hash(root) {
					t.Fatalf("size %d, known %b: root %x, %v; want %x", size, set, r, err, root)
				}
				if h, ok := tree.Older(); ok {
					want, err := tlog.TreeHash(int64(older), stored)
					if err != nil || h != receipt.Hash(want) {
						t.Fatalf("size %d, known %b: root at %d is %x, want %x", size, set, older, h, want)
					}
				} else if older > 0 && known[older-1] {
					t.Fatalf("size %d, known %b: no root at %d", size, set, older)
				}
			}
			for name, nodes := range map[string][]byte{"one more": append(got.Bytes(), make([]byte, 32)...), "cut off": got.Bytes()[:max(0, got.Len()-1)]} {
				if name == "cut off" && got.Len() == 0 {
					continue
				}
				tree := NewTree(size, bytes.NewReader(nodes), 0)
				var err error
				for i := range size {
					if known[i] && err == nil {
						err = tree.Add(i, leaves[i])
					}
				}
				if err == nil {
					_, err = tree.Root()
				}
				if err == nil {
					t.Fatalf("size %d, known %b: nodes that are %s were accepted", size, set, name)
				}
			}
		}
	}
}

// TestNodesVectors holds spec/vectors/pack-nodes.json: which nodes a multi-proof
// has, and in which order.
func TestNodesVectors(t *testing.T) {
	type vector struct {
		Size  uint64      `json:"size"`
		Known []uint64    `json:"known"`
		Nodes [][2]uint64 `json:"nodes"` // each from its first leaf to before the second number
	}
	var vectors []vector
	for _, v := range []vector{
		{Size: 1}, {Size: 1, Known: []uint64{0}}, {Size: 7}, {Size: 7, Known: []uint64{0}}, {Size: 7, Known: []uint64{6}},
		{Size: 7, Known: []uint64{1, 2}}, {Size: 8, Known: []uint64{3}}, {Size: 13, Known: []uint64{0, 5, 6, 7, 12}},
		{Size: 1_000_003, Known: []uint64{0, 1, 499_999, 1_000_002}},
	} {
		v.Known = append([]uint64{}, v.Known...)
		v.Nodes = [][2]uint64{}
		lo := uint64(0)
		emit := func(n subtree) error { v.Nodes = append(v.Nodes, [2]uint64{n.lo, n.hi}); return nil }
		for _, k := range v.Known {
			cover(lo, k, v.Size, emit)
			lo = k + 1
		}
		cover(lo, v.Size, v.Size, emit)
		vectors = append(vectors, v)
	}
	var got bytes.Buffer
	got.WriteString("[\n")
	for i, v := range vectors {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		got.Write(b)
		if i < len(vectors)-1 {
			got.WriteByte(',')
		}
		got.WriteByte('\n')
	}
	got.WriteString("]\n")
	const file = "../spec/vectors/pack-nodes.json"
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(file); err != nil || !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%s is not what the code gives: %v; run with -update\n%s", file, err, got.Bytes())
	}
}

var update = flag.Bool("update", false, "write spec/vectors anew")
