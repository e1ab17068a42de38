// Package packtest makes logs in memory, with every kind of entry, for tests of
// packs and of their verifier. A log can be made to lie: with Resign an operator
// signs a history that never was, and with Spoil a kernel writes a wrong entry.
package packtest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/pack"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/sshsig/sshsign"
	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

// A Log is a log in memory. Every method panics where a real one returns an error.
type Log struct {
	Origin    string
	Key       ed25519.PrivateKey
	StreamKey receipt.StreamKey
	Start     time.Time // time of genesis; each entry is a second later

	// Spoil, where set, is called with every statement before it is signed.
	Spoil func(*receipt.Statement)

	// NextKey, where set, is what Rotate changes to.
	NextKey ed25519.PrivateKey

	// Unsigned entries are made faster, and are only good for their leaves.
	Unsigned bool

	entries  []entry
	payloads map[uint64]*pack.Payload
	policies map[receipt.Hash][]byte
	keys     map[uint64]ed25519.PrivateKey // from that index on
	hashes   []tlog.Hash
	streams  map[receipt.Hash][]uint64
	seed     string
	count    uint64 // of nonces and secrets
	policy   *receipt.Policy
	frozen   bool
}

type entry struct {
	pack.Entry
	st   *receipt.Statement
	leaf receipt.Hash
}

// New makes a log with its genesis and one policy, everything out of the seed.
func New(seed string) *Log {
	l := Empty(seed)
	pub := l.Key.Public().(ed25519.PublicKey)
	l.Append("", "", receipt.Subject{Name: receipt.SubjectKey, SHA256: sha256.Sum256(receipt.PublicPEM(pub))},
		&receipt.Genesis{Key: [32]byte(pub), StreamKey: l.StreamKey.Hash()}, nil)
	l.Activate("[policy]\nid = \"demo\"\nversion = 1\n", 1, helm.Enforce)
	return l
}

// Empty makes a log without an entry.
func Empty(seed string) *Log {
	h := sha256.Sum256([]byte("key " + seed))
	l := &Log{
		Origin:    fmt.Sprintf("helm.test/%x", h[:4]),
		Key:       ed25519.NewKeyFromSeed(h[:]),
		StreamKey: sha256.Sum256([]byte("stream key " + seed)),
		Start:     time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC),
		payloads:  map[uint64]*pack.Payload{},
		policies:  map[receipt.Hash][]byte{},
		keys:      map[uint64]ed25519.PrivateKey{},
		streams:   map[receipt.Hash][]uint64{},
		seed:      seed,
	}
	l.keys[0] = l.Key
	return l
}

// Random is bytes out of the seed, others each time.
func (l *Log) Random() [32]byte {
	l.count++
	return sha256.Sum256(fmt.Appendf(nil, "%s %d", l.seed, l.count))
}

// Append adds an entry, to the control stream where agent is "".
func (l *Log) Append(agent, session string, subject receipt.Subject, body receipt.Body, payload *pack.Payload) receipt.Ref {
	r := l.Random()
	st := &receipt.Statement{Subject: subject, Origin: l.Origin, Nonce: [16]byte(r[:16]), Body: body,
		Time: l.Start.Add(time.Duration(len(l.entries)) * time.Second)}
	if agent == "" {
		st.Streams = []receipt.Stream{{Name: receipt.StreamControl, ID: l.StreamKey.Control()}}
	} else {
		st.Streams = []receipt.Stream{{Name: receipt.StreamAgent, ID: l.StreamKey.Agent(agent)},
			{Name: receipt.StreamSession, ID: l.StreamKey.Session(agent, session)}}
	}
	return l.place(st, payload)
}

