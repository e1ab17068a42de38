package ledger

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

// clock goes on by a millisecond at each look, and back now and then: entries'
// times must not follow it there.
func clock() func() time.Time {
	var mu sync.Mutex
	t := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	n := 0
	return func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		n++
		t = t.Add(time.Millisecond)
		if n%10 == 0 {
			return t.Add(-time.Hour)
		}
		return t
	}
}

func testKey() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte("0123456789abcdef0123456789abcdef"))
}

func testOptions(t testing.TB) Options {
	return Options{Key: testKey(), Now: clock(), HighWater: filepath.Join(t.TempDir(), "high-water")}
}

func create(t testing.TB, s Store, opts Options) *Log {
	t.Helper()
	if err := Create(t.Context(), s, "helm.test/0123456789abcdef", opts); err != nil {
		t.Fatal(err)
	}
	return open(t, s, opts)
}

func open(t testing.TB, s Store, opts Options) *Log {
	t.Helper()
	l, err := Open(context.Background(), s, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// decision is a draft of a decision with a payload.
func decision(agent, session, callID string, verdict helm.Verdict, now time.Time) *Draft {
	p := &Payload{Value: []byte(`{"arguments":{"amount":9007199254740993}}`)}
	copy(p.Secret[:], agent+session+callID)
	v, err := strictjson.Parse(p.Value)
	if err != nil {
		panic(err)
	}
	lines, err := receipt.Flatten(v)
	if err != nil {
		panic(err)
	}
	d := &receipt.Decision{Agent: agent, Session: session, CallID: callID, Principal: "none", Boundary: "test", Tool: "pay.transfer", Now: now,
		Verdict: verdict, Mode: helm.Enforce, Enforced: true, Rule: "default", Reason: helm.Reason{Code: helm.DefaultDeny, Message: "no rule matched"},
		Policy: receipt.PolicyRef{ID: "p", Version: 1, Format: "f", Engine: "e"}}
	if verdict == helm.Escalate {
		d.Escalation = &receipt.Escalation{Expires: now.Add(time.Minute), Requires: []receipt.Requirement{{Rule: "r"}}}
	}
	return &Draft{Agent: agent, Session: session, Body: d, Payload: p,
		Subject: receipt.Subject{Name: receipt.SubjectInput, SHA256: receipt.Commit(&p.Secret, lines)}}
}

func add(t testing.TB, l *Log, propose func(*View) (*Draft, error)) *Appended {
	t.Helper()
	a, err := l.Append(context.Background(), propose)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func decide(t testing.TB, l *Log, agent, session, callID string, verdict helm.Verdict) *Appended {
	t.Helper()
	return add(t, l, func(v *View) (*Draft, error) { return decision(agent, session, callID, verdict, v.Now()), nil })
}

// checkReceipt verifies a receipt as its holder would.
func checkReceipt(t testing.TB, l *Log, file []byte, index uint64) {
	t.Helper()
	env, err := receipt.ParseEnvelope([]byte(strings.TrimSuffix(string(file), "\n")))
	if err != nil {
		t.Fatal(err)
	}
	if !env.Signatures[0].Verify(l.Key(), env.Payload) {
		t.Fatal("the receipt's signature does not verify")
	}
	st, err := receipt.ParseStatement(env.Payload)
	if err != nil {
		t.Fatal(err)
	}
	p, err := receipt.ParseProof(env.Proof)
	if err != nil {
		t.Fatal(err)
	}
	c, err := receipt.VerifyCheckpoint(p.Checkpoint, l.Origin(), l.Key())
	if err != nil {
		t.Fatal(err)
	}
	if st.Index != index || p.Index != index {
		t.Fatalf("the receipt is of entry %d and %d, not %d", st.Index, p.Index, index)
	}
	if err := p.Includes(st.Leaf(env.Payload).Hash(), c); err != nil {
		t.Fatal(err)
	}
}

// fill puts entries of many kinds into a log, from many callers at once.
func fill(t testing.TB, l *Log, n int) {
	t.Helper()
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 1))
			for i := range n / 16 {
				agent, session := fmt.Sprintf("agent-%d", r.IntN(3)), fmt.Sprintf("session-%d", r.IntN(4))
				verdict := []helm.Verdict{helm.Allow, helm.Deny, helm.Escalate}[r.IntN(3)]
				a, err := l.Append(context.Background(), func(v *View) (*Draft, error) {
					return decision(agent, session, fmt.Sprintf("%d-%d", w, i), verdict, v.Now()), nil
				})
				if err != nil {
					t.Error(err)
					return
				}
				file, err := a.Receipt()
				if err != nil {
					t.Error(err)
					return
				}
				checkReceipt(t, l, file, a.Index)
				answer(t, l, a, verdict, agent, session)
			}
		})
	}
	wg.Wait()
}

