package verify_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/pack/packtest"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/verify"
)

// TestReceiptEveryByte flips one bit of every byte of a receipt file in turn.
func TestReceiptEveryByte(t *testing.T) {
	l := packtest.New("receipt").Demo()
	good := l.Receipt(7, l.Size())
	o := verify.Options{Trust: trust(t, l.Trust())}
	if r, err := verify.Receipt(good, nil, o); err != nil || r.Exit != verify.ExitOK {
		t.Fatalf("the untouched receipt: %v\n%s", err, print(r))
	}
	for i := range good {
		b := bytes.Clone(good)
		b[i] ^= 1 << (i % 7)
		if r, err := verify.Receipt(b, nil, o); err == nil && r.Exit != verify.ExitWrong && r.Exit != verify.ExitNotProved {
			t.Fatalf("byte %d of %d changed: exit %d\n%s", i, len(b), r.Exit, print(r))
		}
	}
}

func TestReceiptAttacks(t *testing.T) {
	l := packtest.New("receipt").Demo()
	other := packtest.New("other").Demo()
	edit := func(index uint64, f func(e *receipt.Envelope, p *receipt.Proof)) []byte {
		e, err := receipt.ParseEnvelope(bytes.TrimSuffix(l.Receipt(index, l.Size()), []byte("\n")))
		must(t, err)
		p, err := receipt.ParseProof(e.Proof)
		must(t, err)
		f(e, p)
		e.Proof = p.Marshal()
		b, err := e.Marshal()
		must(t, err)
		return append(b, '\n')
	}
	for _, row := range []struct {
		name string
		file []byte
		exit int
		code string
	}{
		{"another index", edit(3, func(e *receipt.Envelope, p *receipt.Proof) { p.Index = 4 }), 1, "inclusion"},
		{"a hash changed", edit(3, func(e *receipt.Envelope, p *receipt.Proof) { p.Hashes[1][0] ^= 1 }), 1, "inclusion"},
		{"a hash less", edit(3, func(e *receipt.Envelope, p *receipt.Proof) { p.Hashes = p.Hashes[1:] }), 1, "inclusion"},
		{"a hash more", edit(3, func(e *receipt.Envelope, p *receipt.Proof) { p.Hashes = append(p.Hashes, receipt.Hash{}) }), 1, "inclusion"},
		{"the checkpoint of another size", edit(3, func(e *receipt.Envelope, p *receipt.Proof) { p.Checkpoint = l.Checkpoint(9) }), 1, "inclusion"},
		{"the checkpoint of another log", edit(3, func(e *receipt.Envelope, p *receipt.Proof) { p.Checkpoint = other.Checkpoint(20) }), 1, "inclusion"},
		{"the signature of another entry", edit(3, func(e *receipt.Envelope, p *receipt.Proof) {
			o, err := receipt.ParseEnvelope(bytes.TrimSuffix(l.Receipt(4, 9), []byte("\n")))
			must(t, err)
			e.Signatures = o.Signatures
		}), 1, "signer-other"},
		{"a second signature", edit(3, func(e *receipt.Envelope, p *receipt.Proof) { e.Signatures = append(e.Signatures, e.Signatures[0]) }), 1, "entry-signature"},
		{"another log's receipt", other.Receipt(3, 20), 3, "signer-unknown"},
	} {
		r, err := verify.Receipt(row.file, nil, verify.Options{Trust: trust(t, l.Trust())})
		must(t, err)
		if r.Exit != row.exit || !slices.ContainsFunc(r.Findings, func(f verify.Finding) bool { return f.Code == row.code }) {
			t.Errorf("%s: exit %d, want %d with %q\n%s", row.name, r.Exit, row.exit, row.code, print(r))
		}
	}
	// A statement changed and signed again is not the one in the tree.
	liar := packtest.New("receipt").Demo().Resign(func(st *receipt.Statement) bool {
		if d, ok := st.Body.(*receipt.Decision); ok {
			d.Verdict, d.Escalation = helm.Deny, nil
		}
		return true
	})
	e, err := receipt.ParseEnvelope(bytes.TrimSuffix(liar.Receipt(3, 20), []byte("\n")))
	must(t, err)
	b := edit(3, func(g *receipt.Envelope, p *receipt.Proof) { g.Payload, g.Signatures = e.Payload, e.Signatures })
	if r, err := verify.Receipt(b, nil, verify.Options{Trust: trust(t, l.Trust())}); err != nil || r.Exit != verify.ExitWrong || !strings.Contains(print(r), "[inclusion]") {
		t.Errorf("signed again: %v\n%s", err, print(r))
	}
}