// place gives a statement its place, signs it and adds it.
func (l *Log) place(st *receipt.Statement, payload *pack.Payload) receipt.Ref {
	st.Index = uint64(len(l.entries))
	for i := range st.Streams {
		s := &st.Streams[i]
		before := l.streams[s.ID]
		s.Seq, s.Prev = uint64(len(before))+1, receipt.Hash{}
		if len(before) > 0 {
			s.Prev = l.entries[before[len(before)-1]].leaf
		}
	}
	st.Control = receipt.Link{}
	if c := l.streams[l.StreamKey.Control()]; len(c) > 0 {
		st.Control = receipt.Link{Seq: uint64(len(c)), Hash: l.entries[c[len(c)-1]].leaf}
	}
	if l.Spoil != nil {
		l.Spoil(st)
	}
	b := must(st.Marshal())
	e := entry{Entry: pack.Entry{Index: st.Index, Statement: b, Signatures: make([]receipt.Signature, 1)}, st: st}
	if !l.Unsigned {
		e.Signatures[0] = must(receipt.Sign(l.Key, b))
	}
	if k, ok := st.Body.(*receipt.Key); ok {
		next := l.nextKey()
		if [32]byte(next.Public().(ed25519.PublicKey)) == k.New {
			e.Signatures = append(e.Signatures, must(receipt.Sign(next, b)))
			l.Key = next
			l.keys[st.Index+1] = next
		}
	}
	leaf := st.Leaf(b)
	e.leaf = leaf.Hash()
	at := uint64(len(l.entries))
	l.entries = append(l.entries, e)
	for _, s := range leaf.Streams {
		l.streams[s.ID] = append(l.streams[s.ID], at)
	}
	l.hashes = append(l.hashes, must(tlog.StoredHashesForRecordHash(int64(at), tlog.Hash(e.leaf), l))...)
	if payload != nil {
		l.payloads[at] = payload
	}
	return receipt.Ref{ID: e.leaf, Index: at}
}

func (l *Log) nextKey() ed25519.PrivateKey {
	if l.NextKey != nil {
		return l.NextKey
	}
	h := sha256.Sum256(fmt.Appendf(nil, "key %d %s", len(l.keys), l.seed))
	return ed25519.NewKeyFromSeed(h[:])
}

func (l *Log) aboutLog() receipt.Subject {
	return receipt.Subject{Name: receipt.SubjectStatement, SHA256: sha256.Sum256(l.entries[0].Statement)}
}

// Activate adds a policy entry.
func (l *Log) Activate(text string, version uint64, mode helm.Mode) receipt.Ref {
	sha := receipt.Hash(sha256.Sum256([]byte(text)))
	l.policies[sha] = []byte(text)
	l.policy = &receipt.Policy{Principal: "operator", Mode: mode,
		Policy: receipt.PolicyRef{ID: "demo", Version: version, SHA256: sha, Format: "helm.policy/v1", Engine: "cel-go/0.33.2"}}
	return l.Append("", "", receipt.Subject{Name: receipt.SubjectPolicy, SHA256: sha}, l.policy, nil)
}

// Freeze and Unfreeze add such an entry, and so do Boundary, Rotate and Close.
func (l *Log) Freeze() receipt.Ref {
	l.frozen = true
	return l.Append("", "", l.aboutLog(), &receipt.Freeze{Principal: "operator", Boundary: "http", Reason: "drill"}, nil)
}

// Unfreeze ends the freeze.
func (l *Log) Unfreeze() receipt.Ref {
	l.frozen = false
	return l.Append("", "", l.aboutLog(), &receipt.Unfreeze{Principal: "operator", Boundary: "http", Reason: "drill over"}, nil)
}

// Boundary adds the start of one.
func (l *Log) Boundary() receipt.Ref {
	return l.Append("", "", l.aboutLog(), &receipt.Boundary{Principal: "operator", Boundary: "http", Event: receipt.BoundaryStart, Covers: "what is sent to it"}, nil)
}

// Tools adds what a boundary says of tools.
func (l *Log) Tools(b *receipt.Boundary) receipt.Ref {
	return l.Append("", "", l.aboutLog(), b, nil)
}

// Rotate replaces the key.
func (l *Log) Rotate() receipt.Ref {
	old, next := l.Key.Public().(ed25519.PublicKey), l.nextKey().Public().(ed25519.PublicKey)
	return l.Append("", "", receipt.Subject{Name: receipt.SubjectKey, SHA256: sha256.Sum256(receipt.PublicPEM(next))},
		&receipt.Key{Principal: "operator", Old: [32]byte(old), New: [32]byte(next)}, nil)
}

// Close closes a session.
func (l *Log) Close(agent, session string) receipt.Ref {
	return l.Append(agent, session, l.aboutLog(), &receipt.Session{Agent: agent, Session: session, Principal: "none", Boundary: "http", Cause: receipt.CloseAPI}, nil)
}

// Payload is a call's input with these arguments, and a secret.
func (l *Log) Payload(arguments string) *pack.Payload {
	return &pack.Payload{Secret: l.Random(), Value: receipt.Input(must(strictjson.Parse([]byte(arguments))), strictjson.Value{})}
}

