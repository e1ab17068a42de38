package kernel_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
	"github.com/helm-ai-kernel/helm-ai-kernel/policy"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/sshsig/sshsign"
)

// key is the SSH key of a person.
func key(name string) ssh.Signer {
	s, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte(name), 32)[:32]))
	if err != nil {
		panic(err)
	}
	return s
}

// approvers is payments with people: ana, bo and cy are in finance, cy in security, dan
// is revoked. What is over 1000 asks as large says, and what is over 50000 also as
// vast does.
func approvers(version int, large, vast string) *policy.Policy {
	var b bytes.Buffer
	fmt.Fprintf(&b, "[policy]\nid = \"payments\"\nversion = %d\nformat = \"helm.policy/v1\"\n", version)
	for _, p := range []string{"ana finance", "bo finance", "cy security", "dan finance", "agent.pay finance", "pay finance"} {
		name, group, _ := strings.Cut(p, " ")
		fmt.Fprintf(&b, "[[approver]]\nname = %q\ngroups = [%q]\nkey = %q\nrevoked = %t\n", name, group, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key(name).PublicKey()))), name == "dan")
	}
	fmt.Fprintf(&b, "[[tool]]\nname = \"pay.transfer\"\nargs = { amount = \"int\", to = \"string\" }\n")
	fmt.Fprintf(&b, "[[rule]]\nid = \"small\"\nverdict = \"ALLOW\"\ntools = [\"pay.transfer\"]\n")
	fmt.Fprintf(&b, "[[rule]]\nid = \"large\"\nverdict = \"ESCALATE\"\nreason = \"PAYMENT_OVER_LIMIT\"\ntools = [\"pay.transfer\"]\nwhen = \"args.amount > 1000\"\napprovers = %s\n", large)
	fmt.Fprintf(&b, "[[rule]]\nid = \"vast\"\nverdict = \"ESCALATE\"\nreason = \"PAYMENT_OVER_LIMIT\"\ntools = [\"pay.transfer\"]\nwhen = \"args.amount > 50000\"\napprovers = %s\n", vast)
	p, err := policy.Compile("payments.toml", b.Bytes())
	if err != nil {
		panic(err)
	}
	return p
}

// asking is a kernel under approvers.
func asking(t testing.TB, large, vast string) (*site, *kernel.Kernel) {
	t.Helper()
	s := newSite(t)
	k := s.kernel()
	activate(t, k, approvers(1, large, vast))
	return s, k
}

// text is what the approver signs to answer that ESCALATE.
func text(t testing.TB, k *kernel.Kernel, asked *kernel.Decision, answer, approver string) []byte {
	t.Helper()
	st := statement(t, asked.Statement)
	return receipt.ApprovalText(answer, k.Log().Origin(), receipt.StatementHash(asked.Statement), st.Subject.SHA256,
		st.Body.(*receipt.Decision).Escalation.Expires, approver)
}

