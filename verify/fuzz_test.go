package verify_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel/pack"
	"github.com/helm-ai-kernel/helm-ai-kernel/pack/packtest"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/verify"
)

// FuzzPack gives the verifier hostile packs. It may never panic, and what is not
// one of the good ones is never accepted: whoever has no key proves nothing.
func FuzzPack(f *testing.F) {
	l := exampleLog()
	trust := trust(f, l.Trust())
	good := map[string]bool{}
	files, err := filepath.Glob("../spec/vectors/packs/*.tar")
	must(f, err)
	for _, name := range files {
		b, err := os.ReadFile(name)
		must(f, err)
		f.Add(b)
	}
	for _, q := range []receipt.Query{everything, {Agent: "agent.a"}, {Agent: "agent.b"}, {Agent: "agent.c"}, {Agent: "agent.a", Session: "s1"}} {
		good[string(l.Pack(q, pack.Options{}))] = true
		good[string(l.Pack(q, pack.Options{ConsistencyFrom: 4}))] = true
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := verify.Pack(bytes.NewReader(b), int64(len(b)), verify.Options{Trust: trust})
		if err != nil || r.Exit != verify.ExitOK || good[string(b)] {
			return
		}
		for _, x := range r.Findings {
			if x.Code == "redacted" {
				return // that a holder may do, unseen
			}
		}
		t.Errorf("a pack that nobody made was accepted:\n%s", print(r))
	})
}

// FuzzReceipt gives the verifier hostile receipts and calls.
func FuzzReceipt(f *testing.F) {
	l := packtest.New("fuzz").Demo()
	f.Add(l.Receipt(3, 7), []byte(`{"arguments":{},"opening":""}`))
	f.Add(l.Receipt(0, 1), []byte(`{}`))
	tr := trust(f, l.Trust())
	f.Fuzz(func(t *testing.T, b, call []byte) {
		r, err := verify.Receipt(b, call, verify.Options{Trust: tr})
		if err == nil && r.Exit == verify.ExitOK && len(call) > 0 && !bytes.Contains(call, []byte("opening")) {
			t.Errorf("accepted with the call %q", call)
		}
	})
}