func answer(t testing.TB, l *Log, a *Appended, verdict helm.Verdict, agent, session string) {
	ref := receipt.Ref{ID: a.Leaf, Index: a.Index}
	var body receipt.Body
	switch {
	case verdict == helm.Allow:
		body = &receipt.Outcome{Agent: agent, Session: session, Principal: "none", Boundary: "test", Tool: "pay.transfer", Decision: ref,
			Verdict: verdict, Enforced: true, Status: helm.OutcomeOK}
	case verdict == helm.Escalate && a.Index%2 == 0:
		body = &receipt.Approval{Agent: agent, Session: session, Escalation: ref, Answer: receipt.AnswerApprove, Grade: receipt.GradeOperator,
			Principal: "operator:o", Boundary: "test", Approver: "operator:o", Expires: a.Time.Add(time.Minute)}
	case a.Index%7 == 0:
		body = &receipt.Session{Agent: agent, Session: session, Principal: "none", Boundary: "test", Cause: receipt.CloseAPI}
	default:
		return
	}
	if _, err := l.Append(context.Background(), func(*View) (*Draft, error) {
		return &Draft{Agent: agent, Session: session, Body: body,
			Subject: receipt.Subject{Name: receipt.SubjectStatement, SHA256: a.statementHash()}}, nil
	}); err != nil {
		t.Error(err)
	}
}

