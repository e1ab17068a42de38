package sshsig

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// The types of keys that are taken.
const (
	typeEd25519   = "ssh-ed25519"
	typeSKEd25519 = "sk-ssh-ed25519@openssh.com"
	typeECDSA     = "ecdsa-sha2-" // and the curve
	typeRSA       = "ssh-rsa"
)

// Limits of an RSA key's modulus, in bits.
const (
	minRSA = 3072
	maxRSA = 8192
)

// A Key is a public key.
type Key struct {
	kind        string
	blob        []byte
	public      crypto.PublicKey
	application string // of a security key
}

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
	if k.kind != kind {
		return nil, fmt.Errorf("the SSH public key says that it is of the type %.60q, and is of %s", kind, k.kind)
	}
	return k, nil
}

// String is the key as authorized_keys holds it, without a comment.
func (k *Key) String() string { return k.kind + " " + base64.StdEncoding.EncodeToString(k.blob) }

// Fingerprint is the key's, as ssh-keygen -l prints it.
func (k *Key) Fingerprint() string {
	sum := sha256.Sum256(k.blob)
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// Type is the key's type, such as "ssh-ed25519".
func (k *Key) Type() string { return k.kind }

var errNoKey = errors.New("it is no SSH public key: its base64 holds none, or is cut off")

// parseBlob reads a key in its one encoding (RFC 4253, 5656 and 8709, and OpenSSH's
// PROTOCOL.u2f).
func parseBlob(blob []byte) (*Key, error) {
	r := reader{blob}
	k := &Key{kind: string(r.field()), blob: blob}
	curve, isECDSA := strings.CutPrefix(k.kind, typeECDSA)
	switch {
	case k.kind == typeEd25519 || k.kind == typeSKEd25519:
		public := r.field()
		if k.kind == typeSKEd25519 {
			k.application = string(r.field())
		}
		if len(public) != ed25519.PublicKeySize {
			return nil, errNoKey
		}
		k.public = ed25519.PublicKey(public)
	case isECDSA && curves[curve].Curve != nil:
		if string(r.field()) != curve {
			return nil, errNoKey
		}
		public, err := ecdsa.ParseUncompressedPublicKey(curves[curve].Curve, r.field())
		if err != nil {
			return nil, errNoKey
		}
		k.public = public
	case k.kind == typeRSA:
		e, n := r.positive(), r.positive()
		if e == nil || n == nil || e.BitLen() > 31 || e.Cmp(big.NewInt(3)) < 0 || e.Bit(0) == 0 {
			return nil, errNoKey
		}
		if bits := n.BitLen(); bits < minRSA || bits > maxRSA {
			return nil, fmt.Errorf("the RSA key has %d bits: %d to %d are taken", bits, minRSA, maxRSA)
		}
		k.public = &rsa.PublicKey{N: n, E: int(e.Int64())}
	case r.data == nil:
		return nil, errNoKey
	default:
		return nil, fmt.Errorf("keys of the type %.60q are not taken: use ssh-ed25519, sk-ssh-ed25519@openssh.com, ecdsa-sha2-nistp256, -384 or -521, or ssh-rsa", k.kind)
	}
	if !r.end() {
		return nil, errNoKey
	}
	return k, nil
}

// curves are the curves of ECDSA, each with its hash.
var curves = map[string]struct {
	elliptic.Curve
	hash func([]byte) []byte
}{
	"nistp256": {elliptic.P256(), func(b []byte) []byte { s := sha256.Sum256(b); return s[:] }},
	"nistp384": {elliptic.P384(), func(b []byte) []byte { s := sha512.Sum384(b); return s[:] }},
	"nistp521": {elliptic.P521(), func(b []byte) []byte { s := sha512.Sum512(b); return s[:] }},
}

var errSignature = errors.New("the SSH signature is damaged")

// verify checks a signature as SSH encodes it. It reports false where it is one, and
// not of that.
func (k *Key) verify(data, signature []byte) (bool, error) {
	r := reader{signature}
	format, sig := string(r.field()), r.field()
	switch public := k.public.(type) {
	case ed25519.PublicKey:
		signed := data
		if k.kind == typeSKEd25519 {
			flags := r.bytes(1 + 4) // and a counter
			if flags == nil {
				return false, errSignature
			}
			if flags[0]&1 == 0 {
				return false, errors.New("the SSH signature was made without a touch of the security key")
			}
			application, message := sha256.Sum256([]byte(k.application)), sha256.Sum256(data)
			signed = bytes.Join([][]byte{application[:], flags, message[:]}, nil)
		}
		if !r.end() || format != k.kind || len(sig) != ed25519.SignatureSize {
			return false, errSignature
		}
		return ed25519.Verify(public, signed, sig), nil
	case *ecdsa.PublicKey:
		in := reader{sig}
		a, b := in.positive(), in.positive()
		if !r.end() || !in.end() || format != k.kind || a == nil || b == nil {
			return false, errSignature
		}
		return ecdsa.Verify(public, curves[strings.TrimPrefix(k.kind, typeECDSA)].hash(data), a, b), nil
	case *rsa.PublicKey:
		if !r.end() || len(sig) != public.Size() {
			return false, errSignature
		}
		switch format {
		case "rsa-sha2-256":
			sum := sha256.Sum256(data)
			return rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], sig) == nil, nil
		case "rsa-sha2-512":
			sum := sha512.Sum512(data)
			return rsa.VerifyPKCS1v15(public, crypto.SHA512, sum[:], sig) == nil, nil
		}
		return false, fmt.Errorf("the SSH signature is of the type %.60q: RSA is taken with SHA-256 and SHA-512 only", format)
	}
	return false, errSignature
}

// A reader reads SSH's encoding. What is not there is nil, and so is all behind it.
type reader struct{ data []byte }

func (r *reader) bytes(n int) []byte {
	if n > len(r.data) {
		r.data = nil
		return nil
	}
	b := r.data[:n:n]
	r.data = r.data[n:]
	return b
}

// field is bytes with their length before them.
func (r *reader) field() []byte {
	n := r.bytes(4)
	if n == nil || uint64(binary.BigEndian.Uint32(n)) > uint64(len(r.data)) {
		r.data = nil
		return nil
	}
	return r.bytes(int(binary.BigEndian.Uint32(n)))
}

// positive is a positive integer, without needless zeros.
func (r *reader) positive() *big.Int {
	b := r.field()
	if len(b) == 0 || b[0] >= 0x80 || b[0] == 0 && (len(b) == 1 || b[1] < 0x80) {
		return nil
	}
	return new(big.Int).SetBytes(b)
}

// end reports whether everything was there, and nothing behind it.
func (r *reader) end() bool { return r.data != nil && len(r.data) == 0 }

// field appends bytes with their length before them.
func field[T ~string | ~[]byte](b []byte, f T) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(f))), f...)
}
