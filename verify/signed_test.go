package verify_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/pack"
	"github.com/helm-ai-kernel/helm-ai-kernel/pack/packtest"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/sshsig/sshsign"
	"github.com/helm-ai-kernel/helm-ai-kernel/verify"
)

// asking escalates a call that must be answered so.
func asking(l *packtest.Log, requires ...receipt.Requirement) receipt.Ref {
	return l.Decide("a", "s", helm.Escalate, nil, func(d *receipt.Decision) { d.Escalation.Requires = requires })
}

func anyOf(n int, people ...string) receipt.Requirement {
	return packtest.AnyOf("demo-rule", n, people...)
}

const approve, refuse = receipt.AnswerApprove, receipt.AnswerRefuse

// resigned is an approval signed over that text by that person.
func resigned(a *receipt.Approval, namespace, text string, by string) {
	var err error
	if a.Signature, err = sshsign.Sign(namespace, []byte(text), packtest.Person(by)); err != nil {
		panic(err)
	}
}

// text is what an approval's signature must be over, with pieces of it exchanged.
func text(l *packtest.Log, of receipt.Ref, a *receipt.Approval, exchange ...string) string {
	return strings.NewReplacer(exchange...).Replace(string(receipt.ApprovalText(a.Answer, l.Origin, l.StatementHash(of.Index), a.Input, a.Expires, a.Approver)))
}

// clientUser makes an answer one of the user of the client that asked.
func clientUser(l *packtest.Log, of receipt.Ref, a *receipt.Approval) {
	d := l.Statement(of.Index).Body.(*receipt.Decision)
	a.Grade, a.Principal, a.Boundary, a.Approver = receipt.GradeClient, d.Principal, d.Boundary, d.Principal
}

