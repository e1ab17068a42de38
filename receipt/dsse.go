package receipt

import (
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
)

// PayloadType is the DSSE payload type of every statement.
const PayloadType = "application/vnd.in-toto+json"

// MaxEnvelopeBytes bounds an envelope, proof included.
const MaxEnvelopeBytes = 64 << 10

// An Envelope is a signed statement: DSSE v1 in JSON. A receipt file is an
// envelope with a proof, and one LF.
type Envelope struct {
	Payload    []byte // the statement's bytes
	Signatures []Signature
	Proof      string // C2SP tlog-proof, or "": see ParseProof
}

// A Signature is one DSSE signature. KeyID is a hint and trusted by nobody.
type Signature struct {
	KeyID string
	Sig   [ed25519.SignatureSize]byte
}

// PAE is DSSE's pre-authentication encoding of a statement: what is signed.
func PAE(statement []byte) []byte {
	b := make([]byte, 0, len(statement)+64)
	b = append(b, "DSSEv1 "...)
	b = strconv.AppendInt(b, int64(len(PayloadType)), 10)
	b = append(b, ' ')
	b = append(b, PayloadType...)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(len(statement)), 10)
	b = append(b, ' ')
	return append(b, statement...)
}

// Sign signs a statement's bytes with an Ed25519 key.
func Sign(key crypto.Signer, statement []byte) (Signature, error) {
	pub, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return Signature{}, fmt.Errorf("sign statement: the key is a %T, not Ed25519", key.Public())
	}
	raw, err := key.Sign(nil, PAE(statement), crypto.Hash(0)) // Ed25519 needs no randomness
	if err != nil {
		return Signature{}, fmt.Errorf("sign statement: %w", err)
	}
	s := Signature{KeyID: KeyID(pub)}
	if copy(s.Sig[:], raw) != len(s.Sig) || len(raw) != len(s.Sig) {
		return Signature{}, fmt.Errorf("sign statement: the signature has %d bytes, not %d", len(raw), len(s.Sig))
	}
	return s, nil
}

// Verify reports whether the signature is pub's over the statement's bytes.
func (s *Signature) Verify(pub ed25519.PublicKey, statement []byte) bool {
	return ed25519.Verify(pub, PAE(statement), s.Sig[:])
}

// Marshal prints the envelope on one line, without the LF that ends a file.
func (e *Envelope) Marshal() ([]byte, error) {
	b, err := encode(len(e.Payload)*4/3+len(e.Proof)+1024, e.describe)
	if err == nil && len(b) > MaxEnvelopeBytes {
		err = fmt.Errorf("it has %d bytes: at most %d are allowed", len(b), MaxEnvelopeBytes)
	}
	if err != nil {
		return nil, fmt.Errorf("marshal envelope: %w", err)
	}
	return b, nil
}

// ParseEnvelope reads what Marshal prints, and nothing else. Nothing in it is
// verified.
func ParseEnvelope(data []byte) (*Envelope, error) {
	if len(data) > MaxEnvelopeBytes {
		return nil, fmt.Errorf("parse envelope: it has %d bytes: at most %d are allowed", len(data), MaxEnvelopeBytes)
	}
	e := new(Envelope)
	if err := decode(data, e.describe); err != nil {
		return nil, fmt.Errorf("parse envelope: %w", err)
	}
	return e, nil
}

func (e *Envelope) describe(c *codec) { e.describeUpTo(c, MaxStatementBytes) }

func (e *Envelope) describeUpTo(c *codec, maxPayload int) {
	c.object(func() {
		c.name("payload")
		c.bytes(&e.Payload, maxPayload)
		c.name("payloadType")
		c.lit(`"` + PayloadType + `"`)
		c.name("signatures")
		list(c, &e.Signatures, 2, func(s *Signature) {
			c.object(func() {
				c.name("keyid")
				c.text(&s.KeyID, 128)
				c.name("sig")
				c.base64(s.Sig[:])
			})
		})
		if c.err == nil && len(e.Signatures) == 0 {
			c.fail("an envelope has no signature")
		}
		if c.optional("proof", e.Proof != "") {
			c.checked(&e.Proof, MaxEnvelopeBytes, func(s string) error {
				if s == "" {
					return errors.New("the proof is empty")
				}
				return nil
			})
		}
	})
}

// bytes is a string value: base64 of at most max bytes.
func (c *codec) bytes(b *[]byte, max int) {
	c.lit(`"`)
	if c.writing && len(*b) > max {
		c.fail("%d bytes in base64: at most %d are allowed", len(*b), max)
	} else if c.writing && c.err == nil {
		c.buf = base64.StdEncoding.AppendEncode(c.buf, *b)
	} else if c.err == nil {
		end := 0
		for end < len(c.buf) && c.buf[end] != '"' {
			end++
		}
		n := end / 4 * 3
		for i := end; i > 0 && i > end-2 && c.buf[i-1] == '='; i-- {
			n--
		}
		if n > max || n < 0 {
			c.fail("base64 of more than %d bytes", max)
			return
		}
		v := make([]byte, n)
		if err := DecodeBase64(v, c.buf[:end]); err != nil {
			c.fail("%w", err)
			return
		}
		*b, c.buf = v, c.buf[end:]
	}
	c.lit(`"`)
}
