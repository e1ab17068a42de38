package receipt_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

// The sample log has entries of every kind, made of fixed keys, secrets, nonces and
// times. Vectors, the examples in spec/ and most tests are taken from it.
type sampleLog struct {
	origin    string
	key       ed25519.PrivateKey // in force
	streamKey receipt.StreamKey
	heads     map[receipt.Hash]receipt.Link
	entries   []*sample
	size      int64
	hashes    []tlog.Hash // as tlog stores them
}

type sample struct {
	name      string
	statement *receipt.Statement
	bytes     []byte
	envelope  *receipt.Envelope
	leaf      []byte
	id        receipt.Hash
	payload   *payload // what the subject commits to, or nil
}

// A payload is a value that a subject commits to.
type payload struct {
	value  strictjson.Value
	secret receipt.Secret
	lines  []receipt.Line
}

func (p *payload) commitment() receipt.Hash { return receipt.Commit(&p.secret, p.lines) }

// fixed is 32 bytes that look random and are the same for ever.
func fixed(name string) [32]byte { return sha256.Sum256([]byte("helm/vectors/v1 " + name)) }

// The log's keys are those of RFC 8032, section 7.1, TEST 1 and TEST 2.
var (
	oldKey = ed25519.NewKeyFromSeed(unhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
	newKey = ed25519.NewKeyFromSeed(unhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"))
)

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

var sampleTime = time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)

const samplePolicy = "[policy]\nid = \"release.high_risk\"\nversion = 3\nformat = \"helm.policy/v1\"\nmode = \"enforce\"\n"

func newPayload(name, value string) *payload {
	p := &payload{value: must(strictjson.Parse([]byte(value))), secret: fixed("secret " + name)}
	p.lines = must(receipt.Flatten(p.value))
	return p
}

// add appends an entry; the subject of a payload is filled in.
func (l *sampleLog) add(name, agent, session string, subject receipt.Subject, p *payload, body receipt.Body) *sample {
	index := uint64(len(l.entries))
	st := &receipt.Statement{Subject: subject, Origin: l.origin, Index: index,
		Time: sampleTime.Add(time.Duration(index) * 1500001 * time.Microsecond), Body: body}
	nonce := fixed("nonce " + name)
	copy(st.Nonce[:], nonce[:])
	control := l.streamKey.Control()
	st.Control = l.heads[control]
	ids := []receipt.Stream{{Name: receipt.StreamControl, ID: control}}
	if !body.Kind().Control() {
		ids = []receipt.Stream{{Name: receipt.StreamAgent, ID: l.streamKey.Agent(agent)}, {Name: receipt.StreamSession, ID: l.streamKey.Session(agent, session)}}
	}
	for _, s := range ids {
		s.Seq, s.Prev = l.heads[s.ID].Seq+1, l.heads[s.ID].Hash
		st.Streams = append(st.Streams, s)
	}
	e := &sample{name: name, statement: st, bytes: must(st.Marshal()), payload: p}
	e.envelope = &receipt.Envelope{Payload: e.bytes, Signatures: []receipt.Signature{must(receipt.Sign(l.key, e.bytes))}}
	if k, ok := body.(*receipt.Key); ok {
		next := map[[32]byte]ed25519.PrivateKey{[32]byte(public(newKey)): newKey}[k.New]
		e.envelope.Signatures = append(e.envelope.Signatures, must(receipt.Sign(next, e.bytes)))
		l.key = next
	}
	leaf := st.Leaf(e.bytes)
	e.leaf, e.id = leaf.Marshal(), leaf.Hash()
	for _, s := range st.Streams {
		l.heads[s.ID] = receipt.Link{Seq: s.Seq, Hash: e.id}
	}
	l.entries = append(l.entries, e)
	l.grow(e.leaf)
	return e
}

// grow appends a leaf to the tree.
func (l *sampleLog) grow(leaf []byte) {
	l.hashes = append(l.hashes, must(tlog.StoredHashes(l.size, leaf, l.reader()))...)
	l.size++
}

func (l *sampleLog) reader() tlog.HashReader {
	return tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		var out []tlog.Hash
		for _, i := range at {
			out = append(out, l.hashes[i])
		}
		return out, nil
	})
}

