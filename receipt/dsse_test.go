package receipt_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// DSSE's protocol.md gives one example of the encoding, of another payload type:
// somebody else's code is held to it, and we to that code.
func TestPAE(t *testing.T) {
	if got := dsse.PAE("http://example.com/HelloWorld", []byte("hello world")); string(got) != "DSSEv1 29 http://example.com/HelloWorld 11 hello world" {
		t.Fatalf("go-securesystemslib's PAE = %q", got)
	}
	for _, body := range []string{"", "hello world", "\x00\n\xff", strings.Repeat("x", 12345)} {
		if got, want := receipt.PAE([]byte(body)), dsse.PAE("application/vnd.in-toto+json", []byte(body)); !bytes.Equal(got, want) {
			t.Errorf("PAE(%.20q) = %.80q, want %.80q", body, got, want)
		}
	}
	if got := receipt.PAE([]byte("hello world")); string(got) != "DSSEv1 28 application/vnd.in-toto+json 11 hello world" {
		t.Errorf("PAE = %q", got)
	}
}

// An rfcRow is one test of RFC 8032, section 7.1.
type rfcRow struct {
	name                       string
	key                        ed25519.PrivateKey
	public, message, signature []byte
}

func rfc8032(t *testing.T) (rows []rfcRow) {
	data, err := os.ReadFile("testdata/rfc8032.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if f[0] == "#" {
			continue
		}
		rows = append(rows, rfcRow{f[0], ed25519.NewKeyFromSeed(unhex(f[1])), unhex(f[2]), unhex(strings.Trim(f[3], "-")), unhex(f[4])})
	}
	return rows
}

// A raw signer signs the message of an RFC 8032 row, whatever it is given, so that
// Sign's way from a signer to a Signature is held to the RFC's bytes.
type rawSigner struct {
	ed25519.PrivateKey
	message []byte
}

func (s rawSigner) Sign(r io.Reader, _ []byte, o crypto.SignerOpts) ([]byte, error) {
	return s.PrivateKey.Sign(r, s.message, o)
}

func TestEd25519IsRFC8032(t *testing.T) {
	rows := rfc8032(t)
	if len(rows) != 5 {
		t.Fatalf("there are %d rows", len(rows))
	}
	for i, r := range rows {
		if !bytes.Equal(public(r.key), r.public) {
			t.Errorf("%s: the public key is %x", r.name, public(r.key))
		}
		if s := must(receipt.Sign(rawSigner{r.key, r.message}, nil)); !bytes.Equal(s.Sig[:], r.signature) {
			t.Errorf("%s: the signature is %x", r.name, s.Sig)
		}

		s := must(receipt.Sign(r.key, r.message))
		if want := ed25519.Sign(r.key, dsse.PAE(receipt.PayloadType, r.message)); !bytes.Equal(s.Sig[:], want) {
			t.Errorf("%s: Sign = %x, want %x", r.name, s.Sig, want)
		}
		if s.KeyID != receipt.KeyID(public(r.key)) || len(s.KeyID) != 64 {
			t.Errorf("%s: keyid %s", r.name, s.KeyID)
		}
		if !s.Verify(public(r.key), r.message) {
			t.Errorf("%s: the signature does not verify", r.name)
		}
		if s.Verify(public(rows[(i+1)%len(rows)].key), r.message) || s.Verify(public(r.key), append([]byte{0}, r.message...)) {
			t.Errorf("%s: the signature verifies for another key or message", r.name)
		}
		for b := range s.Sig {
			bad := s
			bad.Sig[b] ^= 0x10
			if bad.Verify(public(r.key), r.message) {
				t.Errorf("%s: the signature verifies with byte %d changed", r.name, b)
			}
		}
		// The group's order added to S: the same equation, another encoding (section 5.1.7).
		order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
		le := slices.Clone(s.Sig[32:])
		slices.Reverse(le)
		sum := new(big.Int).Add(new(big.Int).SetBytes(le), order).FillBytes(make([]byte, 32))
		slices.Reverse(sum)
		bad := s
		copy(bad.Sig[32:], sum)
		if bad.Verify(public(r.key), r.message) {
			t.Errorf("%s: a second encoding of the signature verifies", r.name)
		}
	}
}

type brokenSigner struct {
	ed25519.PrivateKey
	err error
}

