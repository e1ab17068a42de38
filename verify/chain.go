package verify

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/pack"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// A chain follows entries in log order: what each says must fit to everything
// that came before it. An entry is accepted only with a signature that was
// verified.
type chain struct {
	*reporter
	pack *receipt.Pack
	sKey *receipt.StreamKey

	entries     uint64
	index       uint64 // of the last entry
	firstTime   time.Time
	time        time.Time // of the last entry
	fingerprint receipt.Hash
	genesis     receipt.Hash // SHA-256 of the genesis statement

	key  ed25519.PublicKey // in force
	keys []signedFrom

	control   receipt.Link // head of the control stream
	controlID receipt.Hash
	policy    *receipt.Policy // active
	policyAt  uint64
	frozen    uint64 // index of the freeze in force, or 0
	tools     receipt.Pins

	streams     map[receipt.Hash]place
	decided     decisions
	escalations map[uint64]*escalation
	asking      int // requirements and keys of the escalations that may still be answered
	approvers   map[[2]string]*approver
	pins        *Approvers         // or nil
	calls       map[[8]byte]uint32 // the number of the last ALLOW for a call_id

	asked  asked
	needed map[receipt.Hash]uint64 // policies, and the first decision of the window that names each

	undisclosed uint64 // entries of the window whose payload is not in the pack
}

// A signedFrom is a key of the log and the entry that brought it. It signs the
// checkpoints of more entries than that, up to the next key's.
type signedFrom struct {
	key   ed25519.PublicKey
	since uint64
}

// A place is the last entry of a stream.
type place struct {
	seq, index uint64
	hash       receipt.Hash
}

// asked is what is known of the stream that the query asks for.
type asked struct {
	count             uint64 // entries in the window
	firstSeq, lastSeq uint64
	lastIndex         uint64
	closed            bool // the last one closes the session
	before, after     neighbour
}

// A neighbour is the entry of the stream next to the window.
type neighbour struct {
	there      bool
	seq, index uint64
	time       time.Time
}

func (c *chain) begin(p *receipt.Pack) {
	c.pack, c.sKey = p, p.StreamKey
	c.streams = map[receipt.Hash]place{}
	c.escalations = map[uint64]*escalation{}
	c.calls = map[[8]byte]uint32{}
	c.tools = receipt.Pins{}
	c.needed = map[receipt.Hash]uint64{}
}

// wrong reports what is wrong with an entry.
func (c *chain) wrong(it *item, q Question, code, format string, args ...any) {
	c.add(q, Wrong, code, "entry %d: %s", it.st.Index, fmt.Sprintf(format, args...)).at(it.st.Index, it.hash)
}

// accept takes the next entry. It reports false when nothing that follows can be
// understood any more.
func (c *chain) accept(it *item) bool {
	st := it.st
	if c.entries == 0 && !c.acceptGenesis(it) {
		return false
	}
	if c.entries > 0 && st.Index <= c.index {
		c.wrong(it, Integrity, "order", "it stands after entry %d", c.index)
		return false
	}
	if st.Origin != c.pack.Origin {
		c.wrong(it, Integrity, "origin", "its origin is %q, the pack's %q", st.Origin, c.pack.Origin)
		return false
	}
	if c.entries > 0 && st.Time.Before(c.time) {
		c.wrong(it, Integrity, "time-order", "its time %s is before that of entry %d", receipt.FormatTime(st.Time), c.index)
	}
	if c.entries == 0 {
		c.firstTime = st.Time
	}
	c.entries++
	c.index, c.time = st.Index, st.Time

	c.acceptStreams(it)
	c.ask(it)
	if want := c.control; st.Control != want && st.Index > 0 {
		c.wrong(it, Policy, "control-head", "it names entry %d of the control stream as its head, where %d was in force: a control entry was left out, or it was decided under another", st.Control.Seq, want.Seq)
	}
	switch b := st.Body.(type) {
	case *receipt.Genesis:
	case *receipt.Policy:
		if st.Subject.Name != receipt.SubjectPolicy || st.Subject.SHA256 != b.Policy.SHA256 {
			c.wrong(it, Policy, "policy-subject", "its subject is not the policy that it activates")
		}
		c.policy, c.policyAt = b, st.Index
	case *receipt.Freeze:
		c.aboutLog(it)
		c.frozen = st.Index
	case *receipt.Unfreeze:
		c.aboutLog(it)
		c.frozen = 0
	case *receipt.Boundary:
		c.aboutLog(it)
		if fault := c.tools.Fault(b); fault != "" {
			c.wrong(it, Policy, "tools", "it says %s of tools, and %s", b.Event, fault)
			break
		}
		c.tools.Take(b)
	case *receipt.Session:
		c.aboutLog(it)
	case *receipt.Key:
		if !c.acceptKey(it, b) {
			return false
		}
	case *receipt.Decision:
		c.decision(it, b)
	case *receipt.Outcome:
		c.outcome(it, b)
	case *receipt.Approval:
		c.approval(it, b)
	}
	if st.Body.Kind().Control() {
		c.control = receipt.Link{Seq: st.Streams[0].Seq, Hash: it.hash}
	}
	return true
}

