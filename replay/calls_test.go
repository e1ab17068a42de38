package replay

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/pack"
	"github.com/helm-ai-kernel/helm-ai-kernel/policy"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// TestCallsHidden compares two policies over a pack of which a holder has hidden amounts:
// each call is told as it is where everything is shown, or not told, and only those where
// the amount decides are not told.
func TestCallsHidden(t *testing.T) {
	s := newSite(t)
	s.activate(1, helm.Enforce)
	before, err := policy.Compile("old.toml", fmt.Appendf(nil, testPolicy, 1, helm.Enforce))
	if err != nil {
		t.Fatal(err)
	}
	looser := bytes.Replace(fmt.Appendf(nil, testPolicy, 2, helm.Enforce), []byte("<= 1000"), []byte("<= 9000"), 1)
	after, err := policy.Compile("new.toml", bytes.Replace(looser, []byte("> 1000"), []byte("> 9000"), 1))
	if err != nil {
		t.Fatal(err)
	}
	s.decide("", `{"amount":5,"to":"x"}`, helm.Allow, helm.AllowedByRule)
	s.decide("", `{"amount":5000,"to":"x"}`, helm.Escalate, "ESCALATED_BY_RULE")
	s.decide("", `{"amount":10000,"to":"x"}`, helm.Escalate, "ESCALATED_BY_RULE")
	s.decide("", `{"wrong":1}`, helm.Deny, helm.ArgumentsInvalid) // whatever the values are
	whole := s.pack()

	for _, test := range []struct {
		hide                      string
		same, changed, cannotTell uint64
	}{
		{"", 3, 1, 0},
		{"/arguments/to", 1, 0, 3}, // to is typed, and what is hidden might not fit
		{"/context/cwd", 3, 1, 0},
		{"/arguments/amount", 1, 0, 3},
		{"/arguments", 0, 0, 4},
	} {
		var out bytes.Buffer
		if err := whole.Redact(&out, "", "", func(_ uint64, l *receipt.Line) bool { return l.Pointer == test.hide && test.hide != "" }); err != nil {
			t.Fatal(err)
		}
		p, err := pack.Open(bytes.NewReader(out.Bytes()), int64(out.Len()))
		if err != nil {
			t.Fatal(err)
		}
		d := &policy.Diff{Old: before, New: after, Examples: 9}
		for c, err := range Calls(p, s.exported) {
			if err != nil {
				t.Fatal(err)
			}
			d.Add(c.Index, c.Input)
		}
		if d.Same != test.same || d.Changed != test.changed || d.CannotTell != test.cannotTell {
			t.Errorf("without %q: %d the same, %d changed, of %d it cannot be told", test.hide, d.Same, d.Changed, d.CannotTell)
		}
	}
}
