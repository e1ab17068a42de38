package receipt

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// MaxProofHashes is the most sibling hashes that a proof of inclusion can have.
const MaxProofHashes = 63

const proofHeader = "c2sp.org/tlog-proof@v1"

// A Proof is a C2SP tlog-proof: an entry's index, its RFC 6962 inclusion proof,
// and the signed checkpoint that the proof leads to. It has no extra line.
type Proof struct {
	Index      uint64
	Hashes     []Hash // from the leaf's sibling to the root's child
	Checkpoint string // signed
}

// Marshal prints the proof.
func (p *Proof) Marshal() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nindex %d\n", proofHeader, p.Index)
	for i := range p.Hashes {
		b.WriteString(base64.StdEncoding.EncodeToString(p.Hashes[i][:]))
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	b.WriteString(p.Checkpoint)
	return b.String()
}

// ParseProof reads what Marshal prints, and nothing else. Nothing in it is
// verified.
func ParseProof(text string) (*Proof, error) {
	p, err := parseProof(text)
	if err != nil {
		return nil, fmt.Errorf("parse proof: %w", err)
	}
	return p, nil
}

func parseProof(text string) (*Proof, error) {
	rest, ok := strings.CutPrefix(text, proofHeader+"\nindex ")
	if !ok {
		return nil, fmt.Errorf("it does not begin with %q and an index", proofHeader)
	}
	head, checkpoint, ok := strings.Cut(rest, "\n\n")
	if !ok {
		return nil, errors.New("it has no checkpoint")
	}
	lines := strings.Split(head, "\n")
	p := &Proof{Checkpoint: checkpoint}
	var err error
	if p.Index, err = parseNumber(lines[0]); err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	if len(lines)-1 > MaxProofHashes {
		return nil, fmt.Errorf("it has %d hashes: at most %d are allowed", len(lines)-1, MaxProofHashes)
	}
	for _, l := range lines[1:] {
		var h Hash
		if err := DecodeBase64(h[:], l); err != nil {
			return nil, fmt.Errorf("hash %d: %w", len(p.Hashes)+1, err)
		}
		p.Hashes = append(p.Hashes, h)
	}
	if _, _, err := ParseCheckpoint(checkpoint); err != nil {
		return nil, err
	}
	return p, nil
}

// Includes returns an error unless the proof leads from the leaf hash to the root
// of checkpoint c, which its caller has verified.
func (p *Proof) Includes(leaf Hash, c Checkpoint) error {
	if p.Index >= c.Size {
		return fmt.Errorf("verify inclusion: the index %d is not in a log of %d entries", p.Index, c.Size)
	}
	path := make(tlog.RecordProof, len(p.Hashes))
	for i, h := range p.Hashes {
		path[i] = tlog.Hash(h)
	}
	if err := tlog.CheckRecord(path, int64(c.Size), tlog.Hash(c.Root), int64(p.Index), tlog.Hash(leaf)); err != nil {
		return fmt.Errorf("verify inclusion of entry %d in the log of size %d: %w", p.Index, c.Size, err)
	}
	return nil
}
