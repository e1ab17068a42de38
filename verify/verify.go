// Package verify says what an EvidencePack or a receipt proves, and as plainly
// what it does not (spec/verify.md). It needs no network, no clock and nothing of
// the operator's but the evidence itself.
//
// The evidence is hostile input: memory is bounded, nothing is extracted, every
// format is parsed strictly, and every signature is verified before what it signs
// is believed.
//
// Read on in this order: this file reads a pack from its first byte to its last and
// draws the conclusions; entries.go checks one entry by itself, which may be done
// in parallel; chain.go follows the entries in log order; report.go is the answer;
// trust.go is what the auditor brings; receipt.go is the same for a single receipt.
package verify

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/helm-ai-kernel/helm-ai-kernel/pack"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// Options say what the auditor brings and asks for. The zero value asks only
// whether the evidence is consistent.
type Options struct {
	Trust *Trust // who may sign, or nil: the signer is then unknown

	// Approvers say whose keys are whose, or nil: then the names of those who answered
	// are the policy's word.
	Approvers *Approvers

	// Expect is what the auditor asked for, or nil. A pack that was asked for less
	// does not do.
	Expect *Expectation

	// SinceCheckpoint is a checkpoint or a receipt file that the auditor kept, or
	// nil: the log must be an extension of it.
	SinceCheckpoint []byte

	AllowPartial bool // completeness need not be proved

	// Each calls do for 0 to n-1, in any order or at once, and returns when all
	// calls have; nil calls them one after the other. do may call
	// it again.
	Each func(n int, do func(i int))
}

// An Expectation is what the auditor asked for; what is zero was not asked for.
type Expectation struct {
	Agent, Session string
	Since, Until   time.Time
}

// Pack verifies the EvidencePack in the first size bytes of r. An error means that
// they could not be read as a pack: exit code 2.
func Pack(r io.ReaderAt, size int64, o Options) (*Report, error) {
	files, err := pack.Open(r, size)
	if err != nil {
		return nil, err
	}
	v := &verifier{files: files, opts: o}
	v.chain.reporter = &v.reporter
	v.chain.pins = o.Approvers
	if v.opts.Each == nil {
		v.opts.Each = func(n int, do func(int)) {
			for i := range n {
				do(i)
			}
		}
	}
	if err := v.openPackFile(); err != nil {
		return nil, err
	}
	if err := v.readKept(); err != nil {
		return nil, err
	}
	if err := v.readFiles(); err != nil {
		return nil, err
	}
	v.conclude()
	rep := &Report{Origin: v.pack.Origin, Size: v.pack.Size, Entries: v.chain.entries,
		Root: hex.EncodeToString(v.at.Root[:]), Fingerprint: hex.EncodeToString(v.chain.fingerprint[:])}
	if v.chain.key != nil {
		rep.Key = receipt.KeyID(v.chain.key)
	}
	v.finish(rep, o.AllowPartial)
	return rep, nil
}

type verifier struct {
	reporter
	files *pack.Reader
	opts  Options

	envelope  *receipt.Envelope // pack.json
	pack      *receipt.Pack
	redaction *receipt.Redaction // or nil
	digests   map[string]receipt.Hash

	signed      string // checkpoint
	at          receipt.Checkpoint
	policies    map[receipt.Hash]bool // whose bytes are here
	consistency tlog.TreeProof

	kept  *kept // or nil
	tree  *pack.Tree
	chain chain

	stopped bool // at an entry or a file that cannot be read on
}

// openPackFile reads pack.json, which is the last file but says what all others
// must be. Its signature is verified at the end, when the log's key is known.
func (v *verifier) openPackFile() error {
	b, err := v.files.Read(pack.PackFile)
	if err != nil {
		return err
	}
	if v.envelope, err = receipt.ParsePackFile(b); err != nil {
		return err
	}
	if v.pack, err = receipt.ParsePack(v.envelope.Payload); err != nil {
		return fmt.Errorf("parse pack.json: %w", err)
	}
	if b, err = v.files.Read(pack.Redaction); err != nil {
		return err
	}
	if b != nil {
		if v.redaction, err = receipt.ParseRedaction(b); err != nil {
			return err
		}
	}
	v.digests = map[string]receipt.Hash{}
	return nil
}

