package ledger

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

func otherKey(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func public(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }

// TestRotate: whoever holds the old key stops, and says why; with the new one the
// log goes on, and all of it checks.
func TestRotate(t *testing.T) {
	s, opts := newMemory(), testOptions(t)
	l := create(t, s, opts)
	decide(t, l, "a", "s", "1", helm.Allow)
	idle := open(t, s, opts)
	busy := open(t, s, opts)
	e, err := l.Rotate(otherKey(1), "operator")
	if err != nil {
		t.Fatal(err)
	}
	if !errors.Is(l.Err(), ErrReplaced) {
		t.Errorf("the log that replaced its own key goes on: %v", l.Err())
	}
	_, err = busy.Append(t.Context(), func(v *View) (*Draft, error) { return decision("a", "s", "2", helm.Allow, v.Now()), nil })
	if !errors.Is(err, ErrReplaced) || !errors.Is(err, ErrStopped) {
		t.Errorf("an append with the old key: %v", err)
	}
	soon(t, "an idle process stops", func() bool { return errors.Is(idle.Err(), ErrReplaced) })
	if _, err := Open(t.Context(), s, opts); err == nil || !strings.Contains(err.Error(), "one of the two was replaced") {
		t.Errorf("open with the old key: %v", err)
	}

	opts.Key = otherKey(1)
	next := open(t, s, opts)
	if kept(t, next) != e.Index+1 {
		t.Errorf("the high-water file shows %d entries", kept(t, next))
	}
	decide(t, next, "a", "s", "2", helm.Allow)
	if _, err := next.Rotate(otherKey(2), "operator"); err != nil {
		t.Fatal(err)
	}
	opts.Key = otherKey(2)
	last := open(t, s, opts)
	if err := last.checkNewest(t.Context(), last.Size(), time.Minute); err != nil {
		t.Error(err)
	}
	if err := last.View(t.Context(), func(v *View) error {
		keys, err := v.Keys()
		want := []LogKey{{public(testKey()), 0}, {public(otherKey(1)), 2}, {public(otherKey(2)), 4}}
		if err != nil || fmt.Sprint(keys) != fmt.Sprint(want) {
			t.Errorf("keys are %v (%v), not %v", keys, err, want)
		}
		for size, want := range map[uint64]ed25519.PrivateKey{1: testKey(), 2: testKey(), 3: otherKey(1), 4: otherKey(1), 5: otherKey(2)} {
			if got, err := v.KeyAt(size); err != nil || !got.Equal(public(want)) {
				t.Errorf("the key of %d entries is %x (%v), not %x", size, got, err, public(want))
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// TestRotateReceipt: the key entry's own receipt is by the new key.
func TestRotateReceipt(t *testing.T) {
	s, opts := newMemory(), testOptions(t)
	l := create(t, s, opts)
	e, err := l.Rotate(otherKey(1), "operator")
	if err != nil {
		t.Fatal(err)
	}
	file, err := e.Receipt()
	if err != nil {
		t.Fatal(err)
	}
	env, err := receipt.ParseEnvelope(bytes.TrimSuffix(file, []byte("\n")))
	if err != nil {
		t.Fatal(err)
	}
	if len(env.Signatures) != 2 || !env.Signatures[0].Verify(public(testKey()), env.Payload) || !env.Signatures[1].Verify(public(otherKey(1)), env.Payload) {
		t.Error("it is not signed by the old key and the new one")
	}
	p, err := receipt.ParseProof(env.Proof)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := receipt.VerifyCheckpoint(p.Checkpoint, l.Origin(), public(otherKey(1))); err != nil {
		t.Error(err)
	}
}

// TestRotateHighWater: a high-water file of the old key is good for what that key
// signed, and for nothing else.
func TestRotateHighWater(t *testing.T) {
	s, opts := newMemory(), testOptions(t)
	l := create(t, s, opts)
	a := decide(t, l, "a", "s", "1", helm.Allow)
	soon(t, "the entry is in the file", func() bool { return kept(t, l) == 2 })
	before, err := os.ReadFile(opts.HighWater)
	if err != nil {
		t.Fatal(err)
	}
	e, err := l.Rotate(otherKey(1), "operator")
	if err != nil {
		t.Fatal(err)
	}
	opts.Key = otherKey(1)
	sign := func(key ed25519.PrivateKey, size uint64, root Hash) string {
		c, err := receipt.SignCheckpoint(key, receipt.Checkpoint{Origin: l.Origin(), Size: size, Root: root})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	root, err := e.growth.root()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, file, refused string
	}{
		{"the last of the old key, as after a kill", string(before), ""},
		{"an older one", sign(testKey(), 1, a.growthRoot(t, 1)), ""},
		{"the new key's", sign(otherKey(1), 3, root), ""},
		{"of another history, by the old key", sign(testKey(), 2, root), "rewritten"},
		{"of the rotation's size, by the old key", sign(testKey(), 3, root), "high-water"},
		{"of more than there is, by the old key", sign(testKey(), 9, root), "high-water"},
		{"of more than there is, by the new key", sign(otherKey(1), 9, root), "rolled back"},
		{"of before, by the new key", sign(otherKey(1), 1, a.growthRoot(t, 1)), ""},
		{"of before, by a third key", sign(otherKey(9), 1, a.growthRoot(t, 1)), "high-water"},
	} {
		if err := WriteFile(opts.HighWater, []byte(c.file)); err != nil {
			t.Fatal(err)
		}
		l, err := Open(t.Context(), s, opts)
		if err == nil {
			l.Close()
		}
		if (err != nil) != (c.refused != "") || err != nil && !strings.Contains(err.Error(), c.refused) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestRotateFaults: however the commit fails, the log opens with the key that
// ActiveKey names, and with no other.
func TestRotateFaults(t *testing.T) {
	for _, c := range []struct {
		persist bool
		err     error
	}{
		{false, ErrAborted}, {false, fmt.Errorf("%w: %w", ErrAborted, ErrFull)}, {false, errors.New("fsync: input/output error")}, {true, errors.New("fsync: input/output error")},
	} {
		s, opts := newMemory(), testOptions(t)
		l := create(t, s, opts)
		s.fault = func(int) (bool, error) { return c.persist, c.err }
		if _, err := l.Rotate(otherKey(1), "operator"); !errors.Is(err, c.err) {
			t.Fatalf("%+v: %v", c, err)
		}
		if stopped := l.Err() != nil; stopped == errors.Is(c.err, ErrAborted) {
			t.Errorf("%+v: the log stopped: %t", c, stopped)
		}
		s.fault = nil
		want, other := testKey(), otherKey(1)
		if c.persist {
			want, other = other, want
		}
		if got, err := ActiveKey(t.Context(), s); err != nil || !got.Equal(public(want)) {
			t.Fatalf("%+v: the key is %x (%v)", c, got, err)
		}
		opts.Key = other
		if _, err := Open(t.Context(), s, opts); err == nil {
			t.Errorf("%+v: it opens with the other key", c)
		}
		opts.Key = want
		decide(t, open(t, s, opts), "a", "s", "1", helm.Allow)
	}
}

// TestRotateUnderLoad: of processes that replace the key at once one does, and what
// was answered before and after is in one log.
func TestRotateUnderLoad(t *testing.T) {
	s, opts := newMemory(), testOptions(t)
	create(t, s, opts).Close()
	var wg sync.WaitGroup
	var mu sync.Mutex
	done := map[uint64]Hash{}
	for p := range 2 {
		l := open(t, s, opts)
		for w := range 4 {
			wg.Go(func() {
				for n := 0; ; n++ {
					a, err := l.Append(t.Context(), func(v *View) (*Draft, error) {
						return decision("a", "s", fmt.Sprintf("%d-%d-%d", p, w, n), helm.Allow, v.Now()), nil
					})
					if err != nil {
						if !errors.Is(err, ErrReplaced) {
							t.Error(err)
						}
						return
					}
					mu.Lock()
					done[a.Index] = a.Leaf
					mu.Unlock()
				}
			})
		}
	}
	rotating := []*Log{open(t, s, opts), open(t, s, opts), open(t, s, opts)}
	time.Sleep(20 * time.Millisecond)
	var won []ed25519.PrivateKey
	for n := range byte(3) {
		l := rotating[n]
		wg.Go(func() {
			_, err := l.Rotate(otherKey(n), "operator")
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won = append(won, otherKey(n))
			} else if !errors.Is(err, ErrReplaced) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Fatalf("%d of 3 replaced the key", len(won))
	}
	opts.Key = won[0]
	l := open(t, s, opts)
	if err := l.View(t.Context(), func(v *View) error {
		for index, leaf := range done {
			if e, err := v.Entry(index); err != nil || e.Leaf != leaf {
				return fmt.Errorf("entry %d is %x (%v), and was answered as %x", index, e.Leaf, err, leaf)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d entries were answered before", len(done))
}
