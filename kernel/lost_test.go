package kernel_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
)

// TestLostAllow: an ALLOW that was recorded and never answered has used up its
// approval. Its call_id gets it back, marked repeated; without one, a person is
// asked again.
func TestLostAllow(t *testing.T) {
	for _, id := range []string{"", "c1"} {
		t.Run("call_id="+id, func(t *testing.T) {
			s, k, store := enforcingOver(t)
			c := transfer(1001)
			c.CallID = id
			asked := escalates(t, k, c)
			answers(t, k, asked.ID, true)
			store.fault.Store(&fault{persisted: true, err: errIO})
			_, err := k.Decide(t.Context(), c)
			wantCode(t, err, helm.KernelStopped)
			again := s.kernel()
			if id == "" {
				escalates(t, again, c)
				return
			}
			if d := allowedBy(t, again, c, asked); !d.Repeated {
				t.Fatal("the answer is not marked repeated")
			}
		})
	}
}

// TestUnrecordedAllow: an ALLOW whose commit failed has used up nothing.
func TestUnrecordedAllow(t *testing.T) {
	s, k, store := enforcingOver(t)
	asked := escalates(t, k, transfer(1001))
	answers(t, k, asked.ID, true)
	store.fault.Store(&fault{err: errIO})
	_, err := k.Decide(t.Context(), transfer(1001))
	wantCode(t, err, helm.KernelStopped)
	onlyOne(t, race(t, 8, transfer(1001), s.kernel(), s.kernel()), asked)
}

// TestOneProcessFails: the process whose commit failed stops; the other goes on,
// and what became of the commit is there for it. A full disk of the one is not the
// other's.
func TestOneProcessFails(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault *fault
		code  helm.Code
	}{
		{"persisted", &fault{persisted: true, err: errIO}, helm.KernelStopped},
		{"not persisted", &fault{err: errIO}, helm.KernelStopped},
		{"full", &fault{err: errFull, once: true}, helm.NotRecorded},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, bad, store := enforcingOver(t)
			good := s.kernel()
			asked := escalates(t, good, transfer(1001))
			answers(t, good, asked.ID, true)
			store.fault.Store(c.fault)
			_, err := bad.Decide(t.Context(), transfer(1001))
			wantCode(t, err, c.code)
			if c.fault.persisted {
				escalates(t, good, transfer(1001)) // the other has used it up, though it could not say so
			} else {
				allowedBy(t, good, transfer(1001), asked)
			}
			store.fault.Store(nil)
			freezes(t, good)
			unfreezes(t, good)
			if c.code == helm.NotRecorded {
				decides(t, bad, transfer(1), helm.Deny, helm.DiskFull)
			} else {
				_, err = bad.Decide(t.Context(), transfer(1))
				wantCode(t, err, helm.KernelStopped)
			}
			decides(t, good, transfer(1), helm.Allow, helm.AllowedByRule)
		})
	}
}

// TestCancelled: a caller that goes away gets no decision. Whether there is one is
// for the log to say: an approval is used up at most once, and its call_id finds
// the ALLOW.
func TestCancelled(t *testing.T) {
	_, k := enforcing(t)
	c := transfer(1001)
	c.CallID = "c1"
	asked := escalates(t, k, c)
	answers(t, k, asked.ID, true)
	var got []*kernel.Decision
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(context.Background())
			go cancel()
			d, err := k.Decide(ctx, c)
			switch {
			case err == nil:
				mu.Lock()
				got = append(got, d)
				mu.Unlock()
			case !errors.Is(err, context.Canceled):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	last := allowedBy(t, k, c, asked)
	for _, d := range got {
		if d.Index != last.Index {
			t.Fatalf("entries %d and %d are allowed by one approval", d.Index, last.Index)
		}
	}
}

// TestClosed: a log that is closed answers nothing more, and loses nothing that it
// answered.
func TestClosed(t *testing.T) {
	s, k := enforcing(t)
	d := decides(t, k, transfer(1), helm.Allow, helm.AllowedByRule)
	if err := k.Log().Close(); err != nil {
		t.Fatal(err)
	}
	_, err := k.Decide(t.Context(), transfer(1))
	wantCode(t, err, helm.KernelStopped)
	holds(t, s.kernel(), []*kernel.Decision{d})
}
