// Package interop shows that what this project writes can be read and verified with
// tools that know nothing of it: openssl, sha256sum, Python's standard library, x/mod's
// notes, and somebody else's DSSE and tlog-proof code. It has tests only, and takes
// everything from spec/vectors.
package interop

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/secure-systems-lab/go-securesystemslib/signerverifier"
	formatlog "github.com/transparency-dev/formats/log"
	formatproof "github.com/transparency-dev/formats/proof"
	merkleproof "github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

const vectors = "../../spec/vectors"

func load[T any](t *testing.T, name string) (v T) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(vectors, name))
	if err == nil {
		err = json.Unmarshal(data, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

type key struct {
	Name, KeyID, VKey, PEM string
	Public                 string `json:"public_hex"`
}

func keys(t *testing.T) (string, map[string]key) {
	f := load[struct {
		Origin string
		Keys   []key
	}](t, "keys.json")
	byName := map[string]key{}
	for _, k := range f.Keys {
		byName[k.Name] = k
	}
	return f.Origin, byName
}

type envelope struct {
	Name, Envelope string
	Keys           []string
}

func envelopes(t *testing.T) []envelope {
	f := load[struct{ Good []envelope }](t, "envelopes.json")
	if len(f.Good) == 0 {
		t.Fatal("envelopes.json has no good envelope")
	}
	return f.Good
}

// tool is a program that a test runs. Where it is missing the test does not pass
// silently.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("NOT TESTED: %s is missing on this machine; \"make parts\" installs it", name)
	}
	return path
}

func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// openssl verifies every signature from three files: the PEM key, the pre-authentication
// bytes and the signature; and it refuses another statement's.
func TestOpenSSLVerifiesReceipts(t *testing.T) {
	openssl := tool(t, "openssl")
	_, keys := keys(t)
	verify := func(pem string, pae, sig []byte) (string, error) {
		out, err := exec.Command(openssl, "pkeyutl", "-verify", "-pubin", "-inkey", write(t, "key.pem", []byte(pem)), "-rawin",
			"-in", write(t, "pae", pae), "-sigfile", write(t, "sig", sig)).CombinedOutput()
		return string(out), err
	}
	for _, e := range envelopes(t) {
		env, err := receipt.ParseEnvelope([]byte(e.Envelope))
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range env.Signatures {
			pem := keys[e.Keys[i]].PEM
			if out, err := verify(pem, receipt.PAE(env.Payload), s.Sig[:]); err != nil || !strings.Contains(out, "Verified Successfully") {
				t.Errorf("%s: %v\n%s", e.Name, err, out)
			}
			if i == 0 && e.Name == "genesis" {
				if out, err := verify(pem, receipt.PAE(append(env.Payload, ' ')), s.Sig[:]); err == nil {
					t.Errorf("openssl verifies another statement: %s", out)
				}
				if out, err := verify(keys["second"].PEM, receipt.PAE(env.Payload), s.Sig[:]); err == nil {
					t.Errorf("openssl verifies with another key: %s", out)
				}
			}
		}
	}
	// The fingerprint for people is what openssl and sha256sum make of the PEM file.
	der, err := exec.Command(openssl, "pkey", "-pubin", "-in", write(t, "key.pem", []byte(keys["first"].PEM)), "-outform", "DER").Output()
	if err != nil || fmt.Sprintf("%x", sha256.Sum256(der)) != keys["first"].KeyID {
		t.Errorf("the DER key is %x, %v", der, err)
	}
}

// sha256sum of a fields file is the digest of the statement's subject, and of a PEM
// key that of genesis.
func TestSHA256SumOfSubjects(t *testing.T) {
	program := tool(t, "sha256sum")
	sum := func(data string) string {
		out, err := exec.Command(program, write(t, "file", []byte(data))).Output()
		if err != nil {
			t.Fatal(err)
		}
		digest, _, _ := strings.Cut(string(out), " ")
		return digest
	}
	for _, c := range load[[]struct{ Value, Fields, Commitment string }](t, "commitments.json") {
		if got := sum(c.Fields); got != c.Commitment {
			t.Errorf("%s: sha256sum is %s", c.Value, got)
		}
	}
	_, keys := keys(t)
	env, err := receipt.ParseEnvelope([]byte(envelopes(t)[0].Envelope))
	if err != nil {
		t.Fatal(err)
	}
	st, err := receipt.ParseStatement(env.Payload)
	if err != nil || hex.EncodeToString(st.Subject.SHA256[:]) != sum(keys["first"].PEM) {
		t.Errorf("genesis: its subject is %x, %v", st.Subject.SHA256, err)
	}
}

