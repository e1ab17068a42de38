package kernel_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

func closes(t testing.TB, k *kernel.Kernel, session string) kernel.Recorded {
	t.Helper()
	r, err := k.CloseSession(context.Background(), "agent.pay", session, "agent:pay", "http", receipt.CloseAPI)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func openSessions(t testing.TB, k *kernel.Kernel) uint64 {
	t.Helper()
	st, err := k.Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return st.Counts.SessionsOpen
}

func entry(t testing.TB, k *kernel.Kernel, index uint64) *receipt.Statement {
	t.Helper()
	var st *receipt.Statement
	err := k.Log().View(context.Background(), func(v *ledger.View) (err error) {
		_, st, err = v.Statement(index)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// place is where an entry stands in its session's stream.
func place(t testing.TB, r kernel.Recorded) uint64 {
	t.Helper()
	for _, in := range statement(t, r.Statement).Streams {
		if in.Name == receipt.StreamSession {
			return in.Seq
		}
	}
	t.Fatalf("entry %d is in no session", r.Index)
	return 0
}

// TestCloseSession: a close is an entry that says who and why. The session goes on
// at the next place: by a late outcome or answer, which opens nothing, or by a
// decision, after which it can be closed again.
func TestCloseSession(t *testing.T) {
	_, k := enforcing(t)
	c := transfer(1)
	c.CallID = "c1"
	d, asked := decides(t, k, c, helm.Allow, helm.AllowedByRule), escalates(t, k, transfer(1001))
	at := closes(t, k, "s1")
	verifies(t, k, at)
	want := receipt.Session{Agent: "agent.pay", Session: "s1", Principal: "agent:pay", Boundary: "http", Cause: receipt.CloseAPI}
	if b := statement(t, at.Statement).Body.(*receipt.Session); *b != want || place(t, at) != 3 {
		t.Fatalf("the close is %+v at %d", b, place(t, at))
	}
	_, err := k.CloseSession(t.Context(), "agent.pay", "s1", "agent:pay", "http", receipt.CloseAPI)
	wantCode(t, err, helm.Conflict)

	late := reports(t, k, ended(d, helm.OutcomeOK, `1`))
	answer := answers(t, k, asked.ID, true)
	if place(t, late.Recorded) != 4 || place(t, answer) != 5 || openSessions(t, k) != 0 {
		t.Fatalf("the late outcome is at %d, the answer at %d, and %d sessions are open", place(t, late.Recorded), place(t, answer), openSessions(t, k))
	}
	decides(t, k, c, helm.Deny, helm.CallAlreadyDone) // the close made no other call of it
	resumed := allowedBy(t, k, transfer(1001), asked)
	if place(t, resumed.Recorded) != 7 || openSessions(t, k) != 1 {
		t.Fatalf("the session goes on at %d, and %d sessions are open", place(t, resumed.Recorded), openSessions(t, k))
	}
	if again := closes(t, k, "s1"); place(t, again) != 8 || openSessions(t, k) != 0 {
		t.Fatalf("closed again at %d, and %d sessions are open", place(t, again), openSessions(t, k))
	}
}

// TestClosesThatCannotBe: each is an error with a code, and no entry.
func TestClosesThatCannotBe(t *testing.T) {
	_, k := enforcing(t)
	decides(t, k, transfer(1), helm.Allow, helm.AllowedByRule)
	before := k.Log().Size()
	for _, c := range []struct {
		name, agent, session string
		code                 helm.Code
	}{
		{"another session", "agent.pay", "s2", helm.NotFound},
		{"another agent", "agent.other", "s1", helm.NotFound},
		{"no agent", "", "s1", helm.BadRequest},
		{"no session", "agent.pay", "", helm.BadRequest},
		{"a space", "agent.pay", "s 1", helm.BadRequest},
		{"a long session", "agent.pay", strings.Repeat("s", helm.MaxNameBytes+1), helm.BadRequest},
	} {
		_, err := k.CloseSession(t.Context(), c.agent, c.session, "agent:pay", "http", receipt.CloseAPI)
		t.Run(c.name, func(t *testing.T) { wantCode(t, err, c.code) })
	}
	_, err := k.CloseSession(t.Context(), "agent.pay", "s1", helm.PrincipalKernel, "kernel", receipt.CloseIdle)
	wantCode(t, err, helm.Conflict) // it is not idle
	if k.Log().Size() != before || openSessions(t, k) != 1 {
		t.Fatalf("the log has %d entries, %d sessions are open", k.Log().Size(), openSessions(t, k))
	}
}

// TestCloseIdle: a session is closed when it had no entry for thirty minutes, to
// the microsecond, once, whichever process looks; what happens in it puts that off,
// and neither a restart nor a clock that is set back closes anything.
func TestCloseIdle(t *testing.T) {
	s, a := enforcing(t)
	start := s.clock()
	at := func(session string) helm.Call {
		c := transfer(1)
		c.Session = session
		return c
	}
	decides(t, a, at("quiet"), helm.Allow, helm.AllowedByRule)
	ends := decides(t, a, at("ends.late"), helm.Allow, helm.AllowedByRule)
	decides(t, a, at("busy"), helm.Allow, helm.AllowedByRule)
	decides(t, a, at("closed"), helm.Allow, helm.AllowedByRule)
	closes(t, a, "closed")

	idle := func(k *kernel.Kernel, left uint64) {
		t.Helper()
		if err := k.CloseIdle(context.Background()); err != nil {
			t.Fatal(err)
		}
		if n := openSessions(t, k); n != left {
			t.Fatalf("%d sessions are open, not %d", n, left)
		}
	}
	s.set(start.Add(time.Minute))
	reports(t, a, ended(ends, helm.OutcomeOK, ""))
	s.set(start.Add(2 * time.Minute))
	decides(t, a, at("busy"), helm.Allow, helm.AllowedByRule)

	s.set(start.Add(-time.Hour))
	idle(a, 3)
	s.set(start.Add(kernel.IdleClose - time.Microsecond))
	b := s.kernel()
	idle(b, 3)
	s.set(start.Add(kernel.IdleClose))
	size := a.Log().Size()
	idle(b, 2)
	idle(a, 2)
	if b.Log().Size() != size+1 {
		t.Fatalf("%d entries were recorded, not one close", b.Log().Size()-size)
	}
	s.set(start.Add(kernel.IdleClose + time.Minute))
	idle(a, 1)
	s.set(start.Add(kernel.IdleClose + 2*time.Minute))
	idle(b, 0)
	for i := range 3 {
		st := entry(t, a, size+uint64(i))
		body, ok := st.Body.(*receipt.Session)
		want := receipt.Session{Agent: "agent.pay", Session: []string{"quiet", "ends.late", "busy"}[i], Principal: helm.PrincipalKernel,
			Boundary: "kernel", Cause: receipt.CloseIdle}
		if !ok || *body != want {
			t.Fatalf("entry %d is %+v", st.Index, st.Body)
		}
	}
	decides(t, b, at("quiet"), helm.Allow, helm.AllowedByRule)
	if openSessions(t, a) != 1 {
		t.Fatal("the session did not open again")
	}
}

// TestTimeNeverDecreases: whatever the clocks of two processes say, the log's time
// goes forward only, and each receipt is of the time that its statement says.
func TestTimeNeverDecreases(t *testing.T) {
	s, a := enforcing(t)
	b := s.kernel()
	start := s.clock()
	last := start
	for i, step := range []time.Duration{0, time.Second, -time.Hour, -24 * 365 * time.Hour, time.Nanosecond, time.Minute, 0, time.Minute + 999*time.Nanosecond} {
		s.set(start.Add(step).In(time.FixedZone("", 7200)))
		d := decides(t, []*kernel.Kernel{a, b}[i%2], transfer(i), helm.Allow, helm.AllowedByRule)
		st := statement(t, d.Statement)
		if d.Time.Before(last) || !d.Time.Equal(st.Time) || d.Time.Location() != time.UTC || d.Time.Nanosecond()%1000 != 0 {
			t.Fatalf("entry %d is of %s, signed %s, behind %s", d.Index, d.Time, st.Time, last)
		}
		if now := st.Body.(*receipt.Decision).Now; !now.Equal(s.clock().Truncate(time.Microsecond)) {
			t.Fatalf("the policy saw %s, the clock says %s", now, s.clock())
		}
		last = d.Time
		reports(t, []*kernel.Kernel{b, a}[i%2], ended(d, helm.OutcomeOK, ""))
	}
	if want := start.Add(time.Minute); !last.Equal(want) {
		t.Fatalf("the last entry is of %s, not %s", last, want)
	}
}
