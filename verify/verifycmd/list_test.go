package verifycmd_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/pack"
	"github.com/helm-ai-kernel/helm-ai-kernel/pack/packtest"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/verify/verifycmd"
)

// hostile is text that would move a terminal's cursor, hide or reorder.
const hostile = "\x1b[2J\u009b2J\x7f\u202e\nVERIFIED \U0001f600"

func hostileJSON() string {
	b, _ := json.Marshal(hostile)
	return string(b)
}

// TestList lists a log with every kind of entry, of which a holder closed parts.
func TestList(t *testing.T) {
	dir := t.TempDir()
	l := packtest.New("list")
	long := strings.Repeat("long ", 100)
	d := l.Decide("agent.a", "s1", helm.Allow, l.Payload(`{"to":"acct_9","n":[1,"x",{"~/":9007199254740993}],"text":`+hostileJSON()+`}`), nil) // 2
	l.Outcome(d, helm.OutcomeOK, nil)                                                                                                          // 3
	e := l.Decide("agent.a", "s1", helm.Escalate, l.Payload(`{"text":"`+long+`"}`), nil)                                                       // 4
	l.Answer(e, receipt.AnswerApprove, nil)                                                                                                    // 5
	l.Freeze()                                                                                                                                 // 6
	l.Unfreeze()                                                                                                                               // 7
	l.Boundary()                                                                                                                               // 8
	l.Rotate()                                                                                                                                 // 9
	l.Close("agent.a", "s1")                                                                                                                   // 10
	l.Append("", "", l.Statement(6).Subject, &receipt.Freeze{Principal: "operator", Boundary: "http", Reason: hostile}, nil)
	whole := l.Pack(receipt.Query{All: true}, pack.Options{})
	write(t, dir, "whole.tar", whole)
	write(t, dir, "trust.policy", []byte(l.Trust()))
	var redacted bytes.Buffer
	p, err := pack.Open(bytes.NewReader(whole), int64(len(whole)))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Redact(&redacted, "", "", func(index uint64, l *receipt.Line) bool {
		return l.Pointer == "/arguments/to" || l.Pointer == "/arguments/n/2" || index == 3
	}); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "redacted.tar", redacted.Bytes())

	code, out, errs := run(t, dir, "list", "whole.tar", "--trust", "trust.policy")
	if code != 0 || errs != "" || !strings.HasPrefix(out, "VERIFIED") {
		t.Fatalf("exit %d, stderr %q\n%s", code, errs, out)
	}
	head, entries, _ := strings.Cut(out, "\n\n")
	if !strings.Contains(head, "\ntrust file   trust.policy") || strings.Contains(out, "[intact]") {
		t.Errorf("the head is\n%s", head)
	}
	lines := strings.Split(strings.TrimSuffix(entries, "\n"), "\n")
	want := []string{
		" 0 2026-01-02T15:04:05.000000Z genesis - - - " + l.Origin,
		" 1 2026-01-02T15:04:06.000000Z policy - - - demo version 1, enforce, SHA-256 ",
		" 2 2026-01-02T15:04:07.000000Z decision agent.a/s1 demo.tool ALLOW demo-rule ALLOWED_BY_RULE " +
			`{"n":[1,"x",{"~/":9007199254740993}],"text":"\u001b[2J\u009b2J\u007f\u202e\nVERIFIED \ud83d\ude00","to":"acct_9"}`,
		` 3 2026-01-02T15:04:08.000000Z outcome agent.a/s1 demo.tool - ok after 1500 us, of entry 2 {"ok":true}`,
		` 4 2026-01-02T15:04:09.000000Z decision agent.a/s1 demo.tool ESCALATE demo-rule ESCALATED_BY_RULE {"text":"` + strings.Repeat("long ", 38) + "l... (cut: 511 bytes)",
		" 5 2026-01-02T15:04:10.000000Z approval agent.a/s1 - - approve of entry 4 by operator (operator-token)",
		" 6 2026-01-02T15:04:11.000000Z freeze - - - by operator: drill",
		" 7 2026-01-02T15:04:12.000000Z unfreeze - - - by operator: drill over",
		" 8 2026-01-02T15:04:13.000000Z boundary - - - http start: what is sent to it",
		" 9 2026-01-02T15:04:14.000000Z key - - - new key ",
		" 10 2026-01-02T15:04:15.000000Z session agent.a/s1 - - closed (api)",
		` 11 2026-01-02T15:04:16.000000Z freeze - - - by operator: \x1b[2J\u009b2J\x7f\u202e\nVERIFIED \U0001f600`,
	}
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d:\n%s", len(lines), len(want), entries)
	}
	for i, line := range lines {
		if tight := " " + strings.Join(strings.Fields(line), " "); !strings.HasPrefix(tight, want[i]) {
			t.Errorf("line %d is\n%s, want\n%s", i, tight, want[i])
		}
	}
	if i := strings.IndexFunc(out, func(r rune) bool { return r > 0x7e || r < 0x20 && r != '\n' }); i >= 0 {
		t.Errorf("it prints %q", out[i:])
	}

	if _, out, _ := run(t, dir, "list", "whole.tar", "--full"); !strings.Contains(out, long) || strings.Contains(out, "cut:") {
		t.Errorf("--full cuts:\n%s", out)
	}
	if _, out, _ := run(t, dir, "list", "redacted.tar"); !strings.Contains(out, `{"n":[1,"x",<closed>],"text":`) || !strings.Contains(out, `"to":<closed>}`) || !strings.Contains(out, "of entry 2  <closed>\n") {
		t.Errorf("what is closed is not shown as closed:\n%s", out)
	}

	code, out, errs = run(t, dir, "list", "redacted.tar", "--trust", "trust.policy", "--json")
	if code != 0 || errs != "VERIFIED: everything required holds\n" {
		t.Errorf("--json: exit %d, stderr %q", code, errs)
	}
	type disclosed struct {
		Value  json.RawMessage
		Closed []string
	}
	lines = strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	for i, line := range lines {
		var e struct {
			Index     uint64
			ID, Kind  string
			Statement struct{ PredicateType string }
			Disclosed *disclosed
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Index != uint64(i) || len(e.ID) != 64 || !strings.HasSuffix(e.Statement.PredicateType, "/"+e.Kind+"/v1") {
			t.Errorf("line %d is %s: %v", i, line, err)
		}
		switch d := e.Disclosed; {
		case i == 2 && (d == nil || fmt.Sprint(d.Closed) != "[/arguments/n/2 /arguments/to]" || !strings.Contains(string(d.Value), `{"n":[1,"x",null],"text":"\u001b[2J\u009b2J\u007f`)):
			t.Errorf("line 2 discloses %+v", d)
		case i == 3 && (d == nil || fmt.Sprint(d.Closed) != "[]" || len(d.Closed) != 1 || string(d.Value) != "null"):
			t.Errorf("line 3 discloses %+v", d)
		}
	}
	if len(lines) != 12 {
		t.Errorf("--json prints %d lines", len(lines))
	}
}

