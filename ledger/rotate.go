package ledger

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"

	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// ErrReplaced is wrapped when the log's key is no longer the one that this process
// holds.
var ErrReplaced = errors.New("the log's key was replaced: this process holds the old one, which signs nothing any more: start it again")

// Rotate replaces the log's key: it records a key entry that both keys sign, under
// a checkpoint of the next one, in one transaction. Then this log has stopped, and
// so do all other processes that hold the old key, within a second or before they
// record anything: the log is opened again with the next key, which must be durable
// before Rotate is called. After an error that does not wrap ErrAborted, ActiveKey
// says which key it is.
func (l *Log) Rotate(next crypto.Signer, principal string) (*Appended, error) {
	pub, err := publicKey(next)
	if err != nil {
		return nil, fmt.Errorf("rotate: %w", err)
	}
	if err := l.Err(); err != nil {
		return nil, err
	}
	p := &pending{propose: func(*View) (*Draft, error) {
		return &Draft{Subject: KeySubject(pub), Body: &receipt.Key{Principal: principal, Old: [32]byte(l.key), New: [32]byte(pub)}}, nil
	}}
	var head *headRow
	err = l.store.Update(context.Background(), func(w Writer) error {
		base, err := readHead(w)
		if err == nil {
			err = l.observe(l.last.Load(), base, w)
		}
		if err != nil {
			return l.fail(err)
		}
		b, err := l.build(w, base, []*pending{p})
		if err == nil {
			err = p.err
		}
		if err == nil {
			err = l.countersign(b, next)
		}
		if err != nil {
			return err
		}
		head = b.head
		return b.over.flush(w)
	})
	if err != nil {
		err = fmt.Errorf("rotate: %w", err)
		if !errors.Is(err, ErrAborted) {
			err = l.fail(err)
		}
		return nil, err
	}
	l.fail(ErrReplaced)
	if l.opts.HighWater != "" {
		// Else the file stays the old key's, which is good too.
		if err := WriteFile(l.opts.HighWater, []byte(head.Checkpoint)); err != nil {
			return p.result, fmt.Errorf("the key is replaced, by entry %d; high-water file: %w", p.result.Index, err)
		}
	}
	return p.result, nil
}

// countersign has the next key sign a batch that is one key entry, and the
// checkpoint over it.
func (l *Log) countersign(b *batch, next crypto.Signer) error {
	a := b.entries[0]
	sig, err := receipt.Sign(next, a.Statement)
	if err != nil {
		return err
	}
	a.Signatures = append(a.Signatures, sig)
	row, err := a.marshal()
	if err != nil {
		return err
	}
	b.over.put(Entries, key8(a.Index), row)
	h := b.head
	if h.Checkpoint, err = receipt.SignCheckpoint(next, receipt.Checkpoint{Origin: l.meta.Origin, Size: h.Size, Root: Hash(h.Root)}); err != nil {
		return err
	}
	a.checkpoint = h.Checkpoint
	b.over.put(Heads, nil, marshalRow(h))
	return nil
}

// ActiveKey is the public key that the log in a store says is its own. Nothing
// vouches for it yet: Open does, with the private key.
func ActiveKey(ctx context.Context, store Store) (pub ed25519.PublicKey, err error) {
	err = store.View(ctx, func(r Reader) error {
		h, err := readHead(r)
		if err == nil {
			pub = h.Key[:]
		}
		return err
	})
	return pub, err
}

// A LogKey is a key of the log. It signs the entries behind Since, and checkpoints
// of more entries than Since: up to the Since of the next key, with that one
// included.
type LogKey struct {
	Key   ed25519.PublicKey
	Since uint64 // index of the entry that brought it: genesis, or a key entry
}

// Keys are the log's keys, the first one first and the one in force last. Each was
// brought by an entry that the one before it signed, and it itself.
func (v *View) Keys() ([]LogKey, error) {
	var keys []LogKey
	for index, err := range v.StreamEntries(v.meta.streamKey.Control(), 1) {
		if err != nil {
			return nil, err
		}
		e, st, err := v.Statement(index)
		if err != nil {
			return nil, err
		}
		switch b := st.Body.(type) {
		case *receipt.Genesis:
			keys = append(keys, LogKey{b.Key[:], index})
		case *receipt.Key:
			if len(keys) == 0 || !bytes.Equal(keys[len(keys)-1].Key, b.Old[:]) || len(e.Signatures) != 2 ||
				!e.Signatures[0].Verify(b.Old[:], e.Statement) || !e.Signatures[1].Verify(b.New[:], e.Statement) {
				return nil, fmt.Errorf("entry %d: it replaces a key that was not in force, or one of the two did not sign it", index)
			}
			keys = append(keys, LogKey{b.New[:], index})
		}
	}
	if len(keys) == 0 || !bytes.Equal(keys[len(keys)-1].Key, v.head.Key[:]) {
		return nil, fmt.Errorf("the control stream does not lead to the log's key %s", receipt.KeyID(v.head.Key[:]))
	}
	return keys, nil
}

// KeyAt is the key that signs the checkpoint of a size.
func (v *View) KeyAt(size uint64) (ed25519.PublicKey, error) {
	keys, err := v.Keys()
	if err != nil {
		return nil, err
	}
	for _, k := range slices.Backward(keys) {
		if k.Since < size {
			return k.Key, nil
		}
	}
	return nil, fmt.Errorf("no key signs a log of %d entries", size)
}
