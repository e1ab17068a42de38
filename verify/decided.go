package verify

import (
	"crypto/sha256"
	"sort"
	"strconv"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// decisions remembers of every decision what later entries are held to, in as few
// bytes as will do: a pack has millions. Blocks are never copied.
type decisions struct{ blocks [][]decided }

const blockLen = 4096

// decided is one decision, in 48 bytes. The digest of what an outcome repeats is cut to
// 16 of them: whoever finds two of one digest can lie about an outcome. The others
// are shorter, for they repeat what is in that one, or what the signer chose freely.
type decided struct {
	index     uint64
	about     [16]byte // of everything that an outcome repeats: see about
	statement [8]byte
	outcome   uint64 // index of the first outcome, or 0
	outcomeID [7]byte
	verdict   byte // its first letter
}

// add remembers a decision and returns its number, counted from 0.
func (ds *decisions) add(it *item, d *receipt.Decision) int {
	n := len(ds.blocks)
	if n == 0 || len(ds.blocks[n-1]) == blockLen {
		ds.blocks = append(ds.blocks, make([]decided, 0, blockLen))
		n++
	}
	ds.blocks[n-1] = append(ds.blocks[n-1], decided{
		index:     it.st.Index,
		about:     about(it.hash, d.Agent, d.Session, d.Principal, d.Boundary, d.Tool, d.Verdict, d.Enforced),
		statement: [8]byte(it.digest[:8]),
		verdict:   d.Verdict[0],
	})
	return (n-1)*blockLen + len(ds.blocks[n-1]) - 1
}

// at is the decision with that number.
func (ds *decisions) at(n uint32) *decided { return &ds.blocks[n/blockLen][n%blockLen] }

// find is the decision at that index, or nil.
func (ds *decisions) find(index uint64) *decided {
	b := sort.Search(len(ds.blocks), func(i int) bool { return ds.blocks[i][0].index > index }) - 1
	if b < 0 {
		return nil
	}
	block := ds.blocks[b]
	i := sort.Search(len(block), func(i int) bool { return block[i].index >= index })
	if i == len(block) || block[i].index != index {
		return nil
	}
	return &block[i]
}

// about is a digest of a decision's id and what an outcome says of it. Names have
// no spaces.
func about(id receipt.Hash, agent, session, principal, boundary, tool string, v helm.Verdict, enforced bool) [16]byte {
	return digest(id[:], agent, session, principal, boundary, tool, string(v), strconv.FormatBool(enforced))
}

// digest is one of parts that have no spaces.
func digest(b []byte, parts ...string) [16]byte {
	var room [512]byte
	b = append(room[:0], b...)
	for _, p := range parts {
		b = append(append(b, p...), ' ')
	}
	sum := sha256.Sum256(b)
	return [16]byte(sum[:16])
}

func aboutOutcome(o *receipt.Outcome) [16]byte {
	return about(o.Decision.ID, o.Agent, o.Session, o.Principal, o.Boundary, o.Tool, o.Verdict, o.Enforced)
}

type totals struct {
	allow, deny, escalate, outcomes uint64
	open, firstOpen                 uint64 // ALLOWs without an outcome
}

// totals are of the decisions in the window.
func (ds *decisions) totals(w receipt.Window) (t totals) {
	for _, b := range ds.blocks {
		for i := range b {
			d := &b[i]
			if d.index < w.First || d.index >= w.End {
				continue
			}
			if d.outcome > 0 {
				t.outcomes++
			}
			switch d.verdict {
			case helm.Allow[0]:
				t.allow++
				if d.outcome == 0 {
					if t.open++; t.open == 1 {
						t.firstOpen = d.index
					}
				}
			case helm.Deny[0]:
				t.deny++
			default:
				t.escalate++
			}
		}
	}
	return t
}