// checkpoint is the head at a size.
func (l *sampleLog) checkpoint(size int) receipt.Checkpoint {
	return receipt.Checkpoint{Origin: l.origin, Size: uint64(size), Root: receipt.Hash(must(tlog.TreeHash(int64(size), l.reader())))}
}

// proof is entry index's proof in the log of that size.
func (l *sampleLog) proof(index, size int) *receipt.Proof {
	p := &receipt.Proof{Index: uint64(index), Checkpoint: must(receipt.SignCheckpoint(l.key, l.checkpoint(size)))}
	for _, h := range must(tlog.ProveRecord(int64(size), int64(index), l.reader())) {
		p.Hashes = append(p.Hashes, receipt.Hash(h))
	}
	return p
}

// receipt is the receipt file of an entry, as the whole log's head proves it.
func (l *sampleLog) receipt(e *sample) []byte {
	env := *e.envelope
	env.Proof = l.proof(int(e.statement.Index), len(l.entries)).Marshal()
	return append(must(env.Marshal()), '\n')
}

func (e *sample) ref() receipt.Ref { return receipt.Ref{ID: e.id, Index: e.statement.Index} }

func (e *sample) subject() receipt.Subject {
	return receipt.Subject{Name: receipt.SubjectStatement, SHA256: receipt.StatementHash(e.bytes)}
}