// acceptGenesis takes the pack's first entry, which must be the log's.
func (c *chain) acceptGenesis(it *item) bool {
	g, ok := it.st.Body.(*receipt.Genesis)
	if !ok {
		c.wrong(it, Integrity, "genesis", "the pack's first entry is not the log's genesis")
		return false
	}
	c.key = ed25519.PublicKey(g.Key[:])
	c.keys = append(c.keys, signedFrom{c.key, 0})
	c.fingerprint, c.genesis = it.hash, it.digest
	c.controlID = it.st.Streams[0].ID
	if sum := sha256.Sum256(receipt.PublicPEM(c.key)); it.st.Subject != (receipt.Subject{Name: receipt.SubjectKey, SHA256: sum}) {
		c.wrong(it, Integrity, "genesis", "its subject is not its key")
	}
	if c.sKey != nil && c.sKey.Hash() != g.StreamKey {
		c.wrong(it, Integrity, "stream-key", "it commits to another stream key than the pack's")
	}
	if c.sKey != nil && c.pack.Stream != nil {
		want := c.sKey.Agent(c.pack.Query.Agent)
		if c.pack.Query.Session != "" {
			want = c.sKey.Session(c.pack.Query.Agent, c.pack.Query.Session)
		}
		if want != *c.pack.Stream {
			c.add(Completeness, Wrong, "stream-id", "pack.json names another stream than that of its query")
		}
	}
	return true
}

func (c *chain) aboutLog(it *item) {
	if it.st.Subject != (receipt.Subject{Name: receipt.SubjectStatement, SHA256: c.genesis}) {
		c.wrong(it, Integrity, "subject", "its subject is not the genesis of this log")
	}
}

// acceptKey takes a key entry, both of whose signatures were verified.
func (c *chain) acceptKey(it *item, k *receipt.Key) bool {
	next := ed25519.PublicKey(k.New[:])
	if !c.key.Equal(ed25519.PublicKey(k.Old[:])) {
		c.wrong(it, Integrity, "key", "it replaces another key than the one in force")
		return false
	}
	if sum := sha256.Sum256(receipt.PublicPEM(next)); it.st.Subject != (receipt.Subject{Name: receipt.SubjectKey, SHA256: sum}) {
		c.wrong(it, Integrity, "subject", "its subject is not the new key")
	}
	c.key = next
	c.keys = append(c.keys, signedFrom{next, it.st.Index})
	return true
}

// signedBy reports whether the key ever signed this log.
func (c *chain) signedBy(key ed25519.PublicKey) bool {
	return slices.ContainsFunc(c.keys, func(k signedFrom) bool { return k.key.Equal(key) })
}

// keyAt is the key that signs the checkpoint of a size, or nil.
func (c *chain) keyAt(size uint64) ed25519.PublicKey {
	for _, k := range slices.Backward(c.keys) {
		if k.since < size {
			return k.key
		}
	}
	return nil
}