// readFiles reads every file of the tar, in order of their dependence, and takes
// the digest of each.
func (v *verifier) readFiles() error {
	v.policies = map[receipt.Hash]bool{}
	for _, f := range v.files.Files {
		switch f.Name {
		case pack.Nodes, pack.Leaves, pack.Entries, pack.Payloads, pack.PackFile, pack.Redaction:
			continue // streamed below, or read already
		}
		b, err := v.files.Read(f.Name)
		if err != nil {
			return err
		}
		sum := receipt.Hash(sha256.Sum256(b))
		v.digests[f.Name] = sum
		switch f.Name {
		case pack.Checkpoint:
			v.signed = string(b)
			if v.at, _, err = receipt.ParseCheckpoint(v.signed); err != nil {
				v.add(Integrity, Wrong, "checkpoint", "checkpoint: %v", err)
				v.stopped = true
			}
		case pack.Consistency:
			if len(b)%tlog.HashSize != 0 {
				v.add(Integrity, Wrong, "consistency", "the file consistency has %d bytes, which are not hashes", len(b))
				break
			}
			for ; len(b) > 0; b = b[tlog.HashSize:] {
				v.consistency = append(v.consistency, tlog.Hash(b[:tlog.HashSize]))
			}
		case pack.Policy(sum):
			v.policies[sum] = true
		}
	}
	if v.at.Origin != v.pack.Origin || v.at.Size != v.pack.Size {
		v.add(Integrity, Wrong, "checkpoint", "the checkpoint is of %q with %d entries, pack.json speaks of %q with %d", v.at.Origin, v.at.Size, v.pack.Origin, v.pack.Size)
		v.stopped = true
	}
	return v.readEntries()
}

// conclude answers what only the whole pack shows.
func (v *verifier) conclude() {
	v.concludeIntegrity()
	v.concludeSigner()
	v.concludeQuery()
	if !v.stopped {
		v.concludeCompleteness()
		v.chain.conclude(v.pack, v.policies)
	}
	v.concludeKept()
	if t := v.opts.Trust; t == nil || t.Quorum == noQuorum {
		v.add(Witnesses, Info, "no-witness", "no witness is asked for: that the operator showed everybody the same log is not proved")
	} else {
		v.add(Witnesses, NotProved, "witnesses", "the trust file asks for the witnesses of %q: this version verifies no cosignature", t.Quorum)
	}
	if c := &v.chain; c.entries > 0 {
		v.add(Time, Info, "operator-clock", "times are the operator's clock, from %s to %s, and never run backwards: nobody outside confirms them",
			receipt.FormatTime(c.firstTime), receipt.FormatTime(c.time))
	}
}