func (s brokenSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return []byte("short"), s.err
}

func TestSignersThatAreNone(t *testing.T) {
	_, err := receipt.Sign(must(rsa.GenerateKey(rand.Reader, 2048)), nil)
	refuses(t, "an RSA key", err, "not Ed25519")
	_, err = receipt.Sign(brokenSigner{oldKey, nil}, nil)
	refuses(t, "a short signature", err, "has 5 bytes")
	_, err = receipt.Sign(brokenSigner{oldKey, errors.New("token removed")}, nil)
	refuses(t, "a signer's error", err, "token removed")
}

func TestEnvelopesRoundTrip(t *testing.T) {
	l := newSampleLog()
	for _, e := range l.entries {
		for _, file := range [][]byte{must(e.envelope.Marshal()), bytes.TrimSuffix(l.receipt(e), []byte("\n"))} {
			env, err := receipt.ParseEnvelope(file)
			if err != nil {
				t.Errorf("%s: %v", e.name, err)
				continue
			}
			if again := must(env.Marshal()); !bytes.Equal(again, file) {
				t.Errorf("%s: prints as\n%s\nthen as\n%s", e.name, file, again)
			}
			if !bytes.Equal(env.Payload, e.bytes) {
				t.Errorf("%s: the payload is another", e.name)
			}
		}
		keys := []ed25519.PrivateKey{oldKey}
		switch e.name {
		case "key":
			keys = []ed25519.PrivateKey{oldKey, newKey}
		case "policy-after-key", "decision-shadowed":
			keys = []ed25519.PrivateKey{newKey}
		}
		for i, k := range keys {
			if len(e.envelope.Signatures) != len(keys) || !e.envelope.Signatures[i].Verify(public(k), e.bytes) {
				t.Errorf("%s: signature %d does not verify", e.name, i)
			}
		}
	}
}

// badEnvelopes are one change of the receipt of the sample log's freeze each.
var badEnvelopes = []struct{ why, old, new, says string }{
	{"an LF at the end", "$", "\n", "follow the end"},
	{"a space", `,"payloadType"`, `, "payloadType"`, ""},
	{"members swapped", `"keyid":"KEYID","sig":"SIG"`, `"sig":"SIG","keyid":"KEYID"`, `"keyid" was expected`},
	{"no keyid", `"keyid":"KEYID",`, ``, `"keyid" was expected`},
	{"an unknown member", `"sig":"SIG"`, `"sig":"SIG","cert":""`, ""},
	{"a member behind the proof", `\n"}`, `\n","x":1}`, ""},
	{"another payload type", `application/vnd.in-toto+json`, `application/json`, ""},
	{"no signature", `[{"keyid":"KEYID","sig":"SIG"}]`, `[]`, "no signature"},
	{"three signatures", `[{"keyid":"KEYID","sig":"SIG"}]`, `[{"keyid":"KEYID","sig":"SIG"},{"keyid":"KEYID","sig":"SIG"},{"keyid":"KEYID","sig":"SIG"}]`, "more than 2"},
	{"a short signature", `"sig":"`, `"sig":"AAAA`, ""},
	{"an empty signature", `"sig":"SIG"`, `"sig":""`, ""},
	{"an empty proof", `"proof":"c2sp.org`, `"proof":"","x":"c2sp.org`, "proof is empty"},
	{"a proof with another escape", `v1\nindex`, `v1\u000aindex`, "RFC 8785"},
	{"a payload without padding", `PAYLOAD=`, `PAYLOAD`, "base64"},
	{"a payload with more padding", `PAYLOAD=`, `PAYLOAD==`, "base64"},
	{"a payload of the URL alphabet", `"payload":"eyJf`, `"payload":"ey-f`, "base64"},
	{"a payload with an escape", `"payload":"eyJf`, `"payload":"\u0065yJf`, "base64"},
	{"a payload with a newline", `"payload":"eyJf`, "\"payload\":\"eyJf\n", "base64"},
	{"a payload with four newlines", `"payload":"eyJf`, "\"payload\":\"eyJf\n\n\n\n", "base64"},
	{"a payload with other trailing bits", `PAYLOAD=`, `OTHERBITS=`, "base64"},
}

