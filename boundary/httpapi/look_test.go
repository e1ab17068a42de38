package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"
)

// TestRareMatches asks for what few entries match, where only a few are looked at on
// one snapshot: pages may be short or empty, and everything is found once.
func TestRareMatches(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.MaxLook = 7 })
	var want []uint64
	for i := range 60 {
		amount := 1
		if i%25 == 3 {
			amount = 5000 // ESCALATE
		}
		if d := f.decide(amount, ""); d.Verdict == "ESCALATE" {
			want = append(want, d.Index)
		}
	}
	for _, query := range []string{"verdict=ESCALATE", "verdict=ESCALATE&agent=a", "verdict=ESCALATE&agent=a&session=s"} {
		var got []uint64
		empty := 0
		for after, more := "", true; more; {
			status, b, _ := f.do("GET", "/v1/receipts?"+query+after, f.operator, "")
			if status != http.StatusOK {
				t.Fatalf("%d: %s", status, b)
			}
			var list ReceiptList
			if err := json.Unmarshal(b, &list); err != nil {
				t.Fatal(err)
			}
			for _, l := range list.Receipts {
				got = append(got, l.Index)
			}
			if len(list.Receipts) == 0 {
				empty++
			}
			if more = list.Next != nil; more {
				after = fmt.Sprintf("&after=%d", *list.Next)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) || len(want) != 3 || empty == 0 {
			t.Errorf("%s: %v were found of %v, and %d pages were empty", query, got, want, empty)
		}

		lines, stop := f.follow(t.Context(), "&"+query)
		for i := 0; i < len(want); {
			select {
			case line := <-lines:
				var l ReceiptLine
				if len(line) == 0 {
					continue
				}
				if err := json.Unmarshal(line, &l); err != nil || l.Index != want[i] {
					t.Fatalf("%s: the stream said %s, %v", query, line, err)
				}
				i++
			case <-time.After(10 * time.Second):
				t.Fatalf("%s: the stream stands still after %d", query, i)
			}
		}
		stop()
	}
}
