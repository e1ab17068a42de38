package policy

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	helm "github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// publicKey is an SSH key of that person's own, as authorized_keys holds it.
func publicKey(name string) string {
	seed := bytes.Repeat([]byte(name), 32)[:32]
	return authorized(ed25519.NewKeyFromSeed(seed).Public())
}

func authorized(key any) string {
	k, err := ssh.NewPublicKey(key)
	if err != nil {
		panic(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k)))
}

// approver is a person in a policy file; more are further keys of the table.
func approver(name string, more ...string) string {
	return fmt.Sprintf("[[approver]]\nname = %q\nkey = %q\n%s\n", name, publicKey(name), strings.Join(more, "\n"))
}

const finance, security, gone = `groups = ["finance"]`, `groups = ["security", "finance"]`, "revoked = true"

var people = approver("ana", finance) + approver("bo", finance) + approver("cy", security) + approver("dan", finance, gone)

func asking(approvers string) string {
	return head + decl + people + "[[rule]]\nid = \"r\"\nverdict = \"ESCALATE\"\ntools = [\"pay.transfer\"]\napprovers = " + approvers + "\n"
}

func names(r receipt.Requirement) string {
	var all []string
	for _, k := range r.Keys {
		all = append(all, k.Name)
	}
	slices.Sort(all)
	if len(all) == 0 && r.Count > 0 {
		all = []string{"none"}
	}
	return fmt.Sprint(r.Count, " of ", strings.Join(all, " "))
}

func TestRequirements(t *testing.T) {
	for _, c := range []struct{ approvers, agent, principal, want string }{
		{`{}`, "a", "none", "0 of "},
		{`{ expires = "1m" }`, "a", "none", "0 of "},
		{`{ any_of = ["ana"] }`, "a", "none", "1 of ana"},
		{`{ any_of = ["group:finance"] }`, "a", "none", "1 of ana bo cy"}, // dan is revoked
		{`{ any_of = ["group:finance", "cy"], count = 3 }`, "a", "none", "3 of ana bo cy"},
		{`{ any_of = ["ana", "dan"] }`, "a", "none", "1 of ana"},
		{`{ all_of = ["ana", "bo"] }`, "a", "none", "1 of ana, 1 of bo"},
		{`{ all_of = ["group:security", "group:finance"] }`, "a", "none", "1 of ana bo cy, 1 of cy"},
		{`{ all_of = ["cy", "group:security"] }`, "a", "none", "1 of cy"},                                        // they ask for the same
		{`{ all_of = ["group:finance"], any_of = ["group:finance"], count = 2 }`, "a", "none", "2 of ana bo cy"}, // the most of both
		{`{ all_of = ["ana"], any_of = ["bo", "cy"] }`, "a", "none", "1 of ana, 1 of bo cy"},
		{`{ any_of = ["group:finance"] }`, "ana", "none", "1 of bo cy"},
		{`{ any_of = ["group:finance"] }`, "Ana", "none", "1 of bo cy"},
		{`{ any_of = ["group:finance"] }`, "a", "agent:bo", "1 of ana cy"},
		{`{ any_of = ["group:finance"] }`, "a", "bo", "1 of ana cy"},
		{`{ any_of = ["group:finance"] }`, "ana", "agent:bo", "1 of cy"},
		{`{ any_of = ["group:finance"] }`, "anab", "agent:anab", "1 of ana bo cy"},
		{`{ all_of = ["ana"] }`, "a", "agent:ana", "1 of none"},
	} {
		p, err := Compile("test.toml", []byte(asking(c.approvers)))
		if err != nil {
			t.Errorf("%s: %v", c.approvers, err)
			continue
		}
		var got []string
		all, ok := p.Requirements("r", c.agent, c.principal)
		for _, r := range all {
			got = append(got, names(r))
		}
		if ok == strings.Contains(c.want, "1 of none") {
			t.Errorf("%s, asked by %s as %s: it can be answered: %t", c.approvers, c.agent, c.principal, ok)
		}
		slices.Sort(got)
		if s := strings.Join(got, ", "); s != c.want {
			t.Errorf("%s, asked by %s as %s: %s; want %s", c.approvers, c.agent, c.principal, s, c.want)
		}
	}
}

