package kernel

import (
	"encoding/hex"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/policy"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// A shadow is a policy that is evaluated beside the active one, and decides nothing.
type shadow struct {
	ref      receipt.PolicyRef
	evaluate func(policy.Input) policy.Result
	since    time.Time

	mu      sync.Mutex // guards the rest
	decided uint64
	failed  uint64
	differ  map[[2]helm.Verdict]uint64 // by what the active policy and what this one says
}

// A ShadowStatus is what was seen of a shadow policy since this process took it.
type ShadowStatus struct {
	ID      string         `json:"id"`
	Version uint64         `json:"version"`
	SHA256  string         `json:"sha256"`
	Since   string         `json:"since"`
	Decided uint64         `json:"decided"` // calls that both policies were asked about, and that were recorded
	Differ  uint64         `json:"differ"`  // of them, those on which the verdict or the rule is another
	Failed  uint64         `json:"failed"`  // of those, the ones on which this one could not be evaluated
	Changes []ShadowChange `json:"changes"` // what differs, by verdict
}

// A ShadowChange counts calls of which the active policy says one thing and the shadow
// policy another, which may be the same verdict by another rule.
type ShadowChange struct {
	Active helm.Verdict `json:"active"`
	Shadow helm.Verdict `json:"shadow"`
	Count  uint64       `json:"count"`
}

// A Shadowed is what a shadow policy said of one call.
type Shadowed struct {
	Active, Shadow helm.Verdict
	Differs        bool // also by the rule alone
	Failed         bool
}

// Shadow puts a policy beside the active one, or nothing with nil. What was counted of it
// begins anew, unless it is there already.
func (k *Kernel) Shadow(p *policy.Policy) {
	if p == nil {
		k.shadow.Store(nil)
		return
	}
	if s := k.shadow.Load(); s != nil && s.ref == ref(p) {
		return
	}
	k.shadow.Store(&shadow{ref: ref(p), evaluate: p.Evaluate, since: k.now().UTC(), differ: map[[2]helm.Verdict]uint64{}})
}

// A beside is what the shadow policy says of a call.
type beside struct {
	of   *shadow
	said receipt.Shadow
}

// beside asks the shadow policy, if there is one. Whatever it does, it hinders nothing.
func (k *Kernel) beside(in policy.Input) (b *beside) {
	s := k.shadow.Load()
	if s == nil {
		return nil
	}
	b = &beside{s, receipt.Shadow{Policy: s.ref, Verdict: helm.Deny, Rule: receipt.RuleShadowFailed, Code: helm.RuleError}}
	defer func() { recover() }() // b says that it failed
	r := s.evaluate(in)
	b.said.Verdict, b.said.Rule, b.said.Code = r.Verdict, r.Rule, r.Reason.Code
	return b
}

func (b *beside) differs(active policy.Result) bool {
	return b.said.Verdict != active.Verdict || b.said.Rule != active.Rule
}

// count notes a call that was recorded.
func (b *beside) count(active policy.Result) *Shadowed {
	out := &Shadowed{Active: active.Verdict, Shadow: b.said.Verdict, Differs: b.differs(active), Failed: b.said.Rule == receipt.RuleShadowFailed}
	s := b.of
	s.mu.Lock()
	defer s.mu.Unlock()
	s.decided++
	if out.Failed {
		s.failed++
	}
	if out.Differs {
		s.differ[[2]helm.Verdict{out.Active, out.Shadow}]++
	}
	return out
}

func (s *shadow) status() *ShadowStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &ShadowStatus{ID: s.ref.ID, Version: s.ref.Version, SHA256: hex.EncodeToString(s.ref.SHA256[:]), Since: receipt.FormatTime(s.since),
		Decided: s.decided, Failed: s.failed, Changes: []ShadowChange{}}
	for v, n := range s.differ {
		out.Differ += n
		out.Changes = append(out.Changes, ShadowChange{v[0], v[1], n})
	}
	slices.SortFunc(out.Changes, func(a, b ShadowChange) int {
		return strings.Compare(string(a.Active+" "+a.Shadow), string(b.Active+" "+b.Shadow))
	})
	return out
}
