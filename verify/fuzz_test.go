package verify_test

import (
	"bytes"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel/pack"
	"github.com/helm-ai-kernel/helm-ai-kernel/pack/packtest"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/verify"
)

// FuzzPack gives the verifier packs in which one file was changed: some bytes cut
// out, and others put in their place. It may never panic, and whoever has no key
// gets nothing accepted but what hides disclosures. Sealed again by the genuine key
// a pack may be accepted, but never when its entries or leaves were changed.
func FuzzPack(f *testing.F) {
	l := exampleLog()
	trust := trust(f, l.Trust())
	queries := []receipt.Query{everything, {Agent: "agent.a"}, {Agent: "agent.b"}, {Agent: "agent.c"}, {Agent: "agent.a", Session: "s1"}}
	files := []string{pack.Checkpoint, pack.Consistency, pack.Nodes, pack.Leaves, pack.Entries, pack.Payloads, pack.Readme, pack.PackFile, pack.Redaction}
	for i := range files {
		f.Add(uint8(i), uint8(i), uint16(0), uint16(0), []byte{}, false)
		f.Add(uint8(i), uint8(i), uint16(20), uint16(1), []byte("x"), i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, query, file uint8, at, cut uint16, put []byte, sealed bool) {
		good := l.Pack(queries[int(query)%len(queries)], pack.Options{ConsistencyFrom: 4})
		tb := open(t, good)
		name := files[int(file)%len(files)]
		if name == pack.Redaction {
			tb.redact(t)
			name = pack.Payloads
		}
		old := tb.data[name]
		from := int(at) % (len(old) + 1)
		to := min(from+int(cut), len(old))
		tb.data[name] = append(append(bytes.Clone(old[:from]), put...), old[to:]...)
		changed := !bytes.Equal(tb.data[name], old)
		if tb.data[pack.Redaction] != nil {
			tb.redact(t)
		}
		if sealed && name != pack.PackFile {
			tb.seal(t, l, nil)
		}
		b := tb.bytes(t)
		r, err := verify.Pack(bytes.NewReader(b), int64(len(b)), verify.Options{Trust: trust})
		if !changed || err != nil || r.Exit != verify.ExitOK {
			return
		}
		hides := tb.data[pack.Redaction] != nil || name == pack.Payloads
		if !(hides && (sealed || tb.data[pack.Redaction] != nil)) && !(sealed && (name == pack.Readme || name == pack.Consistency)) {
			t.Errorf("%s was changed, sealed %t, and the pack accepted:\n%s", name, sealed, print(r))
		}
	})
}

// FuzzReceipt gives the verifier receipts of which a part was changed, and calls.
func FuzzReceipt(f *testing.F) {
	l := packtest.New("fuzz").Demo()
	f.Add(uint8(3), uint16(0), uint16(0), []byte{}, []byte(`{"arguments":{},"opening":""}`))
	f.Add(uint8(0), uint16(20), uint16(1), []byte("x"), []byte(`{}`))
	tr := trust(f, l.Trust())
	f.Fuzz(func(t *testing.T, index uint8, at, cut uint16, put, call []byte) {
		good := l.Receipt(uint64(index)%l.Size(), l.Size())
		from := int(at) % (len(good) + 1)
		b := append(append(bytes.Clone(good[:from]), put...), good[min(from+int(cut), len(good)):]...)
		if r, err := verify.Receipt(b, nil, verify.Options{Trust: tr}); err == nil && r.Exit == verify.ExitOK && !bytes.Equal(b, good) {
			t.Errorf("a changed receipt was accepted:\n%s", print(r))
		}
		if r, err := verify.Receipt(good, call, verify.Options{Trust: tr}); err == nil && r.Exit == verify.ExitOK {
			t.Errorf("a call was accepted whose opening nobody has: %q", call)
		}
	})
}
