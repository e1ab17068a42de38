package receipt_test

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

func TestStatementsRoundTrip(t *testing.T) {
	kinds := map[receipt.Kind]bool{}
	for _, e := range newSampleLog().entries {
		st, err := receipt.ParseStatement(e.bytes)
		if err != nil {
			t.Errorf("%s: %v", e.name, err)
			continue
		}
		kinds[st.Body.Kind()] = true
		if !reflect.DeepEqual(st, e.statement) {
			t.Errorf("%s: parsed as\n%+v\nwant\n%+v", e.name, st, e.statement)
		}
		if again := must(st.Marshal()); !bytes.Equal(again, e.bytes) {
			t.Errorf("%s: prints as\n%s\nthen as\n%s", e.name, e.bytes, again)
		}
	}
	for _, k := range []receipt.Kind{receipt.KindGenesis, receipt.KindPolicy, receipt.KindSession, receipt.KindDecision, receipt.KindOutcome,
		receipt.KindApproval, receipt.KindBoundary, receipt.KindFreeze, receipt.KindUnfreeze, receipt.KindKey} {
		if !kinds[k] {
			t.Errorf("the sample log has no %s entry", k)
		}
	}
}

// badStatements are one change of a statement each, and what the refusal says. They are
// published in spec/vectors/statements.json.
var badStatements = []struct {
	why, of, old, new, says string
}{
	{"a space after a colon", "decision-allow", `"index":3`, `"index": 3`, ""},
	{"a space before the end", "genesis", `}}`, `} }`, ""},
	{"an LF at the end", "genesis", "$", "\n", "follow the end"},
	{"a second statement behind", "genesis", "$", "{}", "follow the end"},
	{"a byte order mark", "genesis", "^", "\ufeff", ""},
	{"members swapped", "decision-allow", `"agent":"agent.demo.exec","session":"s1"`, `"session":"s1","agent":"agent.demo.exec"`, `"agent" was expected`},
	{"_type and subject swapped", "freeze", `"_type":"https://in-toto.io/Statement/v1","subject":[`, `"subject":[],"_type":"https://in-toto.io/Statement/v1","x":[`, `"_type" was expected`},
	{"an unknown member", "freeze", `"reason":`, `"x":1,"reason":`, `"reason" was expected`},
	{"an unknown member at the end", "freeze", `"reason":"incident 12"`, `"reason":"incident 12","x":1`, ""},
	{"a duplicate member", "freeze", `"reason":"incident 12"`, `"reason":"incident 12","reason":"incident 12"`, ""},
	{"a member missing", "freeze", `"principal":"operator",`, ``, `"principal" was expected`},
	{"the last member missing", "freeze", `,"reason":"incident 12"`, ``, `"reason" was expected`},
	{"null for a string", "freeze", `"reason":"incident 12"`, `"reason":null`, "a string was expected"},
	{"a number for a string", "freeze", `"reason":"incident 12"`, `"reason":12`, "a string was expected"},
	{"a string for a number", "freeze", `"index":10`, `"index":"10"`, "not a decimal number"},
	{"a leading zero", "freeze", `"index":10`, `"index":010`, "not a decimal number"},
	{"a plus", "freeze", `"index":10`, `"index":+10`, "not a decimal number"},
	{"a minus", "freeze", `"index":10`, `"index":-10`, "not a decimal number"},
	{"a fraction", "freeze", `"index":10`, `"index":10.0`, ""},
	{"an exponent", "freeze", `"index":10`, `"index":1e1`, ""},
	{"a number over 2^53-1", "freeze", `"index":10`, `"index":9007199254740992`, "not a decimal number"},
	{"a number over 2^64", "freeze", `"index":10`, `"index":18446744073709551626`, "not a decimal number"},
	{"upper case hex", "freeze", `"sha256":"HEX`, `"sha256":"UPPER`, "lower case hex"},
	{"short hex", "freeze", `"sha256":"HEX`, `"sha256":"SHORT`, ""},
	{"base64 without padding", "genesis", `="}}`, `"}}`, ""},
	{"base64 with other padding bits", "genesis", `"nonce":"B64=="`, `"nonce":"B64+1=="`, "base64"},
	{"base64 with a newline", "genesis", `"nonce":"B64=="`, `"nonce":"B64NL=="`, "base64"},
	{"base64 of the URL alphabet", "genesis", `"key":"11qYAYKxCrfVS/`, `"key":"11qYAYKxCrfVS_`, "base64"},
	{"a needless escape", "freeze", `"reason":"incident 12"`, `"reason":"\u0069ncident 12"`, "RFC 8785"},
	{"an escaped slash", "freeze", `"reason":"incident 12"`, `"reason":"incident\/12"`, "RFC 8785"},
	{"an upper case escape", "decision-deny", `\u0001`, `\u000E\u000F`, "RFC 8785"},
	{"a long escape of a tab", "decision-deny", `\t`, `\u0009`, "RFC 8785"},
	{"a raw control character", "decision-deny", `\t`, "\t", "unescaped"},
	{"an escaped surrogate pair", "decision-deny", `😂`, `\ud83d\ude02`, "RFC 8785"},
	{"an escaped lone surrogate", "decision-deny", `😂`, `\ud83d`, "RFC 8785"},
	{"invalid UTF-8", "decision-deny", `😂`, "\xf0\x9f", "UTF-8"},
	{"a raw surrogate", "decision-deny", `😂`, "\xed\xa0\x80", "UTF-8"},
	{"a capital boolean", "decision-allow", `"enforced":true`, `"enforced":True`, ""},
	{"a boolean in quotes", "decision-allow", `"enforced":true`, `"enforced":"true"`, ""},
	{"a trailing comma in a list", "decision-allow", `"used":"1"}]`, `"used":"1"},]`, ""},
	{"an empty optional member", "decision-deny", `"principal":"agent:demo"`, `"call_id":"","principal":"agent:demo"`, "call_id is empty"},
	{"null for an optional member", "decision-deny", `"budgets":[]`, `"budgets":[],"approval":null`, ""},
	{"a zero that is left out otherwise", "decision-shadow", `"matched_more":2`, `"matched_more":0`, "left out when it is 0"},
	{"more rules matched, and the list is not full", "decision-allow", `"policy":{"id"`, `"matched_more":1,"policy":{"id"`, "1 rules are listed"},
	{"null for a shadow policy", "decision-shadowed", `"shadow":{`, `"shadow":null,"x":{`, ""},
	{"a shadow policy that says nothing", "decision-shadowed", `,"verdict":"DENY","rule":"default","code":"DEFAULT_DENY"`, ``, `"verdict" was expected`},
	{"a shadow policy with a verdict of its own", "decision-shadowed", `"verdict":"DENY"`, `"verdict":"ASK"`, "one of ALLOW, DENY, ESCALATE"},
	{"a shadow policy in another place", "decision-deny", `"budgets":[]`, `"shadow":{},"budgets":[]`, `"budgets" was expected`},
	{"another statement type", "freeze", `https://in-toto.io/Statement/v1`, `https://in-toto.io/Statement/v0.1`, ""},
	{"a predicate type of another project", "freeze", `https://github.com/helm-ai-kernel/helm-ai-kernel/spec/freeze/v1`, `https://example.com/spec/freeze/v1`, "predicate type"},
	{"a predicate type of another version", "freeze", `spec/freeze/v1`, `spec/freeze/v2`, "predicate type"},
	{"an unknown kind", "freeze", `spec/freeze/v1`, `spec/thaw/v1`, `kind "thaw" is unknown`},
	{"a reserved kind", "freeze", `spec/freeze/v1`, `spec/review/v1`, `kind "review" is unknown`},
	{"a pack is no entry", "freeze", `spec/freeze/v1`, `spec/pack/v1`, `kind "pack" is unknown`},
	{"no kind", "freeze", `spec/freeze/v1`, `spec//v1`, "is unknown"},
	{"another kind's body", "freeze", `spec/freeze/v1`, `spec/decision/v1`, ""},
	{"no subject", "freeze", `[{"name":"statement","digest":{"sha256":"HEX"}}]`, `[]`, "no subject"},
	{"two subjects", "freeze", `"subject":[{`, `"subject":[{"name":"statement","digest":{"sha256":"HEX"}},{`, "more than 1"},
	{"two digests", "freeze", `"digest":{"sha256"`, `"digest":{"sha1":"00","sha256"`, ""},
	{"the subject of another kind", "freeze", `"name":"statement"`, `"name":"policy"`, `"policy", not "statement"`},
	{"an upper case origin", "freeze", `"origin":"helm.local/`, `"origin":"HELM.local/`, "origin"},
	{"an empty origin", "freeze", `"origin":"ORIGIN"`, `"origin":""`, "origin"},
	{"an origin with a space", "freeze", `"origin":"helm.local/`, `"origin":"helm.local /`, "origin"},
	{"a time with milliseconds", "freeze", `15:04:20.000010Z`, `15:04:20.000Z`, "six decimals"},
	{"a time with nanoseconds", "freeze", `15:04:20.000010Z`, `15:04:20.000010000Z`, ""},
	{"a time with a comma", "freeze", `15:04:20.000010Z`, `15:04:20,000010Z`, "six decimals"},
	{"a time with an offset", "freeze", `15:04:20.000010Z`, `15:04:20.000010+00:00`, ""},
	{"a time with a small z", "freeze", `15:04:20.000010Z`, `15:04:20.000010z`, "six decimals"},
	{"a time with a space", "freeze", `2026-01-02T15:04:20`, `2026-01-02 15:04:20`, "six decimals"},
	{"a leap second", "freeze", `15:04:20.000010Z`, `15:04:60.000010Z`, "six decimals"},
	{"a day that is none", "freeze", `2026-01-02T`, `2026-02-30T`, "six decimals"},
	{"no stream", "freeze", `"streams":[STREAM]`, `"streams":[]`, "in 1 streams, not 0"},
	{"a control entry in an agent's stream", "freeze", `"streams":[{"name":"control"`, `"streams":[{"name":"agent"`, `stream 1`},
	{"a decision in the control stream only", "decision-allow", `"streams":[{"name":"agent"`, `"streams":[{"name":"control"`, `stream 1`},
	{"an unknown stream", "freeze", `"streams":[{"name":"control"`, `"streams":[{"name":"tenant"`, "one of agent, session, control"},
	{"streams swapped", "decision-allow", "STREAM1,STREAM2", "STREAM2,STREAM1", "stream 1"},
	{"one stream of two", "decision-allow", "STREAM1,STREAM2", "STREAM1", "in 2 streams, not 1"},
	{"a stream thrice", "decision-allow", "STREAM1,STREAM2", "STREAM1,STREAM2,STREAM2", "more than 2"},
	{"a seq of 0", "decision-allow", `"seq":1,"prev":""`, `"seq":0,"prev":""`, "seq is 0"},
	{"a seq of 0 with a predecessor", "freeze", `"seq":4`, `"seq":0`, ""},
	{"a first entry with a predecessor", "decision-allow", `"seq":1,"prev":""`, `"seq":1,"prev":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="`, ""},
	{"a later entry without one", "freeze", `"seq":4,"prev":"B64="`, `"seq":4,"prev":""`, ""},
	{"a control entry beside its control head", "freeze", `"control":{"seq":3`, `"control":{"seq":2`, "is not the entry before it"},
	{"a control entry under another control head", "freeze", `"control":{"seq":3,"hash":"B64="`, `"control":{"seq":3,"hash":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="`, "is not the entry before it"},
	{"no control head", "decision-allow", `"control":{"seq":3,"hash":"B64="}`, `"control":{"seq":0,"hash":""}`, "only genesis"},
	{"genesis at index 1", "genesis", `"index":0`, `"index":1`, "genesis is entry 0"},
	{"a decision at index 0", "decision-allow", `"index":3`, `"index":0`, "genesis is entry 0"},
	{"a verdict in lower case", "decision-allow", `"verdict":"ALLOW","mode"`, `"verdict":"allow","mode"`, "one of ALLOW, DENY, ESCALATE"},
	{"an unknown mode", "decision-allow", `"mode":"enforce"`, `"mode":"observe"`, "one of enforce, shadow"},
	{"a reason code in lower case", "decision-deny", `"DEFAULT_DENY"`, `"default_deny"`, "reason code"},
	{"an empty agent", "decision-allow", `"agent":"agent.demo.exec"`, `"agent":""`, "agent is empty"},
	{"an agent with a space", "decision-allow", `"agent":"agent.demo.exec"`, `"agent":"agent demo"`, "printable ASCII"},
	{"an agent beyond ASCII", "decision-allow", `"agent":"agent.demo.exec"`, `"agent":"agént"`, "printable ASCII"},
	{"an escalation of an ALLOW", "decision-escalate", `"verdict":"ESCALATE","mode"`, `"verdict":"ALLOW","mode"`, "has an escalation"},
	{"an escalation that asks for nothing", "decision-escalate", `"requires":[{"rule":"pay-large","count":0,"keys":[]}]`, `"requires":[]`, "asks for nothing"},
	{"more signatures than keys", "decision-escalate-keys", `"count":1`, `"count":3`, "3 of 2 keys"},
	{"keys of which none is asked for", "decision-escalate-keys", `"count":1`, `"count":0`, "none of them"},
	{"a key under two names", "decision-escalate-keys", `SHA256:1111111111111111111111111111111111111111111`, `SHA256:0000000000000000000000000000000000000000000`, "byte order"},
	{"a key under two names in two requirements", "decision-escalate-keys", `{"rule":"pay-any","count":0,"keys":[]}`,
		`{"rule":"pay-any","count":1,"keys":[{"name":"eve","fingerprint":"SHA256:1111111111111111111111111111111111111111111"}]}`, `has the names "eve" and "ana@corp.example"`},
	{"a name with two keys", "decision-escalate-keys", `"name":"bo@corp.example"`, `"name":"ana@corp.example"`, "has the keys"},
	{"one requirement twice", "decision-escalate-keys", `{"rule":"pay-any","count":0,"keys":[]}`, `{"rule":"pay-any","count":0,"keys":[]},{"rule":"pay-any","count":0,"keys":[]}`, "byte order"},
	{"two counts out of the same keys", "decision-escalate-keys", `{"rule":"pay-large","count":1,`,
		`{"rule":"pay-large","count":2,"keys":[{"name":"bo@corp.example","fingerprint":"SHA256:0000000000000000000000000000000000000000000"},{"name":"ana@corp.example","fingerprint":"SHA256:1111111111111111111111111111111111111111111"}]},{"rule":"pay-large","count":1,`, "byte order"},
	{"requirements of a rule not in the order of their keys", "decision-escalate-keys", `{"rule":"pay-large","count":1,`,
		`{"rule":"pay-large","count":1,"keys":[{"name":"ana@corp.example","fingerprint":"SHA256:1111111111111111111111111111111111111111111"}]},{"rule":"pay-large","count":1,`, "byte order"},
	{"requirements not in byte order", "decision-escalate-keys", `"rule":"pay-any"`, `"rule":"pay-most"`, "byte order"},
	{"a budget twice", "decision-approved", `"id":"paid_daily"`, `"id":"reads_hourly"`, "byte order"},
	{"a budget with a needless zero", "decision-approved", `"limit":"5000.5"`, `"limit":"5000.50"`, "it must be 5000.5"},
	{"a budget with a leading zero", "decision-approved", `"limit":"5000.5"`, `"limit":"05000.5"`, "not a decimal number"},
	{"a budget without a whole part", "decision-approved", `"limit":"5000.5"`, `"limit":".5"`, "not a decimal number"},
	{"a negative budget", "decision-approved", `"limit":"5000.5"`, `"limit":"-5000.5"`, "it is negative"},
	{"a budget with an exponent", "decision-approved", `"limit":"5000.5"`, `"limit":"5e3"`, "it must be 5000"},
	{"an unknown outcome", "outcome-ok", `"status":"ok"`, `"status":"fine"`, "one of ok, error, timeout, not_executed"},
	{"a signature of an operator's approval", "approval-operator", `000Z"}}`, `000Z","signature":"x"}}`, "exactly when"},
	{"a signed approval without a signature", "approval-ssh", `"grade":"ssh-signature"`, `"grade":"operator-token"`, "exactly when"},
	{"an unknown cause of a close", "session-close", `"cause":"api"`, `"cause":"restart"`, "one of api, idle, host"},
	{"a freeze without a reason", "freeze", `"reason":"incident 12"`, `"reason":""`, "the reason is empty"},
	{"a key that replaces itself", "key", `"new":"NEW`, `"new":"OLD`, "the new key is the old one"},
}