// Each row is a file that must be refused, and a part of what must be said.
func TestApproversRefused(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	key := func(key string) string { return head + decl + "[[approver]]\nname = \"x\"\nkey = \"" + key + "\"\n" }
	for _, c := range []struct{ name, src, want string }{
		{"no name", head + decl + "[[approver]]\nkey = \"" + publicKey("x") + "\"\n", "name is missing here"},
		{"no key", head + decl + "[[approver]]\nname = \"x\"\n", "key is missing here"},
		{"unknown key of the table", head + decl + approver("x", "group = []"), `the key "group" is not known here; did you mean "groups"?`},
		{"no SSH key", key("AAAA"), "test.toml:15:7:"},
		{"a private key", key("-----BEGIN OPENSSH PRIVATE KEY-----"), "test.toml:15:7:"},
		{"weak RSA", key(authorized(weak.Public())), "2048"},
		{"a name with a comma", head + decl + strings.Replace(approver("x"), `"x"`, `"x,y"`, 1), `the name "x,y" must be`},
		{"a name with a star", head + decl + strings.Replace(approver("x"), `"x"`, `"*"`, 1), `the name "*" must be`},
		{"a name that is an option", head + decl + strings.Replace(approver("x"), `"x"`, `"-n"`, 1), `begin with a letter or digit`},
		{"a name like an operator's", head + decl + strings.Replace(approver("x"), `"x"`, `"operator:x"`, 1), `must be`},
		{"a group's name", head + decl + approver("x", `groups = ["a b"]`), `the group "a b" must be`},
		{"revoked is text", head + decl + approver("x", `revoked = "yes"`), "revoked must be true or false, this is a string"},
		{"one name twice", head + decl + approver("x") + strings.Replace(approver("y"), `"y"`, `"x"`, 1), `the [[approver]] name "x" is already on line`},
		{"one key under two names", head + decl + approver("x") + strings.Replace(approver("x"), `"x"`, `"y"`, 1), `of "y" is that of "x" too`},
		{"a revoked key under another name", head + decl + approver("x", gone) + strings.Replace(approver("x"), `"x"`, `"y"`, 1), `of "y" is that of "x" too`},
		{"one key with two comments", head + decl + approver("x") + strings.Replace(strings.Replace(approver("x"), `"x"`, `"y"`, 1), "\"\n\n", " y@corp\"\n", 1), `of "y" is that of "x" too`},

		{"nobody of that name", asking(`{ any_of = ["anna"] }`), `no [[approver]] is named "anna"; did you mean "ana"?`},
		{"nobody in that group", asking(`{ all_of = ["group:finanec"] }`), `no [[approver]] is in the group "finanec"; did you mean "group:finance"?`},
		{"a group without group:", asking(`{ any_of = ["finance"] }`), `no [[approver]] is named "finance"; did you mean "group:finance"?`},
		{"a person with group:", asking(`{ any_of = ["group:ana"] }`), `no [[approver]] is in the group "ana"`},
		{"nobody", asking(`{ any_of = [] }`), "any_of names nobody"},
		{"not a list", asking(`{ any_of = "ana" }`), "any_of must be an array of strings, this is a string"},
		{"twice", asking(`{ any_of = ["ana", "ana"] }`), `any_of names "ana" twice`},
		{"count of too few", asking(`{ any_of = ["group:finance"], count = 4 }`), "4 of any_of must answer, and 3 can"},
		{"count over names and their group", asking(`{ any_of = ["cy", "group:security"], count = 2 }`), "2 of any_of must answer, and 1 can"},
		{"count 0", asking(`{ any_of = ["ana"], count = 0 }`), "count must be an integer from 1"},
		{"count -1", asking(`{ any_of = ["ana"], count = -1 }`), "count must be an integer from 1"},
		{"count of all_of", asking(`{ all_of = ["ana"], count = 1 }`), "there is no any_of"},
		{"only revoked", asking(`{ any_of = ["dan"] }`), "1 of any_of must answer, and 0 can"},
		{"all of the revoked", asking(`{ all_of = ["ana", "dan"] }`), `nobody can answer for "dan"`},
		{"a slip", asking(`{ anyof = ["ana"] }`), `the key "anyof" is not known here; did you mean "any_of"?`},
		{"approvers of a DENY", strings.Replace(asking(`{ any_of = ["ana"] }`), "ESCALATE", "DENY", 1), "approvers belong to a rule whose verdict is ESCALATE"},
		{"of a budget", head + decl + "[[budget]]\nid = \"b\"\ntools = [\"pay.transfer\"]\nper = \"all\"\nlimit = 1\nwindow = \"1h\"\nverdict = \"ESCALATE\"\napprovers = { any_of = [\"eve\"] }\n", `no [[approver]] is named "eve"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Compile("test.toml", []byte(c.src))
			if err == nil {
				t.Fatalf("it is accepted:\n%s", c.src)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%v\nwant %s", err, c.want)
			}
		})
	}
}

// TestTooManyKeys: what a receipt lists is bounded.
func TestTooManyKeys(t *testing.T) {
	var b strings.Builder
	for i := range MaxKeysOfRule + 1 {
		b.WriteString(approver(fmt.Sprintf("p%d", i), `groups = ["all"]`))
	}
	src := head + decl + b.String() + "[[rule]]\nid = \"r\"\nverdict = \"ESCALATE\"\ntools = [\"pay.transfer\"]\napprovers = { any_of = [\"group:all\"] }\n"
	if _, err := Compile("test.toml", []byte(src)); err == nil || !strings.Contains(err.Error(), "65 keys could answer: at most 64") {
		t.Fatalf("%v", err)
	}
}

// TestKindsOfKeys: a comment is no part of a key.
func TestKindsOfKeys(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	strong, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{publicKey("x"), authorized(ec.Public()), authorized(strong.Public())} {
		p, err := Compile("test.toml", []byte(head+decl+"[[approver]]\nname = \"x\"\nkey = \""+key+" x@laptop\"\n"))
		if err != nil {
			t.Fatal(err)
		}
		a := p.Approvers()[0]
		if a.Key != key || !strings.HasPrefix(a.Fingerprint, "SHA256:") {
			t.Errorf("%q has the key %q and the fingerprint %q", key, a.Key, a.Fingerprint)
		}
	}
}

func TestExpires(t *testing.T) {
	p, err := Compile("test.toml", []byte(asking(`{ any_of = ["ana"], expires = "2h" }`)))
	if err != nil {
		t.Fatal(err)
	}
	if p.Expires("r") != 2*time.Hour || p.Expires("other") != DefaultExpires {
		t.Errorf("r: %s, other: %s", p.Expires("r"), p.Expires("other"))
	}
	if r := p.Evaluate(Input{Tool: "pay.transfer", Agent: "a", Session: "s", Principal: "none", Boundary: "test", Arguments: parse(t, `{"amount":1,"to":"x"}`)}); r.Verdict != helm.Escalate {
		t.Errorf("%+v", r)
	}
}

func TestAllowedSigners(t *testing.T) {
	p, err := Compile("test.toml", []byte(asking(`{ any_of = ["ana"] }`)))
	if err != nil {
		t.Fatal(err)
	}
	want := ""
	for _, name := range []string{"ana", "bo", "cy"} { // dan is revoked
		want += name + ` namespaces="n" ` + publicKey(name) + "\n"
	}
	if got := string(p.AllowedSigners("n")); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}