// acceptStreams follows each stream of an entry: its seqs go up by one and its
// links lead to the entry before, wherever the pack must have all of it.
func (c *chain) acceptStreams(it *item) {
	st := it.st
	for i := range st.Streams {
		s := &st.Streams[i]
		last, seen := c.streams[s.ID]
		switch {
		case s.Name == receipt.StreamControl && s.ID != c.controlID:
			c.wrong(it, Integrity, "stream-id", "it is in a second control stream")
		case seen && s.Seq <= last.seq:
			c.wrong(it, Integrity, "stream-order", "its place in the %s stream is %d, and entry %d has the place %d", s.Name, s.Seq, last.index, last.seq)
		case seen && s.Seq == last.seq+1 && s.Prev != last.hash, seen && s.Prev == last.hash && s.Seq != last.seq+1:
			c.wrong(it, Integrity, "stream-prev", "it is number %d of its %s stream, and what it names as the entry before is not number %d, entry %d", s.Seq, s.Name, last.seq, last.index)
		case s.Seq == last.seq+1: // the first, or the next
		case c.mustHave(st, s, last):
			c.wrong(it, Completeness, "stream-gap", "it is number %d of its %s stream, and the pack has no number %d to %d", s.Seq, s.Name, last.seq+1, s.Seq-1)
		}
		c.streams[s.ID] = place{s.Seq, st.Index, it.hash}
	}
}

// mustHave reports whether the pack must have the entries of a stream between the
// last one that it has and this one.
func (c *chain) mustHave(st *receipt.Statement, s *receipt.Stream, last place) bool {
	q, w := &c.pack.Query, c.pack.Window
	if s.Name == receipt.StreamControl {
		return true
	}
	if st.Index < w.First || st.Index >= w.End {
		return false
	}
	whole := q.All || s.ID == *c.pack.Stream ||
		q.Session == "" && s.Name == receipt.StreamSession && len(st.Streams) == 2 && st.Streams[0].ID == *c.pack.Stream
	if !whole {
		return false
	}
	// Before the window anything can be; inside it nothing is missing.
	return last.seq > 0 && last.index >= w.First || w.First == 0
}

// isAsked reports whether the query asks for this entry, and its seq among what is
// asked for.
func (c *chain) isAsked(st *receipt.Statement) (seq uint64, ok bool) {
	if c.pack.Query.All {
		return st.Index + 1, true
	}
	for _, s := range st.Streams {
		if s.ID == *c.pack.Stream {
			return s.Seq, true
		}
	}
	return 0, false
}

// ask takes note of the stream that the query asks for.
func (c *chain) ask(it *item) {
	st, q, w, a := it.st, &c.pack.Query, c.pack.Window, &c.asked
	seq, ok := c.isAsked(st)
	if agent, session := names(st.Body); !q.All && agent == q.Agent && (q.Session == "" || session == q.Session) != ok {
		c.wrong(it, Completeness, "stream-id", "it is of the agent or session asked for, and in another stream than pack.json names, or the reverse")
	}
	if !ok {
		return
	}
	n := neighbour{true, seq, st.Index, st.Time}
	switch {
	case st.Index < w.First:
		a.before = n
		return
	case st.Index >= w.End:
		if !a.after.there {
			a.after = n
		}
		return
	}
	if a.count++; a.count == 1 {
		a.firstSeq = seq
	}
	a.lastSeq, a.lastIndex, a.closed = seq, st.Index, st.Body.Kind() == receipt.KindSession
	if !q.Since.IsZero() && st.Time.Before(q.Since) || !q.Until.IsZero() && !st.Time.Before(q.Until) {
		c.wrong(it, Query, "query-time", "its time %s is not one that the query asks for", receipt.FormatTime(st.Time))
	}
}

// passLeaf looks at a leaf of the window whose entry is not in the pack: it must
// be none that the pack must have.
func (c *chain) passLeaf(l *leaf) {
	k := l.leaf.Kind
	of := ""
	for _, s := range l.leaf.Streams {
		switch {
		case s.ID == c.controlID:
			of = "the control stream"
		case c.pack.Stream != nil && s.ID == *c.pack.Stream:
			of = "the stream asked for"
		}
	}
	switch {
	case c.pack.Query.All:
		of = "the log, all of which was asked for"
	case of == "" && (k.Control() || len(l.leaf.Streams) != 2):
		of = "a second control stream"
	}
	if of != "" {
		c.add(Completeness, Wrong, "entry-left-out", "entry %d (%s) is of %s, and was left out of the pack", l.index, k, of).at(l.index, l.hash)
	}
}

// inWindow reports whether what an entry refers to must be in the pack.
func (c *chain) inWindow(st *receipt.Statement) bool {
	return st.Index >= c.pack.Window.First && st.Index < c.pack.Window.End
}