func commit(p *pack.Payload) receipt.Hash {
	return receipt.Commit(&p.Secret, must(receipt.Flatten(p.Value)))
}

// Decide adds a decision on a call to the tool "demo.tool" under the active policy.
// edit, where set, changes it before.
func (l *Log) Decide(agent, session string, v helm.Verdict, input *pack.Payload, edit func(*receipt.Decision)) receipt.Ref {
	if input == nil {
		input = l.Payload(`{"n":` + fmt.Sprint(len(l.entries)) + `}`)
	}
	now := l.Start.Add(time.Duration(len(l.entries)) * time.Second)
	d := &receipt.Decision{Agent: agent, Session: session, Principal: "none", Boundary: "http", Tool: "demo.tool", Now: now,
		Verdict: v, Mode: l.policy.Mode, Enforced: l.policy.Mode == helm.Enforce, Rule: "demo-rule", Policy: l.policy.Policy}
	code := map[helm.Verdict]helm.Code{helm.Allow: helm.AllowedByRule, helm.Deny: helm.DeniedByRule, helm.Escalate: helm.EscalatedByRule}[v]
	d.Reason = helm.Reason{Code: code, Message: "by rule demo-rule"}
	d.Matched = []receipt.Match{{Rule: "demo-rule", Verdict: v, Code: code}}
	if v == helm.Escalate {
		d.Escalation = &receipt.Escalation{Expires: now.Add(15 * time.Minute), Requires: []receipt.Requirement{{Rule: "demo-rule"}}}
	}
	if l.frozen {
		d.Verdict, d.Enforced, d.Matched, d.Escalation = helm.Deny, true, nil, nil
		d.Reason = helm.Reason{Code: helm.Frozen, Message: "the boundary is frozen"}
	}
	if edit != nil {
		edit(d)
	}
	return l.Append(agent, session, receipt.Subject{Name: receipt.SubjectInput, SHA256: commit(input)}, d, input)
}

// Outcome adds the outcome of a decision.
func (l *Log) Outcome(of receipt.Ref, status helm.OutcomeStatus, edit func(*receipt.Outcome)) receipt.Ref {
	d := l.entries[of.Index].st.Body.(*receipt.Decision)
	o := &receipt.Outcome{Agent: d.Agent, Session: d.Session, Principal: d.Principal, Boundary: d.Boundary, Tool: d.Tool,
		Decision: of, Verdict: d.Verdict, Enforced: d.Enforced, Status: status, DurationMicros: 1500}
	if edit != nil {
		edit(o)
	}
	p := &pack.Payload{Secret: l.Random(), Value: must(strictjson.Parse([]byte(`{"ok":true}`)))}
	return l.Append(d.Agent, d.Session, receipt.Subject{Name: receipt.SubjectResult, SHA256: commit(p)}, o, p)
}

// Answer adds an operator's answer to an ESCALATE.
func (l *Log) Answer(of receipt.Ref, answer string, edit func(*receipt.Approval)) receipt.Ref {
	e := l.entries[of.Index]
	d := e.st.Body.(*receipt.Decision)
	a := &receipt.Approval{Agent: d.Agent, Session: d.Session, Escalation: of, Input: e.st.Subject.SHA256, Answer: answer,
		Grade: receipt.GradeOperator, Principal: "operator", Boundary: "http", Approver: "operator", Expires: d.Now.Add(15 * time.Minute)}
	if edit != nil {
		edit(a)
	}
	return l.Append(d.Agent, d.Session, receipt.Subject{Name: receipt.SubjectStatement, SHA256: sha256.Sum256(e.Statement)}, a, nil)
}

// Person is the SSH key of somebody, out of the name.
func Person(name string) ssh.Signer {
	h := sha256.Sum256([]byte("person " + name))
	return must(ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(h[:])))
}

// AnyOf asks for that many of the people's signatures for a rule.
func AnyOf(rule string, n int, people ...string) receipt.Requirement {
	r := receipt.Requirement{Rule: rule, Count: uint64(n)}
	for _, name := range people {
		r.Keys = append(r.Keys, receipt.ApproverKey{Name: name, Fingerprint: ssh.FingerprintSHA256(Person(name).PublicKey())})
	}
	slices.SortFunc(r.Keys, func(a, b receipt.ApproverKey) int { return strings.Compare(a.Fingerprint, b.Fingerprint) })
	return r
}

