package kernel_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// TestMaxOpenApprovals: of more calls at once than can wait, exactly as many wait,
// over all agents and sessions and both processes. Room comes from a use and from
// the end of their time, not from an answer.
func TestMaxOpenApprovals(t *testing.T) {
	s, a := enforcing(t)
	b := s.kernel()
	const room, calls = 20, 60
	fill(t, a, escalates(t, a, transfer(2000)), kernel.MaxOpenApprovals-room-1)
	filled := s.clock()
	s.set(filled.Add(time.Minute))
	call := func(i int) helm.Call {
		c := transfer(1001 + i)
		c.Agent, c.Session = fmt.Sprintf("agent.%d", i%7), fmt.Sprintf("s%d", i%5)
		return c
	}
	var mu sync.Mutex
	var open, full []int
	ids := map[int]*kernel.Decision{}
	next := make(chan int)
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := range next {
				d, err := []*kernel.Kernel{a, b}[w%2].Decide(t.Context(), call(i))
				mu.Lock()
				switch {
				case err != nil:
					t.Error(err)
				case d.Verdict == helm.Escalate:
					open, ids[i] = append(open, i), d
				case d.Verdict == helm.Deny && d.Reason.Code == helm.ApprovalsFull && d.Approval == nil:
					full = append(full, i)
				default:
					t.Errorf("entry %d is %s %s and waits for %+v", d.Index, d.Verdict, d.Reason.Code, d.Approval)
				}
				mu.Unlock()
			}
		})
	}
	for i := range calls {
		next <- i
	}
	close(next)
	wg.Wait()
	if len(open) != room || len(full) != calls-room {
		t.Fatalf("%d approvals were opened, %d calls were denied", len(open), len(full))
	}

	// What is open can still be asked about, answered and used.
	decides(t, b, call(open[0]), helm.Escalate, overLimit)
	answers(t, b, ids[open[0]].ID, false)
	answers(t, b, ids[open[1]].ID, true)
	decides(t, a, call(full[0]), helm.Deny, helm.ApprovalsFull)
	allowedBy(t, a, call(open[1]), ids[open[1]])
	escalates(t, b, call(full[0]))
	decides(t, a, call(full[1]), helm.Deny, helm.ApprovalsFull)

	s.set(filled.Add(expires)) // of the fill; what was opened after it waits on
	escalates(t, a, call(full[1]))
	decides(t, b, call(open[0]), helm.Deny, helm.ApprovalRefused)
	if st, err := b.Status(t.Context()); err != nil || st.Counts.ApprovalsPending != room {
		t.Fatalf("%d wait, not %d, %v", st.Counts.ApprovalsPending, room, err)
	}
}

// fill opens n approvals like one that is open, each in a session of its own, by
// the way that costs least.
func fill(t testing.TB, k *kernel.Kernel, like *kernel.Decision, n int) {
	t.Helper()
	st := statement(t, like.Statement)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			b := *st.Body.(*receipt.Decision)
			b.Session = fmt.Sprintf("fill.%d", i)
			_, err := k.Log().Append(t.Context(), func(*ledger.View) (*ledger.Draft, error) {
				return &ledger.Draft{Agent: b.Agent, Session: b.Session, Subject: st.Subject, Body: &b}, nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
