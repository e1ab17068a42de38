package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
)

// waits puts a call that escalates, and waits for its answer elsewhere.
func (f *fixture) waits(amount int, callID, wait string) <-chan DecisionAnswer {
	f.t.Helper()
	out := make(chan DecisionAnswer, 1)
	go func() {
		defer close(out)
		status, b, _ := f.do("POST", "/v1/decisions?wait="+wait, "", fmt.Sprintf(`{"agent":"a","session":"s","call_id":%q,"tool":"pay.transfer","arguments":{"amount":%d,"to":"x"}}`, callID, amount))
		var d DecisionAnswer
		if err := json.Unmarshal(b, &d); err != nil || status != 200 {
			f.t.Errorf("%d %s: %v", status, b, err)
			return
		}
		out <- d
	}()
	return out
}

// pending waits until so many approvals are, and returns one's id.
func (f *fixture) pending(n int) string {
	f.t.Helper()
	for range 500 {
		if ids, err := f.kernel.Pending(f.t.Context()); err != nil {
			f.t.Fatal(err)
		} else if len(ids) == n {
			return ids[0]
		}
		time.Sleep(10 * time.Millisecond)
	}
	f.t.Fatalf("there are never %d approvals", n)
	return ""
}

func (f *fixture) answers(id string, approve bool) {
	f.t.Helper()
	if _, err := f.kernel.Answer(f.t.Context(), kernel.Answer{ID: id, Approve: approve, Principal: "operator:test", Boundary: "test"}); err != nil {
		f.t.Fatal(err)
	}
}

// TestWait: who waits gets the decision that the answer leads to, and who waits too
// briefly the ESCALATE.
func TestWait(t *testing.T) {
	f := newFixture(t, nil)
	for _, c := range []struct {
		approve bool
		verdict helm.Verdict
		code    helm.Code
		callID  string
	}{{true, helm.Allow, helm.Approved, "c1"}, {false, helm.Deny, helm.ApprovalRefused, "c2"}, {true, helm.Allow, helm.Approved, ""}} {
		amount := 2000 + len(c.callID) + map[bool]int{true: 10}[c.approve]
		got := f.waits(amount, c.callID, "30s")
		if c.callID == "" {
			got = f.waits(amount+100, "c3", "30s")
			f.pending(2)
		}
		id := f.pending(map[bool]int{true: 2, false: 1}[c.callID == ""])
		f.answers(id, c.approve)
		if c.callID == "" {
			f.answers(f.pending(1), c.approve)
		}
		d := <-got
		if d.Verdict != c.verdict || d.Reason.Code != c.code {
			t.Errorf("%q: %s %s", c.callID, d.Verdict, d.Reason.Code)
		}
	}
	began := time.Now()
	if d := <-f.waits(7000, "c9", "300ms"); d.Verdict != helm.Escalate || d.Approval == nil || time.Since(began) < 300*time.Millisecond {
		t.Errorf("%s after %s", d.Verdict, time.Since(began))
	}
	if d := <-f.waits(5, "c10", "30s"); d.Verdict != helm.Allow {
		t.Errorf("%s", d.Verdict)
	}
}

// TestWaitForState: an approval that is waited for is answered when it changes.
func TestWaitForState(t *testing.T) {
	f := newFixture(t, nil)
	d := f.decide(5000, "")
	state := func(wait string) string {
		status, b, _ := f.do("GET", "/v1/approvals/"+d.ID+"?wait="+wait, f.operator, "")
		var a ApprovalAnswer
		if err := json.Unmarshal(b, &a); err != nil || status != 200 {
			t.Errorf("%d %s: %v", status, b, err)
		}
		return a.State
	}
	if got := state("100ms"); got != ledger.ApprovalPending {
		t.Fatal(got)
	}
	seen := make(chan string)
	go func() { seen <- state("30s") }()
	time.Sleep(100 * time.Millisecond)
	f.answers(d.ID, true)
	if got := <-seen; got != ledger.ApprovalApproved {
		t.Fatal(got)
	}
	go func() { seen <- state("30s") }()
	time.Sleep(100 * time.Millisecond)
	f.decide(5000, "")
	if got := <-seen; got != ledger.ApprovalUsed {
		t.Fatal(got)
	}
}

