package replay

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger/sqlite"
	"github.com/helm-ai-kernel/helm-ai-kernel/pack"
	"github.com/helm-ai-kernel/helm-ai-kernel/policy"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/verify"
)

const testPolicy = `[policy]
id = "test"
version = %d
format = "helm.policy/v1"
mode = "%s"

[[tool]]
name = "pay.transfer"
args = { amount = "int", to = "string", memo = "any?" }

[[rule]]
id = "pay-small"
verdict = "ALLOW"
tools = ["pay.transfer"]
when = "args.amount <= 1000"

[[rule]]
id = "pay-large"
verdict = "ESCALATE"
tools = ["pay.transfer"]
when = "args.amount > 1000"

[[rule]]
id = "pay-memo"
verdict = "DENY"
tools = ["pay.transfer"]
when = "has(args.memo) && args.memo == 'bribe'"

[[tool]]
name = "pay.ask"
args = {}

[[rule]]
id = "pay-ask"
verdict = "ESCALATE"
tools = ["pay.ask"]
approvers = { grade = "client" }
`

// A site is a kernel that records decisions of every sort.
type site struct {
	t     *testing.T
	k     *kernel.Kernel
	clock time.Time

	exported uint64 // entries of the newest pack
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, clock: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	dir := t.TempDir()
	store, err := sqlite.Open(filepath.Join(dir, "log.db"))
	if err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { s.clock = s.clock.Add(time.Millisecond); return s.clock }
	opts := ledger.Options{Key: ed25519.NewKeyFromSeed(make([]byte, 32)), Now: now, AuditFor: -1}
	if err := ledger.Create(t.Context(), store, "helm.test/1", opts); err != nil {
		t.Fatal(err)
	}
	log, err := ledger.Open(context.Background(), store, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close(); store.Close() })
	s.k = kernel.New(log, now)
	return s
}

func (s *site) activate(version int, mode helm.Mode) {
	s.t.Helper()
	s.activateSource(fmt.Appendf(nil, testPolicy, version, mode))
}

