package kernel_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// a definition of a tool
func def(n byte) (h receipt.Hash) { h[0] = n; return h }

// lists tells what the server pay has now: names and numbers of definitions.
func lists(t testing.TB, k *kernel.Kernel, tools ...string) string {
	t.Helper()
	var all []receipt.Tool
	for _, one := range tools {
		name, n, _ := strings.Cut(one, " ")
		all = append(all, receipt.Tool{Name: name, SHA256: def(n[0])})
	}
	got, err := k.List(t.Context(), "agent:mcp", "mcp.pay", "pay", all)
	if err != nil {
		t.Fatal(err)
	}
	return knows(got)
}

func knows(tools []kernel.PinnedTool) string {
	var out []string
	for _, p := range tools {
		one := fmt.Sprintf("%s %c", p.Name, p.Pinned[0])
		switch {
		case p.Gone:
			one += " gone"
		case p.Changed():
			one += " now " + string(p.Listed[0])
		}
		out = append(out, one)
	}
	return strings.Join(out, ", ")
}

func defined(n byte) helm.Call {
	c := transfer(1)
	h := def(n)
	c.Context = fmt.Appendf(nil, `{"definition":"%s"}`, hex.EncodeToString(h[:]))
	return c
}

// TestPins: the first list is pinned, a changed tool's calls are denied in every process
// until an operator accepts just that definition, and each difference is one entry.
func TestPins(t *testing.T) {
	s, k := enforcing(t)
	decides(t, k, defined('1'), helm.Allow, helm.AllowedByRule) // nothing is pinned
	size := k.Log().Size
	expect := func(got, want string, entries uint64, before uint64) {
		t.Helper()
		if got != want || size()-before != entries {
			t.Fatalf("%s by %d entries, and not %s by %d", got, size()-before, want, entries)
		}
	}
	before := size()
	expect(lists(t, k, "transfer 1", "balance 1"), "balance 1, transfer 1", 1, before)
	expect(lists(t, k, "balance 1", "transfer 1"), "balance 1, transfer 1", 1, before)
	decides(t, k, defined('1'), helm.Allow, helm.AllowedByRule)
	decides(t, k, transfer(1), helm.Allow, helm.AllowedByRule) // a boundary that knows no definitions

	before = size()
	expect(lists(t, k, "transfer 2", "refund 1"), "balance 1 gone, refund 1, transfer 1 now 2", 3, before)
	other := s.kernel()
	expect(lists(t, other, "transfer 2", "refund 1"), "balance 1 gone, refund 1, transfer 1 now 2", 3, before)
	for _, k := range []*kernel.Kernel{k, other} {
		d := decides(t, k, defined('2'), helm.Deny, helm.ToolChanged)
		if d.Rule != receipt.RuleTools || !d.Enforced {
			t.Errorf("%+v", d)
		}
		decides(t, k, defined('1'), helm.Allow, helm.AllowedByRule)
		for _, context := range []string{`{"definition":2}`, `{"definition":""}`, `{"definition":null}`} {
			c := transfer(1)
			c.Context = []byte(context)
			decides(t, k, c, helm.Deny, helm.ToolChanged)
		}
	}

	for _, bad := range []struct {
		tool string
		n    byte
		code helm.Code
	}{{"transfer", '3', helm.Conflict}, {"transfer", '1', helm.Conflict}, {"refund", '1', helm.Conflict}, {"nothing", '2', helm.NotFound}} {
		_, err := k.Accept(t.Context(), "operator", "http", "pay", bad.tool, def(bad.n))
		if e := (*kernel.Error)(nil); !errors.As(err, &e) || e.Code != bad.code {
			t.Errorf("accepting %s %c: %v", bad.tool, bad.n, err)
		}
	}
	c := defined('2')
	c.CallID = "denied-before"
	decides(t, k, c, helm.Deny, helm.ToolChanged)
	if _, err := other.Accept(t.Context(), "operator", "http", "pay", "transfer", def('2')); err != nil {
		t.Fatal(err)
	}
	decides(t, k, c, helm.Allow, helm.AllowedByRule)
	decides(t, k, defined('1'), helm.Deny, helm.ToolChanged)

	before = size()
	expect(lists(t, k, "transfer 2", "refund 1", "balance 1"), "balance 1, refund 1, transfer 2", 1, before)
	expect(lists(t, k, "transfer 3", "refund 1", "balance 2"), "balance 1 now 2, refund 1, transfer 2 now 3", 2, before)
	expect(lists(t, k, "transfer 2", "refund 1", "balance 1"), "balance 1, refund 1, transfer 2", 3, before)
	expect(lists(t, k), "balance 1 gone, refund 1 gone, transfer 2 gone", 4, before)
	expect(lists(t, k, "balance 2"), "balance 1 now 2, refund 1 gone, transfer 2 gone", 5, before)
	expect(lists(t, k), "balance 1 gone, refund 1 gone, transfer 2 gone", 6, before)
	if _, err := k.Accept(t.Context(), "operator", "http", "pay", "balance", def('2')); err != nil {
		t.Fatal(err)
	}
	expect(lists(t, k), "balance 2 gone, refund 1 gone, transfer 2 gone", 7, before)
	expect(lists(t, k, "balance 2"), "balance 2, refund 1 gone, transfer 2 gone", 8, before)
}