// change applies one row of the table: old is replaced by new, once. A few words stand
// for bytes that are too long to read.
func change(t *testing.T, l *sampleLog, of, old, new string) []byte {
	t.Helper()
	e := l.entry(of)
	s := string(e.bytes)
	between := func(from, to string) string {
		_, rest, _ := strings.Cut(s, from)
		in, _, _ := strings.Cut(rest, to)
		return in
	}
	hexa, nonce := between(`"sha256":"`, `"`), between(`"nonce":"`, `==`)
	streams := strings.SplitAfter(between(`"streams":[`, `],"control"`), `"}`)
	b64 := between(`"seq":4,"prev":"`, `=`)
	if b64 == "" {
		b64 = between(`"control":{"seq":3,"hash":"`, `=`)
	}
	last := map[byte]string{'A': "B", 'Q': "R", 'g': "h", 'w': "x"}[nonce[len(nonce)-1]]
	short := strings.NewReplacer("HEX", hexa, "UPPER", strings.ToUpper(hexa), "SHORT", hexa[:len(hexa)-2],
		"B64+1==", nonce[:len(nonce)-1]+last+"==", "B64NL==", nonce[:8]+"\n"+nonce[9:]+"==", "B64==", nonce+"==", "B64=", b64+"=",
		"ORIGIN", l.origin, "STREAM1", streams[0], "STREAM2", strings.TrimPrefix(streams[min(1, len(streams)-1)], ","), "STREAM", streams[0],
		"NEW", between(`"new":"`, `"`), "OLD", between(`"old":"`, `"`))
	switch old {
	case "^":
		return []byte(new + s)
	case "$":
		return []byte(s + new)
	case `\u0001`, `\t`, `😂`, `\u000E\u000F`: // in a message, as it is
	default:
		old, new = short.Replace(old), short.Replace(new)
	}
	if !strings.Contains(s, old) {
		t.Fatalf("%s has no %s", of, old)
	}
	return []byte(strings.Replace(s, old, new, 1))
}