func TestAppendReopenCheck(t *testing.T) {
	s, opts := newMemory(), testOptions(t)
	l := create(t, s, opts)
	fill(t, l, 800)
	size := l.Size()
	if err := l.Check(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), nil); !errors.Is(err, ErrStopped) {
		t.Fatalf("a closed log answered %v", err)
	}
	l = open(t, s, opts)
	if l.Size() != size || !l.Audit().Done {
		t.Fatalf("reopened with %d entries of %d, audit %+v", l.Size(), size, l.Audit())
	}
	err := l.View(t.Context(), func(v *View) error {
		for i := range v.Size() {
			file, err := v.Receipt(i)
			if err != nil {
				return err
			}
			checkReceipt(t, l, file, i)
			e, err := v.Entry(i)
			if err != nil {
				return err
			}
			if n, err := v.FindID(e.Leaf); err != nil || n != i {
				return fmt.Errorf("id of entry %d leads to %d: %v", i, n, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTwoLogsOnOneStore(t *testing.T) {
	s, opts := newMemory(), testOptions(t)
	a := create(t, s, opts)
	opts2 := opts
	opts2.HighWater = ""
	b := open(t, s, opts2)
	var wg sync.WaitGroup
	wg.Go(func() { fill(t, a, 240) })
	wg.Go(func() { fill(t, b, 240) })
	wg.Wait()
	if err := a.Check(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if a.Err() != nil || b.Err() != nil {
		t.Fatal(a.Err(), b.Err())
	}
}

// meanwhile is a store in which something happens each time a view has been taken, and
// before it is read.
type meanwhile struct {
	Store
	happens func()
}

func (m meanwhile) View(ctx context.Context, read func(Reader) error) error {
	return m.Store.View(ctx, func(r Reader) error { m.happens(); return read(r) })
}

// TestOpenWhileOthersGoOn: what another process appended, and wrote into the high-water file,
// while a log is opened is no rollback.
func TestOpenWhileOthersGoOn(t *testing.T) {
	s, opts := newMemory(), testOptions(t)
	a := create(t, s, opts)
	open(t, meanwhile{s, func() {
		fill(t, a, 16)
		if _, err := a.lookAtStore(); err != nil {
			t.Error(err)
		}
	}}, opts)
}

func TestProposalErrorRecordsNothing(t *testing.T) {
	l := create(t, newMemory(), testOptions(t))
	boom := errors.New("boom")
	if _, err := l.Append(t.Context(), func(*View) (*Draft, error) { return nil, boom }); err != boom {
		t.Fatal(err)
	}
	if l.Size() != 1 {
		t.Fatalf("the log has %d entries", l.Size())
	}
}

// TestCommitFaults: whatever a failed commit left behind, nothing is answered as
// recorded, the log stops, and a restart reads back what is there.
func TestCommitFaults(t *testing.T) {
	for _, persisted := range []bool{false, true} {
		t.Run(fmt.Sprintf("persisted=%v", persisted), func(t *testing.T) {
			s, opts := newMemory(), testOptions(t)
			l := create(t, s, opts)
			decide(t, l, "a", "s", "1", helm.Allow)
			s.fault = func(int) (bool, error) { return persisted, errors.New("input/output error") }
			_, err := l.Append(t.Context(), func(v *View) (*Draft, error) { return decision("a", "s", "2", helm.Allow, v.Now()), nil })
			if !errors.Is(err, ErrStopped) || l.Err() == nil {
				t.Fatalf("after a failed commit the answer was %v", err)
			}
			s.fault = nil
			if _, err := l.Append(t.Context(), nil); !errors.Is(err, ErrStopped) {
				t.Fatalf("a stopped log answered %v", err)
			}
			l.Close()
			want := uint64(2)
			if persisted {
				want = 3
			}
			if l = open(t, s, opts); l.Size() != want {
				t.Fatalf("a restart reads %d entries, not %d", l.Size(), want)
			}
			if a := decide(t, l, "a", "s", "3", helm.Allow); a.Index != want {
				t.Fatalf("it goes on at %d", a.Index)
			}
		})
	}
}

// TestAborted: when it is sure that nothing was written, the log goes on.
func TestAborted(t *testing.T) {
	s := newMemory()
	l := create(t, s, testOptions(t))
	s.fault = func(int) (bool, error) { return false, fmt.Errorf("%w: locked", ErrAborted) }
	if _, err := l.Append(t.Context(), func(v *View) (*Draft, error) { return decision("a", "s", "2", helm.Allow, v.Now()), nil }); !errors.Is(err, ErrAborted) {
		t.Fatal(err)
	}
	s.fault = nil
	if a := decide(t, l, "a", "s", "3", helm.Allow); a.Index != 1 {
		t.Fatalf("it went on at %d", a.Index)
	}
}

func TestDiskFull(t *testing.T) {
	s, opts := newMemory(), testOptions(t)
	opts.Reserve = filepath.Join(t.TempDir(), "reserve")
	l := create(t, s, opts)
	s.fault = func(int) (bool, error) { return false, fmt.Errorf("%w: %w", ErrAborted, ErrFull) }
	if _, err := l.Append(t.Context(), func(v *View) (*Draft, error) { return decision("a", "s", "2", helm.Deny, v.Now()), nil }); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	if l.Degraded() == nil || l.Err() != nil {
		t.Fatal(l.Degraded(), l.Err())
	}
	s.fault = nil // the reserve gave room
	decide(t, l, "a", "s", "3", helm.Deny)
}