var signedCases = []struct {
	name  string
	build func(l *packtest.Log)
	exit  int
	code  string
	says  string
}{
	{"one of two", func(l *packtest.Log) {
		e := asking(l, anyOf(1, "ana", "bo"))
		l.Signed(e, approve, "bo", nil)
		l.Approved(e, nil)
	}, 0, "approver", "which the policy calls bo (who that is, no file of approvers confirms), signed 1 approval"},
	{"the client's user", func(l *packtest.Log) {
		e := asking(l, receipt.Requirement{Rule: "demo-rule", Client: true})
		l.Answer(e, approve, func(a *receipt.Approval) { clientUser(l, e, a) })
		l.Approved(e, nil)
	}, 0, "approval-client", "1 approval given by the user of the client that asked, as that client says: nobody signed"},
	{"the client's user, who was not asked", func(l *packtest.Log) {
		e := asking(l, receipt.Requirement{Rule: "demo-rule"})
		l.Answer(e, approve, func(a *receipt.Approval) { clientUser(l, e, a) })
		l.Approved(e, nil)
	}, 1, "approval-mismatch", "that does not ask for the user of the client"},
	{"a refusal of the client's user, who was not asked", func(l *packtest.Log) {
		e := asking(l, anyOf(1, "ana"))
		l.Answer(e, refuse, func(a *receipt.Approval) { clientUser(l, e, a) })
	}, 1, "approval-mismatch", "that does not ask for the user of the client"},
	{"the user of another client", func(l *packtest.Log) {
		e := asking(l, receipt.Requirement{Rule: "demo-rule", Client: true})
		l.Answer(e, approve, func(a *receipt.Approval) { clientUser(l, e, a); a.Principal = "agent:other" })
		l.Approved(e, nil)
	}, 1, "approval-mismatch", "that was obtained by another"},
	{"the client's user at another boundary", func(l *packtest.Log) {
		e := asking(l, receipt.Requirement{Rule: "demo-rule", Client: true})
		l.Answer(e, approve, func(a *receipt.Approval) { clientUser(l, e, a); a.Boundary = "other" })
		l.Approved(e, nil)
	}, 1, "approval-mismatch", "that was obtained by another"},
	{"the client's user for people", func(l *packtest.Log) {
		e := asking(l, receipt.Requirement{Rule: "aaa", Client: true}, anyOf(1, "ana"))
		l.Answer(e, approve, func(a *receipt.Approval) { clientUser(l, e, a) })
		l.Approved(e, nil)
	}, 1, "approval-mismatch", "not all have approved it who must"},
	{"both of two", func(l *packtest.Log) {
		e := asking(l, anyOf(2, "ana", "bo"))
		l.Signed(e, approve, "bo", nil)
		l.Signed(e, approve, "ana", nil)
		l.Approved(e, nil)
	}, 0, "approval-signatures", "2 signed answers verify, each for exactly the call that was asked about, by 2 keys"},
	{"one of two, where both must", func(l *packtest.Log) {
		e := asking(l, anyOf(2, "ana", "bo"))
		l.Signed(e, approve, "bo", nil)
		l.Approved(e, nil)
	}, 1, "approval-mismatch", "not all have approved it who must"},
	{"the same one twice, where two must", func(l *packtest.Log) {
		e := asking(l, anyOf(2, "ana", "bo"))
		l.Signed(e, approve, "bo", nil)
		l.Signed(e, approve, "bo", nil)
		l.Approved(e, nil)
	}, 1, "approval-signature", "bo had answered already"},
	{"a person and an operator", func(l *packtest.Log) {
		e := asking(l, receipt.Requirement{Rule: "a-rule"}, anyOf(1, "ana"))
		l.Signed(e, approve, "ana", nil)
		l.Answer(e, approve, nil)
		l.Approved(e, nil)
	}, 0, "approval-operator", "operator's token"},
	{"a person, where an operator must too", func(l *packtest.Log) {
		e := asking(l, receipt.Requirement{Rule: "a-rule"}, anyOf(1, "ana"))
		l.Signed(e, approve, "ana", nil)
		l.Approved(e, nil)
	}, 1, "approval-mismatch", "not all have approved it who must"},
	{"a refusal that is signed", func(l *packtest.Log) {
		e := asking(l, anyOf(1, "ana", "bo"))
		l.Signed(e, refuse, "ana", nil)
	}, 0, "approver", "signed 0 approvals and 1 refusal"},
	{"a refusal after an approval, carried out", func(l *packtest.Log) {
		e := asking(l, anyOf(1, "ana", "bo"))
		l.Signed(e, approve, "bo", nil)
		l.Signed(e, refuse, "ana", nil)
		l.Approved(e, nil)
	}, 1, "approval-mismatch", "it was refused"},
	{"a key that nobody asked", func(l *packtest.Log) {
		e := asking(l, anyOf(1, "ana"))
		l.Signed(e, approve, "eve", nil)
	}, 1, "approval-signature", "asks nobody who is called eve"},
	{"another's key under a name", func(l *packtest.Log) {
		e := asking(l, anyOf(1, "ana"))
		l.Signed(e, approve, "ana", func(a *receipt.Approval) {
			resigned(a, receipt.ApprovalNamespace, text(l, e, a), "eve")
		})
	}, 1, "approval-signature", "and the policy calls"},
	{"a name exchanged", func(l *packtest.Log) {
		e := asking(l, anyOf(2, "ana", "bo"))
		l.Signed(e, approve, "ana", func(a *receipt.Approval) {
			resigned(a, receipt.ApprovalNamespace, text(l, e, a), "bo")
		})
	}, 1, "approval-signature", "and the policy calls"},
	{"a refusal turned into an approval", func(l *packtest.Log) {
		e := asking(l, anyOf(1, "ana"))
		l.Signed(e, approve, "ana", func(a *receipt.Approval) {
			resigned(a, receipt.ApprovalNamespace, text(l, e, a, " approve\n", " refuse\n"), "ana")
		})
	}, 1, "approval-signature", "does not verify"},
	{"a signature for another log", func(l *packtest.Log) {
		e := asking(l, anyOf(1, "ana"))
		l.Signed(e, approve, "ana", func(a *receipt.Approval) {
			resigned(a, receipt.ApprovalNamespace, text(l, e, a, l.Origin, "helm.test/other"), "ana")
		})
	}, 1, "approval-signature", "does not verify"},
	{"a signature for another ESCALATE", func(l *packtest.Log) {
		e, f := asking(l, anyOf(1, "ana")), asking(l, anyOf(1, "ana"))
		l.Signed(e, approve, "ana", func(a *receipt.Approval) {
			resigned(a, receipt.ApprovalNamespace, text(l, f, a), "ana")
		})
	}, 1, "approval-signature", "does not verify"},
	{"a signature for other arguments", func(l *packtest.Log) {
		e := asking(l, anyOf(1, "ana"))
		l.Signed(e, approve, "ana", func(a *receipt.Approval) {
			other := *a
			other.Input[5] ^= 1
			resigned(a, receipt.ApprovalNamespace, text(l, e, &other), "ana")
		})
	}, 1, "approval-signature", "does not verify"},
	{"an expiry moved on", func(l *packtest.Log) {
		e := asking(l, anyOf(1, "ana"))
		l.Signed(e, approve, "ana", func(a *receipt.Approval) {
			signed := *a
			signed.Expires = a.Expires.Add(-time.Minute)
			resigned(a, receipt.ApprovalNamespace, text(l, e, &signed), "ana")
		})
	}, 1, "approval-signature", "does not verify"},
	{"another namespace", func(l *packtest.Log) {
		e := asking(l, anyOf(1, "ana"))
		l.Signed(e, approve, "ana", func(a *receipt.Approval) { resigned(a, "file", text(l, e, a), "ana") })
	}, 1, "approval-signature", "namespace"},
	{"no signature at all", func(l *packtest.Log) {
		e := asking(l, anyOf(1, "ana"))
		l.Signed(e, approve, "ana", func(a *receipt.Approval) { a.Signature = "x" })
	}, 1, "approval-signature", "no SSH signature"},
	{"an approval used twice", func(l *packtest.Log) {
		e := asking(l, anyOf(1, "ana"))
		l.Signed(e, approve, "ana", nil)
		l.Approved(e, nil)
		l.Approved(e, nil)
	}, 1, "approval-mismatch", "used up already"},
	{"a signed approval that expired", func(l *packtest.Log) {
		e := asking(l, anyOf(1, "ana"))
		l.Signed(e, approve, "ana", func(a *receipt.Approval) { a.Expires = l.Statement(e.Index).Time.Add(time.Second) })
		l.Approved(e, nil)
	}, 1, "approval-mismatch", "expired"},
	{"an approval that does not answer for a rule", func(l *packtest.Log) {
		e := asking(l, packtest.AnyOf("other", 1, "ana"))
		l.Signed(e, approve, "ana", nil)
		l.Approved(e, nil)
	}, 1, "approval-mismatch", "it does not answer for the rule demo-rule"},
	{"an approval that does not answer for a budget", func(l *packtest.Log) {
		e := asking(l, anyOf(1, "ana"))
		l.Signed(e, approve, "ana", nil)
		l.Approved(e, func(d *receipt.Decision) {
			d.Budgets = []receipt.Budget{{ID: "b", Per: receipt.BudgetPerAll, Window: 60, Limit: "1", Amount: "1", Used: "2"}}
		})
	}, 1, "approval-mismatch", "it does not answer for the budget b"},
	{"an approval that answers for a budget", func(l *packtest.Log) {
		e := asking(l, packtest.AnyOf("budget:b", 1, "bo"), anyOf(1, "ana"))
		l.Signed(e, approve, "ana", nil)
		l.Signed(e, approve, "bo", nil)
		l.Approved(e, func(d *receipt.Decision) {
			d.Budgets = []receipt.Budget{{ID: "b", Per: receipt.BudgetPerAll, Window: 60, Limit: "1", Amount: "1", Used: "2"}}
		})
	}, 0, "approval-signatures", "by 2 keys"},
	{"a budget overdrawn with nobody asked", func(l *packtest.Log) {
		l.Decide("a", "s", helm.Allow, nil, func(d *receipt.Decision) {
			d.Budgets = []receipt.Budget{{ID: "b", Per: receipt.BudgetPerAll, Window: 60, Limit: "1", Amount: "1", Used: "1.5"}}
		})
	}, 1, "budget", "1.5 of the budget b are used, whose limit is 1"},
}

