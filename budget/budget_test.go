package budget

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel/decimal"
)

func dec(t testing.TB, s string) decimal.Decimal {
	t.Helper()
	d, err := decimal.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestCounter holds the counter against all that was ever taken, counted anew.
func TestCounter(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		seconds := uint64(1 + rng.IntN(100))
		now := uint64(1_700_000_000)
		row := &Counter{Seconds: seconds}
		type taking struct{ at, amount uint64 }
		var all []taking
		for range 200 {
			now += uint64(rng.IntN(int(seconds) * 20))
			if err := row.Move(seconds*Slots, now); err != nil {
				t.Fatal(err)
			}
			if len(row.Taken) > Slots {
				t.Fatalf("%d slots", len(row.Taken))
			}
			var want uint64
			for _, x := range all {
				if x.at/seconds+59 >= now/seconds {
					want += x.amount
				}
			}
			if got, err := row.Used(); err != nil || got.String() != fmt.Sprint(want) {
				t.Fatalf("at %d in slots of %d s: %s, %v, want %d", now, seconds, got, err, want)
			}
			x := taking{now, uint64(rng.IntN(10))}
			if err := row.Take(dec(t, fmt.Sprint(x.amount)), now); err != nil {
				t.Fatal(err)
			}
			all = append(all, x)
		}
	}
}

// TestCounterMoves: under another window, at any time, no less counts than was taken
// in it, where the old window had not forgotten it.
func TestCounterMoves(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		from, to := uint64(1+rng.IntN(200)), uint64(1+rng.IntN(200))
		now := uint64(1_700_000_000 + rng.IntN(10000))
		row := &Counter{Seconds: from}
		var all []uint64
		for range 50 {
			now += uint64(rng.IntN(int(from) * 3))
			if err := row.Move(from*Slots, now); err != nil {
				t.Fatal(err)
			}
			if err := row.Take(decimal.One(), now); err != nil {
				t.Fatal(err)
			}
			all = append(all, now)
		}
		kept, later := now, now+uint64(rng.IntN(int(to)*70))
		if err := row.Move(to*Slots, now); err != nil {
			t.Fatal(err)
		}
		if err := row.Move(to*Slots, later); err != nil {
			t.Fatal(err)
		}
		least := 0
		for _, at := range all {
			if at/from+59 >= kept/from && at/to+59 >= later/to {
				least++
			}
		}
		if got, err := row.Used(); err != nil || got.Cmp(dec(t, fmt.Sprint(least))) < 0 {
			t.Fatalf("from slots of %d to %d: %s, %v, at least %d were taken", from, to, got, err, least)
		}
		for i := 1; i < len(row.Taken); i++ {
			if row.Taken[i-1].Number >= row.Taken[i].Number {
				t.Fatalf("slots are not in order: %v", row.Taken)
			}
		}
	}
}

func TestCounterRefuses(t *testing.T) {
	if err := (&Counter{}).Move(3600, 1); err == nil {
		t.Error("a slot of 0 seconds")
	}
	row := &Counter{Seconds: 1}
	if err := row.Take(dec(t, "9e29"), 1); err != nil {
		t.Fatal(err)
	}
	if err := row.Take(dec(t, "9e29"), 1); err == nil {
		t.Error("10^30")
	}
	for _, bad := range []string{`{"s":60,"t":[{"n":1,"a":"-1"}]}`, `{"s":60,"t":[{"n":1,"a":"x"}]}`, `{"s":-1}`, `[]`, ``} {
		if err := json.Unmarshal([]byte(bad), new(Counter)); err == nil {
			t.Errorf("%s", bad)
		}
	}
}