func TestStatementsAreStrict(t *testing.T) {
	l := newSampleLog()
	for _, tt := range badStatements {
		b := change(t, l, tt.of, tt.old, tt.new)
		_, err := receipt.ParseStatement(b)
		refuses(t, tt.why, err, tt.says)
	}
}

// Whatever is done to a byte: either it is refused, or it is another statement whose one
// encoding it is.
func TestEveryByteOfAStatementCounts(t *testing.T) {
	for _, e := range newSampleLog().entries {
		if len(e.bytes) > 4096 {
			continue // the same members as others, and many
		}
		for i := range e.bytes {
			flipped := bytes.Clone(e.bytes)
			for _, mutant := range [][]byte{
				append(append([]byte{}, e.bytes[:i]...), e.bytes[i+1:]...),                   // removed
				append(append(append([]byte{}, e.bytes[:i]...), e.bytes[i]), e.bytes[i:]...), // doubled
				append(append(append([]byte{}, e.bytes[:i]...), ' '), e.bytes[i:]...),
				append(append(append([]byte{}, e.bytes[:i]...), '0'), e.bytes[i:]...),
				e.bytes[:i],
				func() []byte { flipped[i] ^= 0x01; return bytes.Clone(flipped) }(),
				func() []byte { flipped[i] ^= 0x21; return bytes.Clone(flipped) }(), // the case of a letter
			} {
				if bytes.Equal(mutant, e.bytes) {
					continue
				}
				st, err := receipt.ParseStatement(mutant)
				if err != nil {
					continue
				}
				if again := must(st.Marshal()); !bytes.Equal(again, mutant) {
					t.Fatalf("%s, byte %d: %s\nis read, and prints as %s", e.name, i, mutant, again)
				}
			}
		}
	}
}