func changeEnvelope(t *testing.T, l *sampleLog, old, new string) []byte {
	t.Helper()
	e := l.entry("freeze")
	s := strings.TrimSuffix(string(l.receipt(e)), "\n")
	if old == "$" {
		return []byte(s + new)
	}
	payload := base64.StdEncoding.EncodeToString(e.bytes)
	if payload = strings.TrimRight(payload, "="); len(payload)%4 != 3 {
		t.Fatal("the freeze's payload must end in one '=' for this table")
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	last := payload[len(payload)-1]
	r := strings.NewReplacer("KEYID", e.envelope.Signatures[0].KeyID, "SIG", base64.StdEncoding.EncodeToString(e.envelope.Signatures[0].Sig[:]),
		"PAYLOAD", payload, "OTHERBITS", payload[:len(payload)-1]+string(alphabet[strings.IndexByte(alphabet, last)+1]))
	if old = r.Replace(old); !strings.Contains(s, old) {
		t.Fatalf("the receipt has no %s", old)
	}
	return []byte(strings.Replace(s, old, r.Replace(new), 1))
}

func TestEnvelopesAreStrict(t *testing.T) {
	l := newSampleLog()
	for _, tt := range badEnvelopes {
		_, err := receipt.ParseEnvelope(changeEnvelope(t, l, tt.old, tt.new))
		refuses(t, tt.why, err, tt.says)
	}
	_, err := receipt.ParseEnvelope(bytes.Repeat([]byte("x"), receipt.MaxEnvelopeBytes+1))
	refuses(t, "64 KiB and a byte", err, "at most 65536")

	long := strings.Repeat("A", 44<<10)
	_, err = receipt.ParseEnvelope(fmt.Appendf(nil, `{"payload":"%s","payloadType":"application/vnd.in-toto+json","signatures":[{"keyid":"","sig":"%s=="}]}`, long, long[:86]))
	refuses(t, "a payload over 32 KiB", err, "more than 32768")

	env := *l.entry("freeze").envelope
	env.Payload = make([]byte, receipt.MaxStatementBytes+1)
	_, err = env.Marshal()
	refuses(t, "a long payload", err, "at most 32768")
	env.Payload, env.Proof = make([]byte, receipt.MaxStatementBytes), strings.Repeat("\n", 16<<10)
	_, err = env.Marshal()
	refuses(t, "a long envelope", err, "at most 65536")
	_, err = (&receipt.Envelope{}).Marshal()
	refuses(t, "no signature", err, "no signature")
}

// pack.json lists many files: its statement may be larger than an entry's.
func TestPackFilesMayBeLarge(t *testing.T) {
	statement := make([]byte, receipt.MaxPackStatementBytes)
	file := must(receipt.MarshalPackFile(&receipt.Envelope{Payload: statement, Signatures: []receipt.Signature{must(receipt.Sign(oldKey, statement))}}))
	if len(file) > receipt.MaxPackFileBytes {
		t.Errorf("it has %d bytes", len(file))
	}
	if e, err := receipt.ParsePackFile(file); err != nil || !bytes.Equal(e.Payload, statement) {
		t.Error(err)
	}
	_, err := receipt.MarshalPackFile(&receipt.Envelope{Payload: statement})
	refuses(t, "no signature", err, "no signature")
}

// The largest receipt that can be: it has room in an envelope.
func TestTheLargestReceiptFits(t *testing.T) {
	l := newSampleLog()
	p := &receipt.Proof{Index: 1<<53 - 1, Checkpoint: must(receipt.SignCheckpoint(oldKey, receipt.Checkpoint{Origin: strings.Repeat("o", 200), Size: 1<<53 - 1}))}
	for i := 0; len(p.Checkpoint) < receipt.MaxCheckpointBytes-3400; i++ {
		p.Checkpoint += fmt.Sprintf("— witness.example/%d %s\n", i, base64.StdEncoding.EncodeToString(make([]byte, 2432)))
	}
	p.Hashes = make([]receipt.Hash, receipt.MaxProofHashes)
	env := receipt.Envelope{Payload: make([]byte, receipt.MaxStatementBytes), Signatures: []receipt.Signature{l.entries[0].envelope.Signatures[0], l.entries[0].envelope.Signatures[0]}, Proof: p.Marshal()}
	file := must(env.Marshal())
	if _, err := receipt.ParseProof(must(receipt.ParseEnvelope(file)).Proof); err != nil {
		t.Error(err)
	}
}
