package ledger

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
)

// TestClockJumps: a clock that shows what no statement can say records nothing,
// and hinders nothing once it is right; one that goes back is not followed.
func TestClockJumps(t *testing.T) {
	s, opts := newMemory(), testOptions(t)
	var now atomic.Pointer[time.Time]
	set := func(at time.Time) { now.Store(&at) }
	opts.Now = func() time.Time { return *now.Load() }
	right := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	set(right)
	l := create(t, s, opts)
	for i, at := range []time.Time{{}, time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC), time.Unix(1<<60, 0), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.FixedZone("west", -12*60*60))} {
		set(at)
		_, err := l.Append(t.Context(), func(v *View) (*Draft, error) {
			return decision("a", "s", fmt.Sprint(i), helm.Escalate, v.Now()), nil
		})
		if l.Err() != nil || (err != nil) != at.After(right) {
			t.Fatalf("at %v: %v, and the log: %v", at, err, l.Err())
		}
		set(right.Add(time.Duration(i) * time.Second))
		if a := decide(t, l, "a", "s", fmt.Sprint("right", i), helm.Deny); a.Time.Before(right) || a.Time.After(right.Add(time.Minute)) {
			t.Fatalf("after %v an entry's time is %v", at, a.Time)
		}
	}
	if err := l.Check(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
}