func TestWaitRefused(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.MaxWaiters = 3 })
	body := `{"agent":"a","session":"s","tool":"pay.transfer","arguments":{"amount":5000,"to":"x"}}`
	for _, bad := range []string{"61s", "-1s", "1", "x", "1m1ns"} {
		status, b, h := f.do("POST", "/v1/decisions?wait="+bad, "", body)
		f.problem(status, b, h, 400, "BAD_REQUEST")
	}
	status, b, h := f.do("POST", "/v1/decisions?weit=1s", "", body)
	f.problem(status, b, h, 400, "BAD_REQUEST")
	size := f.kernel.Log().Size()
	var all []<-chan DecisionAnswer
	for i := range 3 {
		all = append(all, f.waits(3000+i, "", "30s"))
	}
	f.pending(3)
	status, b, h = f.do("POST", "/v1/decisions?wait=1s", "", body) // nothing is recorded of it
	f.problem(status, b, h, 429, "OVERLOADED")
	if now := f.kernel.Log().Size(); now != size+3 {
		t.Errorf("%d entries more", now-size)
	}
	if d := f.decide(5, ""); d.Verdict != helm.Allow {
		t.Error("who does not wait is hindered")
	}
	f.api.Close() // the server ends: nobody waits on
	for _, one := range all {
		if d := <-one; d.Verdict != helm.Escalate {
			t.Errorf("%s", d.Verdict)
		}
	}
}

// TestManyWait: many callers wait, and others go away meanwhile; all are answered.
func TestManyWait(t *testing.T) {
	f := newFixture(t, nil)
	var wg sync.WaitGroup
	allowed := make(chan helm.Verdict, 64)
	for i := range 64 {
		wg.Go(func() {
			if i%4 == 0 { // somebody who goes away
				ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer stop()
				req, _ := http.NewRequestWithContext(ctx, "GET", f.http.URL+"/v1/approvals/1?wait=30s", nil)
				if resp, err := http.DefaultClient.Do(req); err == nil {
					resp.Body.Close()
				}
			}
			d, ok := <-f.waits(10_000+i, "", "30s")
			if ok {
				allowed <- d.Verdict
			}
		})
	}
	f.pending(64)
	for range 64 {
		ids, err := f.kernel.Pending(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(ids) == 0 {
			break
		}
		f.answers(ids[0], true)
	}
	wg.Wait()
	close(allowed)
	n := 0
	for v := range allowed {
		if v != helm.Allow {
			t.Errorf("%s", v)
		}
		n++
	}
	if n != 64 {
		t.Errorf("%d were answered", n)
	}
}

// TestWhoGoesMakesRoom: a client that goes while it waits for an answer leaves its place to
// the next, and the approval to whoever asks again.
func TestWhoGoesMakesRoom(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.MaxWaiters = 1 })
	body := `{"agent":"a","session":"s","tool":"pay.transfer","arguments":{"amount":5000,"to":"x"}}`
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		req, err := http.NewRequestWithContext(ctx, "POST", f.http.URL+"/v1/decisions?wait=1m", strings.NewReader(body))
		if err == nil {
			req.Header.Set("Content-Type", "application/json")
			_, err = http.DefaultClient.Do(req)
		}
		gone <- err
	}()
	f.pending(1)
	if status, b, _ := f.do("POST", "/v1/decisions?wait=1s", "", body); status != 429 {
		t.Fatalf("there is room for two: %d %s", status, b)
	}
	leave()
	if err := <-gone; err == nil {
		t.Fatal("it was answered")
	}
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		status, b, _ := f.do("POST", "/v1/decisions?wait=1ms", "", body)
		if status == 200 {
			break
		}
		if status != 429 || time.Since(began) > 10*time.Second {
			t.Fatalf("no place came free: %d %s", status, b)
		}
	}
	ids, err := f.kernel.Pending(t.Context())
	if err != nil || len(ids) != 1 {
		t.Errorf("%v, %v", ids, err)
	}
}