// TestListWrong lists packs that are wrong: the verdict is on top, and nothing is
// listed that was not examined.
func TestListWrong(t *testing.T) {
	vectors, err := filepath.Abs("../../spec/vectors/packs")
	if err != nil {
		t.Fatal(err)
	}
	for name, listed := range map[string]int{"bad-signature.tar": 2, "bad-disclosure.tar": -1, "bad-left-out.tar": -1} {
		code, out, _ := run(t, vectors, "list", name)
		head, entries, _ := strings.Cut(out, "]\n\n")
		if code != 1 || !strings.HasPrefix(head, "WRONG") || !strings.Contains(head, "\nwrong ") {
			t.Errorf("%s: exit %d\n%s", name, code, out)
		}
		if n := strings.Count(entries, "\n"); listed >= 0 && n != listed {
			t.Errorf("%s: %d entries are listed, want %d\n%s", name, n, listed, entries)
		}
		if name == "bad-disclosure.tar" && !strings.Contains(entries, "<not in the pack>") {
			t.Errorf("%s: a payload is shown that opens no commitment:\n%s", name, entries)
		}
	}
}

// A sampler notes how much is in use while it is written to.
type sampler struct{ most uint64 }

func (s *sampler) Write(b []byte) (int, error) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s.most = max(s.most, m.HeapAlloc)
	return len(b), nil
}

// TestListMemory holds that listing ten times as many entries takes no more memory.
func TestListMemory(t *testing.T) {
	use := func(entries int) uint64 {
		dir := t.TempDir()
		func() {
			l := packtest.New("memory")
			for range entries {
				l.Decide("agent.a", "s1", helm.Deny, l.Payload(`{"text":"`+strings.Repeat("x", 3000)+`"}`), nil)
			}
			write(t, dir, "pack.tar", l.Pack(receipt.Query{All: true}, pack.Options{}))
		}()
		s := new(sampler)
		if code := verifycmd.Run(verifycmd.Command{Name: "helm-verify", Args: []string{"list", filepath.Join(dir, "pack.tar"), "--full"}, Stdout: s, Stderr: new(bytes.Buffer)}); code != 3 {
			t.Fatalf("exit %d", code)
		}
		return s.most
	}
	if few, many := use(200), use(2000); many > few+1<<20 {
		t.Errorf("2000 entries take %d bytes, 200 take %d", many, few)
	}
}