// Signed adds an answer to an ESCALATE that somebody signed. edit, where set, changes it
// before it is signed, and may sign it itself.
func (l *Log) Signed(of receipt.Ref, answer, name string, edit func(*receipt.Approval)) receipt.Ref {
	return l.Answer(of, answer, func(a *receipt.Approval) {
		a.Grade, a.Approver = receipt.GradeSSH, name
		if edit != nil {
			edit(a)
		}
		if a.Signature == "" {
			a.Signature = must(sshsign.Sign(receipt.ApprovalNamespace, receipt.ApprovalText(a.Answer, l.Origin,
				l.StatementHash(of.Index), a.Input, a.Expires, a.Approver), Person(name)))
		}
	})
}

// Approved adds the ALLOW that uses an approval up.
func (l *Log) Approved(of receipt.Ref, edit func(*receipt.Decision)) receipt.Ref {
	d := l.entries[of.Index].st.Body.(*receipt.Decision)
	return l.Decide(d.Agent, d.Session, helm.Allow, l.payloads[of.Index], func(a *receipt.Decision) {
		a.Reason = helm.Reason{Code: helm.Approved, Message: "approved"}
		a.Matched = d.Matched
		a.Approval = &of
		if edit != nil {
			edit(a)
		}
	})
}

// Demo adds what a small log has: two agents, three sessions, every kind of entry.
// It returns the log.
func (l *Log) Demo() *Log {
	l.Boundary()
	a := l.Decide("agent.a", "s1", helm.Allow, l.Payload(`{"to":["a"],"amount":9007199254740993}`), nil)
	l.Decide("agent.b", "s1", helm.Allow, nil, nil)
	l.Outcome(a, helm.OutcomeOK, nil)
	l.Decide("agent.a", "s2", helm.Deny, nil, nil)
	e := l.Decide("agent.a", "s1", helm.Escalate, l.Payload(`{"amount":1001,"to":"acct_9"}`), nil)
	l.Answer(e, receipt.AnswerApprove, nil)
	u := l.Approved(e, nil)
	l.Outcome(u, helm.OutcomeError, nil)
	l.Freeze()
	l.Decide("agent.a", "s1", helm.Allow, nil, nil) // becomes FROZEN
	l.Unfreeze()
	l.Activate("[policy]\nid = \"demo\"\nversion = 2\n", 2, helm.Enforce)
	b := l.Decide("agent.b", "s1", helm.Allow, nil, nil)
	l.Decide("agent.a", "s1", helm.Allow, nil, func(d *receipt.Decision) { d.CallID = "c7" })
	l.Close("agent.a", "s1")
	l.Outcome(b, helm.OutcomeOK, nil)
	l.Decide("agent.a", "s2", helm.Deny, nil, nil)
	return l
}

// Resign makes another log under the same key out of this one: edit changes each
// statement, or drops it by returning false; places, chains, references and
// signatures are then made anew, so that all of it fits together again.
func (l *Log) Resign(edit func(*receipt.Statement) bool) *Log {
	n := Empty(l.seed)
	n.policies = l.policies
	moved := map[uint64]receipt.Ref{}
	ref := func(r *receipt.Ref) {
		if r == nil {
			return
		}
		if to, ok := moved[r.Index]; ok {
			*r = to
		}
	}
	for _, e := range l.entries {
		st := must(receipt.ParseStatement(e.Statement))
		switch b := st.Body.(type) {
		case *receipt.Outcome:
			ref(&b.Decision)
			ref(b.Conflict)
		case *receipt.Approval:
			ref(&b.Escalation)
			if int(b.Escalation.Index) < len(n.entries) {
				st.Subject.SHA256 = sha256.Sum256(n.entries[b.Escalation.Index].Statement)
			}
		case *receipt.Decision:
			ref(b.Approval)
		case *receipt.Genesis:
		default:
			if st.Subject.Name == receipt.SubjectStatement {
				st.Subject = n.aboutLog()
			}
		}
		if !edit(st) {
			continue
		}
		moved[e.Index] = n.place(st, l.payloads[e.Index])
	}
	return n
}

// Hide makes the operator keep silent about an entry: the streams that packs are
// made of no longer name it.
func (l *Log) Hide(index uint64) {
	for id, s := range l.streams {
		l.streams[id] = slices.DeleteFunc(s, func(i uint64) bool { return i == index })
	}
}

// Size is how many entries there are.
func (l *Log) Size() uint64 { return uint64(len(l.entries)) }