func TestMarshalRefusesWhatNoParserTakes(t *testing.T) {
	l := newSampleLog()
	tests := []struct {
		why, of string
		change  func(*receipt.Statement)
		says    string
	}{
		{"no body", "freeze", func(s *receipt.Statement) { s.Body = nil }, "no body"},
		{"invalid UTF-8", "freeze", func(s *receipt.Statement) { s.Body.(*receipt.Freeze).Reason = "\xff" }, "UTF-8"},
		{"a long reason", "freeze", func(s *receipt.Statement) {
			s.Body.(*receipt.Freeze).Reason = strings.Repeat("x", receipt.MaxReasonBytes+1)
		}, "1001 bytes"},
		{"a long name", "freeze", func(s *receipt.Statement) {
			s.Body.(*receipt.Freeze).Principal = strings.Repeat("x", helm.MaxNameBytes+1)
		}, "201 bytes"},
		{"a large number", "freeze", func(s *receipt.Statement) { s.Index = 1 << 53 }, "over 9007199254740991"},
		{"the year 10000", "freeze", func(s *receipt.Statement) { s.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, "year 10000"},
		{"the year -1", "freeze", func(s *receipt.Statement) { s.Time = time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC) }, "year -1"},
		{"a first entry with a predecessor", "decision-allow", func(s *receipt.Statement) { s.Streams[0].Prev = receipt.Hash{1} }, "the first of a stream"},
		{"too many rules", "decision-shadow", func(s *receipt.Statement) {
			d := s.Body.(*receipt.Decision)
			d.Matched = append(d.Matched, d.Matched[0])
		}, "65 elements"},
		{"too many bytes", "decision-shadow", func(s *receipt.Statement) {
			d := s.Body.(*receipt.Decision)
			for i := range receipt.MaxBudgets {
				d.Budgets = append(d.Budgets, receipt.Budget{ID: fmt.Sprintf("%02d%s", i, strings.Repeat("x", 198)), Per: "agent", Window: 60, Limit: strings.Repeat("1", 30), Amount: "1", Used: strings.Repeat("1", 30)})
			}
			for i := range d.Matched {
				d.Matched[i].Rule = strings.Repeat("x", 200)
			}
		}, "at most 32768 are allowed"},
	}
	for _, tt := range tests {
		st := must(receipt.ParseStatement(l.entry(tt.of).bytes))
		tt.change(st)
		_, err := st.Marshal()
		refuses(t, tt.why, err, tt.says)
	}
	_, err := receipt.ParseStatement(make([]byte, receipt.MaxStatementBytes+1))
	refuses(t, "32 KiB and a byte", err, "at most 32768 are allowed")
}

// A time zone is not part of a statement, and what is below a microsecond is not either.
func TestTimesArePrintedInOneForm(t *testing.T) {
	at := time.Date(2026, 7, 1, 1, 2, 3, 999999999, time.FixedZone("", 2*60*60))
	if got := receipt.FormatTime(at); got != "2026-06-30T23:02:03.999999Z" {
		t.Errorf("FormatTime = %s", got)
	}
	if _, err := receipt.ParseTime("0001-01-01T00:00:00.000000Z"); err != nil {
		t.Error(err)
	}
}

func TestNumbersEndAt53Bits(t *testing.T) {
	l := newSampleLog()
	o := must(receipt.ParseStatement(l.entry("outcome-ok").bytes))
	o.Body.(*receipt.Outcome).DurationMicros = 1<<53 - 1
	again := must(receipt.ParseStatement(must(o.Marshal())))
	if got := again.Body.(*receipt.Outcome).DurationMicros; got != 1<<53-1 {
		t.Errorf("duration = %d", got)
	}
	o.Body.(*receipt.Outcome).DurationMicros = math.MaxUint64
	_, err := o.Marshal()
	refuses(t, "2^64-1", err, "is over")
}