func sign(t testing.TB, who string, text []byte) string {
	t.Helper()
	sig, err := sshsign.Sign(receipt.ApprovalNamespace, text, key(who))
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// signs hands in an answer that the approver signed.
func signs(t testing.TB, k *kernel.Kernel, asked *kernel.Decision, answer, approver string) error {
	t.Helper()
	_, err := k.Answer(context.Background(), kernel.Answer{ID: asked.ID, Approve: answer == receipt.AnswerApprove, Approver: approver,
		Signature: sign(t, approver, text(t, k, asked, answer, approver)), Principal: "auditor:eve", Boundary: "http"})
	return err
}

func operator(k *kernel.Kernel, asked *kernel.Decision, approve bool) error {
	_, err := k.Answer(context.Background(), kernel.Answer{ID: asked.ID, Approve: approve, Principal: "operator:o", Boundary: "http"})
	return err
}

// TestWhoMustSign: a call waits until everybody that is asked for has signed. A step
// is who approves, "!" where that is refused; "o" is an operator's token.
func TestWhoMustSign(t *testing.T) {
	for _, c := range []struct {
		name, large, vast string
		amount            int
		steps             string
		state             string
	}{
		{"one of a group", `{ any_of = ["group:finance"] }`, `{}`, 1001, "bo", "approved"},
		{"none of the group", `{ any_of = ["group:finance"] }`, `{}`, 1001, "!cy !eve !dan !o", "pending"},
		{"two of a group", `{ any_of = ["group:finance"], count = 2 }`, `{}`, 1001, "ana !ana bo", "approved"},
		{"two of a group, one", `{ any_of = ["group:finance"], count = 2 }`, `{}`, 1001, "ana !ana !o", "pending"},
		{"all", `{ all_of = ["ana", "group:security"] }`, `{}`, 1001, "cy !bo ana", "approved"},
		{"all but the person", `{ all_of = ["ana", "group:finance"] }`, `{}`, 1001, "bo", "pending"},
		{"one is a person and of the group", `{ all_of = ["ana", "group:finance"] }`, `{}`, 1001, "ana", "approved"},
		{"all, and two of any", `{ all_of = ["ana"], any_of = ["bo", "cy"], count = 2 }`, `{}`, 1001, "bo ana cy", "approved"},
		{"two rules", `{ any_of = ["ana"] }`, `{ any_of = ["cy"] }`, 50001, "ana !bo cy", "approved"},
		{"two rules, one answered", `{ any_of = ["ana"] }`, `{ any_of = ["cy"] }`, 50001, "cy", "pending"},
		{"two rules, the same person", `{ any_of = ["ana", "bo"] }`, `{ any_of = ["ana", "cy"] }`, 50001, "ana", "approved"},
		{"a rule for people and one for an operator", `{ any_of = ["ana"] }`, `{}`, 50001, "o !o ana", "approved"},
		{"of which the operator answered", `{ any_of = ["ana"] }`, `{}`, 50001, "o", "pending"},
		{"of which a person answered", `{ any_of = ["ana"] }`, `{}`, 50001, "ana", "pending"},
		{"only an operator", `{}`, `{}`, 50001, "!ana o", "approved"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, k := asking(t, c.large, c.vast)
			asked := escalates(t, k, transfer(c.amount))
			for _, step := range strings.Fields(c.steps) {
				who, refused := strings.CutPrefix(step, "!")
				decides(t, k, transfer(c.amount), helm.Escalate, overLimit)
				var err error
				if who == "o" {
					err = operator(k, asked, true)
				} else {
					err = signs(t, k, asked, receipt.AnswerApprove, who)
				}
				if (err != nil) != refused {
					t.Fatalf("%s approves: %v", who, err)
				}
			}
			a, err := k.Approval(t.Context(), asked.ID)
			if err != nil || a.State != c.state {
				t.Fatalf("it is %s, %v; not %s", a.State, err, c.state)
			}
			if c.state == ledger.ApprovalApproved {
				allowedBy(t, k, transfer(c.amount), asked)
			}
			decides(t, k, transfer(c.amount), helm.Escalate, overLimit)
		})
	}
}

