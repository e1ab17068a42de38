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
	code = verifycmd.Run(verifycmd.Command{Name: "helm-verify", Version: "v1.2.3", Args: args, DefaultTrust: func() string { return "default.policy" }, Stdout: &out, Stderr: &errs})
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
	good, tarred := l.Receipt(2, l.Size()), l.Pack(receipt.Query{Agent: "agent.a"}, pack.Options{})
	for name, b := range map[string]string{
		"empty":       "",
		"padded.tar":  string(tarred) + strings.Repeat("\x00", 512),
		"short.tar":   string(tarred[:len(tarred)-512]),
		"text.tar":    strings.Repeat("no tar\n", 100),
		"pretty.json": strings.Replace(string(good), `{"payload":`, "{\n  \"payload\": ", 1),
		"answer.json": `{"id":"00","index":2,"verdict":"ALLOW","receipt":` + string(good[:len(good)-1]) + "}\n",
		"policy.toml": "# who may pay\n[policy]\nid = \"p\"\n",
		"pack.tar.gz": "\x1f\x8b\x08\x00",
		"log.db":      "SQLite format 3\x00",
		"noise":       "\x00\x1b[2Jnoise",
	} {
		write(t, dir, name, []byte(b))
	}
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
		{"missing.tar", 2, "no such file"},
		{"evidence-pack.tar --trust missing.policy", 2, "no such file"},
		{"evidence-pack.tar --trust kept", 2, "kept: trust file: line 1"},
		{"evidence-pack.tar --since-checkpoint trust.policy", 2, "trust.policy is neither a checkpoint nor a receipt"},
		{"evidence-pack.tar --since-checkpoint receipt.json --trust trust.policy", 0, "[kept]"},
		{"show evidence-pack.tar 2 --statement", 0, `"agent":"agent.a"`},
		{"show evidence-pack.tar 7 --statement", 2, "entry 7 is not in the pack"},
		{"show evidence-pack.tar 0 --fields", 2, "payload of entry 0"},

		// Which trust file it was.
		{"evidence-pack.tar", 3, "\ntrust file   none\n"},
		{"evidence-pack.tar --trust trust.policy", 0, "\ntrust file   trust.policy\n"},
		{"evidence-pack.tar --trust ./trust.policy --json", 0, `"trust_file":"./trust.policy"`},
		{"receipt receipt.json --trust trust.policy", 0, "\ntrust file   trust.policy\n"},

		// What is expected adds up.
		{"evidence-pack.tar --trust trust.policy --expect agent=agent.a --expect session=s1", 0, "[query-covers]"},
		{"evidence-pack.tar --trust trust.policy --expect session=s1 --expect agent=agent.a", 0, "[query-covers]"},
		{"evidence-pack.tar --trust trust.policy --expect agent=agent.a,session=s1", 0, "[query-covers]"},
		{"evidence-pack.tar --trust trust.policy --expect agent=agent.b --expect session=s1", 3, "[query-narrower]"},
		{"evidence-pack.tar --expect agent=a --expect agent=b", 2, "agent is named twice"},
		{"evidence-pack.tar --expect agent=a,agent=a", 2, "agent is named twice"},
		{"evidence-pack.tar --expect agent=a,sesion=s1", 2, `"sesion" is not one of agent, session, since, until; did you mean "session"?`},
		{"evidence-pack.tar --expect x=y", 2, `"x" is not one of agent, session, since, until`},
		{"evidence-pack.tar --expect agent", 2, "--expect"},
		{"evidence-pack.tar --expect since=yesterday", 2, `"yesterday" is not a time such as 2026-01-02T15:04:05Z`},
		{"evidence-pack.tar --expect session=s1", 2, "name the agent too"},

		// Wrong usage.
		{"", 2, "PACK is missing: PACK"},
		{"receipt", 2, "FILE is missing: receipt FILE"},
		{"list", 2, "PACK is missing: list PACK"},
		{"show evidence-pack.tar --sig", 2, "INDEX is missing: show PACK INDEX"},
		{"a b", 2, `"b" is one argument too many`},
		{"recipt receipt.json", 2, `did you mean "receipt"?`},
		{"evidence-pack.tar --no-such-flag", 2, `there is no flag "--no-such-flag"`},
		{"evidence-pack.tar --trsut trust.policy", 2, `there is no flag "--trsut"; did you mean "--trust"?`},
		{"evidence-pack.tar --trust", 2, "--trust needs a value"},
		{"evidence-pack.tar --trust=", 2, "--trust needs a value"},
		{"evidence-pack.tar --trust trust.policy --trust kept", 2, "--trust is given twice"},
		{"evidence-pack.tar --json=perhaps", 2, `--json is true or false, not "perhaps"`},
		{"evidence-pack.tar --call call.json", 2, "--call belongs to a receipt"},
		{"evidence-pack.tar --full", 2, "--full belongs to a list"},
		{"evidence-pack.tar --sig", 2, "--sig is a part for show"},
		{"show evidence-pack.tar x --sig", 2, "neither an index nor pack"},
		{"show evidence-pack.tar pack --fields", 2, "no fields"},
		{"show evidence-pack.tar 2", 2, "which part"},
		{"show evidence-pack.tar 2 --sig --pae", 2, "one part at a time"},

		// Files that are something else.
		{"empty", 2, "empty is empty"},
		{"receipt empty", 2, "empty is empty"},
		{".", 2, ". is a directory"},
		{"receipt .", 2, "directory"},
		{"receipt.json", 2, "is a receipt, not a pack: it is verified by helm-verify receipt receipt.json"},
		{"list receipt.json", 2, "is a receipt, not a pack"},
		{"show receipt.json 0 --sig", 2, "is a receipt, not a pack"},
		{"receipt evidence-pack.tar", 2, "is a tar file, not a receipt: a pack is verified by helm-verify evidence-pack.tar"},
		{"receipt pretty.json", 2, "is a receipt that was formatted anew"},
		{"receipt answer.json", 2, "jq -c .receipt answer.json"},
		{"receipt call.json", 2, "is other JSON, not a receipt"},
		{"kept", 2, "is a checkpoint, not a pack"},
		{"receipt kept --trust trust.policy", 2, "is a checkpoint, not a receipt"},
		{"trust.policy", 2, "is a trust file, not a pack: it is brought with --trust"},
		{"policy.toml", 2, "is a policy, not a pack"},
		{"pack.tar.gz", 2, "is compressed by gzip, not a pack: gunzip"},
		{"log.db", 2, "is an SQLite database, not a pack"},
		{"noise", 2, `is not a pack: a pack is the tar file that "helm-ai-kernel evidence export" writes`},
		{"receipt noise", 2, "is not a receipt"},
		{"padded.tar", 2, "a pack is kept as it was exported"},
		{"short.tar", 2, "it is cut off"},
		{"text.tar", 2, "is not a pack"},
		{"receipt receipt.json --call noise", 2, "the call: "},
		{"evidence-pack.tar --trust evidence-pack.tar", 2, "evidence-pack.tar: trust file"},

		{"version", 0, "v1.2.3\n"},
		{"--version", 0, "v1.2.3\n"},
		{"--version --json", 0, `{"version":"v1.2.3"}`},
		{"help", 0, "exit codes:"},
		{"-h", 0, "exit codes:"},
		{"list --no-such-flag --help", 2, "no flag"},
		{"--help", 0, "exit codes:"},
	} {
		code, out, errs := run(t, dir, strings.Fields(row.args)...)
		if code != row.code || !strings.Contains(out+errs, row.out) {
			t.Errorf("helm-verify %s: exit %d, want %d with %q:\n%s%s", row.args, code, row.code, row.out, out, errs)
		}
		if code == 2 && (out != "" || !strings.HasPrefix(errs, "helm-verify: ")) || strings.ContainsAny(out+errs, "\x00\x1b") {
			t.Errorf("helm-verify %s: exit %d, stdout %q, stderr %q", row.args, code, out, errs)
		}
		for _, inner := range []string{"jsontext", "json: ", "strconv", "parsing time", "flag provided"} {
			if strings.Contains(strings.ReplaceAll(errs, ".json:", ""), inner) {
				t.Errorf("helm-verify %s: %q is no wording for people", row.args, errs)
			}
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
// people, on what comes out of a pack.
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

// TestReadme runs the commands by hand that README.txt in a pack gives.
func TestReadme(t *testing.T) {
	for _, name := range []string{"bash", "tar", "sha256sum", "openssl"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("there is no %s", name)
		}
	}
	dir, _ := setup(t)
	_, key, _ := run(t, dir, "show", "evidence-pack.tar", "pack", "--key")
	write(t, dir, "log.pem", []byte(key))
	bash := func(script string) string {
		c := exec.Command("bash", "-euo", "pipefail", "-c", script)
		c.Dir = dir
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s\n%s", err, script, out)
		}
		return string(out)
	}
	_, byHand, ok := strings.Cut(bash("tar xOf evidence-pack.tar README.txt"), "\n2. By hand")
	if !ok {
		t.Fatal("README.txt has no part 2")
	}
	var script strings.Builder
	for line := range strings.Lines(byHand) {
		if command, ok := strings.CutPrefix(line, "     "); ok {
			script.WriteString(command)
		}
	}
	out := bash(script.String())
	listed := bash("cat statement")
	for line := range strings.Lines(out) {
		digest, name, ok := strings.Cut(strings.TrimSpace(line), "  ")
		if ok && (!strings.Contains(listed, `{"name":"`+name+`","digest":{"sha256":"`+digest+`"}}`) || strings.HasPrefix(name, "policies/") && !strings.Contains(name, digest)) {
			t.Errorf("pack.json does not list %s", line)
		}
	}
	if strings.Count(out, "  ") != 5 || !strings.Contains(out, "Signature Verified Successfully") {
		t.Errorf("the commands print\n%s", out)
	}
}
