package ledger

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// TestCheckNewest: what decides is checked before a log of any length is used, not
// only when the background comes to it.
func TestCheckNewest(t *testing.T) {
	base, opts := newMemory(), testOptions(t)
	l := create(t, base, opts)
	control := func(body receipt.Body) *Appended {
		return add(t, l, func(*View) (*Draft, error) {
			d := &Draft{Body: body, Subject: l.GenesisSubject()}
			if p, ok := body.(*receipt.Policy); ok {
				d.Policy = []byte(p.Policy.ID)
				p.Policy.SHA256 = sha256Sum(d.Policy)
				d.Subject = receipt.Subject{Name: receipt.SubjectPolicy, SHA256: p.Policy.SHA256}
			}
			return d, nil
		})
	}
	policy := func(id string) {
		control(&receipt.Policy{Principal: "operator:o", Mode: helm.Enforce, Policy: receipt.PolicyRef{ID: id, Version: 1, Format: "f", Engine: "e"}})
	}
	policy("first")
	old := l.last.Load()
	policy("second")
	control(&receipt.Freeze{Principal: "operator:o", Boundary: "test", Reason: "r"})
	control(&receipt.Unfreeze{Principal: "operator:o", Boundary: "test", Reason: "r"})
	fill(t, l, 160)
	for i := range 8 {
		a := decide(t, l, "agent-0", "session-0", fmt.Sprint("e", i), helm.Escalate)
		if i < 6 {
			add(t, l, func(*View) (*Draft, error) {
				body := &receipt.Approval{Agent: "agent-0", Session: "session-0", Escalation: receipt.Ref{ID: a.Leaf, Index: a.Index},
					Answer: []string{receipt.AnswerApprove, receipt.AnswerRefuse}[i%2], Grade: receipt.GradeOperator,
					Principal: "operator:o", Boundary: "test", Approver: "operator:o", Expires: a.Time.Add(time.Minute)}
				return &Draft{Agent: "agent-0", Session: "session-0", Body: body,
					Subject: receipt.Subject{Name: receipt.SubjectStatement, SHA256: a.statementHash()}}, nil
			})
		}
		if i%4 == 0 {
			add(t, l, func(v *View) (*Draft, error) {
				d := decision("agent-0", "session-0", fmt.Sprint("e", i), helm.Allow, v.Now())
				b := d.Body.(*receipt.Decision)
				b.Approval = &receipt.Ref{ID: a.Leaf, Index: a.Index}
				b.Budgets = []receipt.Budget{{ID: "paid", Per: receipt.BudgetPerAll, Window: 3600, Limit: "10", Amount: "1", Used: fmt.Sprint(i/4 + 1)}}
				return d, nil
			})
		}
	}
	freeze := control(&receipt.Freeze{Principal: "operator:o", Boundary: "test", Reason: "r"})
	decide(t, l, "agent-0", "session-0", "last", helm.Deny)
	size := l.Size()
	if err := l.checkNewest(t.Context(), size, time.Minute); err != nil || l.Audit().Newest != size {
		t.Fatalf("%+v: %v", l.Audit(), err)
	}
	l.Close()

	head := func(change func(*headRow)) func(*memory) {
		return func(s *memory) { s.edit(t, change) }
	}
	rows := func(table Table, from, to string) func(*memory) {
		return func(s *memory) {
			for k, v := range s.rows[table] {
				s.rows[table][k] = bytes.Replace(v, []byte(from), []byte(to), 1)
			}
		}
	}
	for name, edit := range map[string]func(*memory){
		"not frozen":        head(func(h *headRow) { h.Frozen = 0 }),
		"frozen by another": head(func(h *headRow) { h.Frozen-- }),
		"older policy": head(func(h *headRow) {
			h.Policy, h.PolicyIndex, h.PolicySince = old.Policy, old.PolicyIndex, old.PolicySince
		}),
		"policy since another day": head(func(h *headRow) { h.PolicySince = h.PolicySince.Add(time.Hour) }),
		"older control head":       head(func(h *headRow) { h.ControlSeq, h.Control = old.ControlSeq, old.Control }),
		"approval granted":         rows(Approvals, `"pending"`, `"approved"`),
		"approval unused":          rows(Approvals, `"used"`, `"approved"`),
		"refusal turned":           rows(Approvals, `"refused"`, `"approved"`),
		"outcome forgotten":        func(s *memory) { clear(s.rows[Outcomes]) },
		"call_ids forgotten":       func(s *memory) { clear(s.rows[Calls]) },
		"budget given back":        func(s *memory) { clear(s.rows[Budgets]) },
		"budget lowered":           rows(Budgets, `"a":"2"`, `"a":"1"`),
	} {
		t.Run(name, func(t *testing.T) {
			s := base.copy()
			edit(s)
			o := opts
			o.AuditFor = -1
			l := open(t, s, o)
			if err := l.checkNewest(t.Context(), size, time.Minute); err == nil {
				t.Fatal("it was not noticed")
			} else if t.Log(err); !strings.Contains(err.Error(), "lead") && !strings.Contains(err.Error(), "its row") {
				t.Fatal("the refusal does not say what is wrong")
			}
		})
	}
	// Frozen, and by the last entry.
	if freeze.Index != size-2 {
		t.Fatal(freeze.Index)
	}
}

// TestRolledBackWhileChecked: a check that meets a shorter log ends.
func TestRolledBackWhileChecked(t *testing.T) {
	s := newMemory()
	l := create(t, s, testOptions(t))
	old := s.copy()
	fill(t, l, 2*auditChunk)
	err := l.Check(t.Context(), func(done, _ uint64) { s.become(old) })
	if err == nil || !strings.Contains(err.Error(), "rolled back") {
		t.Fatal(err)
	}
}