// TestSignedRefusal: whoever could approve can refuse, also after others approved, and
// an operator can; nobody else.
func TestSignedRefusal(t *testing.T) {
	for who, says := range map[string]string{"ana": "", "bo": "", "cy": "does not ask for cy", "dan": "is revoked", "o": ""} {
		t.Run(who, func(t *testing.T) {
			_, k := asking(t, `{ any_of = ["group:finance"], count = 2 }`, `{}`)
			asked := escalates(t, k, transfer(1001))
			if err := signs(t, k, asked, receipt.AnswerApprove, "ana"); err != nil {
				t.Fatal(err)
			}
			var err error
			if who == "o" {
				err = operator(k, asked, false)
			} else {
				err = signs(t, k, asked, receipt.AnswerRefuse, who)
			}
			if says != "" {
				wantCode(t, err, helm.Forbidden)
				if !strings.Contains(err.Error(), says) {
					t.Fatalf("%v, without %q", err, says)
				}
				decides(t, k, transfer(1001), helm.Escalate, overLimit)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			decides(t, k, transfer(1001), helm.Deny, helm.ApprovalRefused)
			wantCode(t, signs(t, k, asked, receipt.AnswerApprove, "bo"), helm.Conflict)
		})
	}
}

// TestForgedAnswers: a signature answers exactly what was signed, by exactly whose key
// it is.
func TestForgedAnswers(t *testing.T) {
	_, k := asking(t, `{ any_of = ["group:finance"] }`, `{}`)
	asked, other := escalates(t, k, transfer(1001)), escalates(t, k, transfer(2002))
	st := statement(t, asked.Statement)
	until := st.Body.(*receipt.Decision).Escalation.Expires
	hash, input := receipt.StatementHash(asked.Statement), st.Subject.SHA256
	good := text(t, k, asked, receipt.AnswerApprove, "ana")
	for name, a := range map[string]kernel.Answer{
		"of another approval":     {Approver: "ana", Signature: sign(t, "ana", text(t, k, other, receipt.AnswerApprove, "ana"))},
		"of a refusal":            {Approver: "ana", Signature: sign(t, "ana", text(t, k, asked, receipt.AnswerRefuse, "ana"))},
		"of another log":          {Approver: "ana", Signature: sign(t, "ana", receipt.ApprovalText(receipt.AnswerApprove, "helm.test/other", hash, input, until, "ana"))},
		"of another input":        {Approver: "ana", Signature: sign(t, "ana", receipt.ApprovalText(receipt.AnswerApprove, k.Log().Origin(), hash, hash, until, "ana"))},
		"of a longer time":        {Approver: "ana", Signature: sign(t, "ana", receipt.ApprovalText(receipt.AnswerApprove, k.Log().Origin(), hash, input, until.Add(expires), "ana"))},
		"with a LF less":          {Approver: "ana", Signature: sign(t, "ana", bytes.TrimSuffix(good, []byte("\n")))},
		"of bo for ana":           {Approver: "ana", Signature: sign(t, "bo", good)},
		"of ana for bo":           {Approver: "bo", Signature: sign(t, "ana", good)},
		"of ana for bo, as bo":    {Approver: "bo", Signature: sign(t, "ana", text(t, k, asked, receipt.AnswerApprove, "bo"))},
		"of a stranger":           {Approver: "ana", Signature: sign(t, "mallory", good)},
		"of nothing":              {Approver: "ana", Signature: "x"},
		"without a name":          {Signature: sign(t, "ana", good)},
		"without a signature":     {Approver: "ana"},
		"of another namespace":    {Approver: "ana", Signature: func() string { s, _ := sshsign.Sign("file", good, key("ana")); return s }()},
		"of the agent's own name": {Approver: "agent.pay", Signature: sign(t, "agent.pay", text(t, k, asked, receipt.AnswerApprove, "agent.pay"))},
		"of the principal's name": {Approver: "pay", Signature: sign(t, "pay", text(t, k, asked, receipt.AnswerApprove, "pay"))},
		"too long":                {Approver: "ana", Signature: strings.Repeat("x", receipt.MaxSignatureBytes+1)},
	} {
		a.ID, a.Approve, a.Principal, a.Boundary = asked.ID, true, "operator:o", "http"
		if _, err := k.Answer(t.Context(), a); err == nil {
			t.Errorf("an answer with a signature %s is taken", name)
		}
	}
	decides(t, k, transfer(1001), helm.Escalate, overLimit)
	if err := signs(t, k, asked, receipt.AnswerApprove, "ana"); err != nil {
		t.Fatal(err)
	}
	allowedBy(t, k, transfer(1001), asked)
}

// TestNobodyApprovesForHimself: where too few others are left, the call is denied.
func TestNobodyApprovesForHimself(t *testing.T) {
	_, k := asking(t, `{ any_of = ["ana", "bo"], count = 2 }`, `{}`)
	c := transfer(1001)
	c.Agent = "bo"
	decides(t, k, c, helm.Deny, helm.NoApprover)
	c = transfer(1001)
	c.Principal = "agent:ANA"
	decides(t, k, c, helm.Deny, helm.NoApprover)
	d := escalates(t, k, transfer(1001))
	err := signs(t, k, d, receipt.AnswerApprove, "cy")
	wantCode(t, err, helm.Forbidden)
}

// TestSignedApprovalExpires: neither a signature nor an approval outlives what the
// ESCALATE says.
func TestSignedApprovalExpires(t *testing.T) {
	s, k := asking(t, `{ any_of = ["ana"] }`, `{}`)
	approved, open := escalates(t, k, transfer(1001)), escalates(t, k, transfer(1002))
	if err := signs(t, k, approved, receipt.AnswerApprove, "ana"); err != nil {
		t.Fatal(err)
	}
	s.set(s.clock().Add(expires))
	wantCode(t, signs(t, k, open, receipt.AnswerApprove, "ana"), helm.Conflict)
	escalates(t, k, transfer(1001))
}

// TestSignedUnderAnotherPolicy: another policy makes void what was signed, and what is
// signed later, also where only who may approve has changed.
func TestSignedUnderAnotherPolicy(t *testing.T) {
	_, k := asking(t, `{ any_of = ["ana"] }`, `{}`)
	approved, open := escalates(t, k, transfer(1001)), escalates(t, k, transfer(1002))
	if err := signs(t, k, approved, receipt.AnswerApprove, "ana"); err != nil {
		t.Fatal(err)
	}
	activate(t, k, approvers(2, `{ any_of = ["bo"] }`, `{}`))
	wantCode(t, signs(t, k, open, receipt.AnswerApprove, "ana"), helm.Conflict)
	again := escalates(t, k, transfer(1001))
	wantCode(t, signs(t, k, again, receipt.AnswerApprove, "ana"), helm.Forbidden)
	activate(t, k, approvers(1, `{ any_of = ["ana"] }`, `{}`)) // the old one does not bring it back
	escalates(t, k, transfer(1001))
}

// TestSignedApprovalIsUsedOnceAcrossProcesses: two signatures, handed in to two
// processes at once, and then used by both at once: once.
func TestSignedApprovalIsUsedOnceAcrossProcesses(t *testing.T) {
	s, a := asking(t, `{ any_of = ["group:finance"], count = 2 }`, `{}`)
	b := s.kernel()
	for round := range 3 {
		c := transfer(1001 + round)
		asked := escalates(t, a, c)
		errs := make(chan error)
		for i, k := range []*kernel.Kernel{a, b, a, b} {
			go func() { errs <- signs(t, k, asked, receipt.AnswerApprove, []string{"ana", "ana", "bo", "bo"}[i]) }()
		}
		refused := 0
		for range 4 {
			if err := <-errs; err != nil {
				wantCode(t, err, helm.Conflict)
				refused++
			}
		}
		if refused != 2 {
			t.Fatalf("%d of 4 answers of 2 people are refused", refused)
		}
		onlyOne(t, race(t, 16, c, a, b), asked)
	}
}

// TestEditedStoreApprovesNothing: rows that say that a call is approved do not allow it
// without the signatures.
func TestEditedStoreApprovesNothing(t *testing.T) {
	s, k := asking(t, `{ any_of = ["ana", "bo"], count = 2 }`, `{}`)
	asked, other := escalates(t, k, transfer(1001)), escalates(t, k, transfer(2002))
	for _, d := range []*kernel.Decision{asked, other} {
		if err := signs(t, k, d, receipt.AnswerApprove, "ana"); err != nil {
			t.Fatal(err)
		}
	}
	store := s.store()
	defer store.Close()
	id := func(d *kernel.Decision) []byte { b, _ := hex.DecodeString(fmt.Sprintf("%016x", d.Index)); return b }
	row := func(d *kernel.Decision) (b []byte) {
		if err := store.View(t.Context(), func(r ledger.Reader) (err error) { b, err = r.Get(ledger.Approvals, id(d)); return err }); err != nil {
			t.Fatal(err)
		}
		return b
	}
	put := func(value []byte) {
		if err := store.Update(t.Context(), func(w ledger.Writer) error { return w.Put(ledger.Approvals, id(asked), value) }); err != nil {
			t.Fatal(err)
		}
	}
	was := string(row(asked))
	approved := strings.Replace(was, `"state":"pending"`, `"state":"approved"`, 1)
	for name, edited := range map[string]string{
		"approved":                        approved,
		"approved by one":                 strings.Replace(approved, `"Count":2`, `"Count":1`, 1),
		"approved by nobody":              strings.Replace(approved, was[strings.Index(was, `"answers":`):strings.Index(was, `,"requires"`)], `"answers":[]`, 1),
		"approved by a refusal elsewhere": strings.Replace(approved, `"answers":[`, fmt.Sprintf(`"answers":[{"index":%d,"answer":"approve","grade":"ssh-signature","approver":"bo"},`, other.Index), 1),
	} {
		if edited == was {
			t.Fatalf("%s: nothing was edited in %s", name, was)
		}
		put([]byte(edited))
		if d, err := k.Decide(t.Context(), transfer(1001)); err == nil {
			t.Errorf("%s: the store is believed: %s", name, d.Verdict)
		}
	}
	put([]byte(was))
	if err := signs(t, k, asked, receipt.AnswerApprove, "bo"); err != nil {
		t.Fatal(err)
	}
	allowedBy(t, k, transfer(1001), asked)
}
