package kernel

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
)

// MaxAwaiting is how many callers may wait for answers at once.
const MaxAwaiting = 1000

// lookEvery is the least time between two looks at what is waited for.
const lookEvery = 50 * time.Millisecond

// awaiting are the callers who wait for an approval to change. However many they are, one
// goroutine looks for all of them, and other processes' answers are found too.
type awaiting struct {
	mu      sync.Mutex
	callers []*awaiter
	looking bool
}

type awaiter struct {
	index uint64 // of the ESCALATE
	from  string // the state that it waits for the end of
	state string // what came of it; written before done is closed
	err   error
	done  chan struct{}
}

// Await returns the approval's state when it is no longer in the state from, or, with the
// error of ctx, when that ends. An error that is Overloaded says that too many wait.
func (k *Kernel) Await(ctx context.Context, id, from string) (string, error) {
	me := &awaiter{from: from, done: make(chan struct{})}
	if err := k.log.View(ctx, func(v *ledger.View) (err error) { me.index, err = v.ParseID(id); return err }); err != nil {
		return "", coded(err)
	}
	w := &k.awaiting
	w.mu.Lock()
	if len(w.callers) >= MaxAwaiting {
		w.mu.Unlock()
		return "", refuse(helm.Overloaded, "%d callers wait for answers: no more can", MaxAwaiting)
	}
	w.callers = append(w.callers, me)
	if !w.looking {
		w.looking = true
		go k.look()
	}
	w.mu.Unlock()
	select {
	case <-me.done:
		return me.state, coded(me.err)
	case <-ctx.Done():
		w.mu.Lock()
		defer w.mu.Unlock()
		w.callers = slices.DeleteFunc(w.callers, func(one *awaiter) bool { return one == me })
		return from, ctx.Err()
	}
}

// look looks at what is waited for until nobody waits.
func (k *Kernel) look() {
	w := &k.awaiting
	for {
		began := time.Now()
		w.mu.Lock()
		callers := slices.Clone(w.callers)
		if len(callers) == 0 {
			w.looking = false
			w.mu.Unlock()
			return
		}
		w.mu.Unlock()
		var size uint64
		states := map[uint64]string{}
		err := k.log.View(context.Background(), func(v *ledger.View) error {
			size = v.Size()
			for _, one := range callers {
				if _, seen := states[one.index]; seen {
					continue
				}
				a, err := v.Approval(one.index)
				if err != nil {
					if !errors.Is(err, ledger.ErrNotFound) {
						return err
					}
					states[one.index] = "" // there is none
					continue
				}
				states[one.index], _ = k.stateOf(v, a)
			}
			return nil
		})
		w.mu.Lock()
		w.callers = slices.DeleteFunc(w.callers, func(one *awaiter) bool {
			state, looked := states[one.index]
			if err == nil && (!looked || state == one.from) {
				return false
			}
			one.state, one.err = state, err
			if state == "" && err == nil {
				one.err = refuse(helm.NotFound, "entry %d opened no approval", one.index)
			}
			close(one.done)
			return true
		})
		w.mu.Unlock()
		// Not at every commit of a busy log, and at least every second: approvals expire.
		time.Sleep(time.Until(began.Add(lookEvery)))
		ctx, stop := context.WithTimeout(context.Background(), time.Second)
		k.log.Wait(ctx, size)
		stop()
	}
}

// stateOf is an approval's state as of now, and whether it decides nothing any more.
func (k *Kernel) stateOf(v *ledger.View, a *ledger.Approval) (state string, over bool) {
	expired := !a.Live(k.now())
	over = expired || void(v, a)
	switch answered := a.State == ledger.ApprovalRefused || a.State == ledger.ApprovalUsed; {
	case answered:
	case expired:
		return ApprovalExpired, over
	case over:
		return ApprovalVoid, over
	}
	return a.State, over
}

// Pending are the ids of the approvals that wait for an answer.
func (k *Kernel) Pending(ctx context.Context) (ids []string, err error) {
	err = k.log.View(ctx, func(v *ledger.View) error {
		for a, err := range v.OpenApprovals("", "") {
			if err != nil {
				return err
			}
			if state, over := k.stateOf(v, a); state == ledger.ApprovalPending && !over {
				ids = append(ids, a.ID)
			}
		}
		return nil
	})
	return ids, coded(err)
}
