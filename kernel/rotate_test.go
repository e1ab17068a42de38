package kernel_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/verify"
)

// TestRotateMeanwhile: when another process has replaced the key, this one allows
// nothing more, not even what it allowed before, and exports nothing.
func TestRotateMeanwhile(t *testing.T) {
	s, old := enforcing(t)
	c := transfer(1)
	c.CallID = "c1"
	first, err := old.Decide(t.Context(), c)
	if err != nil || first.Verdict != helm.Allow {
		t.Fatalf("%+v, %v", first, err)
	}
	next := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	key, err := s.kernel().Log().Rotate(next, "operator")
	if err != nil {
		t.Fatal(err)
	}
	all := kernel.Export{Query: receipt.Query{All: true}}
	if err := old.Export(t.Context(), new(bytes.Buffer), all); !errors.Is(err, ledger.ErrReplaced) {
		t.Errorf("it exports with the old key: %v", err)
	}
	for _, c := range []helm.Call{c, transfer(2)} {
		var e *kernel.Error
		if d, err := old.Decide(t.Context(), c); !errors.As(err, &e) || e.Code != helm.KernelStopped || !errors.Is(err, ledger.ErrReplaced) {
			t.Errorf("it answers %+v, %v", d, err)
		}
	}

	s.opts.Key = next
	k := s.kernel()
	decides(t, k, transfer(3), helm.Allow, helm.AllowedByRule)
	for _, at := range []uint64{1, key.Index} {
		x := all
		x.At = at
		var e *kernel.Error
		if err := k.Export(t.Context(), new(bytes.Buffer), x); !errors.As(err, &e) || e.Code != helm.NotFound || !strings.Contains(err.Error(), "a key that entry") {
			t.Errorf("a pack at the size %d: %v", at, err)
		}
	}
	for _, at := range []uint64{key.Index + 1, 0} {
		x := all
		x.At = at
		var b bytes.Buffer
		if err := k.Export(t.Context(), &b, x); err != nil {
			t.Fatal(err)
		}
		trust := &verify.Trust{Quorum: "none", Logs: []verify.TrustedLog{{Origin: k.Log().Origin(), Key: k.Log().Key()}}}
		if rep, err := verify.Pack(bytes.NewReader(b.Bytes()), int64(b.Len()), verify.Options{Trust: trust}); err != nil || rep.Exit != 0 {
			t.Errorf("the pack at the size %d: %v: %+v", at, err, rep)
		}
	}
}