// concludeIntegrity compares every file with pack.json, and verifies what the
// newest key signed.
func (v *verifier) concludeIntegrity() {
	before := v.wrong
	var names []string
	here := map[string]bool{}
	for _, f := range v.files.Files {
		if f.Name != pack.PackFile && f.Name != pack.Redaction {
			names = append(names, f.Name)
			here[f.Name] = true
		}
	}
	listed := v.pack.Files
	missing := func() {
		v.add(Integrity, Wrong, "file-missing", "pack.json lists %.100q, which is not here at its place", listed[0].Name)
		listed = listed[1:]
	}
	for _, name := range names {
		for len(listed) > 0 && listed[0].Name != name && !here[listed[0].Name] {
			missing()
		}
		if len(listed) == 0 || listed[0].Name != name {
			v.add(Integrity, Wrong, "file-unlisted", "%s is not the file that pack.json lists at this place", name)
			continue
		}
		switch {
		case listed[0].SHA256 == v.digests[name]:
		case name == pack.Payloads && v.redaction != nil: // its own digest is held below
			v.add(Integrity, Info, "redacted", "redacted by a holder: %s is not the file that the kernel exported; what is open in it is still held to its commitments (%s)", name, v.redaction.Note)
		default:
			v.add(Integrity, Wrong, "file-digest", "%s is not the file that pack.json lists: its SHA-256 is %x, not %x", name, v.digests[name], listed[0].SHA256)
		}
		listed = listed[1:]
	}
	for len(listed) > 0 {
		missing()
	}
	if r := v.redaction; r != nil && r.Payloads != v.digests[pack.Payloads] {
		v.add(Integrity, Wrong, "redaction", "redaction.json speaks of another payloads.jsonl")
	}
	if key := v.chain.key; key != nil && !v.stopped {
		if _, err := receipt.VerifyCheckpoint(v.signed, v.pack.Origin, key); err != nil {
			v.add(Integrity, Wrong, "checkpoint-signature", "the checkpoint does not verify with the log's key %s: %v", receipt.KeyID(key), err)
		}
		if s := v.envelope.Signatures[0]; s.KeyID != receipt.KeyID(key) || !s.Verify(key, v.envelope.Payload) {
			v.add(Integrity, Wrong, "pack-signature", "pack.json does not verify with the log's key %s", receipt.KeyID(key))
		}
		root, err := v.tree.Root()
		if err == nil && root != v.at.Root {
			err = fmt.Errorf("they lead to the root %x, the checkpoint's is %x", root, v.at.Root)
		}
		if err != nil {
			v.add(Integrity, Wrong, "inclusion", "the entries are not all in the log of the checkpoint: %v", err)
		}
	}
	if v.chain.sKey == nil && !v.stopped {
		v.add(Integrity, Info, "no-stream-key", "the stream key was left out: stream ids are not derived again from their names")
	}
	if v.wrong == before && before == 0 {
		v.add(Integrity, OK, "intact", "every byte is as it was signed: %s, in the log of %s with the root %x",
			count(v.chain.entries, "entry"), count(v.at.Size, "entry"), v.at.Root)
	}
}

func (v *verifier) concludeSigner() {
	c := &v.chain
	if c.key == nil {
		v.add(Signer, NotProved, "signer-unknown", "no key could be read out of the evidence")
		return
	}
	if v.opts.Trust == nil {
		v.add(Signer, NotProved, "signer-unknown", "nobody said whose key this is: compare the fingerprints of log and key by another channel, then bring a trust file")
		return
	}
	named := false
	for _, l := range v.opts.Trust.Logs {
		signs := c.signedBy(l.Key)
		switch {
		case l.Origin == v.pack.Origin && signs:
			v.add(Signer, OK, "signer", "the trust file names the key that signed, for this log")
			return
		case l.Origin == v.pack.Origin:
			named = true
		case signs:
			v.add(Signer, NotProved, "signer-origin", "the trust file has this key for the log %q, the evidence is of %q", l.Origin, v.pack.Origin)
			return
		}
	}
	if named {
		v.add(Signer, Wrong, "signer-other", "the trust file names another key for this log than the one that signed: one that was replaced, whose holder is no longer believed, or a forger's. Ask for the same evidence from the log as it is now: it shows how one key came from the other")
		return
	}
	v.add(Signer, NotProved, "signer-unknown", "the trust file does not name this log")
}

func describeQuery(q receipt.Query) string {
	s := "the log"
	if q.Agent != "" {
		s = "agent " + q.Agent
	}
	if q.Session != "" {
		s = "session " + q.Session + " of " + s
	}
	if !q.Since.IsZero() {
		s += " since " + receipt.FormatTime(q.Since)
	}
	if !q.Until.IsZero() {
		s += " until before " + receipt.FormatTime(q.Until)
	}
	return s
}

func (v *verifier) concludeQuery() {
	q := v.pack.Query
	v.add(Query, Info, "query", "the pack was asked for %s, at the size %d", describeQuery(q), v.pack.Size)
	e := v.opts.Expect
	if e == nil {
		return
	}
	var lacks string
	switch {
	case !q.All && q.Agent != e.Agent:
		lacks = "it does not cover every agent that was expected"
	case q.Session != "" && q.Session != e.Session:
		lacks = "it covers one session, and not what was expected"
	case !q.Since.IsZero() && (e.Since.IsZero() || q.Since.After(e.Since)):
		lacks = "it begins later than expected"
	case !q.Until.IsZero() && (e.Until.IsZero() || q.Until.Before(e.Until)):
		lacks = "it ends earlier than expected"
	}
	if lacks != "" {
		v.add(Query, NotProved, "query-narrower", "the pack was asked for less than expected: %s", lacks)
		return
	}
	v.add(Query, OK, "query-covers", "the pack was asked for what was expected")
}

