package receipt

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// KeyID is the hint that signatures carry: the SHA-256, in hex, of the public key
// as a DER SubjectPublicKeyInfo. It is also the key's fingerprint for people.
func KeyID(pub ed25519.PublicKey) string {
	h := sha256.Sum256(spki(pub))
	return hex.EncodeToString(h[:])
}

// PublicPEM prints the public key as openssl reads it.
func PublicPEM(pub ed25519.PublicKey) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki(pub)})
}

// spki is the DER SubjectPublicKeyInfo of an Ed25519 key: RFC 8410, section 4, has
// one form of it. crypto/x509 would print the same, and double the size of
// helm-verify.
func spki(pub ed25519.PublicKey) []byte {
	prefix := [...]byte{0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00}
	return append(prefix[:], pub...)
}

// VKey prints the public key as a C2SP signed-note verifier key named origin.
func VKey(origin string, pub ed25519.PublicKey) string {
	v, err := note.NewEd25519VerifierKey(origin, pub)
	if err != nil {
		panic(err) // the key has its length
	}
	return v
}

// ParseVKey reads what VKey prints, and nothing else.
func ParseVKey(s string) (origin string, pub ed25519.PublicKey, err error) {
	origin, rest, _ := strings.Cut(s, "+")
	_, b64, _ := strings.Cut(rest, "+")
	raw, err := base64.StdEncoding.Strict().DecodeString(b64)
	if err != nil || len(raw) != 1+ed25519.PublicKeySize || raw[0] != 1 {
		return "", nil, fmt.Errorf("%q is not an Ed25519 verifier key (NAME+HASH+KEY)", s)
	}
	if err := CheckOrigin(origin); err != nil {
		return "", nil, fmt.Errorf("verifier key: %w", err)
	}
	pub = ed25519.PublicKey(raw[1:])
	if VKey(origin, pub) != s {
		return "", nil, fmt.Errorf("%q is not a canonical verifier key: its hash does not fit its name and key", s)
	}
	return origin, pub, nil
}
