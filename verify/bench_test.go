package verify_test

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"testing"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/pack"
	"github.com/helm-ai-kernel/helm-ai-kernel/pack/packtest"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/verify"
	"github.com/helm-ai-kernel/helm-ai-kernel/verify/verifycmd"
)

// BenchmarkEntries verifies packs of the whole log, payloads included. Beside it
// stands what the signatures alone cost.
func BenchmarkEntries(b *testing.B) {
	l := packtest.New("bench")
	for i := range 5000 {
		d := l.Decide("agent.a", fmt.Sprint("s", i%50), helm.Allow, l.Payload(`{"amount":1001,"to":"acct_9","memo":"two hundred bytes of arguments are what the budget of the disk is about, and so it is here","path":"/srv/app/data/file.txt"}`), nil)
		l.Outcome(d, helm.OutcomeOK, nil)
	}
	p := l.Pack(receipt.Query{All: true}, pack.Options{})
	o := verify.Options{Trust: trust(b, l.Trust()), Each: verifycmd.Parallel}
	b.Run("verify", func(b *testing.B) {
		for b.Loop() {
			r, err := verify.Pack(bytes.NewReader(p), int64(len(p)), o)
			if err != nil || r.Exit != verify.ExitOK {
				b.Fatal(err, r)
			}
		}
		b.ReportMetric(float64(l.Size())*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
	})
	b.Run("ed25519", func(b *testing.B) {
		msg := make([]byte, 1500)
		sig := ed25519.Sign(l.Key, msg)
		pub := l.Key.Public().(ed25519.PublicKey)
		for b.Loop() {
			verifycmd.Parallel(int(l.Size()), func(int) { ed25519.Verify(pub, msg, sig) })
		}
		b.ReportMetric(float64(l.Size())*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
	})
}

// BenchmarkLeaves verifies a pack of one short session in a window of other
// people's entries.
func BenchmarkLeaves(b *testing.B) {
	l := packtest.New("bench")
	l.Decide("agent.a", "s", helm.Allow, nil, nil)
	l.Unsigned = true
	for i := range 200_000 {
		l.Decide(fmt.Sprint("agent.", i%100), "s", helm.Allow, nil, nil)
	}
	l.Unsigned = false
	l.Decide("agent.a", "s", helm.Allow, nil, nil)
	p := l.Pack(receipt.Query{Agent: "agent.a"}, pack.Options{})
	o := verify.Options{Trust: trust(b, l.Trust()), Each: verifycmd.Parallel}
	for b.Loop() {
		r, err := verify.Pack(bytes.NewReader(p), int64(len(p)), o)
		if err != nil || r.Exit != verify.ExitOK {
			b.Fatal(err, r)
		}
	}
	b.ReportMetric(float64(l.Size())*float64(b.N)/b.Elapsed().Seconds(), "leaves/s")
}

// BenchmarkWrite exports the whole log.
func BenchmarkWrite(b *testing.B) {
	l := packtest.New("bench")
	for range 2000 {
		l.Outcome(l.Decide("agent.a", "s", helm.Allow, nil, nil), helm.OutcomeOK, nil)
	}
	start := time.Now()
	for b.Loop() {
		l.Pack(receipt.Query{All: true}, pack.Options{})
	}
	b.ReportMetric(float64(l.Size())*float64(b.N)/time.Since(start).Seconds(), "entries/s")
}
