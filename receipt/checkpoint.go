package receipt

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

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
	v, err := note.NewVerifier(VKey(c.Origin, pub))
	if err != nil {
		return "", fmt.Errorf("sign checkpoint: %w", err)
	}
	text := c.Text()
	sig, err := key.Sign(rand.Reader, []byte(text), crypto.Hash(0))
	if err != nil {
		return "", fmt.Errorf("sign checkpoint: %w", err)
	}
	hash := binary.BigEndian.AppendUint32(nil, v.KeyHash())
	return text + "\n— " + c.Origin + " " + base64.StdEncoding.EncodeToString(append(hash, sig...)) + "\n", nil
}

// ParseCheckpoint reads a signed checkpoint strictly and verifies nothing.
// signatures are the lines below the text.
func ParseCheckpoint(signed string) (c Checkpoint, signatures string, err error) {
	if len(signed) > MaxCheckpointBytes {
		return c, "", fmt.Errorf("parse checkpoint: it has %d bytes: at most %d are allowed", len(signed), MaxCheckpointBytes)
	}
	text, signatures, ok := strings.Cut(signed, "\n\n")
	if !ok || signatures == "" || !strings.HasSuffix(signatures, "\n") {
		return c, "", errors.New("parse checkpoint: it is not a signed note")
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
