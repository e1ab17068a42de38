package kernel_test

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// TestReportTwice: the same report is one entry, however the result is written and
// whatever comes between, and its answer is the first one again.
func TestReportTwice(t *testing.T) {
	s, k := enforcing(t)
	other := s.kernel()
	for name, r := range map[string]struct{ first, again string }{
		"no result": {"", ""},
		"null":      {"null", " null "},
		"object":    {`{"a":1,"b":"x"}`, `{ "b":"\u0078", "a":1 }`},
	} {
		t.Run(name, func(t *testing.T) {
			d := decides(t, k, transfer(1), helm.Allow, helm.AllowedByRule)
			first := reports(t, k, ended(d, helm.OutcomeOK, r.first))
			s.set(s.clock().Add(time.Second))
			conflict := reports(t, k, ended(d, helm.OutcomeError, r.first))
			size := k.Log().Size()
			for _, k := range []*kernel.Kernel{k, other} {
				o := reports(t, k, ended(d, helm.OutcomeOK, r.again))
				if !o.Repeated || o.Conflict || o.ID != first.ID || o.Index != first.Index || o.Decision != first.Decision ||
					o.Opening != first.Opening || !o.Time.Equal(first.Time) || string(o.Statement) != string(first.Statement) {
					t.Fatalf("again it is %+v, not %+v", o, first)
				}
				verifies(t, k, o.Recorded)
			}
			if k.Log().Size() != size || !conflict.Conflict {
				t.Fatalf("the log grew from %d to %d entries", size, k.Log().Size())
			}
		})
	}
}

// TestReportsThatDiffer: each is recorded as a conflict with the first, which
// stands.
func TestReportsThatDiffer(t *testing.T) {
	for name, change := range map[string]func(*kernel.Report){
		"status":         func(r *kernel.Report) { r.Status = helm.OutcomeNotExecuted },
		"duration":       func(r *kernel.Report) { r.Duration += time.Microsecond },
		"result":         func(r *kernel.Report) { r.Result = json.RawMessage(`{"n":9007199254740993}`) },
		"a result of {}": func(r *kernel.Report) { r.Result = json.RawMessage(`{}`) },
		"no result":      func(r *kernel.Report) { r.Result = nil },
	} {
		t.Run(name, func(t *testing.T) {
			_, k := enforcing(t)
			d := decides(t, k, transfer(1), helm.Allow, helm.AllowedByRule)
			r := ended(d, helm.OutcomeOK, `{"n":9007199254740992}`)
			first := reports(t, k, r)
			other := r
			change(&other)
			o := reports(t, k, other)
			b := statement(t, o.Statement).Body.(*receipt.Outcome)
			if !o.Conflict || o.Repeated || b.Conflict == nil || *b.Conflict != refOf(t, first.Recorded) || b.Status != other.Status {
				t.Fatalf("recorded is %+v", b)
			}
			if again := reports(t, k, r); !again.Repeated || again.ID != first.ID {
				t.Fatalf("the first report is no longer the first, but entry %d", again.Index)
			}
		})
	}
}

// TestResultComesLater: a report with a result differs from the first one without.
func TestResultComesLater(t *testing.T) {
	_, k := enforcing(t)
	d := decides(t, k, transfer(1), helm.Allow, helm.AllowedByRule)
	first := reports(t, k, ended(d, helm.OutcomeOK, ""))
	for _, result := range []string{`null`, `1`} {
		o := reports(t, k, ended(d, helm.OutcomeOK, result))
		if b := statement(t, o.Statement).Body.(*receipt.Outcome); b.Conflict == nil || *b.Conflict != refOf(t, first.Recorded) {
			t.Fatalf("the result %s is recorded as %+v", result, b)
		}
	}
}

// TestReportedAtOnce: of many reports at once, to two processes, one of each kind
// that differs is the first, and the same is never recorded twice.
func TestReportedAtOnce(t *testing.T) {
	s, a := enforcing(t)
	b := s.kernel()
	d := decides(t, a, transfer(1), helm.Allow, helm.AllowedByRule)
	out := make([]*kernel.Outcome, 32)
	var wg sync.WaitGroup
	for i := range out {
		wg.Go(func() {
			var err error
			if out[i], err = []*kernel.Kernel{a, b}[i%2].Report(context.Background(), ended(d, helm.OutcomeOK, `{"done":true}`)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	fresh := 0
	for _, o := range out {
		if !o.Repeated {
			fresh++
		}
		if o.ID != out[0].ID || o.Conflict || o.Opening != out[0].Opening {
			t.Fatalf("the report is entry %d and entry %d", out[0].Index, o.Index)
		}
	}
	if fresh != 1 {
		t.Fatalf("%d are not marked repeated", fresh)
	}
	if commit(t, out[0].Opening, parse(t, `{"done":true}`)) != statement(t, out[0].Statement).Subject.SHA256 {
		t.Fatal("the opening does not open what was recorded")
	}
}
