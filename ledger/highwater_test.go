package ledger

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// kept is the size that the high-water file shows.
func kept(t *testing.T, l *Log) uint64 {
	t.Helper()
	b, err := os.ReadFile(l.opts.HighWater)
	if err != nil {
		t.Fatal(err)
	}
	c, err := receipt.VerifyCheckpoint(string(b), l.Origin(), l.Key())
	if err != nil {
		t.Fatal(err)
	}
	return c.Size
}

// soon waits for something that must be so within the stated second, and some for
// a machine with much to do.
func soon(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(highWaterEvery + 4*time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not after a second", what)
		}
	}
}

// TestHighWaterAfterClose: what was in flight when the log was closed is in the
// high-water file, too: nobody would write it later. And no caller waits for ever.
func TestHighWaterAfterClose(t *testing.T) {
	s, opts := newMemory(), testOptions(t)
	l := create(t, s, opts)
	for round := range 20 {
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				_, err := l.Append(context.Background(), func(v *View) (*Draft, error) {
					return decision("a", "s", fmt.Sprintf("%d-%d", round, i), helm.Deny, v.Now()), nil
				})
				if err != nil && !errors.Is(err, ErrStopped) && !errors.Is(err, ErrOverloaded) {
					t.Error(err)
				}
			})
		}
		time.Sleep(time.Duration(round) * 100 * time.Microsecond)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		head, err := parseHead(s.snapshot()[Heads][""])
		if err != nil {
			t.Fatal(err)
		}
		if got := kept(t, l); got != head.Size {
			t.Fatalf("round %d: the high-water file shows %d entries of %d", round, got, head.Size)
		}
		l = open(t, s, opts)
	}
}

// TestHighWaterOfOthers: entries of a process that was killed are in the file a
// second later, when another one runs that has nothing to record itself.
func TestHighWaterOfOthers(t *testing.T) {
	t.Parallel()
	s, opts := newMemory(), testOptions(t)
	l := create(t, s, opts)
	o := opts
	o.HighWater = "" // as when it is killed before it writes the file
	killed := open(t, s, o)
	last := decide(t, killed, "a", "s", "1", helm.Allow)
	soon(t, "the other's entry is in the file", func() bool { return kept(t, l) == last.Index+1 })

	// A process that was stopped between looking and writing puts an older one back.
	decide(t, l, "a", "s", "2", helm.Allow)
	soon(t, "the entry is in the file", func() bool { return kept(t, l) == l.Size() })
	old, err := receipt.SignCheckpoint(opts.Key, receipt.Checkpoint{Origin: l.Origin(), Size: 1, Root: last.growthRoot(t, 1)})
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(opts.HighWater, []byte(old)); err != nil {
		t.Fatal(err)
	}
	soon(t, "the older file is replaced", func() bool { return kept(t, l) == l.Size() })
}

// growthRoot is the root at a size that the entry's growth begins with.
func (a *Appended) growthRoot(t *testing.T, size uint64) Hash {
	t.Helper()
	g := &growth{nodes: a.growth.nodes, size: size}
	root, err := g.root()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// TestRollbackWhileIdle: a log that has nothing to record notices within a second
// that the store went back, or was changed.
func TestRollbackWhileIdle(t *testing.T) {
	t.Parallel()
	s, opts := newMemory(), testOptions(t)
	l := create(t, s, opts)
	old := s.copy()
	file, err := os.ReadFile(opts.HighWater)
	if err != nil {
		t.Fatal(err)
	}
	decide(t, l, "a", "s", "1", helm.Allow)
	soon(t, "the entry is in the file", func() bool { return kept(t, l) == 2 })
	s.become(old)
	if err := WriteFile(opts.HighWater, file); err != nil { // with all its files
		t.Fatal(err)
	}
	soon(t, "the log stops", func() bool { return l.Err() != nil })
	if !strings.Contains(l.Err().Error(), "entries from index 1 on are gone") {
		t.Fatal(l.Err())
	}
}

// TestHighWaterFileCannotBeWritten: the log stops, but not on a full disk, where
// DENYs are still recorded.
func TestHighWaterFileCannotBeWritten(t *testing.T) {
	t.Parallel()
	for _, full := range []bool{false, true} {
		s, opts := newMemory(), testOptions(t)
		dir := t.TempDir()
		opts.Reserve = filepath.Join(dir, "reserve")
		create(t, s, opts).Close()
		// There is no room in the name for that of a temporary file.
		long := filepath.Join(dir, strings.Repeat("h", 250))
		if err := os.Rename(opts.HighWater, long); err != nil {
			t.Fatal(err)
		}
		opts.HighWater = long
		l := open(t, s, opts)
		if full {
			l.degrade(fmt.Errorf("%w: %w", ErrAborted, ErrFull))
		}
		decide(t, l, "a", "s", "1", helm.Deny)
		if !full {
			soon(t, "the log stops", func() bool { return l.Err() != nil })
			continue
		}
		time.Sleep(3 * highWaterEvery / 2)
		if l.Err() != nil {
			t.Fatal(l.Err())
		}
	}
}
