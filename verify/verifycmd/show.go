package verifycmd

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strconv"

	"github.com/helm-ai-kernel/helm-ai-kernel/pack"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// The parts that show can print.
const (
	partStatement = "statement" // the bytes of the statement
	partPAE       = "pae"       // what is signed: DSSE's pre-authentication encoding
	partSig       = "sig"       // the signature, 64 bytes
	partFields    = "fields"    // the fields file, out of the disclosure
	partKey       = "key"       // the key that the evidence says it is signed with, in PEM
)

var parts = []string{partStatement, partPAE, partSig, partFields, partKey}

// show prints a part of one entry, or of pack.json, byte for byte as it is in the
// pack and without a judgement: to be verified by hand with other tools.
func (c *Command) show(name, which, part string) error {
	f, err := c.openPack(name)
	if err != nil {
		return err
	}
	defer f.Close()
	p, err := pack.Open(f, f.size)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	var out []byte
	switch index, nerr := strconv.ParseUint(which, 10, 53); {
	case which == "pack" && part == partFields:
		return wrongUsage("pack.json commits to no fields")
	case which != "pack" && nerr != nil:
		return wrongUsage("%.60q is neither an index nor pack", which)
	case part == partFields:
		out, err = fields(p, index)
	default:
		out, err = signed(p, which == "pack", index, part)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	_, err = c.Stdout.Write(out)
	return err
}

// signed is a part of the envelope of an entry or of pack.json.
func signed(p *pack.Reader, ofPack bool, index uint64, part string) ([]byte, error) {
	var key ed25519.PublicKey
	var env *receipt.Envelope
	for line, err := range p.Lines(pack.Entries, receipt.MaxEnvelopeBytes) {
		if err != nil {
			return nil, err
		}
		e, err := receipt.ParseEnvelope(line)
		if err != nil {
			return nil, err
		}
		st, err := receipt.ParseStatement(e.Payload)
		if err != nil {
			return nil, err
		}
		if g, ok := st.Body.(*receipt.Genesis); ok {
			key = g.Key[:]
		}
		if !ofPack && st.Index == index {
			env = e
			break
		}
		if k, ok := st.Body.(*receipt.Key); ok {
			key = k.New[:]
		}
	}
	if ofPack {
		b, err := p.Read(pack.PackFile)
		if err == nil {
			env, err = receipt.ParsePackFile(b)
		}
		if err != nil {
			return nil, err
		}
	}
	if env == nil {
		return nil, fmt.Errorf("entry %d is not in the pack", index)
	}
	switch part {
	case partStatement:
		return env.Payload, nil
	case partPAE:
		return receipt.PAE(env.Payload), nil
	case partSig:
		return env.Signatures[0].Sig[:], nil
	}
	if key == nil {
		return nil, errors.New("no genesis names a key")
	}
	return receipt.PublicPEM(key), nil
}

func fields(p *pack.Reader, index uint64) ([]byte, error) {
	prefix := fmt.Appendf(nil, `{"index":%d,`, index)
	for line, err := range p.Lines(pack.Payloads, pack.MaxDisclosureBytes) {
		if err != nil {
			return nil, err
		}
		if bytes.HasPrefix(line, prefix) {
			d, err := receipt.ParseDisclosure(line)
			if err != nil {
				return nil, err
			}
			return d.FieldsFile(), nil
		}
	}
	return nil, fmt.Errorf("the payload of entry %d is not in the pack", index)
}