// A stock DSSE library accepts envelopes, receipts with their extra member included,
// and refuses them under another key. It is told our keyid, as it is told any
// other: it passes over a signature whose hint is not its key's.
func TestStockDSSEAcceptsReceipts(t *testing.T) {
	_, keys := keys(t)
	verifier := func(name string) dsse.Verifier {
		k, err := signerverifier.LoadKey([]byte(keys[name].PEM))
		if err != nil {
			t.Fatal(err)
		}
		k.KeyID = keys[name].KeyID
		v, err := signerverifier.NewED25519SignerVerifierFromSSLibKey(k)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	withProof := 0
	for _, e := range envelopes(t) {
		var env dsse.Envelope
		if err := json.Unmarshal([]byte(e.Envelope), &env); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(e.Envelope, `,"proof":"`) {
			withProof++
		}
		var all []dsse.Verifier
		for _, name := range e.Keys {
			all = append(all, verifier(name))
		}
		for _, all := range [][]dsse.Verifier{all, {nameless{all[0]}}} {
			v, err := dsse.NewMultiEnvelopeVerifier(len(all), all...)
			if err != nil {
				t.Fatal(err)
			}
			accepted, body, err := v.VerifyAndDecode(t.Context(), &env)
			if err != nil || len(accepted) != len(all) || env.PayloadType != receipt.PayloadType {
				t.Errorf("%s: %d of %d accepted: %v", e.Name, len(accepted), len(all), err)
			}
			if ours, err := receipt.ParseEnvelope([]byte(e.Envelope)); err != nil || !bytes.Equal(ours.Payload, body) {
				t.Errorf("%s: the payload is another: %v", e.Name, err)
			}
		}
		if e.Name == "genesis" {
			other, _ := dsse.NewEnvelopeVerifier(nameless{verifier("second")})
			if _, err := other.Verify(t.Context(), &env); err == nil {
				t.Error("another key is accepted")
			}
		}
	}
	if withProof == 0 {
		t.Error("envelopes.json has no receipt")
	}
}

// A nameless verifier has a key and no keyid, as cosign's.
type nameless struct{ dsse.Verifier }

func (nameless) KeyID() (string, error)   { return "", nil }
func (nameless) Public() crypto.PublicKey { return nil }

// x/mod's notes and transparency-dev/formats open checkpoints with the exported vkey.
func TestOthersOpenCheckpoints(t *testing.T) {
	origin, keys := keys(t)
	v, err := note.NewVerifier(keys["first"].VKey)
	if err != nil {
		t.Fatal(err)
	}
	f := load[struct {
		Good []struct {
			Checkpoint, Root string
			Size             uint64
		}
	}](t, "checkpoints.json")
	for _, c := range f.Good {
		n, err := note.Open([]byte(c.Checkpoint), note.VerifierList(v))
		if err != nil || n.Text != fmt.Sprintf("%s\n%d\n%s\n", origin, c.Size, c.Root) {
			t.Errorf("note.Open: %+v, %v", n, err)
		}
		theirs, _, _, err := formatlog.ParseCheckpoint([]byte(c.Checkpoint), origin, v)
		if err != nil || theirs.Size != c.Size || base64.StdEncoding.EncodeToString(theirs.Hash) != c.Root {
			t.Errorf("formats: %+v, %v", theirs, err)
		}
	}
}

// transparency-dev's code reads proofs, and finds the leaf in the tree.
func TestOthersVerifyProofs(t *testing.T) {
	origin, keys := keys(t)
	v, err := note.NewVerifier(keys["first"].VKey)
	if err != nil {
		t.Fatal(err)
	}
	f := load[struct {
		Good []struct{ Proof, Leaf string }
		Bad  []struct{ Why, Proof, Leaf string }
	}](t, "proofs.json")
	verify := func(text, leaf string) error {
		var p formatproof.TLogProof
		if err := p.Unmarshal([]byte(text)); err != nil {
			return err
		}
		c, _, _, err := formatlog.ParseCheckpoint(p.Checkpoint, origin, v)
		if err != nil {
			return err
		}
		var path [][]byte
		for i := range p.Hashes {
			path = append(path, p.Hashes[i][:])
		}
		return merkleproof.VerifyInclusion(rfc6962.DefaultHasher, p.Index, c.Size, rfc6962.DefaultHasher.HashLeaf([]byte(leaf)), path, c.Hash)
	}
	for _, p := range f.Good {
		if err := verify(p.Proof, p.Leaf); err != nil {
			t.Errorf("%s\n%v", p.Proof, err)
		}
	}
	for _, p := range f.Bad {
		if p.Leaf != "" && verify(p.Proof, p.Leaf) == nil {
			t.Errorf("%s: formats verifies it", p.Why)
		}
	}
}

// A second implementation, a page of Python from the spec alone, computes the same.
func TestPythonComputesTheSame(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		fmt.Fprintln(os.Stderr, "NOT TESTED: python3 is missing on this machine; \"make parts\" installs it")
		t.Skip("NOT TESTED: python3 is missing on this machine")
	}
	out, err := exec.Command(python, "-I", "testdata/second.py", vectors).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var want strings.Builder
	for _, e := range envelopes(t) {
		env, err := receipt.ParseEnvelope([]byte(e.Envelope))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&want, "pae %x\n", sha256.Sum256(receipt.PAE(env.Payload)))
	}
	paes, checked, _ := strings.Cut(string(out), "checked ")
	if paes != want.String() {
		t.Errorf("python's pre-authentication encodings are\n%sours\n%s", paes, want.String())
	}
	var n int
	if _, err := fmt.Sscan(checked, &n); err != nil || n < 250 {
		t.Errorf("python checked %q", checked)
	}
}