// concludeCompleteness says between which entries nothing was left out. That no
// leaf of the window lacks its entry was found out on the way.
func (v *verifier) concludeCompleteness() {
	c, w := &v.chain, v.pack.Window
	a := &c.asked
	before := len(v.findings)
	if !v.startProved() {
		v.add(Completeness, NotProved, "window-start", "that nothing asked for stands before entry %d is not proved: the window begins there for no reason that the pack shows", w.First)
	}
	if !v.endProved() {
		v.add(Completeness, NotProved, "window-end", "that nothing asked for stands from entry %d on is not proved: the window ends there for no reason that the pack shows", w.End)
	}
	if !v.pack.Query.All {
		if !v.pack.Leaves {
			v.add(Completeness, NotProved, "no-leaves", "the leaves of the window were left out: that its %s hold no more of this stream than the %d here, such as after the last or in a second chain, is not proved", count(w.End-w.First, "entry"), a.count)
		}
		if v.pack.StreamKey == nil {
			v.add(Completeness, NotProved, "stream-key-left-out", "the stream key was left out: that no second stream belongs to the same name is not proved")
		}
	} else if a.count != w.End-w.First {
		v.add(Completeness, Wrong, "entry-left-out", "the pack was asked for everything and has %d of the window's %d entries", a.count, w.End-w.First)
	}
	if len(v.findings) == before && v.wrong == 0 {
		v.add(Completeness, OK, "complete", "nothing of %s is missing from entry %d to before %d, where it has %s; %s",
			describeQuery(v.pack.Query), w.First, w.End, count(a.count, "entry"), v.unexamined())
	}
}

// unexamined says what lies outside the window.
func (v *verifier) unexamined() string {
	w := v.pack.Window
	var out []string
	if w.First > 0 {
		out = append(out, fmt.Sprintf("before entry %d", w.First))
	}
	if w.End < v.pack.Size {
		out = append(out, fmt.Sprintf("from entry %d on", w.End))
	}
	if out == nil {
		return "that is the whole log"
	}
	return "what stands " + strings.Join(out, " and ") + " was not examined"
}

// startProved reports whether nothing asked for can stand before the window.
func (v *verifier) startProved() bool {
	a := &v.chain.asked
	if v.pack.Window.First == 0 || a.count > 0 && a.firstSeq == 1 {
		return true
	}
	// The entry before it in its stream is older than the query's beginning.
	return a.before.there && !v.pack.Query.Since.IsZero() && a.before.time.Before(v.pack.Query.Since) &&
		(a.count == 0 && a.before.index+1 == v.pack.Window.First || a.count > 0 && a.firstSeq == a.before.seq+1)
}

// endProved reports whether nothing asked for can stand behind the window.
func (v *verifier) endProved() bool {
	a := &v.chain.asked
	switch {
	case v.pack.Window.End == v.pack.Size:
		return true
	case v.pack.Query.Session != "" && a.count > 0 && a.closed && a.lastIndex+1 == v.pack.Window.End:
		return true
	}
	// The entry after it in its stream is not older than the query's end.
	last := a.lastSeq
	if a.count == 0 && a.before.there {
		last = a.before.seq
	}
	return a.after.there && !v.pack.Query.Until.IsZero() && !a.after.time.Before(v.pack.Query.Until) &&
		a.after.index == v.pack.Window.End && a.after.seq == last+1
}

// A kept is what the auditor kept from before.
type kept struct {
	what   string
	at     receipt.Checkpoint
	signed string

	receipt bool // a receipt: one leaf at one index
	index   uint64
	leaf    receipt.Hash
	found   bool // the entry at that index is in the pack, and the same
}

