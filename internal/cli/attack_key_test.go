package cli_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel/pack"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// A thief has a copy of the home from before the key was replaced, and the program.
type thief struct {
	victim
	key ed25519.PrivateKey
}

// export has the kernel of a home decide, and gives a pack of everything and a
// receipt of its last decision.
func (v *victim) export(t *testing.T, calls int) (pack, kept []byte) {
	t.Helper()
	d := launch(t, v.bin, v.home, "--policy", v.policy)
	defer d.stop()
	var last held
	for n := range calls {
		var err error
		if last, err = d.decide("a", "s", n); err != nil {
			t.Fatal(err)
		}
	}
	pack, err := d.send("GET", "/v1/evidence?all=true", "", true)
	if err != nil {
		t.Fatal(err)
	}
	return pack, append([]byte(last.Receipt), '\n')
}

// TestStolenKey: after keys rotate, nothing that the thief of the old key makes is
// believed by whoever has the home's trust file, or by the home itself.
func TestStolenKey(t *testing.T) {
	dir := t.TempDir()
	owner := &victim{bin: buildAll(t), home: filepath.Join(dir, "home"), policy: filepath.Join(dir, "policy.toml")}
	writePolicy(t, owner.policy, 1)
	before, keptBefore := owner.export(t, 3)
	th := &thief{victim: *owner}
	th.home = filepath.Join(dir, "stolen")
	copyHome(t, owner.home, th.home)
	b, err := os.ReadFile(filepath.Join(th.home, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	th.key = key.(ed25519.PrivateKey)

	owner.must(t, "keys", "rotate")
	after, kept := owner.export(t, 3)
	fork, keptFork := th.export(t, 9)
	forked := filepath.Join(dir, "forked")
	copyHome(t, th.home, forked)
	th.must(t, "keys", "rotate")
	again, _ := th.export(t, 3)

	if code, out := owner.verify(t, after); code != 0 {
		t.Fatalf("the owner's pack: exit %d: %s", code, out)
	}
	for _, c := range []struct {
		name string
		pack []byte
		want string
	}{
		{"a fork", fork, "[signer-other]"},
		{"a fork that changed to the thief's own key", again, "[signer-other]"},
		{"the log as it was before", before, "[signer-other]"},
		{"the owner's log, its checkpoint and pack.json signed by the old key", th.sign(t, after, nil), "[checkpoint-signature]"},
		{"the owner's log, its last entry signed by the old key", th.sign(t, after, th.lastEntry), "[entry-signature]"},
	} {
		if code, out := owner.verify(t, c.pack); code != 1 || !strings.Contains(out, c.want) {
			t.Errorf("%s: exit %d, want %s: %s", c.name, code, c.want, out)
		}
	}

	// Receipts, and what was kept from before.
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	oldTrust, trust := filepath.Join(forked, "trust.policy"), filepath.Join(owner.home, "trust.policy")
	for _, c := range []struct {
		name string
		exit int
		args []string
	}{
		{"a receipt of now", 0, []string{"receipt", "--trust", trust, file("kept", kept)}},
		{"a receipt of the fork", 1, []string{"receipt", "--trust", trust, file("keptFork", keptFork)}},
		{"a receipt from before, with the new key", 1, []string{"receipt", "--trust", trust, file("keptBefore", keptBefore)}},
		{"a receipt from before, with the old key", 0, []string{"receipt", "--trust", oldTrust, file("keptBefore", keptBefore)}},
		{"a pack from before, with the old key", 0, []string{"--trust", oldTrust, file("before.tar", before)}},
		{"a pack of now beside a receipt from before", 0, []string{"--trust", trust, "--since-checkpoint", file("keptBefore", keptBefore), file("after.tar", after)}},
		{"a pack of now beside a receipt of the fork", 1, []string{"--trust", trust, "--since-checkpoint", file("keptFork", keptFork), file("after.tar", owner.longer(t))}},
	} {
		for _, program := range [][]string{{"helm-verify"}, {"helm-ai-kernel", "verify"}} {
			if code, out := owner.helm(t, program[0], append(program[1:], c.args...)...); code != c.exit {
				t.Errorf("%s: %s: exit %d, want %d: %s", c.name, program[0], code, c.exit, out)
			}
		}
	}

	// The fork in place of the owner's log, with and without its high-water file.
	for _, names := range [][]string{{"log.db"}, {"log.db", "high-water"}} {
		attacked := *owner
		attacked.home = filepath.Join(t.TempDir(), "home")
		copyHome(t, owner.home, attacked.home)
		for _, name := range names {
			b, err := os.ReadFile(filepath.Join(forked, name))
			if err != nil {
				t.Fatal(err)
			}
			attacked.edit(t, name, func([]byte) []byte { return b })
		}
		for _, args := range [][]string{{"serve", "--policy", owner.policy, "--listen", "127.0.0.1:0"}, {"log", "check"}, {"keys", "rotate"}} {
			if code, out := attacked.helm(t, "helm-ai-kernel", args...); code != 1 || !strings.Contains(out, "the log's key is") {
				t.Errorf("%v with %v of the fork: exit %d: %s", args, names, code, out)
			}
		}
	}
}

// longer is a pack of the owner's log when it is longer than the fork.
func (v *victim) longer(t *testing.T) []byte {
	t.Helper()
	b, _ := v.export(t, 12)
	return b
}

// lastEntry signs the last entry of a pack with the old key.
func (th *thief) lastEntry(t *testing.T, f *packFile) {
	t.Helper()
	if f.name != pack.Entries {
		return
	}
	lines := strings.SplitAfter(string(f.data), "\n")
	last := len(lines) - 2
	e, err := receipt.ParseEnvelope([]byte(strings.TrimSuffix(lines[last], "\n")))
	if err != nil {
		t.Fatal(err)
	}
	if e.Signatures[0], err = receipt.Sign(th.key, e.Payload); err != nil {
		t.Fatal(err)
	}
	b, err := e.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	lines[last] = string(b) + "\n"
	f.data = []byte(strings.Join(lines, ""))
}

// sign signs what a kernel signs of a whole pack, after edit.
func (th *thief) sign(t *testing.T, b []byte, edit func(*testing.T, *packFile)) []byte {
	t.Helper()
	files := openPack(t, b)
	var listed []receipt.Subject
	for i := range files {
		f := &files[i]
		switch f.name {
		case pack.Checkpoint:
			c, _, err := receipt.ParseCheckpoint(string(f.data))
			if err != nil {
				t.Fatal(err)
			}
			signed, err := receipt.SignCheckpoint(th.key, c)
			if err != nil {
				t.Fatal(err)
			}
			f.data = []byte(signed)
		case pack.PackFile:
			env, err := receipt.ParsePackFile(f.data)
			if err != nil {
				t.Fatal(err)
			}
			p, err := receipt.ParsePack(env.Payload)
			if err != nil {
				t.Fatal(err)
			}
			p.Files = listed
			if f.data, err = th.packFile(p); err != nil {
				t.Fatal(err)
			}
		}
		if edit != nil {
			edit(t, f)
		}
		listed = append(listed, receipt.Subject{Name: f.name, SHA256: sha256.Sum256(f.data)})
	}
	return closePack(t, files)
}

func (th *thief) packFile(p *receipt.Pack) ([]byte, error) {
	st, err := p.Marshal()
	if err != nil {
		return nil, err
	}
	sig, err := receipt.Sign(th.key, st)
	if err != nil {
		return nil, fmt.Errorf("pack.json: %w", err)
	}
	return receipt.MarshalPackFile(&receipt.Envelope{Payload: st, Signatures: []receipt.Signature{sig}})
}