// newSampleLog makes the sample log, always the same.
func newSampleLog() *sampleLog {
	l := &sampleLog{origin: "helm.local/0123456789abcdef0123456789abcdef", key: oldKey, streamKey: fixed("stream key"), heads: map[receipt.Hash]receipt.Link{}}
	const agent, session = "agent.demo.exec", "s1"
	keySubject := func(k ed25519.PrivateKey) receipt.Subject {
		return receipt.Subject{Name: receipt.SubjectKey, SHA256: sha256.Sum256(receipt.PublicPEM(public(k)))}
	}
	policy := receipt.PolicyRef{ID: "release.high_risk", Version: 3, SHA256: sha256.Sum256([]byte(samplePolicy)), Format: "helm.policy/v1", Engine: "cel-go/0.33.2"}

	genesis := l.add("genesis", "", "", keySubject(oldKey), nil, &receipt.Genesis{Key: [32]byte(public(oldKey)), StreamKey: l.streamKey.Hash()})
	about := genesis.subject()
	l.add("policy", "", "", receipt.Subject{Name: receipt.SubjectPolicy, SHA256: policy.SHA256}, nil,
		&receipt.Policy{Principal: "operator", Policy: policy, Mode: helm.Enforce})
	l.add("boundary-start", "", "", about, nil, &receipt.Boundary{Principal: "kernel", Boundary: "http", Event: receipt.BoundaryStart, Covers: "127.0.0.1:7714"})

	decide := func(name, value string, d receipt.Decision) *sample {
		p := newPayload(name, value)
		d.Agent, d.Session, d.Principal, d.Boundary, d.Policy = agent, session, "agent:demo", "http", policy
		d.Now = sampleTime.Add(time.Duration(len(l.entries)) * 1500 * time.Millisecond)
		if d.Mode == "" {
			d.Mode, d.Enforced = helm.Enforce, true
		}
		return l.add(name, agent, session, receipt.Subject{Name: receipt.SubjectInput, SHA256: p.commitment()}, p, &d)
	}
	report := func(name string, of *sample, result string, o receipt.Outcome) *sample {
		d := of.statement.Body.(*receipt.Decision)
		o.Agent, o.Session, o.Principal, o.Boundary, o.Tool = d.Agent, d.Session, d.Principal, d.Boundary, d.Tool
		o.Decision, o.Verdict, o.Enforced = of.ref(), d.Verdict, d.Enforced
		if result == "" {
			return l.add(name, agent, session, of.subject(), nil, &o)
		}
		p := newPayload(name, result)
		return l.add(name, agent, session, receipt.Subject{Name: receipt.SubjectResult, SHA256: p.commitment()}, p, &o)
	}

	const pay = `{"arguments":{"amount":1001,"to":"acct_9"},"context":{"cwd":"/srv/app"}}`
	allowed := decide("decision-allow", `{"arguments":{"path":"/srv/app/README.md"}}`, receipt.Decision{CallID: "c1", Tool: "fs.read", Verdict: helm.Allow,
		Rule: "read-app", Reason: helm.Reason{Code: helm.AllowedByRule, Message: "rule read-app allows it"},
		Matched: []receipt.Match{{Rule: "read-app", Verdict: helm.Allow, Code: helm.AllowedByRule}},
		Budgets: []receipt.Budget{{ID: "reads_hourly", Per: receipt.BudgetPerAgent, Window: 3600, Limit: "100", Amount: "1", Used: "1"}}})
	reported := report("outcome-ok", allowed, `{"bytes":5,"text":"hello"}`, receipt.Outcome{Status: helm.OutcomeOK, DurationMicros: 1234})
	escalate := receipt.Decision{CallID: "c2", Tool: "pay.transfer", Verdict: helm.Escalate, Rule: "pay-large",
		Reason:     helm.Reason{Code: "PAYMENT_OVER_LIMIT", Message: "more than 1000 needs a person"},
		Matched:    []receipt.Match{{Rule: "pay-large", Verdict: helm.Escalate, Code: "PAYMENT_OVER_LIMIT"}, {Rule: "pay-small", Verdict: helm.Allow, Code: helm.AllowedByRule}},
		Escalation: &receipt.Escalation{Expires: sampleTime.Add(15 * time.Minute), Requires: []receipt.Requirement{{Rule: "pay-large"}}}}
	escalated := decide("decision-escalate", pay, escalate)
	approve := receipt.Approval{Agent: agent, Session: session, Escalation: escalated.ref(), Input: escalated.payload.commitment(),
		Answer: receipt.AnswerApprove, Grade: receipt.GradeOperator, Principal: "operator", Boundary: "http", Approver: "operator", Expires: escalate.Escalation.Expires}
	byOperator := approve
	l.add("approval-operator", agent, session, escalated.subject(), nil, &byOperator)
	used := escalated.ref()
	carried := decide("decision-approved", pay, receipt.Decision{CallID: "c2", Tool: "pay.transfer", Verdict: helm.Allow, Rule: "pay-large",
		Reason: helm.Reason{Code: helm.Approved, Message: "approved by operator"}, Matched: escalate.Matched, Approval: &used,
		Budgets: []receipt.Budget{
			{ID: "paid_daily", Per: receipt.BudgetPerAll, Sum: "amount", Window: 86400, Limit: "5000.5", Amount: "1001", Used: "1001"},
			{ID: "pays_hourly", Per: receipt.BudgetPerAgent, Window: 3600, Limit: "100", Amount: "1", Used: "1"}}})
	report("outcome-error", carried, "", receipt.Outcome{Status: helm.OutcomeError, DurationMicros: 20_000_000})
	decide("decision-deny", `{"arguments":{}}`, receipt.Decision{Tool: "mail.send", Verdict: helm.Deny, Rule: "default",
		Reason: helm.Reason{Code: helm.DefaultDeny, Message: "a \"message\" for people:\n\tback\\slash, \u0001, 100 €, 😂, </script>"}})
	l.add("freeze", "", "", about, nil, &receipt.Freeze{Principal: "operator", Boundary: "http", Reason: "incident 12"})
	decide("decision-frozen", `{"arguments":{}}`, receipt.Decision{CallID: "c3", Tool: "fs.read", Verdict: helm.Deny, Rule: "kernel:freeze",
		Reason: helm.Reason{Code: helm.Frozen, Message: "frozen: incident 12"}})
	l.add("unfreeze", "", "", about, nil, &receipt.Unfreeze{Principal: "operator", Boundary: "http", Reason: "incident 12 is over"})
	many := receipt.Decision{CallID: "c4", Tool: "fs.write", Verdict: helm.Deny, Mode: helm.Shadow, Rule: "deny-00",
		Reason: helm.Reason{Code: helm.DeniedByRule, Message: "rule deny-00 denies it"}, MatchedMore: 2}
	for i := range receipt.MaxMatched {
		many.Matched = append(many.Matched, receipt.Match{Rule: fmt.Sprintf("deny-%02d", i), Verdict: helm.Deny, Code: helm.DeniedByRule})
	}
	decide("decision-shadow", `{"arguments":{"n":9007199254740993}}`, many)
	escalate.CallID, escalate.Escalation = "c5", &receipt.Escalation{Expires: sampleTime.Add(15 * time.Minute), Requires: []receipt.Requirement{
		{Rule: "pay-any"},
		{Rule: "pay-large", Count: 1, Keys: []receipt.ApproverKey{
			{Name: "bo@corp.example", Fingerprint: "SHA256:0000000000000000000000000000000000000000000"},
			{Name: "ana@corp.example", Fingerprint: "SHA256:1111111111111111111111111111111111111111111"}}}}}
	signed := decide("decision-escalate-keys", pay, escalate)
	approve.Escalation, approve.Input, approve.Grade, approve.Approver = signed.ref(), signed.payload.commitment(), receipt.GradeSSH, "ana@corp.example"
	approve.Answer = receipt.AnswerRefuse
	approve.Signature = "-----BEGIN SSH SIGNATURE-----\nU1NIU0lHAAAAAQ==\n-----END SSH SIGNATURE-----\n"
	l.add("approval-ssh", agent, session, signed.subject(), nil, &approve)
	first := reported.ref()
	report("outcome-conflict", allowed, `{"error":"ENOENT"}`, receipt.Outcome{Status: helm.OutcomeError, DurationMicros: 0, Conflict: &first})
	l.add("session-close", agent, session, about, nil, &receipt.Session{Agent: agent, Session: session, Principal: "agent:demo", Boundary: "http", Cause: receipt.CloseAPI})
	l.add("boundary-stop", "", "", about, nil, &receipt.Boundary{Principal: "kernel", Boundary: "http", Event: receipt.BoundaryStop, Covers: ""})
	l.add("key", "", "", keySubject(newKey), nil, &receipt.Key{Principal: "operator", Old: [32]byte(public(oldKey)), New: [32]byte(public(newKey))})
	l.add("policy-after-key", "", "", receipt.Subject{Name: receipt.SubjectPolicy, SHA256: policy.SHA256}, nil,
		&receipt.Policy{Principal: "operator", Policy: policy, Mode: helm.Shadow})
	next := policy
	next.Version, next.SHA256 = 4, sha256.Sum256([]byte("another policy"))
	decide("decision-shadowed", `{"arguments":{"path":"/srv/app/README.md"}}`, receipt.Decision{Tool: "fs.read", Verdict: helm.Allow, Rule: "read-app",
		Reason:  helm.Reason{Code: helm.AllowedByRule, Message: "rule read-app allows it"},
		Matched: []receipt.Match{{Rule: "read-app", Verdict: helm.Allow, Code: helm.AllowedByRule}},
		Shadow:  &receipt.Shadow{Policy: next, Verdict: helm.Deny, Rule: "default", Code: helm.DefaultDeny}})
	return l
}

func (l *sampleLog) entry(name string) *sample {
	for _, e := range l.entries {
		if e.name == name {
			return e
		}
	}
	panic("no sample " + name)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func unhex(s string) []byte {
	return must(hex.DecodeString(s))
}

// refuses fails the test unless err says something of that kind.
func refuses(t *testing.T, what string, err error, says string) {
	t.Helper()
	switch {
	case err == nil:
		t.Errorf("%s: accepted", what)
	case !strings.Contains(err.Error(), says):
		t.Errorf("%s: the error is %q, without %q", what, err, says)
	}
}