// readKept reads the file of --since-checkpoint.
func (v *verifier) readKept() error {
	b := v.opts.SinceCheckpoint
	if b == nil {
		return nil
	}
	if len(b) > 0 && b[0] == '{' {
		_, st, proof, leaf, err := openReceipt(b)
		if err != nil {
			return fmt.Errorf("the receipt that was kept: %w", err)
		}
		at, _, err := receipt.ParseCheckpoint(proof.Checkpoint)
		if err == nil {
			err = proof.Includes(leaf, at)
		}
		if err != nil {
			return fmt.Errorf("the receipt that was kept: %w", err)
		}
		v.kept = &kept{what: "receipt", at: at, signed: proof.Checkpoint, receipt: true, index: st.Index, leaf: leaf}
		return nil
	}
	at, _, err := receipt.ParseCheckpoint(string(b))
	if err != nil {
		return fmt.Errorf("the checkpoint that was kept: %w", err)
	}
	v.kept = &kept{what: "checkpoint", at: at, signed: string(b)}
	return nil
}

// concludeKept says whether the log is an extension of what the auditor kept.
func (v *verifier) concludeKept() {
	k := v.kept
	if k == nil {
		v.add(Witnesses, Info, "nothing-kept", "no checkpoint was brought that was kept from before: an operator who signed a whole new history with this key would not be noticed")
		return
	}
	if k.at.Origin != v.pack.Origin {
		v.add(Witnesses, Wrong, "kept-other-log", "the %s that was kept is of the log %s, the evidence is of %s", k.what, k.at.Origin, v.pack.Origin)
		return
	}
	if v.stopped {
		v.add(Witnesses, NotProved, "kept", "whether the log is an extension of the %s that was kept could not be examined", k.what)
		return
	}
	if !v.keptSigned() {
		v.add(Witnesses, NotProved, "kept-signature", "the %s that was kept has no signature by the key that this log had then: compare it with the file that you kept", k.what)
	}
	older, known := v.tree.Older()
	switch {
	case k.at.Size == v.pack.Size:
		older, known = v.at.Root, true
	case k.at.Size > v.pack.Size:
		v.add(Witnesses, NotProved, "kept-newer", "the %s that was kept is of %d entries, this pack of %d: it is older, or the log was rolled back", k.what, k.at.Size, v.pack.Size)
		return
	case !known && k.at.Size == v.pack.ConsistencyFrom:
		if tlog.CheckTree(v.consistency, int64(v.at.Size), tlog.Hash(v.at.Root), int64(k.at.Size), tlog.Hash(k.at.Root)) != nil {
			v.add(Witnesses, Wrong, "kept-contradicted", "the log is not an extension of the %s that was kept, of %d entries with the root %x: its history was rewritten", k.what, k.at.Size, k.at.Root)
			return
		}
		older, known = k.at.Root, true
	}
	switch {
	case known && older != k.at.Root:
		v.add(Witnesses, Wrong, "kept-contradicted", "the log is not an extension of the %s that was kept: at %d entries its root was %x, not %x: its history was rewritten", k.what, k.at.Size, older, k.at.Root)
	case known:
		v.add(Witnesses, OK, "kept", "the log is an extension of the %s that was kept, of %d entries: nothing before was rewritten", k.what, k.at.Size)
	case k.found:
		v.add(Witnesses, OK, "kept-receipt", "the receipt that was kept, of entry %d, is in this log at its place; that nothing else before was rewritten is not shown", k.index)
	default:
		v.add(Witnesses, NotProved, "kept", "whether the log is an extension of the %s that was kept, of %d entries, is not shown: ask for a pack that is exported with it", k.what, k.at.Size)
	}
}

// keptSigned reports whether it was signed by the key that was in force at its size,
// or by another key of the trust file.
func (v *verifier) keptSigned() bool {
	var keys []ed25519.PublicKey
	if k := v.chain.keyAt(v.kept.at.Size); k != nil {
		keys = append(keys, k)
	}
	if v.opts.Trust != nil {
		for _, l := range v.opts.Trust.Logs {
			if !v.chain.signedBy(l.Key) {
				keys = append(keys, l.Key)
			}
		}
	}
	for _, k := range keys {
		if _, err := receipt.VerifyCheckpoint(v.kept.signed, v.pack.Origin, k); err == nil {
			return true
		}
	}
	return false
}
