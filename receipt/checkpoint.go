package receipt

import (
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"
)

// MaxCheckpointBytes bounds a signed checkpoint, cosignatures included.
const MaxCheckpointBytes = 16 << 10

// A Checkpoint is a log's head: C2SP tlog-checkpoint without extension lines.
type Checkpoint struct {
	Origin string
	Size   uint64
	Root   Hash
}

// Text is the note text that is signed.
func (c Checkpoint) Text() string {
	return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
}

// SignCheckpoint signs a checkpoint as a C2SP signed note whose key name is the
// origin.
func SignCheckpoint(key crypto.Signer, c Checkpoint) (string, error) {
	pub, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return "", fmt.Errorf("sign checkpoint: the key is a %T, not Ed25519", key.Public())
	}
	if err := CheckOrigin(c.Origin); err != nil {
		return "", fmt.Errorf("sign checkpoint: %w", err)
	}
	if c.Size > maxNumber {
		return "", fmt.Errorf("sign checkpoint: the size %d is over %d", c.Size, uint64(maxNumber))
	}
	v, err := note.NewVerifier(VKey(c.Origin, pub))
	if err != nil {
		return "", fmt.Errorf("sign checkpoint: %w", err)
	}
	text := c.Text()
	sig, err := key.Sign(nil, []byte(text), crypto.Hash(0)) // Ed25519 needs no randomness
	if err != nil {
		return "", fmt.Errorf("sign checkpoint: %w", err)
	}
	hash := binary.BigEndian.AppendUint32(nil, v.KeyHash())
	return text + "\n" + signaturePrefix + c.Origin + " " + base64.StdEncoding.EncodeToString(append(hash, sig...)) + "\n", nil
}

const signaturePrefix = "— " // em dash and space: C2SP signed-note

// ParseCheckpoint reads a signed checkpoint strictly and verifies nothing.
// signatures are the lines below the text, at least one.
func ParseCheckpoint(signed string) (c Checkpoint, signatures string, err error) {
	if len(signed) > MaxCheckpointBytes {
		return c, "", fmt.Errorf("parse checkpoint: it has %d bytes: at most %d are allowed", len(signed), MaxCheckpointBytes)
	}
	text, signatures, _ := strings.Cut(signed, "\n\n")
	if err := checkSignatureLines(signatures); err != nil {
		return c, "", fmt.Errorf("parse checkpoint: %w", err)
	}
	lines := strings.Split(text, "\n")
	if len(lines) != 3 {
		return c, "", fmt.Errorf("parse checkpoint: it has %d lines, not 3: extension lines are refused", len(lines))
	}
	c.Origin = lines[0]
	if err := CheckOrigin(c.Origin); err != nil {
		return c, "", fmt.Errorf("parse checkpoint: %w", err)
	}
	if c.Size, err = parseNumber(lines[1]); err != nil {
		return c, "", fmt.Errorf("parse checkpoint: size: %w", err)
	}
	if err := DecodeBase64(c.Root[:], lines[2]); err != nil {
		return c, "", fmt.Errorf("parse checkpoint: root: %w", err)
	}
	return c, signatures, nil
}

// checkSignatureLines holds the lines below a note's text to the form of C2SP
// signed-note, "— NAME BASE64", canonically encoded. A name has no space and no plus;
// below the base64 are four bytes of key hash and a signature. The same key, by name and
// hash, has one line.
func checkSignatureLines(lines string) error {
	if lines == "" || lines[len(lines)-1] != '\n' {
		return errors.New("it is not a signed note that ends in a newline")
	}
	seen := map[string]bool{}
	for line := range strings.Lines(lines) {
		rest, ok := strings.CutPrefix(line[:len(line)-1], signaturePrefix)
		name, b64, ok2 := strings.Cut(rest, " ")
		named := name != "" && utf8.ValidString(name) && !strings.ContainsFunc(name, func(r rune) bool { return r < 0x20 || r == '+' || unicode.IsSpace(r) })
		sig, err := strictBase64.DecodeString(b64)
		if !ok || !ok2 || !named || err != nil || len(sig) < 5 || strings.ContainsRune(b64, '\r') {
			return fmt.Errorf("%.80q is not a signature line", line)
		}
		key := name + " " + string(sig[:4])
		if seen[key] {
			return fmt.Errorf("the key %q has two signature lines", name)
		}
		seen[key] = true
	}
	return nil
}

// VerifyCheckpoint parses a signed checkpoint and verifies it with a key that is
// named by its origin. Signatures of others, such as witnesses, are left to the
// caller; a broken signature of this key refuses the whole note.
func VerifyCheckpoint(signed, origin string, pub ed25519.PublicKey) (Checkpoint, error) {
	c, _, err := ParseCheckpoint(signed)
	if err != nil {
		return c, err
	}
	if c.Origin != origin {
		return c, fmt.Errorf("verify checkpoint: its origin is %q, the key's is %q", c.Origin, origin)
	}
	v, err := note.NewVerifier(VKey(origin, pub))
	if err != nil {
		return c, fmt.Errorf("verify checkpoint: %w", err)
	}
	if _, err := note.Open([]byte(signed), note.VerifierList(v)); err != nil {
		return c, fmt.Errorf("verify checkpoint of size %d: %w", c.Size, err)
	}
	return c, nil
}
