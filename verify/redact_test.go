package verify_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel/pack"
	"github.com/helm-ai-kernel/helm-ai-kernel/pack/packtest"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/verify"
)

func TestRedact(t *testing.T) {
	l := packtest.New("redact").Demo()
	b := l.Pack(receipt.Query{Agent: "agent.a"}, pack.Options{})
	for range 2 { // what was redacted can be redacted again
		p, err := pack.Open(bytes.NewReader(b), int64(len(b)))
		must(t, err)
		var out bytes.Buffer
		must(t, p.Redact(&out, "by the data protection officer", "", func(index uint64, l *receipt.Line) bool {
			return l.Pointer == "/arguments/to"
		}))
		b = out.Bytes()
	}
	r := check(t, b, verify.Options{Trust: trust(t, l.Trust())})
	if r.Exit != verify.ExitOK || !slices.ContainsFunc(r.Findings, func(f verify.Finding) bool { return f.Code == "redacted" }) {
		t.Errorf("exit %d:\n%s", r.Exit, print(r))
	}
	tb := open(t, b)
	if s := string(tb.data[pack.Payloads]); strings.Contains(s, "acct_9") || strings.Contains(s, "/arguments/to") || !strings.Contains(s, "/arguments/amount") {
		t.Errorf("the payloads are\n%s", s)
	}
	tb.lines(pack.Payloads, func(l []string) []string { return l[:1] })
	if exit, _, text := verdict(t, tb.bytes(t), verify.Options{Trust: trust(t, l.Trust())}); exit != verify.ExitWrong {
		t.Errorf("redacted once more behind redaction.json: exit %d\n%s", exit, text)
	}
}