// Statement is the statement of an entry.
func (l *Log) Statement(index uint64) *receipt.Statement { return l.entries[index].st }

// StatementHash is the SHA-256 of a statement.
func (l *Log) StatementHash(index uint64) receipt.Hash {
	return sha256.Sum256(l.entries[index].Statement)
}

// Ref names an entry.
func (l *Log) Ref(index uint64) receipt.Ref {
	return receipt.Ref{ID: l.entries[index].leaf, Index: index}
}

// Payloads are the payloads by index, to be changed.
func (l *Log) Payloads() map[uint64]*pack.Payload { return l.payloads }

// Checkpoint is the signed checkpoint at a size.
func (l *Log) Checkpoint(size uint64) string {
	root := must(tlog.TreeHash(int64(size), l))
	return must(receipt.SignCheckpoint(l.keyAt(size), receipt.Checkpoint{Origin: l.Origin, Size: size, Root: receipt.Hash(root)}))
}

// keyAt is the key that is in force when there are size entries.
func (l *Log) keyAt(size uint64) ed25519.PrivateKey {
	var best uint64
	for from := range l.keys {
		if from <= size && from >= best {
			best = from
		}
	}
	return l.keys[best]
}

// Receipt is the receipt file of an entry, proved at a size.
func (l *Log) Receipt(index, size uint64) []byte {
	var hashes []receipt.Hash
	for _, h := range must(tlog.ProveRecord(int64(size), int64(index), l)) {
		hashes = append(hashes, receipt.Hash(h))
	}
	e := l.entries[index]
	env := receipt.Envelope{Payload: e.Statement, Signatures: e.Signatures,
		Proof: (&receipt.Proof{Index: index, Hashes: hashes, Checkpoint: l.Checkpoint(size)}).Marshal()}
	return append(must(env.Marshal()), '\n')
}

// Trust is a trust file that names the log's first key.
func (l *Log) Trust() string {
	return "log " + receipt.VKey(l.Origin, l.keys[0].Public().(ed25519.PublicKey)) + "\nquorum none\n"
}

// Snapshot is the log at a size.
func (l *Log) Snapshot(size uint64) pack.Snapshot {
	return pack.Snapshot{Checkpoint: l.Checkpoint(size), StreamKey: l.StreamKey, Key: l.keyAt(size), Log: &at{l, size}}
}

// Pack is the pack of a query at the log's size.
func (l *Log) Pack(q receipt.Query, o pack.Options) []byte {
	return l.PackAt(l.Size(), q, o)
}

// PackAt is the pack of a query at a size.
func (l *Log) PackAt(size uint64, q receipt.Query, o pack.Options) []byte {
	var b bytes.Buffer
	if err := pack.Write(&b, l.Snapshot(size), q, o); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// ReadHashes implements tlog.HashReader.
func (l *Log) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, idx := range indexes {
		if idx >= int64(len(l.hashes)) {
			return nil, fmt.Errorf("no stored hash %d", idx)
		}
		out[i] = l.hashes[idx]
	}
	return out, nil
}

// at is the log at a size; it implements pack.Log.
type at struct {
	*Log
	size uint64
}

func (l *at) Entries(lo, hi uint64) iter.Seq2[pack.Entry, error] {
	return func(yield func(pack.Entry, error) bool) {
		for i := lo; i < hi && i < l.size; i++ {
			if !yield(l.entries[i].Entry, nil) {
				return
			}
		}
	}
}

func (l *at) StreamLen(id receipt.Hash) (uint64, error) {
	n, _ := slices.BinarySearch(l.streams[id], l.size)
	return uint64(n), nil
}

func (l *at) StreamIndex(id receipt.Hash, seq uint64) (uint64, error) {
	return l.streams[id][seq-1], nil
}

func (l *at) Answers(escalation uint64) (out []uint64, err error) {
	for _, e := range l.entries {
		if a, ok := e.st.Body.(*receipt.Approval); ok && a.Escalation.Index == escalation {
			out = append(out, e.Index)
		}
	}
	return out, nil
}

func (l *at) Payload(index uint64) (*pack.Payload, error) { return l.payloads[index], nil }

func (l *at) Policy(sha receipt.Hash) ([]byte, error) {
	b, ok := l.policies[sha]
	if !ok {
		return nil, fmt.Errorf("no policy %x", sha)
	}
	return b, nil
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
