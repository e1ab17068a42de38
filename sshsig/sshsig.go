// Package sshsig makes and verifies SSH signatures of messages, as OpenSSH's
// PROTOCOL.sshsig has them and `ssh-keygen -Y` makes and verifies them. It takes
// keys of the types ssh-ed25519, sk-ssh-ed25519@openssh.com (with touch),
// ecdsa-sha2-nistp256, -384 and -521, and ssh-rsa of 3072 bits or more.
package sshsig

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

const (
	begin   = "-----BEGIN SSH SIGNATURE-----\n"
	end     = "-----END SSH SIGNATURE-----\n"
	magic   = "SSHSIG"
	version = 1
	width   = 70 // of a line, as ssh-keygen has it
)

// A Key is a public key.
type Key struct{ ssh.PublicKey }

// ParseKey reads a public key as authorized_keys and .pub files hold it: type, base64,
// and perhaps a comment, which is no part of the key.
func ParseKey(line string) (*Key, error) {
	line = strings.TrimSuffix(line, "\n")
	kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	text, _, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
	blob, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || text == "" || strings.ContainsAny(line, "\r\n") {
		return nil, errors.New(`it is no SSH public key: one is a line such as "ssh-ed25519 AAAA..."`)
	}
	k, err := parseBlob(blob)
	if err != nil {
		return nil, err
	}
	if k.Type() != kind {
		return nil, fmt.Errorf("the SSH public key says that it is of the type %.60q, and is of %s", kind, k.Type())
	}
	return k, nil
}

func parseBlob(blob []byte) (*Key, error) {
	k, err := ssh.ParsePublicKey(blob)
	if err != nil || !bytes.Equal(k.Marshal(), blob) {
		return nil, errors.New("it is no SSH public key: its base64 holds none, or is cut off")
	}
	switch k.Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521:
		return &Key{k}, nil
	case ssh.KeyAlgoRSA:
		if n := k.(ssh.CryptoPublicKey).CryptoPublicKey().(*rsa.PublicKey).N.BitLen(); n < 3072 {
			return nil, fmt.Errorf("the RSA key has %d bits: at least 3072 are needed", n)
		}
		return &Key{k}, nil
	}
	return nil, fmt.Errorf("keys of the type %s are not taken: use ssh-ed25519, sk-ssh-ed25519@openssh.com, ecdsa-sha2-nistp256, -384 or -521, or ssh-rsa", k.Type())
}

// String is the key as authorized_keys holds it, without a comment.
func (k *Key) String() string {
	return k.Type() + " " + base64.StdEncoding.EncodeToString(k.Marshal())
}

// Fingerprint is the key's, as ssh-keygen -l prints it.
func (k *Key) Fingerprint() string { return ssh.FingerprintSHA256(k.PublicKey) }

// blob is what the armour holds, behind magic and version.
type blob struct {
	PublicKey string
	Namespace string
	Reserved  string
	Hash      string
	Signature string
}

// signed is what a signature is over, behind magic.
type signed struct {
	Namespace string
	Reserved  string
	Hash      string
	Digest    string
}

func toSign(namespace, hash string, message []byte) []byte {
	s := signed{Namespace: namespace, Hash: hash}
	if hash == "sha256" {
		sum := sha256.Sum256(message)
		s.Digest = string(sum[:])
	} else {
		sum := sha512.Sum512(message)
		s.Digest = string(sum[:])
	}
	return append([]byte(magic), ssh.Marshal(s)...)
}

// Verify returns the key that made the signature of the message in that namespace.
// Whose key it is, is for the caller to know.
func Verify(namespace string, message []byte, armoured string) (*Key, error) {
	raw, err := dearmour(armoured)
	if err != nil {
		return nil, err
	}
	head := append([]byte(magic), 0, 0, 0, version)
	body, ok := bytes.CutPrefix(raw, head)
	var b blob
	if !ok || ssh.Unmarshal(body, &b) != nil || !bytes.Equal(ssh.Marshal(b), body) || b.Reserved != "" {
		return nil, errors.New("it is no SSH signature of version 1")
	}
	if b.Namespace != namespace {
		return nil, fmt.Errorf("the SSH signature is of the namespace %.60q, and not %q", b.Namespace, namespace)
	}
	if b.Hash != "sha512" && b.Hash != "sha256" {
		return nil, fmt.Errorf("the SSH signature is over the hash %.60q, and not sha512 or sha256", b.Hash)
	}
	k, err := parseBlob([]byte(b.PublicKey))
	if err != nil {
		return nil, err
	}
	var sig ssh.Signature
	if err := ssh.Unmarshal([]byte(b.Signature), &sig); err != nil || !bytes.Equal(ssh.Marshal(sig), []byte(b.Signature)) {
		return nil, errors.New("the SSH signature is damaged")
	}
	if k.Type() == ssh.KeyAlgoRSA && sig.Format != ssh.KeyAlgoRSASHA512 && sig.Format != ssh.KeyAlgoRSASHA256 {
		return nil, fmt.Errorf("the SSH signature is of the type %.60q: RSA is taken with SHA-256 and SHA-512 only", sig.Format)
	}
	if k.Type() != ssh.KeyAlgoSKED25519 && len(sig.Rest) > 0 {
		return nil, errors.New("the SSH signature is damaged")
	}
	if err := k.Verify(toSign(namespace, b.Hash, message), &sig); err != nil {
		return nil, fmt.Errorf("the SSH signature of %s does not verify: the message is another, or it was changed", k.Fingerprint())
	}
	return k, nil
}

// Sign signs the message in that namespace.
func Sign(namespace string, message []byte, signer ssh.Signer) (string, error) {
	data := toSign(namespace, "sha512", message)
	var sig *ssh.Signature
	var err error
	if a, ok := signer.(ssh.AlgorithmSigner); ok && signer.PublicKey().Type() == ssh.KeyAlgoRSA {
		sig, err = a.SignWithAlgorithm(rand.Reader, data, ssh.KeyAlgoRSASHA512)
	} else {
		sig, err = signer.Sign(rand.Reader, data)
	}
	if err != nil {
		return "", err
	}
	b := ssh.Marshal(blob{PublicKey: string(signer.PublicKey().Marshal()), Namespace: namespace, Hash: "sha512", Signature: string(ssh.Marshal(sig))})
	return armour(append(append([]byte(magic), 0, 0, 0, version), b...)), nil
}

func armour(raw []byte) string {
	text := base64.StdEncoding.EncodeToString(raw)
	var b strings.Builder
	b.WriteString(begin)
	for len(text) > width {
		b.WriteString(text[:width] + "\n")
		text = text[width:]
	}
	b.WriteString(text + "\n" + end)
	return b.String()
}

// dearmour reads a signature in the one form in which ssh-keygen writes it.
func dearmour(text string) ([]byte, error) {
	body, ok := strings.CutPrefix(text, begin)
	body, ok2 := strings.CutSuffix(body, end)
	raw, err := base64.StdEncoding.Strict().DecodeString(strings.ReplaceAll(body, "\n", ""))
	if !ok || !ok2 || err != nil || armour(raw) != text {
		return nil, errors.New("it is no SSH signature as `ssh-keygen -Y sign` writes it")
	}
	return raw, nil
}