func TestSignedApprovals(t *testing.T) {
	for _, c := range signedCases {
		t.Run(c.name, func(t *testing.T) {
			b, o := liar(c.build)(t)
			r := check(t, b, o)
			if r.Exit != c.exit {
				t.Errorf("exit %d, want %d\n%s", r.Exit, c.exit, print(r))
			}
			for _, f := range r.Findings {
				if f.Code == c.code && strings.Contains(f.Text, c.says) {
					return
				}
			}
			t.Errorf("no finding %s says %q:\n%s", c.code, c.says, print(r))
		})
	}
}

// TestSignatureBytes flips every byte of a signature: none verifies.
func TestSignatureBytes(t *testing.T) {
	good := ""
	l := packtest.New("liar")
	e := asking(l, anyOf(1, "ana"))
	l.Signed(e, approve, "ana", nil)
	good = l.Statement(e.Index + 1).Body.(*receipt.Approval).Signature
	for i := range good {
		l := packtest.New("liar")
		e := asking(l, anyOf(1, "ana"))
		l.Signed(e, approve, "ana", func(a *receipt.Approval) {
			b := []byte(good)
			if b[i] ^= 1; b[i] < 0x20 && b[i] != '\n' {
				b[i] ^= 0x40
			}
			a.Signature = string(b)
		})
		if r := check(t, l.Pack(everything, pack.Options{}), verify.Options{Trust: trust(t, l.Trust())}); r.Exit != 1 {
			t.Fatalf("byte %d: exit %d", i, r.Exit)
		}
	}
}

