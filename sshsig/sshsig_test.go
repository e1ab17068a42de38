package sshsig_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/helm-ai-kernel/helm-ai-kernel/sshsig"
	"github.com/helm-ai-kernel/helm-ai-kernel/sshsig/sshsign"
)

const namespace = "test@example"

func signers(t testing.TB) map[string]ssh.Signer {
	t.Helper()
	out := map[string]ssh.Signer{}
	for name, make := range map[string]func() (any, error){
		"ed25519":  func() (any, error) { _, k, err := ed25519.GenerateKey(nil); return k, err },
		"ecdsa":    func() (any, error) { return ecdsa.GenerateKey(elliptic.P384(), rand.Reader) },
		"rsa 3072": func() (any, error) { return rsa.GenerateKey(rand.Reader, 3072) },
	} {
		k, err := make()
		if err != nil {
			t.Fatal(err)
		}
		if out[name], err = ssh.NewSignerFromKey(k); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// TestRoundTrip: the signature is by exactly that key over exactly that message, and
// in no other writing.
func TestRoundTrip(t *testing.T) {
	for name, s := range signers(t) {
		text, err := sshsign.Sign(namespace, []byte("message"), s)
		if err != nil {
			t.Fatal(err)
		}
		k, err := sshsig.Verify(namespace, []byte("message"), text)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		again, err := sshsig.ParseKey(k.String() + " a comment")
		if err != nil || again.Fingerprint() != ssh.FingerprintSHA256(s.PublicKey()) {
			t.Errorf("%s: %v, %v", name, again, err)
		}
		for what, bad := range map[string]string{
			"nothing": "", "without its end": strings.TrimSuffix(text, "\n"), "an LF more": text + "\n", "CRLF": strings.ReplaceAll(text, "\n", "\r\n"),
			"in one line": strings.Replace(text, "\n", "", 2), "a changed byte": text[:len(text)-60] + "A" + text[len(text)-59:], "cut": text[:100] + text[len(text)-29:],
		} {
			if bad == text {
				continue
			}
			if _, err := sshsig.Verify(namespace, []byte("message"), bad); err == nil {
				t.Errorf("%s: a signature with %s verifies", name, what)
			}
		}
		if _, err := sshsig.Verify(namespace, []byte("massage"), text); err == nil {
			t.Errorf("%s: another message verifies", name)
		}
		if _, err := sshsig.Verify("file", []byte("message"), text); err == nil || !strings.Contains(err.Error(), "namespace") {
			t.Errorf("%s: another namespace: %v", name, err)
		}
	}
}

func TestKeysThatAreNotTaken(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(weak)
	if err != nil {
		t.Fatal(err)
	}
	line := string(ssh.MarshalAuthorizedKey(s.PublicKey()))
	if _, err := sshsig.ParseKey(line); err == nil || !strings.Contains(err.Error(), "2048 bits") {
		t.Errorf("%v", err)
	}
	if text, err := sshsign.Sign(namespace, nil, s); err != nil {
		t.Error(err)
	} else if _, err := sshsig.Verify(namespace, nil, text); err == nil {
		t.Error("a signature of a weak key verifies")
	}
	for _, bad := range []string{"", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-rsa " + strings.Fields(line)[0], line + line} {
		if _, err := sshsig.ParseKey(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// TestWithOpenSSH: each verifies what the other signs.
func TestWithOpenSSH(t *testing.T) {
	keygen, err := exec.LookPath("ssh-keygen")
	if err != nil {
		t.Skip("SKIPPED: there is no ssh-keygen")
	}
	dir := t.TempDir()
	run := func(stdin string, args ...string) {
		t.Helper()
		cmd := exec.Command(keygen, args...)
		cmd.Dir, cmd.Stdin = dir, strings.NewReader(stdin)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen %v: %v\n%s", args, err, out)
		}
	}
	for _, kind := range [][]string{{"-t", "ed25519"}, {"-t", "ecdsa", "-b", "521"}, {"-t", "rsa", "-b", "3072"}} {
		key := filepath.Join(dir, kind[1])
		run("", append(kind, "-q", "-N", "", "-f", key)...)
		pub, _ := os.ReadFile(key + ".pub")
		public, err := sshsig.ParseKey(string(pub))
		if err != nil {
			t.Fatal(err)
		}
		os.WriteFile(filepath.Join(dir, "m"), []byte("message\n"), 0o600)
		for _, hash := range []string{"sha512", "sha256"} {
			os.Remove(filepath.Join(dir, "m.sig"))
			run("", "-Y", "sign", "-n", namespace, "-O", "hashalg="+hash, "-f", key, "m")
			sig, _ := os.ReadFile(filepath.Join(dir, "m.sig"))
			k, err := sshsig.Verify(namespace, []byte("message\n"), string(sig))
			if err != nil || k.Fingerprint() != public.Fingerprint() {
				t.Fatalf("%v: %v", kind, err)
			}
		}
		private, _ := os.ReadFile(key)
		signer, err := ssh.ParsePrivateKey(private)
		if err != nil {
			t.Fatal(err)
		}
		sig, err := sshsign.Sign(namespace, []byte("message\n"), signer)
		if err != nil {
			t.Fatal(err)
		}
		os.WriteFile(filepath.Join(dir, "ours.sig"), []byte(sig), 0o600)
		os.WriteFile(filepath.Join(dir, "signers"), []byte(`ana namespaces="`+namespace+`" `+public.String()+"\n"), 0o600)
		run("message\n", "-Y", "verify", "-f", "signers", "-I", "ana", "-n", namespace, "-s", "ours.sig")
	}
}