// TestManyTools: more than one entry holds, listed by two processes at once.
func TestManyTools(t *testing.T) {
	s, k := enforcing(t)
	var all []string
	for i := range 3*receipt.MaxTools + 1 {
		all = append(all, fmt.Sprintf("t%03d 1", i))
	}
	before := k.Log().Size()
	var wg sync.WaitGroup
	for _, k := range []*kernel.Kernel{k, s.kernel(), k} {
		wg.Go(func() {
			if got := lists(t, k, all...); got != strings.Join(all, ", ") {
				t.Error(got)
			}
		})
	}
	wg.Wait()
	if n := s.kernel().Log().Size() - before; n != 4 {
		t.Errorf("%d entries", n)
	}
}

// TestContradictingLists: two that list a server otherwise at the same time do not fill the
// log with what each says of the other's.
func TestContradictingLists(t *testing.T) {
	_, k := enforcing(t)
	lists(t, k, "transfer 1")
	before := k.Log().Size()
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			_, err := k.List(t.Context(), "agent:mcp", "mcp.pay", "pay", []receipt.Tool{{Name: "transfer", SHA256: def('1' + byte(i))}})
			if e := (*kernel.Error)(nil); err != nil && (!errors.As(err, &e) || e.Code != helm.Conflict) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := k.Log().Size() - before; n > 16 {
		t.Errorf("%d entries", n)
	}
}

// TestFullOfTools: what is pinned is held in memory, so there is an end to it, and what was
// pinned before is listed and held as ever.
func TestFullOfTools(t *testing.T) {
	_, k := enforcing(t)
	lists(t, k, "transfer 1")
	many := make([]receipt.Tool, kernel.MaxToolsOfServer)
	for i := range many {
		many[i].Name = fmt.Sprint(i)
	}
	var last error
	for i := range receipt.MaxPins / len(many) {
		if last != nil {
			t.Fatal(last)
		}
		_, last = k.List(t.Context(), "agent:mcp", "mcp.n", fmt.Sprintf("n%d", i), many)
	}
	if e := (*kernel.Error)(nil); !errors.As(last, &e) || e.Code != helm.TooLarge {
		t.Errorf("%d tools are pinned: %v", receipt.MaxPins+1, last)
	}
	lists(t, k, "transfer 2")
	decides(t, k, defined('2'), helm.Deny, helm.ToolChanged)
}

// TestListsThatCannotBe are refused, and leave no entry.
func TestListsThatCannotBe(t *testing.T) {
	_, k := enforcing(t)
	before := k.Log().Size()
	twice := []receipt.Tool{{Name: "a"}, {Name: "a"}}
	many := make([]receipt.Tool, kernel.MaxToolsOfServer+1)
	for i := range many {
		many[i].Name = fmt.Sprint(i)
	}
	for _, bad := range []struct {
		server string
		tools  []receipt.Tool
	}{{"", nil}, {"a.b", nil}, {"a b", nil}, {"a", twice}, {"a", many}, {"a", []receipt.Tool{{Name: ""}, {Name: "x y"}}}, {strings.Repeat("a", 150), []receipt.Tool{{Name: strings.Repeat("b", 50)}}}} {
		_, err := k.List(t.Context(), "agent:mcp", "mcp.a", bad.server, bad.tools)
		if e := (*kernel.Error)(nil); !errors.As(err, &e) || e.Code != helm.BadRequest && e.Code != helm.TooLarge {
			t.Errorf("%.40q: %v", bad.server, err)
		}
	}
	for _, bad := range [][3]string{{"", "start", ""}, {"mcp.a", "stopped", ""}, {"mcp.a", "tools-accepted", ""}, {"mcp.a", "start", strings.Repeat("x", receipt.MaxReasonBytes+1)}} {
		if _, err := k.Boundary(t.Context(), "agent:mcp", bad[0], bad[1], bad[2]); err == nil {
			t.Errorf("%.60q is recorded", bad)
		}
	}
	if k.Log().Size() != before {
		t.Error("something was recorded")
	}
}

// TestStandings: what was said last of each boundary, and a bound on how many.
func TestStandings(t *testing.T) {
	_, k := enforcing(t)
	says := func(boundary, event string) {
		t.Helper()
		if _, err := k.Boundary(context.Background(), "agent:a", boundary, event, boundary+" "+event); err != nil {
			t.Fatal(err)
		}
	}
	says("mcp.a", receipt.BoundaryStart)
	says("mcp.b", receipt.BoundaryStart)
	says("mcp.a", receipt.BoundaryStop)
	lists(t, k, "transfer 1")
	got := func() (out []string) {
		all, err := k.Standings(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			out = append(out, s.Covers)
		}
		return out
	}
	if want := []string{"mcp.a stop", "mcp.b start"}; !slices.Equal(got(), want) {
		t.Errorf("%q", got())
	}
	for i := range kernel.MaxStandings {
		says(fmt.Sprintf("mcp.n%d", i), receipt.BoundaryCheck)
	}
	if all := got(); len(all) != kernel.MaxStandings || slices.Contains(all, "mcp.b start") {
		t.Errorf("%d are remembered", len(all))
	}
}