// decision holds a decision to the control stream and to itself.
func (c *chain) decision(it *item, d *receipt.Decision) {
	st := it.st
	if st.Subject.Name != receipt.SubjectInput {
		c.wrong(it, Integrity, "subject", "its subject is not the input of a call")
	}
	if c.policy == nil {
		c.wrong(it, Policy, "policy-none", "no policy was active")
	} else {
		a := c.policy
		if d.Policy.SHA256 != a.Policy.SHA256 || d.Policy.ID != a.Policy.ID || d.Policy.Version != a.Policy.Version || d.Policy.Format != a.Policy.Format {
			c.wrong(it, Policy, "policy-not-active", "it was decided under %s version %d (%x), and entry %d had activated %s version %d (%x)",
				d.Policy.ID, d.Policy.Version, d.Policy.SHA256[:6], c.policyAt, a.Policy.ID, a.Policy.Version, a.Policy.SHA256[:6])
		}
		if d.Mode != a.Mode {
			c.wrong(it, Policy, "policy-mode", "its mode is %s, the active policy's is %s", d.Mode, a.Mode)
		}
	}
	if _, ok := c.needed[d.Policy.SHA256]; !ok && c.inWindow(st) {
		c.needed[d.Policy.SHA256] = st.Index
	}
	switch {
	case c.frozen > 0 && (d.Verdict != helm.Deny || !d.Enforced):
		c.wrong(it, Policy, "frozen", "its verdict is %s (enforced: %t), and entry %d had frozen the boundary", d.Verdict, d.Enforced, c.frozen)
	case c.frozen == 0 && d.Reason.Code == helm.Frozen:
		c.wrong(it, Policy, "frozen", "it says that the boundary is frozen, and it was not")
	case !d.Enforced && d.Mode == helm.Enforce:
		c.wrong(it, Policy, "not-enforced", "it is not enforced, and the mode is %s", d.Mode)
	case d.Enforced && d.Mode == helm.Shadow && d.Verdict != helm.Deny:
		c.wrong(it, Policy, "not-enforced", "its %s is enforced, and the mode is %s", d.Verdict, d.Mode)
	}
	if d.Verdict == helm.Allow {
		for i := range d.Budgets {
			if b := &d.Budgets[i]; d.Approval == nil && beyond(b) {
				c.wrong(it, Policy, "budget", "its verdict is ALLOW, and %s of the budget %s are used, whose limit is %s", b.Used, b.ID, b.Limit)
			}
		}
		for _, m := range d.Matched {
			if m.Verdict == helm.Deny || m.Verdict == helm.Escalate && d.Approval == nil {
				c.wrong(it, Policy, "verdict", "its verdict is ALLOW, and the rule %s, which says %s, matched", m.Rule, m.Verdict)
			}
		}
		if d.Reason.Code == helm.Approved && d.Approval == nil {
			c.wrong(it, Approvals, "approval-none", "it says that it was approved, and names no approval")
		}
	}
	if d.Approval != nil {
		c.useApproval(it, d)
	}
	if d.Escalation != nil {
		c.openEscalation(it, d)
	}
	number := c.decided.add(it, d)
	if d.Verdict == helm.Allow && d.CallID != "" {
		c.once(it, d, uint32(number))
	}
}

// once refuses a second ALLOW for a call_id whose first has an outcome.
func (c *chain) once(it *item, d *receipt.Decision, number uint32) {
	sum := digest(nil, d.Principal, d.Agent, d.Session, d.CallID)
	id := [8]byte(sum[:8])
	if before, ok := c.calls[id]; ok {
		if r := c.decided.at(before); r.outcome > 0 {
			c.wrong(it, Outcomes, "call-twice", "it allows the call %s again, which entry %d allowed and entry %d reports as done", d.CallID, r.index, r.outcome)
		}
	}
	c.calls[id] = number
}

