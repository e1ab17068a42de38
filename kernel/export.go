package kernel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
	"github.com/helm-ai-kernel/helm-ai-kernel/pack"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

// An Export is what a pack is asked for.
type Export struct {
	Query receipt.Query
	At    uint64 // the log's size; 0: as it is now
	pack.Options
}

// Export writes the EvidencePack of a query.
func (k *Kernel) Export(ctx context.Context, w io.Writer, x Export) error {
	if err := x.Query.Check(); err != nil {
		return &Error{helm.BadRequest, err}
	}
	var size uint64
	var s pack.Snapshot
	err := k.log.View(ctx, func(v *ledger.View) error {
		if size = x.At; size == 0 {
			size = v.Size()
		}
		root, err := v.RootAt(size)
		if err != nil {
			return err
		}
		if err := k.signs(v, size); err != nil {
			return err
		}
		if err := seen(v, k.log.StreamKey(), &x.Query, size); err != nil {
			return err
		}
		// Ed25519 is deterministic: the checkpoint of a size is the same whenever it
		// is signed.
		s.Checkpoint, err = receipt.SignCheckpoint(k.log.Signer(), receipt.Checkpoint{Origin: k.log.Origin(), Size: size, Root: root})
		return err
	})
	if err != nil {
		return coded(err)
	}
	if x.ConsistencyFrom > size {
		return &Error{helm.NotFound, fmt.Errorf("the checkpoint that was kept is of %d entries, and the log has %d: it is older, or it was rolled back", x.ConsistencyFrom, size)}
	}
	s.StreamKey, s.Key = *k.log.StreamKey(), k.log.Signer()
	s.Log = &packLog{ctx: ctx, log: k.log, size: size}
	return pack.Write(w, s, x.Query, x.Options)
}

// signs refuses a size whose checkpoint another key signs than this process holds.
func (k *Kernel) signs(v *ledger.View, size uint64) error {
	if receipt.Hash(k.log.Key()) != v.Key() {
		return fmt.Errorf("%w: %w", ledger.ErrStopped, ledger.ErrReplaced)
	}
	if size == v.Size() {
		return nil
	}
	keys, err := v.Keys()
	if err != nil {
		return err
	}
	if since := keys[len(keys)-1].Since; size <= since {
		return &Error{helm.NotFound, fmt.Errorf("a pack of the log at %d entries would be signed by a key that entry %d replaced, and is gone: "+
			"ask for %d entries or more, which hold the same, or for a time with since and until", size, since, since+1)}
	}
	return nil
}

// seen refuses a query for a name that the log has nothing of, at that size. Its pack
// would be good, and whoever mistyped a name would take it for an agent that did nothing.
func seen(v *ledger.View, key *receipt.StreamKey, q *receipt.Query, size uint64) error {
	if q.All {
		return nil
	}
	id, name := key.Agent(q.Agent), "agent "+q.Agent
	if q.Session != "" {
		id, name = key.Session(q.Agent, q.Session), name+" in session "+q.Session
	}
	// The first entry at or after the size is the stream's first: none is before.
	if seq, err := v.StreamFrom(id, size); seq > 1 || err != nil {
		return err
	}
	return &Error{helm.NotFound, fmt.Errorf("the log of %d entries has nothing of %s", size, name)}
}

// packLog is the log that a pack is made of. Entries never change, so each read
// may have a snapshot of its own, and a long export holds none.
type packLog struct {
	ctx  context.Context
	log  *ledger.Log
	size uint64
}

const exportChunk = 512

// Entries implements pack.Log.
func (p *packLog) Entries(lo, hi uint64) iter.Seq2[pack.Entry, error] {
	return func(yield func(pack.Entry, error) bool) {
		for ; lo < hi; lo += exportChunk {
			var chunk []pack.Entry
			err := p.log.View(p.ctx, func(v *ledger.View) error {
				for e, err := range v.Entries(lo, min(lo+exportChunk, hi)) {
					if err != nil {
						return err
					}
					chunk = append(chunk, packEntry(e))
				}
				return nil
			})
			for _, e := range chunk {
				if !yield(e, nil) {
					return
				}
			}
			if err != nil {
				yield(pack.Entry{}, err)
				return
			}
		}
	}
}

func packEntry(e *ledger.Entry) pack.Entry {
	return pack.Entry{Index: e.Index, Statement: e.Statement, Signatures: e.Signatures}
}

// StreamLen implements pack.Log.
func (p *packLog) StreamLen(id receipt.Hash) (n uint64, err error) {
	err = p.log.View(p.ctx, func(v *ledger.View) error {
		next, err := v.StreamFrom(id, p.size)
		n = next - 1
		return err
	})
	return n, err
}

// StreamIndex implements pack.Log.
func (p *packLog) StreamIndex(id receipt.Hash, seq uint64) (index uint64, err error) {
	err = p.log.View(p.ctx, func(v *ledger.View) error {
		for index, err = range v.StreamEntries(id, seq) {
			return err
		}
		return ledger.ErrNotFound
	})
	return index, err
}

// Answers implements pack.Log.
func (p *packLog) Answers(escalation uint64) (indexes []uint64, err error) {
	err = p.log.View(p.ctx, func(v *ledger.View) error {
		a, err := v.Approval(escalation)
		if errors.Is(err, ledger.ErrNotFound) {
			return nil // it opened none
		}
		if err != nil {
			return err
		}
		for _, ans := range a.Answers {
			if ans.Index < p.size {
				indexes = append(indexes, ans.Index)
			}
		}
		return nil
	})
	return indexes, err
}

// Payload implements pack.Log.
func (p *packLog) Payload(index uint64) (out *pack.Payload, err error) {
	err = p.log.View(p.ctx, func(v *ledger.View) error {
		kept, err := v.Payload(index)
		if kept == nil || err != nil {
			return err
		}
		value, err := strictjson.Parse(kept.Value)
		out = &pack.Payload{Secret: kept.Secret, Value: value}
		return err
	})
	return out, err
}

// Policy implements pack.Log.
func (p *packLog) Policy(sha receipt.Hash) (b []byte, err error) {
	err = p.log.View(p.ctx, func(v *ledger.View) error {
		b, err = v.Policy(sha)
		return err
	})
	return b, err
}

// ReadHashes implements tlog.HashReader.
func (p *packLog) ReadHashes(indexes []int64) (hashes []tlog.Hash, err error) {
	err = p.log.View(p.ctx, func(v *ledger.View) error {
		hashes, err = v.ReadHashes(indexes)
		return err
	})
	return hashes, err
}