// TestClientGrade: where the policy says so, the client that asked may say what its user
// answers, and nobody else may.
func TestClientGrade(t *testing.T) {
	_, k := asking(t, `{ grade = "client", expires = "5m" }`, `{ any_of = ["ana"] }`)
	asked := escalates(t, k, transfer(2000))
	if asked.Approval.Grade != receipt.GradeClient {
		t.Errorf("the grade is %s", asked.Approval.Grade)
	}
	says := func(asked *kernel.Decision, approve bool, principal, boundary string) error {
		_, err := k.Answer(t.Context(), kernel.Answer{ID: asked.ID, Approve: approve, Client: true, Principal: principal, Boundary: boundary})
		return err
	}
	c := transfer(2000)
	for _, other := range [][2]string{{"agent:other", c.Boundary}, {c.Principal, "mcp"}, {"operator", c.Boundary}} {
		if err := says(asked, true, other[0], other[1]); err == nil {
			t.Errorf("%q may answer", other)
		}
	}
	decides(t, k, c, helm.Escalate, "PAYMENT_OVER_LIMIT")
	if err := says(asked, true, c.Principal, c.Boundary); err != nil {
		t.Fatal(err)
	}
	decides(t, k, c, helm.Allow, helm.Approved)

	refused := escalates(t, k, transfer(3000))
	if err := says(refused, false, c.Principal, c.Boundary); err != nil {
		t.Fatal(err)
	}
	decides(t, k, transfer(3000), helm.Deny, helm.ApprovalRefused)

	byOperator := escalates(t, k, transfer(4000))
	if err := operator(k, byOperator, true); err != nil {
		t.Fatal(err)
	}
	decides(t, k, transfer(4000), helm.Allow, helm.Approved)

	both := escalates(t, k, transfer(60_000)) // of ana's signature too
	if both.Approval.Grade != receipt.GradeSSH {
		t.Errorf("the grade is %s", both.Approval.Grade)
	}
	if err := says(both, true, c.Principal, c.Boundary); err != nil {
		t.Fatal(err)
	}
	decides(t, k, transfer(60_000), helm.Escalate, "PAYMENT_OVER_LIMIT")
	if err := signs(t, k, both, receipt.AnswerApprove, "ana"); err != nil {
		t.Fatal(err)
	}
	decides(t, k, transfer(60_000), helm.Allow, helm.Approved)
}

// TestClientGradeIsAskedFor: without the policy's word a client answers nothing, not even no.
func TestClientGradeIsAskedFor(t *testing.T) {
	_, k := asking(t, `{ expires = "5m" }`, `{ any_of = ["ana"] }`)
	c := transfer(2000)
	asked := escalates(t, k, c)
	if asked.Approval.Grade != receipt.GradeOperator {
		t.Errorf("the grade is %s", asked.Approval.Grade)
	}
	for _, approve := range []bool{true, false} {
		_, err := k.Answer(t.Context(), kernel.Answer{ID: asked.ID, Approve: approve, Client: true, Principal: c.Principal, Boundary: c.Boundary})
		if e := (*kernel.Error)(nil); !errors.As(err, &e) || e.Code != helm.Forbidden {
			t.Errorf("approve %t: %v", approve, err)
		}
	}
	decides(t, k, c, helm.Escalate, "PAYMENT_OVER_LIMIT")
}

// TestPinsAreSigned: who changes the store changes no pin, also where a process opens the log
// without looking through it.
func TestPinsAreSigned(t *testing.T) {
	s, k := enforcing(t)
	lists(t, k, "transfer 1")
	store := s.store()
	defer store.Close()
	key := binary.BigEndian.AppendUint64(nil, k.Log().Size()-1)
	one, two := def('1'), def('2')
	change := func(from, to string) {
		t.Helper()
		if err := store.Update(t.Context(), func(w ledger.Writer) error {
			row, err := w.Get(ledger.Entries, key)
			if err != nil || !bytes.Contains(row, []byte(from)) {
				return fmt.Errorf("%q: %w", row, err)
			}
			return w.Put(ledger.Entries, key, bytes.Replace(row, []byte(from), []byte(to), 1))
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range [][2]string{{hex.EncodeToString(one[:]), hex.EncodeToString(two[:])}, {"tools-pinned", "tools-change"}} {
		change(c[0], c[1])
		opts := s.opts
		opts.AuditFor = -1
		log, err := ledger.Open(context.Background(), store, opts)
		if err == nil {
			other := kernel.New(log, s.clock)
			d, err := other.Decide(t.Context(), defined('2'))
			if err == nil && d.Verdict == helm.Allow {
				t.Errorf("%s: it is allowed", c)
			}
			log.Close()
		}
		change(c[1], c[0])
	}
}