func (s *site) activateSource(src []byte) {
	s.t.Helper()
	p, err := policy.Compile("test.toml", src)
	if err == nil {
		_, err = s.k.Activate(s.t.Context(), p, "operator:test")
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) decide(callID, arguments string, want helm.Verdict, code helm.Code) *kernel.Decision {
	s.t.Helper()
	return s.call(helm.Call{Agent: "a", Session: "s", CallID: callID, Tool: "pay.transfer", Arguments: []byte(arguments),
		Context: []byte(`{"cwd":"/srv"}`), Principal: "none", Boundary: "test"}, want, code)
}

func (s *site) call(c helm.Call, want helm.Verdict, code helm.Code) *kernel.Decision {
	s.t.Helper()
	d, err := s.k.Decide(s.t.Context(), c)
	if err != nil {
		s.t.Fatal(err)
	}
	callID, arguments := c.CallID, c.Arguments
	if d.Verdict != want || d.Reason.Code != code {
		s.t.Fatalf("%s %s: %s %s, and %s %s was expected", callID, arguments, d.Verdict, d.Reason.Code, want, code)
	}
	return d
}

func (s *site) answer(d *kernel.Decision, approve bool) {
	s.t.Helper()
	if _, err := s.k.Answer(s.t.Context(), kernel.Answer{ID: d.ID, Approve: approve, Principal: "operator:test", Boundary: "test"}); err != nil {
		s.t.Fatal(err)
	}
}

// everything records decisions of every sort that the log can show.
func (s *site) everything() *pack.Reader {
	s.t.Helper()
	small, large := `{"amount":5,"to":"x"}`, `{"amount":5000,"to":"x"}`
	s.activate(1, helm.Enforce)
	s.decide("", small, helm.Allow, helm.AllowedByRule)
	s.decide("", `{"amount":5,"to":"x","memo":"bribe"}`, helm.Deny, "DENIED_BY_RULE")
	s.decide("", `{"amount":"5","to":"x"}`, helm.Deny, helm.ArgumentsInvalid)
	d := s.decide("c1", small, helm.Allow, helm.AllowedByRule)
	s.decide("c1", `{"amount":6,"to":"x"}`, helm.Deny, helm.CallIDReused)
	if _, err := s.k.Report(s.t.Context(), kernel.Report{Decision: d.ID, Status: helm.OutcomeOK, Result: []byte(`{"ok":true}`), Principal: "none", Boundary: "test"}); err != nil {
		s.t.Fatal(err)
	}
	s.decide("c1", small, helm.Deny, helm.CallAlreadyDone)

	e := s.decide("", large, helm.Escalate, "ESCALATED_BY_RULE")
	s.decide("", large, helm.Escalate, "ESCALATED_BY_RULE") // still waits
	s.answer(e, true)
	s.decide("", large, helm.Allow, helm.Approved)
	e = s.decide("c2", large, helm.Escalate, "ESCALATED_BY_RULE") // used up: anew
	s.answer(e, false)
	s.decide("c3", large, helm.Deny, helm.ApprovalRefused)
	s.decide("", `{"amount":6000,"to":"x"}`, helm.Escalate, "ESCALATED_BY_RULE") // another call
	s.clock = s.clock.Add(48 * time.Hour)
	s.decide("c2", large, helm.Escalate, "ESCALATED_BY_RULE") // the refusal expired

	if _, err := s.k.Freeze(s.t.Context(), "operator:test", "test", "why not"); err != nil {
		s.t.Fatal(err)
	}
	s.decide("c4", small, helm.Deny, helm.Frozen)
	if _, err := s.k.Unfreeze(s.t.Context(), "operator:test", "test", "enough"); err != nil {
		s.t.Fatal(err)
	}
	s.decide("c4", small, helm.Allow, helm.AllowedByRule)
	s.activate(2, helm.Enforce)
	s.decide("c2", large, helm.Escalate, "ESCALATED_BY_RULE") // the old one is void
	ask := helm.Call{Agent: "a", Session: "s", Tool: "pay.ask", Arguments: []byte(`{}`), Principal: "none", Boundary: "test"}
	asked := s.call(ask, helm.Escalate, "ESCALATED_BY_RULE")
	if _, err := s.k.Answer(s.t.Context(), kernel.Answer{ID: asked.ID, Approve: true, Client: true, Principal: "none", Boundary: "test"}); err != nil {
		s.t.Fatal(err)
	}
	s.call(ask, helm.Allow, helm.Approved)
	s.list(1)
	s.defined(1, helm.Allow, helm.AllowedByRule)
	s.list(2)
	s.defined(1, helm.Allow, helm.AllowedByRule)
	s.defined(2, helm.Deny, helm.ToolChanged)
	if _, err := s.k.Accept(s.t.Context(), "operator:test", "test", "pay", "transfer", receipt.Hash{2}); err != nil {
		s.t.Fatal(err)
	}
	s.defined(1, helm.Deny, helm.ToolChanged)
	s.defined(2, helm.Allow, helm.AllowedByRule)
	s.activate(3, helm.Shadow)
	s.decide("", large, helm.Escalate, "ESCALATED_BY_RULE")
	s.decide("", small, helm.Allow, helm.AllowedByRule)
	return s.pack()
}

// list tells the definition of the tool pay.transfer.
func (s *site) list(definition byte) {
	s.t.Helper()
	if _, err := s.k.List(s.t.Context(), "none", "mcp.pay", "pay", []receipt.Tool{{Name: "transfer", SHA256: receipt.Hash{definition}}}); err != nil {
		s.t.Fatal(err)
	}
}

// defined is a call of the tool with that definition.
func (s *site) defined(definition byte, want helm.Verdict, code helm.Code) {
	s.t.Helper()
	s.call(helm.Call{Agent: "a", Session: "s", Tool: "pay.transfer", Arguments: []byte(`{"amount":5,"to":"x"}`),
		Context: fmt.Appendf(nil, `{"definition":"%x"}`, receipt.Hash{definition}), Principal: "none", Boundary: "test"}, want, code)
}

func (s *site) pack() *pack.Reader { return s.asked(receipt.Query{All: true}) }

func (s *site) asked(q receipt.Query) *pack.Reader {
	s.t.Helper()
	var b bytes.Buffer
	if err := s.k.Export(s.t.Context(), &b, kernel.Export{Query: q, Options: pack.Options{Dir: s.t.TempDir()}}); err != nil {
		s.t.Fatal(err)
	}
	r := bytes.NewReader(b.Bytes())
	rep, err := verify.Pack(r, r.Size(), verify.Options{})
	if err != nil || rep.Exit == verify.ExitWrong {
		s.t.Fatal(err, rep)
	}
	s.exported = rep.Entries
	p, err := pack.Open(r, r.Size())
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// TestLaterWindow replays a pack that begins in the middle of a session, with an ESCALATE
// of its beginning that a later entry refers to: what the missing entries decide about
// cannot be told, and the rest agrees.
func TestLaterWindow(t *testing.T) {
	s := newSite(t)
	s.activate(1, helm.Enforce)
	small, large := `{"amount":5,"to":"x"}`, `{"amount":5000,"to":"x"}`
	e := s.decide("", large, helm.Escalate, "ESCALATED_BY_RULE")
	d := s.decide("c9", small, helm.Allow, helm.AllowedByRule)
	if _, err := s.k.Report(t.Context(), kernel.Report{Decision: d.ID, Status: helm.OutcomeOK, Principal: "none", Boundary: "test"}); err != nil {
		t.Fatal(err)
	}
	s.clock = s.clock.Add(time.Second)
	since := s.clock
	s.answer(e, true)
	s.decide("", large, helm.Allow, helm.Approved)
	s.decide("c9", small, helm.Deny, helm.CallAlreadyDone)
	s.decide("", large, helm.Escalate, "ESCALATED_BY_RULE")
	s.decide("", small, helm.Allow, helm.AllowedByRule)
	s.decide("", `{"amount":5,"to":"x","memo":"bribe"}`, helm.Deny, "DENIED_BY_RULE")
	got := ""
	p := s.asked(receipt.Query{Agent: "a", Since: since})
	_, err := Run(p, s.exported, nil, func(d *Decision) error {
		got += fmt.Sprint(d.Answer, " ")
		return nil
	})
	if want := "agree cannot_tell cannot_tell cannot_tell agree agree "; got != want || err != nil {
		t.Errorf("%s, and expected was %s, %v", got, want, err)
	}
}

func (s *site) entries(p *pack.Reader) (all []pack.Disclosed) {
	s.t.Helper()
	for e, err := range p.Entries(s.exported) {
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func TestEveryDecisionAgrees(t *testing.T) {
	s := newSite(t)
	p := s.everything()
	totals, err := Run(p, s.exported, nil, func(d *Decision) error {
		if d.Answer != Agree {
			t.Errorf("entry %d, recorded %s: %s, %s", d.Index, d.Recorded, d.Answer, d.Why)
		}
		return nil
	})
	if err != nil || totals.Agree != 25 || totals.OtherEngine != 0 {
		t.Errorf("%+v, %v", totals, err)
	}
}

// TestLies changes what a kernel with the key could have signed: none of it agrees.
func TestLies(t *testing.T) {
	s := newSite(t)
	p := s.everything()
	all := s.entries(p)
	lies := map[string]func(*receipt.Statement, *receipt.Decision) bool{
		"verdict": func(_ *receipt.Statement, b *receipt.Decision) bool {
			b.Verdict = map[helm.Verdict]helm.Verdict{helm.Allow: helm.Deny, helm.Deny: helm.Allow, helm.Escalate: helm.Allow}[b.Verdict]
			return true
		},
		"rule":   func(_ *receipt.Statement, b *receipt.Decision) bool { b.Rule = "pay-other"; return true },
		"reason": func(_ *receipt.Statement, b *receipt.Decision) bool { b.Reason.Code = "OTHER"; return true },
		"message": func(_ *receipt.Statement, b *receipt.Decision) bool {
			b.Reason.Message += "."
			return b.Rule != "kernel:freeze" && b.Rule != "kernel:call_id" && b.Rule != receipt.RuleTools && b.Reason.Code != helm.Approved && b.Reason.Code != helm.ApprovalRefused
		},
		"mode": func(_ *receipt.Statement, b *receipt.Decision) bool {
			b.Mode = map[helm.Mode]helm.Mode{helm.Enforce: helm.Shadow, helm.Shadow: helm.Enforce}[b.Mode]
			return true
		},
		"matched": func(_ *receipt.Statement, b *receipt.Decision) bool {
			b.Matched = append([]receipt.Match{{Rule: "pay-other", Verdict: helm.Allow, Code: "X"}}, b.Matched...)
			return true
		},
		"matched left out": func(_ *receipt.Statement, b *receipt.Decision) bool {
			had := len(b.Matched) > 0
			b.Matched = nil
			return had
		},
		"matched more": func(_ *receipt.Statement, b *receipt.Decision) bool { b.MatchedMore++; return true },
		"approval": func(_ *receipt.Statement, b *receipt.Decision) bool {
			if b.Approval == nil {
				return false
			}
			b.Approval = &receipt.Ref{Index: b.Approval.Index + 1}
			return true
		},
		"expires": func(_ *receipt.Statement, b *receipt.Decision) bool {
			if b.Escalation == nil {
				return false
			}
			e := *b.Escalation
			e.Expires = e.Expires.Add(time.Second)
			b.Escalation = &e
			return true
		},
		"requires": func(_ *receipt.Statement, b *receipt.Decision) bool {
			if b.Escalation == nil {
				return false
			}
			e := *b.Escalation
			e.Requires = nil
			b.Escalation = &e
			return true
		},
		"frozen": func(_ *receipt.Statement, b *receipt.Decision) bool {
			frozen := b.Rule == "kernel:freeze"
			b.Verdict, b.Rule, b.Reason = helm.Deny, "kernel:freeze", helm.Reason{Code: helm.Frozen}
			return !frozen
		},
		"call_id": func(_ *receipt.Statement, b *receipt.Decision) bool {
			was := b.Rule == "kernel:call_id"
			b.CallID, b.Verdict, b.Rule, b.Reason = "new", helm.Deny, "kernel:call_id", helm.Reason{Code: helm.CallIDReused}
			return !was && b.Rule != "kernel:freeze"
		},
		"tool": func(_ *receipt.Statement, b *receipt.Decision) bool {
			was := b.Rule == receipt.RuleTools
			b.Verdict, b.Rule, b.Reason = helm.Deny, receipt.RuleTools, helm.Reason{Code: helm.ToolChanged}
			return !was
		},
		"changed tool": func(_ *receipt.Statement, b *receipt.Decision) bool {
			if b.Rule != receipt.RuleTools {
				return false
			}
			b.Verdict, b.Rule, b.Reason = helm.Allow, "pay-small", helm.Reason{Code: helm.AllowedByRule, Message: "allowed by rule pay-small"}
			return true
		},
		"call made again": func(_ *receipt.Statement, b *receipt.Decision) bool {
			if b.Reason.Code != helm.CallAlreadyDone {
				return false
			}
			b.Verdict, b.Rule, b.Reason = helm.Allow, "pay-small", helm.Reason{Code: helm.AllowedByRule}
			return true
		},
		"policy": func(_ *receipt.Statement, b *receipt.Decision) bool { b.Policy.SHA256[0]++; return true },
	}
	for name, lie := range lies {
		tried := 0
		for i := range all {
			body, ok := all[i].Statement.Body.(*receipt.Decision)
			if !ok {
				continue
			}
			r := newReplayer(p, nil)
			for j := range i {
				r.entry(&all[j])
			}
			st, b := *all[i].Statement, *body
			if !lie(&st, &b) {
				continue
			}
			tried++
			st.Body = &b
			e := all[i]
			e.Statement = &st
			if d := r.entry(&e); d.Answer == Agree {
				t.Errorf("%s: entry %d, which says %s, agrees", name, i, d.Recorded)
			}
		}
		if tried == 0 {
			t.Errorf("%s was tried with no decision", name)
		}
	}
}

// TestHidden closes every part of every disclosure in turn: what is hidden is never
// taken for what it was, and nothing differs for being hidden.
func TestHidden(t *testing.T) {
	s := newSite(t)
	p := s.everything()
	all := s.entries(p)
	count := map[Answer]int{}
	for i := range all {
		if _, ok := all[i].Statement.Body.(*receipt.Decision); !ok {
			continue
		}
		r := newReplayer(p, nil)
		for j := range i {
			r.entry(&all[j])
		}
		full := all[i].Disclosure
		for hide := -1; hide < len(full.Lines); hide++ {
			e := all[i]
			if hide < 0 {
				e.Disclosure = nil
			} else {
				d := &receipt.Disclosure{Index: full.Index, Lines: append([]receipt.DisclosedLine(nil), full.Lines...)}
				at := full.Lines[hide].Line.Pointer
				for k := len(d.Lines) - 1; k >= hide; k-- { // what it contains, first
					if q := full.Lines[k].Line.Pointer; q == at || len(q) > len(at) && q[:len(at)] == at && q[len(at)] == '/' {
						d.Close(k)
					}
				}
				if err := d.Verify(e.Statement.Subject.SHA256); err != nil {
					t.Fatal(err)
				}
				e.Disclosure = d
			}
			saved := *r
			d := (&replayer{pack: saved.pack, policies: saved.policies, pins: saved.pins, frozen: saved.frozen, activated: saved.activated, sessions: copySessions(saved.sessions), budgets: copyBudgets(saved.budgets)}).entry(&e)
			count[d.Answer]++
			if d.Answer == Differ {
				t.Errorf("entry %d with line %d hidden differs: %s", i, hide, d.Why)
			}
			if d.Answer == Agree && hide >= 0 && full.Lines[hide].Line.Pointer == "/arguments/amount" && d.Recorded.Rule != "tool:pay.transfer" {
				t.Errorf("entry %d agrees without its amount", i)
			}
		}
	}
	if count[Agree] == 0 || count[CannotTell] == 0 {
		t.Errorf("%v: this shows little", count)
	}
}

func copySessions(all map[receipt.Hash]*session) map[receipt.Hash]*session {
	out := map[receipt.Hash]*session{}
	for name, s := range all {
		c := &session{whole: s.whole, seq: s.seq, calls: map[string]*called{}, decisions: map[uint64]*called{}}
		for k, v := range s.calls {
			c.calls[k] = v
			c.decisions[v.index] = v
		}
		for _, a := range s.approvals {
			one := *a
			c.approvals = append(c.approvals, &one)
		}
		out[name] = c
	}
	return out
}

// TestOtherPolicy asks what another policy would have said.
func TestOtherPolicy(t *testing.T) {
	s := newSite(t)
	p := s.everything()
	other, err := policy.Compile("other.toml", []byte(`[policy]
id = "other"
version = 1
format = "helm.policy/v1"
mode = "enforce"
`))
	if err != nil {
		t.Fatal(err)
	}
	totals, err := Run(p, s.exported, other, func(d *Decision) error {
		if d.Answer == Differ && (d.Replayed == nil || d.Replayed.Rule != "default") {
			t.Errorf("entry %d: %+v", d.Index, d)
		}
		return nil
	})
	if err != nil || totals.Differ != 20 || totals.CannotTell != 5 {
		t.Errorf("%+v, %v", totals, err)
	}
}
