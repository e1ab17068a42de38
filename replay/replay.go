// Package replay makes the decisions of a verified EvidencePack again, from the policy
// bytes and the disclosed arguments that the pack holds (spec/replay.md). It is pure:
// facts are recomputed, the time is the one that the receipt says the policy saw.
//
// What package verify proves is not proved again: that the entries are genuine and whole,
// that a freeze was in force, that an approval was for that very call. So a pack is
// verified first, and what is wrong is not replayed.
package replay

import (
	"fmt"
	"slices"
	"strings"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/budget"
	"github.com/helm-ai-kernel/helm-ai-kernel/pack"
	"github.com/helm-ai-kernel/helm-ai-kernel/policy"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

// An Answer says what came of making a decision again.
type Answer string

// The answers.
const (
	Agree      Answer = "agree"       // the same verdict, rule, reason and matched rules
	Differ     Answer = "differ"      // another decision would have been made
	CannotTell Answer = "cannot_tell" // the pack does not hold what it depends on
)

// A Said is a decision in short.
type Said struct {
	Verdict helm.Verdict `json:"verdict"`
	Rule    string       `json:"rule"`
	Code    helm.Code    `json:"code"`
}

func said(r policy.Result) *Said { return &Said{r.Verdict, r.Rule, r.Reason.Code} }

func (s Said) String() string { return fmt.Sprintf("%s %s %s", s.Verdict, s.Rule, s.Code) }

// A Decision is one decision that was made again.
type Decision struct {
	Index    uint64 `json:"index"`
	Agent    string `json:"agent"`
	Session  string `json:"session"`
	Tool     string `json:"tool"`
	Answer   Answer `json:"answer"`
	Recorded Said   `json:"recorded"`
	Replayed *Said  `json:"replayed,omitzero"` // what the policy says now; nil where it cannot be told
	Why      string `json:"why,omitzero"`      // what differs or is missing
}

// Totals count the answers.
type Totals struct {
	Agree       uint64 `json:"agree"`
	Differ      uint64 `json:"differ"`
	CannotTell  uint64 `json:"cannot_tell"`
	OtherEngine uint64 `json:"other_engine"` // decisions that another engine than this one evaluated
}

// Run replays the first n entries of a pack, which were verified, and gives each
// decision to report. With other, every decision is made under that policy and not
// under its own.
func Run(p *pack.Reader, n uint64, other *policy.Policy, report func(*Decision) error) (Totals, error) {
	r := newReplayer(p, other)
	var t Totals
	for e, err := range p.Entries(n) {
		if err != nil {
			return t, err
		}
		d := r.entry(&e)
		if d == nil {
			continue
		}
		switch d.Answer {
		case Agree:
			t.Agree++
		case Differ:
			t.Differ++
		default:
			t.CannotTell++
		}
		if e.Statement.Body.(*receipt.Decision).Policy.Engine != policy.Engine {
			t.OtherEngine++
		}
		if err := report(d); err != nil {
			return t, err
		}
	}
	return t, nil
}

type replayer struct {
	pack     *pack.Reader
	other    *policy.Policy
	policies map[receipt.Hash]compiled

	frozen    uint64 // index of the freeze in force, or 0
	activated uint64 // index of the newest policy entry
	pins      receipt.Pins
	sessions  map[receipt.Hash]*session // by stream id
	budgets   budgets
}

func newReplayer(p *pack.Reader, other *policy.Policy) *replayer {
	return &replayer{pack: p, other: other, policies: map[receipt.Hash]compiled{}, sessions: map[receipt.Hash]*session{}, pins: receipt.Pins{},
		budgets: budgets{streams: map[receipt.Hash]*run{}, counters: map[string]*budget.Counter{}}}
}

type compiled struct {
	policy *policy.Policy
	err    error
}

// policyOf compiles a policy of the pack, once.
func (r *replayer) policyOf(sha receipt.Hash) (*policy.Policy, error) {
	c, ok := r.policies[sha]
	if !ok {
		var src []byte
		if src, c.err = r.pack.Read(pack.Policy(sha)); c.err == nil && src == nil {
			c.err = fmt.Errorf("the bytes of the policy %x are not in the pack", sha)
		}
		if c.err == nil {
			if c.policy, c.err = policy.Compile(fmt.Sprintf("policies/%x.toml", sha), src); c.err != nil {
				c.err = fmt.Errorf("the policy %x is not one that this version can evaluate", sha)
			}
		}
		r.policies[sha] = c
	}
	return c.policy, c.err
}

// entry takes the next entry, and answers if it is a decision.
func (r *replayer) entry(e *pack.Disclosed) *Decision {
	st := e.Statement
	s := r.session(st)
	r.budgets.see(st)
	switch b := st.Body.(type) {
	case *receipt.Policy:
		r.activated = st.Index
	case *receipt.Freeze:
		r.frozen = st.Index
	case *receipt.Unfreeze:
		r.frozen = 0
	case *receipt.Boundary:
		r.pins.Take(b)
	case *receipt.Outcome:
		s.outcome(b)
	case *receipt.Approval:
		s.answer(b)
	case *receipt.Decision:
		return r.decision(e, b, s)
	}
	return nil
}

func (r *replayer) decision(e *pack.Disclosed, b *receipt.Decision, s *session) *Decision {
	d := &Decision{Index: e.Statement.Index, Agent: b.Agent, Session: b.Session, Tool: b.Tool, Recorded: Said{b.Verdict, b.Rule, b.Reason.Code}}
	in := input(e, b)
	if r.other != nil {
		r.under(d, b, in)
	} else {
		r.again(d, e, b, s, in)
	}
	s.remember(r, e, b, in)
	r.budgets.take(e.Statement, b)
	return d
}

// input is the call as far as the pack discloses it.
func input(e *pack.Disclosed, b *receipt.Decision) policy.Input {
	in := policy.Input{Agent: b.Agent, Session: b.Session, Tool: b.Tool, Principal: b.Principal, Boundary: b.Boundary, Now: b.Now,
		Arguments: strictjson.Value{Kind: strictjson.Hidden, Text: "/arguments"}, Context: strictjson.Value{Kind: strictjson.Hidden, Text: "/context"}}
	if e.Disclosure == nil {
		return in
	}
	if v, _ := e.Disclosure.Value(); v.Kind == strictjson.Object {
		in.Arguments, _ = v.Get("arguments")
		in.Context, _ = v.Get("context") // null where the call had none
	}
	return in
}

// under makes the decision under another policy. What the kernel itself decided, it
// would have decided under that one too.
func (r *replayer) under(d *Decision, b *receipt.Decision, in policy.Input) {
	got := r.other.Evaluate(in)
	switch {
	case strings.HasPrefix(b.Rule, "kernel:"):
		d.Answer, d.Why = CannotTell, fmt.Sprintf("the kernel decided it, not the policy: %s", b.Reason.Message)
		return
	case len(got.Hidden) > 0:
		d.cannotTell("it depends on %s, which the pack does not disclose", strings.Join(got.Hidden, ", "))
		return
	}
	d.Replayed = said(got)
	recorded := d.Recorded
	if b.Reason.Code == helm.BudgetExhausted || strings.HasPrefix(b.Rule, "budget:") && b.Reason.Code == helm.Approved { // what the rules said, a budget did not have room for
		recorded = ruled(b)
	} else if b.Reason.Code == helm.Approved || b.Reason.Code == helm.ApprovalRefused { // what the policy said, a person answered
		recorded.Verdict, recorded.Code = helm.Escalate, got.Reason.Code
	}
	if d.Answer = Agree; recorded != *d.Replayed {
		d.Answer, d.Why = Differ, fmt.Sprintf("%s and not %s", d.Replayed, d.Recorded)
	}
}

// ruled is what the rules of a decision said, of which some matched.
func ruled(b *receipt.Decision) (s Said) {
	for i, m := range b.Matched {
		if i == 0 || m.Verdict == helm.Escalate && s.Verdict == helm.Allow {
			s = Said{m.Verdict, m.Rule, m.Code}
		}
	}
	return s
}

func (d *Decision) differ(format string, args ...any) {
	d.Answer, d.Why = Differ, fmt.Sprintf(format, args...)
}

func (d *Decision) cannotTell(format string, args ...any) {
	d.Answer, d.Why = CannotTell, fmt.Sprintf(format, args...)
}

// again makes the decision again under its own policy, as package kernel does: what
// the policy says, and what the state of the log makes of it.
func (r *replayer) again(d *Decision, e *pack.Disclosed, b *receipt.Decision, s *session, in policy.Input) {
	p, err := r.policyOf(b.Policy.SHA256)
	if err != nil {
		d.cannotTell("%v", err)
		return
	}
	got := p.Evaluate(in)
	if len(got.Hidden) > 0 {
		d.cannotTell("it depends on %s, which the pack does not disclose", strings.Join(got.Hidden, ", "))
		return
	}
	d.Replayed = said(got)
	want := matches(got.Matched)
	switch {
	case p.Mode() != b.Mode:
		d.differ("the policy's mode is %s, and %s was recorded", p.Mode(), b.Mode)
		return
	case !slices.Equal(want[:min(len(want), receipt.MaxMatched)], b.Matched) || uint64(max(0, len(want)-receipt.MaxMatched)) != b.MatchedMore:
		d.differ("other rules match: %s, and not %s", names(want), names(b.Matched))
		return
	}
	d.Answer = Agree
	var budgets []receipt.Budget // as the receipt must show them
	defer func() { sameBudgets(d, budgets, b.Budgets) }()
	if r.frozen != 0 {
		if d.Replayed = (&Said{helm.Deny, "kernel:freeze", helm.Frozen}); d.Recorded != *d.Replayed {
			d.differ("the boundary was frozen by entry %d", r.frozen)
		}
		return
	}
	switch {
	case b.Rule == "kernel:freeze":
		d.differ("the boundary was not frozen")
		return
	case b.Rule == "kernel:disk" || b.Rule == "kernel:approvals" && b.Reason.Code != helm.NoApprover:
		d.cannotTell("the kernel denied it for want of room, of which the log shows nothing: %s", b.Reason.Message)
		return
	}
	if b.CallID != "" {
		if !s.whole {
			d.cannotTell("earlier entries of the session are not in the pack: whether the call_id was used there is not known")
			return
		}
		if done := s.repeated(d, b, r, in); done {
			return
		}
	}
	if b.Rule == "kernel:call_id" {
		d.differ("no earlier call of the session has that call_id")
		return
	}
	if r.changed(d, b, in.Context) {
		return
	}
	if got.Verdict == helm.Allow {
		spending, state, ok := r.spend(d, e.Statement, b, got.Budgets, nil)
		if !ok {
			return
		}
		budgets = state
		spending.Apply(&got)
		got.Matched = append(slices.Clone(got.Matched), spending.Asks...)
		d.Replayed = said(got)
	}
	if got.Verdict == helm.Escalate && b.Mode == helm.Enforce {
		if state := s.escalated(d, e, b, r, p, got, in); state != nil {
			budgets = state
		}
		return
	}
	if d.Recorded != *d.Replayed || b.Reason.Message != got.Reason.Message {
		d.differ("%s (%s), and not %s (%s)", d.Replayed, got.Reason.Message, d.Recorded, b.Reason.Message)
	}
}

// changed answers for a tool with another definition than the pinned one. It reports false
// where the tool is as it was pinned, or nothing is known of it.
func (r *replayer) changed(d *Decision, b *receipt.Decision, context strictjson.Value) bool {
	changed, known := r.pins.Changed(b.Tool, context)
	switch {
	case !known:
		d.cannotTell("the definition of the tool, which the boundary gave, is not disclosed")
	case changed:
		if d.Replayed = (&Said{helm.Deny, receipt.RuleTools, helm.ToolChanged}); d.Recorded != *d.Replayed {
			d.differ("another definition of the tool was pinned")
		}
	case b.Rule == receipt.RuleTools:
		d.differ("the tool's definition is not another than the one that was pinned")
	default:
		return false
	}
	return true
}

func matches(all []policy.Match) []receipt.Match {
	var out []receipt.Match
	for _, m := range all {
		out = append(out, receipt.Match{Rule: m.Rule, Verdict: m.Verdict, Code: m.Code})
	}
	return out
}

func names(all []receipt.Match) string {
	if len(all) == 0 {
		return "none"
	}
	var out []string
	for _, m := range all {
		out = append(out, fmt.Sprintf("%s (%s)", m.Rule, m.Verdict))
	}
	return strings.Join(out, ", ")
}
