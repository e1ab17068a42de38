// Package sshsig verifies SSH signatures of messages, as OpenSSH's PROTOCOL.sshsig has
// them and `ssh-keygen -Y` makes and verifies them. It takes keys of the types
// ssh-ed25519, sk-ssh-ed25519@openssh.com (with touch), ecdsa-sha2-nistp256, -384 and
// -521, and ssh-rsa of 3072 bits or more.
//
// It is pure, and stands on the standard library alone, because it is part of the
// auditor's verifier: golang.org/x/crypto/ssh brings a whole protocol with it, which
// made that binary a third larger. Its tests hold it against that package and against
// ssh-keygen. Package sshsign signs, with that package.
package sshsig

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

const (
	begin = "-----BEGIN SSH SIGNATURE-----\n"
	end   = "-----END SSH SIGNATURE-----\n"
	magic = "SSHSIG"
	head  = magic + "\x00\x00\x00\x01" // version 1
	width = 70                         // of a line, as ssh-keygen has it
)

// MaxBytes is the limit of a signature, as it is in a receipt: one of the largest RSA
// key fits.
const MaxBytes = 4 << 10

// ToSign is what is signed for a message in a namespace. The hash is sha512 or sha256.
func ToSign(namespace, hash string, message []byte) []byte {
	b := field([]byte(magic), namespace)
	b = field(field(b, ""), hash) // between them, what is reserved
	if hash == "sha256" {
		sum := sha256.Sum256(message)
		return field(b, sum[:])
	}
	sum := sha512.Sum512(message)
	return field(b, sum[:])
}

// Verify returns the key that made the signature of the message in that namespace.
// Whose key it is, is for the caller to know.
func Verify(namespace string, message []byte, armoured string) (*Key, error) {
	raw, err := dearmour(armoured)
	if err != nil {
		return nil, err
	}
	body, ok := bytes.CutPrefix(raw, []byte(head))
	r := reader{body}
	public, in, reserved, hash, signature := r.field(), r.field(), r.field(), r.field(), r.field()
	if !ok || !r.end() || len(reserved) > 0 {
		return nil, errors.New("it is no SSH signature of version 1")
	}
	if string(in) != namespace {
		return nil, fmt.Errorf("the SSH signature is of the namespace %.60q, and not %q", in, namespace)
	}
	if h := string(hash); h != "sha512" && h != "sha256" {
		return nil, fmt.Errorf("the SSH signature is over the hash %.60q, and not sha512 or sha256", h)
	}
	k, err := parseBlob(public)
	if err != nil {
		return nil, err
	}
	switch ok, err := k.verify(ToSign(namespace, string(hash), message), signature); {
	case err != nil:
		return nil, err
	case !ok:
		return nil, fmt.Errorf("the SSH signature of %s does not verify: the message is another, or it was changed", k.Fingerprint())
	}
	return k, nil
}

// Armour writes a signature, made over ToSign with sha512, as ssh-keygen does.
func Armour(namespace string, public, signature []byte) string {
	b := field([]byte(head), public)
	b = field(field(field(b, namespace), ""), "sha512")
	return armour(field(b, signature))
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
	if len(text) > MaxBytes {
		return nil, fmt.Errorf("the SSH signature has %d bytes: at most %d are allowed", len(text), MaxBytes)
	}
	body, ok := strings.CutPrefix(text, begin)
	body, ok2 := strings.CutSuffix(body, end)
	raw, err := base64.StdEncoding.Strict().DecodeString(strings.ReplaceAll(body, "\n", ""))
	if !ok || !ok2 || err != nil || armour(raw) != text {
		return nil, errors.New("it is no SSH signature as `ssh-keygen -Y sign` writes it")
	}
	return raw, nil
}