func signers(t testing.TB, text string) *verify.Approvers {
	t.Helper()
	a, err := verify.ParseApprovers([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func keyOf(name string) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(packtest.Person(name).PublicKey())))
}

// TestPinnedApprovers: the auditor's file decides whose key it was.
func TestPinnedApprovers(t *testing.T) {
	l := packtest.New("pinned")
	e := asking(l, anyOf(1, "ana", "bo"))
	l.Signed(e, approve, "ana", nil)
	l.Approved(e, nil)
	b := l.Pack(everything, pack.Options{})
	ana, eve := keyOf("ana"), keyOf("eve")
	for _, c := range []struct {
		file string
		exit int
	}{
		{"ana " + ana + " a comment\n", 0},
		{"# people\n\nbo,ana\t" + ana, 0},
		{"ana namespaces=\"file,approval.v1@helm-ai-kernel\" " + ana + "\n", 0},
		{"ana namespaces=\"*\",valid-after=\"20260101Z\",valid-before=\"20270101Z\" " + ana + "\n", 0},
		{"ana valid-before=\"20260102150405Z\" " + ana + "\nana valid-after=\"20260102150406Z\" " + ana + "\n", 0},
		{"", 3},
		{"ana " + eve + "\n", 3},
		{"bo " + ana + "\n", 3},
		{"ana namespaces=\"file\" " + ana + "\n", 3},
		{"ana valid-after=\"20270101Z\" " + ana + "\n", 3},
		{"ana valid-before=\"20260102Z\" " + ana + "\n", 3},
	} {
		r := check(t, b, verify.Options{Trust: trust(t, l.Trust()), Approvers: signers(t, c.file)})
		if r.Exit != c.exit || (c.exit == 3) != strings.Contains(print(r), "[approver-unpinned]") {
			t.Errorf("%q: exit %d, want %d\n%s", c.file, r.Exit, c.exit, print(r))
		}
		if want := "key " + ssh.FingerprintSHA256(packtest.Person("ana").PublicKey()) + ", which the policy calls ana"; !strings.Contains(strings.ReplaceAll(print(r), "\n", " "), want) {
			t.Errorf("it does not say %q:\n%s", want, print(r))
		}
	}
}

