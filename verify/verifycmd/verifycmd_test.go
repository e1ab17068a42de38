package verifycmd_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/pack"
	"github.com/helm-ai-kernel/helm-ai-kernel/pack/packtest"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/verify/verifycmd"
)

// run runs the command in a folder that has a pack, a trust file, a receipt and
// what belongs to them.
func run(t *testing.T, dir string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	t.Chdir(dir)
	var out, errs bytes.Buffer
	code = verifycmd.Run(verifycmd.Command{Name: "helm-verify", Args: args, DefaultTrust: "default.policy", Stdout: &out, Stderr: &errs})
	return code, out.String(), errs.String()
}

func write(t *testing.T, dir, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func setup(t *testing.T) (string, *packtest.Log) {
	t.Helper()
	dir := t.TempDir()
	l := packtest.New("command")
	p := l.Payload(`{"amount":7,"to":"acct_9"}`)
	d := l.Decide("agent.a", "s1", helm.Allow, p, nil)
	l.Outcome(d, helm.OutcomeOK, nil)
	write(t, dir, "evidence-pack.tar", l.Pack(receipt.Query{Agent: "agent.a"}, pack.Options{}))
	write(t, dir, "trust.policy", []byte(l.Trust()))
	write(t, dir, "kept", []byte(l.Checkpoint(l.Size())))
	write(t, dir, "receipt.json", l.Receipt(d.Index, l.Size()))
	write(t, dir, "call.json", []byte(`{"opening":"`+base64.StdEncoding.EncodeToString(p.Secret[:])+`","arguments":{"to":"acct_9", "amount":7}}`))
	write(t, dir, "other.json", []byte(`{"opening":"`+base64.StdEncoding.EncodeToString(p.Secret[:])+`","arguments":{"to":"acct_9","amount":7.0}}`))
	return dir, l
}

func TestCommand(t *testing.T) {
	dir, l := setup(t)
	bad := bytes.Clone(l.Receipt(2, l.Size()))
	i := bytes.Index(bad, []byte(`"sig":"`)) + 8
	bad[i] ^= 3
	write(t, dir, "bad.json", bad)
	write(t, dir, "noproof.json", append(bad[:bytes.Index(bad, []byte(`,"proof"`))], "}\n"...))
	for _, row := range []struct {
		args string
		code int
		out  string // somewhere in stdout or stderr
	}{
		{"evidence-pack.tar", 3, "[signer-unknown]"},
		{"evidence-pack.tar --trust trust.policy", 0, "VERIFIED"},
		{"--trust trust.policy evidence-pack.tar", 0, "VERIFIED"},
		{"--trust=trust.policy --expect agent=agent.a --since-checkpoint kept evidence-pack.tar", 0, "[kept]"},
		{"evidence-pack.tar --trust trust.policy --expect agent=agent.b", 3, "[query-narrower]"},
		{"evidence-pack.tar --trust trust.policy --expect agent=agent.a,since=2026-01-02T15:04:05Z", 0, "[query-covers]"},
		{"evidence-pack.tar --trust trust.policy --json", 0, `{"exit":0,`},
		{"receipt receipt.json", 3, "[signer-unknown]"},
		{"receipt receipt.json --trust trust.policy", 0, "VERIFIED"},
		{"receipt receipt.json --trust trust.policy --call call.json", 0, "[call]"},
		{"receipt receipt.json --trust trust.policy --call other.json", 1, "[call]"},
		{"receipt bad.json --trust trust.policy", 1, "[signer-other]"},
		{"receipt noproof.json --trust trust.policy", 2, "no proof"},
		{"receipt kept --trust trust.policy", 2, "parse envelope"},
		{"kept", 2, "open pack"},
		{"missing.tar", 2, "no such file"},
		{".", 2, "not a regular file"},
		{"evidence-pack.tar --trust kept", 2, "trust file: line 1"},
		{"evidence-pack.tar --since-checkpoint trust.policy", 2, "checkpoint"},
		{"", 2, "usage:"},
		{"a b", 2, "usage:"},
		{"evidence-pack.tar --no-such-flag", 2, "usage:"},
		{"evidence-pack.tar --expect agent", 2, "usage:"},
		{"evidence-pack.tar --expect x=y", 2, "usage:"},
		{"evidence-pack.tar --expect session=s1", 2, "name the agent too"},
		{"evidence-pack.tar --call call.json", 2, "usage:"},
		{"show evidence-pack.tar 2 --statement", 0, `"agent":"agent.a"`},
		{"show evidence-pack.tar 7 --statement", 2, "entry 7 is not in the pack"},
		{"show evidence-pack.tar 0 --fields", 2, "payload of entry 0"},
		{"show evidence-pack.tar x --sig", 2, "usage:"},
		{"show evidence-pack.tar pack --fields", 2, "usage:"},
		{"show evidence-pack.tar 2 --sig --pae", 2, "one part"},
		{"--help", 0, "exit codes:"},
	} {
		code, out, errs := run(t, dir, strings.Fields(row.args)...)
		if code != row.code || !strings.Contains(out+errs, row.out) {
			t.Errorf("helm-verify %s: exit %d, want %d with %q:\n%s%s", row.args, code, row.code, row.out, out, errs)
		}
		if (code == 2) != (errs != "") {
			t.Errorf("helm-verify %s: exit %d, and stderr is %q", row.args, code, errs)
		}
	}
	write(t, dir, "default.policy", []byte(l.Trust()))
	if code, out, _ := run(t, dir, "evidence-pack.tar"); code != 0 {
		t.Errorf("with a default trust file: exit %d\n%s", code, out)
	}
	_, out, _ := run(t, dir, "evidence-pack.tar", "--json")
	if !json.Valid([]byte(out)) {
		t.Errorf("--json printed %q", out)
	}
}

// TestByHand verifies a signature, a digest and a disclosure with tools of other
// people, on what comes out of a pack, as README.txt in it says.
func TestByHand(t *testing.T) {
	dir, _ := setup(t)
	show := func(which, part string) []byte {
		code, out, errs := run(t, dir, "show", "evidence-pack.tar", which, "--"+part)
		if code != 0 {
			t.Fatalf("show %s --%s: exit %d: %s", which, part, code, errs)
		}
		write(t, dir, part, []byte(out))
		return []byte(out)
	}
	tool := func(name string, args ...string) string {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("there is no %s", name)
		}
		c := exec.Command(name, args...)
		c.Dir = dir
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	for _, which := range []string{"pack", "0", "2", "3"} {
		show(which, "pae")
		show(which, "sig")
		show(which, "key")
		if out := tool("openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "key", "-rawin", "-in", "pae", "-sigfile", "sig"); !strings.Contains(out, "Verified Successfully") {
			t.Errorf("%s: openssl says %q", which, out)
		}
	}
	st, err := receipt.ParseStatement(show("2", "statement"))
	if err != nil {
		t.Fatal(err)
	}
	show("2", "fields")
	if out, _, _ := strings.Cut(tool("sha256sum", "fields"), " "); out != fmt.Sprintf("%x", st.Subject.SHA256) {
		t.Errorf("sha256sum of the fields file is %s, the statement's subject %x", out, st.Subject.SHA256)
	}
	p, err := receipt.ParsePack(show("pack", "statement"))
	if err != nil {
		t.Fatal(err)
	}
	tool("tar", "xf", "evidence-pack.tar")
	for _, f := range p.Files {
		if out, _, _ := strings.Cut(tool("sha256sum", f.Name), " "); out != fmt.Sprintf("%x", f.SHA256) {
			t.Errorf("sha256sum of %s is %s, pack.json lists %x", f.Name, out, f.SHA256)
		}
	}
}
