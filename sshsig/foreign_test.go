package sshsig_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/helm-ai-kernel/helm-ai-kernel/sshsig"
	"github.com/helm-ai-kernel/helm-ai-kernel/sshsig/sshsign"
)

// A securityKey signs as a FIDO key does.
type securityKey struct {
	private     ed25519.PrivateKey
	application string
	flags       byte
}

func (k securityKey) PublicKey() ssh.PublicKey {
	blob := ssh.Marshal(struct{ Type, Key, Application string }{ssh.KeyAlgoSKED25519, string(k.private.Public().(ed25519.PublicKey)), k.application})
	pub, err := ssh.ParsePublicKey(blob)
	if err != nil {
		panic(err)
	}
	return pub
}

func (k securityKey) Sign(_ io.Reader, data []byte) (*ssh.Signature, error) {
	application, message := sha256.Sum256([]byte(k.application)), sha256.Sum256(data)
	rest := []byte{k.flags, 0, 0, 1, 7}
	return &ssh.Signature{Format: ssh.KeyAlgoSKED25519, Blob: ed25519.Sign(k.private, bytes.Join([][]byte{application[:], rest, message[:]}, nil)), Rest: rest}, nil
}

// TestSecurityKey: a FIDO key counts when it was touched.
func TestSecurityKey(t *testing.T) {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		flags byte
		says  string
	}{{1, ""}, {5, ""}, {0, "without a touch"}, {4, "without a touch"}} {
		k := securityKey{private, "ssh:", c.flags}
		text, err := sshsign.Sign(namespace, []byte("m"), k)
		if err != nil {
			t.Fatal(err)
		}
		got, err := sshsig.Verify(namespace, []byte("m"), text)
		switch {
		case c.says == "" && (err != nil || got.Fingerprint() != ssh.FingerprintSHA256(k.PublicKey())):
			t.Errorf("flags %d: %v", c.flags, err)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("flags %d: %v", c.flags, err)
		}
		other := k
		other.application = "ssh:other"
		swapped := sshsig.Armour(namespace, other.PublicKey().Marshal(), signatureOf(t, text))
		if _, err := sshsig.Verify(namespace, []byte("m"), swapped); err == nil {
			t.Error("a signature for one application verifies for another")
		}
	}
}

// raw is what an armoured signature holds behind its head.
func raw(t testing.TB, text string) []byte {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(text), "\n")
	b, err := base64.StdEncoding.DecodeString(strings.Join(lines[1:len(lines)-1], ""))
	if err != nil {
		t.Fatal(err)
	}
	return b[10:]
}

func signatureOf(t testing.TB, text string) []byte {
	t.Helper()
	var b struct{ PublicKey, Namespace, Reserved, Hash, Signature string }
	if err := ssh.Unmarshal(raw(t, text), &b); err != nil {
		t.Fatal(err)
	}
	return []byte(b.Signature)
}

// foreign verifies with golang.org/x/crypto/ssh.
func foreign(public, signature, data []byte) bool {
	k, err := ssh.ParsePublicKey(public)
	if err != nil {
		return false
	}
	var sig ssh.Signature
	if ssh.Unmarshal(signature, &sig) != nil {
		return false
	}
	return k.Verify(data, &sig) == nil
}

// TestAgainstXCrypto changes every byte of keys and signatures: what verifies here
// verifies there too.
func TestAgainstXCrypto(t *testing.T) {
	all := signers(t)
	_, private, _ := ed25519.GenerateKey(nil)
	all["sk-ed25519"] = securityKey{private, "ssh:", 1}
	data := sshsig.ToSign(namespace, "sha512", []byte("m"))
	for name, s := range all {
		text, err := sshsign.Sign(namespace, []byte("m"), s)
		if err != nil {
			t.Fatal(err)
		}
		public, signature := s.PublicKey().Marshal(), signatureOf(t, text)
		verifies := func(public, signature []byte) bool {
			_, err := sshsig.Verify(namespace, []byte("m"), sshsig.Armour(namespace, public, signature))
			return err == nil
		}
		if !verifies(public, signature) || !foreign(public, signature, data) {
			t.Fatalf("%s: the good one does not verify", name)
		}
		step := max(1, len(signature)/150)
		for i := 0; i < len(signature); i += step {
			for _, x := range []byte{1, 0x80} {
				bad := slices.Clone(signature)
				bad[i] ^= x
				if verifies(public, bad) {
					t.Errorf("%s: it verifies with byte %d of the signature changed", name, i)
				}
			}
		}
		for i := 0; i < len(public); i += max(1, len(public)/150) {
			bad := slices.Clone(public)
			bad[i] ^= 1
			if verifies(bad, signature) {
				t.Errorf("%s: it verifies with byte %d of the key changed", name, i)
			}
		}
		for what, bad := range map[string][]byte{"cut": signature[:len(signature)-1], "longer": append(slices.Clone(signature), 0), "empty": {}} {
			if verifies(public, bad) {
				t.Errorf("%s: it verifies with a signature that is %s", name, what)
			}
		}
		for what, bad := range map[string][]byte{"cut": public[:len(public)-1], "longer": append(slices.Clone(public), 0), "empty": {}} {
			if verifies(bad, signature) {
				t.Errorf("%s: it verifies with a key that is %s", name, what)
			}
		}
	}
}