// outcome holds an outcome to its decision.
func (c *chain) outcome(it *item, o *receipt.Outcome) {
	r := c.decided.find(o.Decision.Index)
	if r == nil {
		if c.inWindow(it.st) {
			c.wrong(it, Outcomes, "reference", "the decision that it is the outcome of, entry %d, is not in the pack", o.Decision.Index)
		}
		return
	}
	if r.about != aboutOutcome(o) {
		c.wrong(it, Outcomes, "outcome-mismatch", "it is not the outcome of entry %d: the id, agent, session, principal, boundary, tool, verdict or enforcement that it names are not that decision's", o.Decision.Index)
		return
	}
	switch it.st.Subject.Name {
	case receipt.SubjectResult:
	case receipt.SubjectStatement:
		if [8]byte(it.st.Subject.SHA256[:8]) != r.statement {
			c.wrong(it, Integrity, "subject", "its subject is not the decision's statement")
		}
	default:
		c.wrong(it, Integrity, "subject", "its subject is neither a result nor the decision's statement")
	}
	switch {
	case r.outcome == 0 && o.Conflict == nil:
		r.outcome, r.outcomeID = it.st.Index, [7]byte(it.hash[:7])
	case o.Conflict == nil:
		c.wrong(it, Outcomes, "outcome-twice", "entry %d has an outcome already, entry %d, and this one is not marked as a conflict", o.Decision.Index, r.outcome)
	case r.outcome == 0 && !c.inWindow(it.st):
	case o.Conflict.Index != r.outcome || [7]byte(o.Conflict.ID[:7]) != r.outcomeID:
		c.wrong(it, Outcomes, "reference", "the outcome that it is in conflict with, entry %d, is not the first one of entry %d", o.Conflict.Index, o.Decision.Index)
	default:
		c.add(Outcomes, Info, "outcome-conflict", "entry %d reports another outcome of entry %d than entry %d does: which one is true is not proved", it.st.Index, o.Decision.Index, r.outcome).at(it.st.Index, it.hash)
	}
	if o.Verdict != helm.Allow && o.Enforced && o.Status != helm.OutcomeNotExecuted {
		c.wrong(it, Outcomes, "outcome-bypass", "entry %d said %s, and %s reports that the call ran (%s): something went around the boundary", o.Decision.Index, o.Verdict, o.Principal, o.Status)
	}
}

// disclosed counts the payloads that are missing.
func (c *chain) disclosed(it *item) {
	if !c.inWindow(it.st) {
		return
	}
	if n := it.st.Subject.Name; n != receipt.SubjectInput && n != receipt.SubjectResult {
		return
	}
	if it.disclosure == nil {
		c.undisclosed++
	}
}

// conclude answers what the entries together say of rules, outcomes and approvals.
func (c *chain) conclude(p *receipt.Pack, policies map[receipt.Hash]bool) {
	wrong := c.wrongIn[Policy]
	for _, sha := range sortedHashes(c.needed) {
		if !policies[sha] {
			c.add(Policy, NotProved, "policy-bytes", "the policy %x, under which entry %d was decided, is not in the pack: %s is missing", sha, c.needed[sha], pack.Policy(sha))
			wrong++
		}
	}
	t := c.decided.totals(p.Window)
	if wrong == 0 {
		c.add(Policy, OK, "policy", "%s (%d ALLOW, %d DENY, %d ESCALATE) under the policy and mode that were active, and none but DENY while frozen; the bytes of %s are here. No decision was made again: that is the replay",
			count(t.allow+t.deny+t.escalate, "decision"), t.allow, t.deny, t.escalate, count(uint64(len(c.needed)), "policy"))
		c.add(Policy, Info, "control", "the control stream is whole from genesis to its number %d; that no later control entry stands outside the window is shown only by what the entries name", c.control.Seq)
	}
	if c.wrongIn[Outcomes] == 0 {
		c.add(Outcomes, Info, "outcomes", "%s, each of the decision that it names; what it says is what a boundary reported", count(t.outcomes, "outcome"))
	}
	if t.open > 0 {
		c.add(Outcomes, Info, "outcome-missing", "%s without an outcome, the first is entry %d: whether these calls ran is not known", count(t.open, "ALLOW"), t.firstOpen)
	}
	if c.undisclosed > 0 {
		c.add(Integrity, Info, "undisclosed", "of %s the payload is not in the pack: only the commitment is", count(c.undisclosed, "entry"))
	}
	c.concludeApprovals()
}

func sortedHashes(m map[receipt.Hash]uint64) []receipt.Hash {
	out := make([]receipt.Hash, 0, len(m))
	for h := range m {
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b receipt.Hash) int { return slices.Compare(a[:], b[:]) })
	return out
}
