package receipt_test

import (
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

func BenchmarkMarshalStatement(b *testing.B) {
	e := newSampleLog().entry("decision-approved")
	b.SetBytes(int64(len(e.bytes)))
	b.ReportAllocs()
	for b.Loop() {
		must(e.statement.Marshal())
	}
}

func BenchmarkParseStatement(b *testing.B) {
	e := newSampleLog().entry("decision-approved")
	b.SetBytes(int64(len(e.bytes)))
	b.ReportAllocs()
	for b.Loop() {
		must(receipt.ParseStatement(e.bytes))
	}
}

func BenchmarkMarshalEnvelope(b *testing.B) {
	e := newSampleLog().entry("decision-approved")
	b.ReportAllocs()
	for b.Loop() {
		must(e.envelope.Marshal())
	}
}

func BenchmarkParseEnvelope(b *testing.B) {
	file := must(newSampleLog().entry("decision-approved").envelope.Marshal())
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		must(receipt.ParseEnvelope(file))
	}
}

func BenchmarkLeaf(b *testing.B) {
	e := newSampleLog().entry("decision-approved")
	b.ReportAllocs()
	for b.Loop() {
		e.statement.Leaf(e.bytes).Hash()
	}
}

func BenchmarkParseLeaf(b *testing.B) {
	e := newSampleLog().entry("decision-approved")
	b.ReportAllocs()
	for b.Loop() {
		must(receipt.ParseLeaf(e.leaf))
	}
}

// Five lines: the whole value, arguments, and three fields.
func BenchmarkCommit(b *testing.B) {
	v := must(strictjson.Parse([]byte(`{"arguments":{"amount":1001,"memo":"rent for May","to":"acct_9"}}`)))
	secret := receipt.Secret(fixed("bench"))
	b.ReportAllocs()
	for b.Loop() {
		receipt.Commit(&secret, must(receipt.Flatten(v)))
	}
}

func BenchmarkDisclosure(b *testing.B) {
	p := newSampleLog().entry("decision-approved").payload
	d := receipt.Disclose(7, &p.secret, p.lines)
	line := must(d.Marshal())
	commitment := p.commitment()
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		if err := must(receipt.ParseDisclosure(line)).Verify(commitment); err != nil {
			b.Fatal(err)
		}
	}
}