// TestOddNumbers: integers have one encoding, and keys that are weak are no keys.
func TestOddNumbers(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	n := private.N.Bytes() // its highest bit is set
	mpint := func(b []byte) string { return string(b) }
	key := func(e, n string) string {
		blob := ssh.Marshal(struct{ Type, E, N string }{"ssh-rsa", e, n})
		return "ssh-rsa " + base64.StdEncoding.EncodeToString(blob)
	}
	good := key("\x01\x00\x01", mpint(append([]byte{0}, n...)))
	if _, err := sshsig.ParseKey(good); err != nil {
		t.Fatal(err)
	}
	large := new(big.Int).Lsh(big.NewInt(1), 8192)
	for what, bad := range map[string]string{
		"negative": key("\x01\x00\x01", mpint(n)), "a needless zero": key("\x01\x00\x01", mpint(append([]byte{0, 0}, n...))),
		"a needless zero before e": key("\x00\x01\x00\x01", mpint(append([]byte{0}, n...))), "e is 1": key("\x01", mpint(append([]byte{0}, n...))),
		"e is even": key("\x01\x00\x02", mpint(append([]byte{0}, n...))), "e is large": key("\x01\x00\x00\x00\x01", mpint(append([]byte{0}, n...))),
		"no n": key("\x01\x00\x01", ""), "8193 bits": key("\x01\x00\x01", mpint(large.Bytes())), "a zero": key("\x01\x00\x01", "\x00"),
	} {
		if k, err := sshsig.ParseKey(bad); err == nil {
			t.Errorf("%s: %s is taken", what, k.Fingerprint())
		}
	}
}

// What Verify takes, x/crypto/ssh takes for the same key, and it is written in one way.
func FuzzVerify(f *testing.F) {
	for _, s := range signers(f) {
		text, err := sshsign.Sign(namespace, []byte("m"), s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw(f, text))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		text := "-----BEGIN SSH SIGNATURE-----\n"
		b64 := base64.StdEncoding.EncodeToString(append([]byte("SSHSIG\x00\x00\x00\x01"), body...))
		for len(b64) > 70 {
			text, b64 = text+b64[:70]+"\n", b64[70:]
		}
		text += b64 + "\n-----END SSH SIGNATURE-----\n"
		k, err := sshsig.Verify(namespace, []byte("m"), text)
		if err != nil {
			return
		}
		var b struct{ PublicKey, Namespace, Reserved, Hash, Signature string }
		if err := ssh.Unmarshal(body, &b); err != nil {
			t.Fatal(err)
		}
		if !foreign([]byte(b.PublicKey), []byte(b.Signature), sshsig.ToSign(b.Namespace, b.Hash, []byte("m"))) {
			t.Errorf("%s verifies here only", k.Fingerprint())
		}
	})
}

// What is read as a key is a key there too, under the same fingerprint.
func FuzzParseKey(f *testing.F) {
	for _, s := range signers(f) {
		f.Add(s.PublicKey().Marshal())
	}
	f.Fuzz(func(t *testing.T, blob []byte) {
		k, err := sshsig.ParseKey(keyLine(blob))
		if err != nil {
			return
		}
		there, err := ssh.ParsePublicKey(blob)
		if err != nil || ssh.FingerprintSHA256(there) != k.Fingerprint() || there.Type() != k.Type() || !bytes.Equal(there.Marshal(), blob) {
			t.Errorf("%s is a key here only: %v", k, err)
		}
	})
}

func keyLine(blob []byte) string {
	var kind struct {
		Type string
		Rest []byte `ssh:"rest"`
	}
	ssh.Unmarshal(blob, &kind)
	return fmt.Sprintf("%s %s", kind.Type, base64.StdEncoding.EncodeToString(blob))
}