// TestSignedReceipt verifies the receipt of an answer by itself.
func TestSignedReceipt(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(l *packtest.Log, e receipt.Ref) func(*receipt.Approval)
		pins *verify.Approvers
		exit int
		code string
	}{
		{"good", nil, nil, 0, "approval-signatures"},
		{"pinned", nil, signers(t, "ana "+keyOf("ana")+"\n"), 0, "approval-signatures"},
		{"not pinned", nil, signers(t, "bo "+keyOf("ana")+"\n"), 3, "approver-unpinned"},
		{"turned", func(l *packtest.Log, e receipt.Ref) func(*receipt.Approval) {
			return func(a *receipt.Approval) {
				resigned(a, receipt.ApprovalNamespace, text(l, e, a, " approve\n", " refuse\n"), "ana")
			}
		}, nil, 1, "approval-signature"},
	} {
		l := packtest.New("alone")
		e := asking(l, anyOf(1, "ana"))
		var edit func(*receipt.Approval)
		if c.edit != nil {
			edit = c.edit(l, e)
		}
		a := l.Signed(e, approve, "ana", edit)
		r, err := verify.Receipt(l.Receipt(a.Index, a.Index+1), nil, verify.Options{Trust: trust(t, l.Trust()), Approvers: c.pins})
		if err != nil || r.Exit != c.exit || !strings.Contains(print(r), "["+c.code+"]") {
			t.Errorf("%s: %v\n%s", c.name, err, print(r))
		}
	}
}

func TestApproversFile(t *testing.T) {
	ana := keyOf("ana")
	for _, c := range []struct{ file, says string }{
		{"ana", "line 1"},
		{"ana ssh-ed25519", "SSH public key"},
		{"ana ssh-ed25519 AAAA", "SSH public key"},
		{"*@corp.example " + ana, "patterns are not taken"},
		{"!ana " + ana, "patterns are not taken"},
		{"ana,,bo " + ana, "patterns are not taken"},
		{"ana cert-authority " + ana, "not of the form"},
		{"ana cert-authority=\"\" " + ana, `the option "cert-authority" is not taken`},
		{"ana no-touch-required=\"\" " + ana, "is not taken"},
		{"ana namespaces=\"x " + ana, "a quote is not closed"},
		{"ana namespaces=x " + ana, "not of the form"},
		{"ana namespaces=\"x\", " + ana, "not of the form"},
		{"ana namespaces=\"x\",namespaces=\"y\" " + ana, "given twice"},
		{"ana valid-after=\"20260101\" " + ana, "in UTC"},
		{"ana valid-after=\"2026-01-01\" " + ana, "in UTC"},
		{"ok " + ana + "\nana\x01 " + ana, "line 2: the byte 0x01"},
		{"\xc3\xa4na " + ana, "the byte 0xc3"},
		{strings.Repeat("#", verify.MaxApproversBytes+1), "at most"},
	} {
		if _, err := verify.ParseApprovers([]byte(c.file)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%.60q: %v, want %q", c.file, err, c.says)
		}
	}
}

func FuzzParseApprovers(f *testing.F) {
	f.Add("ana namespaces=\"*\",valid-after=\"20260101Z\" " + keyOf("ana") + "\n# x\n")
	f.Fuzz(func(t *testing.T, s string) { verify.ParseApprovers([]byte(s)) })
}

// TestManyEscalations: a pack that opens more than a kernel keeps is wrong, and costs no
// more memory; those that were answered or expired do not count.
func TestManyEscalations(t *testing.T) {
	if testing.Short() {
		t.Skip("a large log")
	}
	people := make([]string, 60)
	for i := range people {
		people[i] = fmt.Sprint("person-", i)
	}
	wide := anyOf(1, people...)
	requires := make([]receipt.Requirement, 5)
	for i := range requires {
		requires[i] = wide
		requires[i].Rule = fmt.Sprint("rule-", i)
	}
	for _, open := range []bool{true, false} {
		l := packtest.New("many")
		for range 1700 {
			l.Decide("a", "s", helm.Escalate, nil, func(d *receipt.Decision) {
				d.Escalation.Requires = requires
				d.Escalation.Expires = d.Now.Add(24 * time.Hour)
				if !open {
					d.Escalation.Expires = d.Now.Add(time.Second)
				}
			})
		}
		r := check(t, l.Pack(everything, pack.Options{}), verify.Options{Trust: trust(t, l.Trust())})
		if many := strings.Contains(print(r), "[approvals-many]"); many != open || (r.Exit == 1) != open {
			t.Errorf("open %t: exit %d, said: %t", open, r.Exit, many)
		}
	}
}
