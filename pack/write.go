package pack

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sort"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// Options configure Write.
type Options struct {
	Dir             string // for temporary files; "": the system's
	NoStreamKey     bool   // leave the stream key out: names cannot be guessed, and less is proved
	NoLeaves        bool   // leave the leaves out, as where the window is longer than MaxLeaves: less is proved
	ConsistencyFrom uint64 // the size of a checkpoint that the auditor kept, or 0

	// Progress, where set, is called now and then with how many of the window's
	// entries are done.
	Progress func(done, total uint64)
}

// Write writes the EvidencePack of a query. The same snapshot, query and options
// give the same bytes. What is large is spooled to temporary files, so that memory
// does not grow with the window; an error leaves w with a part of a tar.
func Write(w io.Writer, s Snapshot, q receipt.Query, o Options) (err error) {
	p := &writer{s: s, q: q, o: o, outside: map[uint64]bool{}, policies: map[receipt.Hash]bool{}}
	defer p.close()
	err = p.plan()
	if err == nil {
		err = p.collect()
	}
	if err == nil {
		err = p.print(w)
	}
	if err != nil {
		return fmt.Errorf("write pack: %w", err)
	}
	return nil
}

type writer struct {
	s    Snapshot
	q    receipt.Query
	o    Options
	at   receipt.Checkpoint
	pack receipt.Pack

	asked   line // what the query asks for, without its times
	control receipt.Hash

	outside  map[uint64]bool // single positions outside the window: true with payload
	known    []receipt.Window
	policies map[receipt.Hash]bool // that a decision names
	genesis  receipt.Hash
	spools   []*spool

	leaves             *spool
	entries, payloads  [3]*spool // before the window, in it, after it
	nodes, consistency *spool
}

// A line is numbered entries: a stream, or the whole log.
type line struct {
	log   Log
	all   bool
	id    receipt.Hash
	count uint64
}

func newLine(log Log, id receipt.Hash) (line, error) {
	n, err := log.StreamLen(id)
	return line{log: log, id: id, count: n}, err
}

// index is where the entry with that seq stands.
func (l line) index(seq uint64) (uint64, error) {
	if l.all {
		return seq - 1, nil
	}
	return l.log.StreamIndex(l.id, seq)
}

// plan finds the window, and the neighbours that show that nothing before since or
// after until is missing.
func (p *writer) plan() error {
	if err := p.q.Check(); err != nil {
		return err
	}
	var err error
	if p.at, _, err = receipt.ParseCheckpoint(p.s.Checkpoint); err != nil {
		return err
	}
	if p.at.Size == 0 {
		return errors.New("the log is empty")
	}
	if p.o.ConsistencyFrom > p.at.Size {
		return fmt.Errorf("the log has %d entries at this size, the checkpoint that was kept %d", p.at.Size, p.o.ConsistencyFrom)
	}
	p.control = p.s.StreamKey.Control()
	switch {
	case p.q.All:
		p.asked = line{all: true, count: p.at.Size}
	case p.q.Session != "":
		p.asked, err = newLine(p.s.Log, p.s.StreamKey.Session(p.q.Agent, p.q.Session))
	default:
		p.asked, err = newLine(p.s.Log, p.s.StreamKey.Agent(p.q.Agent))
	}
	if err != nil {
		return err
	}

	from, to := uint64(1), p.asked.count+1 // seqs, from to before to
	if !p.q.Since.IsZero() {
		if from, err = p.firstAt(p.q.Since); err != nil {
			return err
		}
	}
	if !p.q.Until.IsZero() {
		if to, err = p.firstAt(p.q.Until); err != nil {
			return err
		}
	}
	win := receipt.Window{First: 0, End: p.at.Size}
	if from > 1 {
		before, err := p.asked.index(from - 1)
		if err != nil {
			return err
		}
		p.outside[before] = false
		win.First = before + 1
	}
	if from < to {
		if win.First, err = p.asked.index(from); err != nil {
			return err
		}
	}
	if to <= p.asked.count {
		if win.End, err = p.asked.index(to); err != nil {
			return err
		}
		p.outside[win.End] = false
	} else if p.q.Session != "" && from < to {
		last, err := p.asked.index(to - 1)
		if err != nil {
			return err
		}
		st, err := p.statement(last)
		if err != nil {
			return err
		}
		if st.Body.Kind() == receipt.KindSession {
			win.End = last + 1
		}
	}
	p.pack = receipt.Pack{Origin: p.at.Origin, Size: p.at.Size, Query: p.q, Window: win,
		Leaves: win.End-win.First <= MaxLeaves && !p.o.NoLeaves, ConsistencyFrom: p.o.ConsistencyFrom}
	if !p.q.All {
		p.pack.Stream = &p.asked.id
	}
	if !p.o.NoStreamKey {
		p.pack.StreamKey = &p.s.StreamKey
	}
	return nil
}

// firstAt is the seq of the first entry asked for that is not before t.
func (p *writer) firstAt(t time.Time) (uint64, error) {
	var failed error
	n := sort.Search(int(p.asked.count), func(i int) bool {
		index, err := p.asked.index(uint64(i) + 1)
		if err == nil {
			var st *receipt.Statement
			if st, err = p.statement(index); err == nil {
				return !st.Time.Before(t)
			}
		}
		failed = err
		return true
	})
	return uint64(n) + 1, failed
}

func (p *writer) entry(index uint64) (Entry, error) {
	for e, err := range p.s.Log.Entries(index, index+1) {
		if err == nil && e.Index != index {
			err = fmt.Errorf("the log gave entry %d for %d", e.Index, index)
		}
		return e, err
	}
	return Entry{}, fmt.Errorf("the log gave no entry %d", index)
}

func (p *writer) statement(index uint64) (*receipt.Statement, error) {
	e, err := p.entry(index)
	if err != nil {
		return nil, err
	}
	return parse(e)
}

func parse(e Entry) (*receipt.Statement, error) {
	st, err := receipt.ParseStatement(e.Statement)
	if err == nil && st.Index != e.Index {
		err = fmt.Errorf("its statement says %d", st.Index)
	}
	if err != nil {
		return nil, fmt.Errorf("entry %d: %w", e.Index, err)
	}
	return st, nil
}

// collect spools everything that is made of entries.
func (p *writer) collect() error {
	for i := range p.entries {
		p.entries[i], p.payloads[i] = p.spool(), p.spool()
	}
	p.leaves, p.nodes, p.consistency = p.spool(), p.spool(), p.spool()
	var err error
	if p.pack.Leaves || p.q.All {
		err = p.wholeWindow()
	} else {
		err = p.sparseWindow()
	}
	if err == nil {
		err = p.outsiders()
	}
	if err == nil {
		err = writeNodes(p.nodes, p.at.Size, p.known, p.s.Log)
	}
	if err == nil && p.o.ConsistencyFrom > 0 && p.o.ConsistencyFrom < p.at.Size {
		var proof tlog.TreeProof
		proof, err = tlog.ProveTree(int64(p.at.Size), int64(p.o.ConsistencyFrom), p.s.Log)
		for _, h := range proof {
			p.consistency.Write(h[:])
		}
	}
	if err != nil {
		return err
	}
	for _, s := range p.spools {
		if s.err != nil {
			return s.err
		}
	}
	return nil
}

// wholeWindow reads every entry of the window: its leaf, and itself where it is
// asked for or a control entry.
func (p *writer) wholeWindow() error {
	win := p.pack.Window
	for e, err := range p.s.Log.Entries(win.First, win.End) {
		if err != nil {
			return err
		}
		st, err := parse(e)
		if err != nil {
			return err
		}
		if p.pack.Leaves {
			leaf := st.Leaf(e.Statement).Marshal()
			p.leaves.Write(binary.BigEndian.AppendUint16(nil, uint16(len(leaf))))
			p.leaves.Write(leaf)
		}
		if p.isAsked(st) || st.Body.Kind().Control() {
			if err := p.add(1, e, st, true); err != nil {
				return err
			}
		}
		if done := e.Index + 1 - win.First; p.o.Progress != nil && (done%4096 == 0 || e.Index+1 == win.End) {
			p.o.Progress(done, win.End-win.First)
		}
	}
	if p.pack.Leaves {
		p.known = nil
		p.know(win)
	}
	return nil
}

func (p *writer) isAsked(st *receipt.Statement) bool {
	return p.asked.all || slices.ContainsFunc(st.Streams, func(s receipt.Stream) bool { return s.ID == p.asked.id })
}

// sparseWindow reads the entries asked for and the control entries one by one.
func (p *writer) sparseWindow() error {
	win := p.pack.Window
	control, err := newLine(p.s.Log, p.control)
	if err != nil {
		return err
	}
	a, err := p.asked.from(win.First)
	if err != nil {
		return err
	}
	c, err := control.from(win.First)
	if err != nil {
		return err
	}
	for {
		next, err := min2(p.asked, &a, control, &c)
		if err != nil {
			return err
		}
		if next >= win.End {
			return nil
		}
		e, err := p.entry(next)
		if err != nil {
			return err
		}
		st, err := parse(e)
		if err != nil {
			return err
		}
		if err := p.add(1, e, st, true); err != nil {
			return err
		}
		if p.o.Progress != nil {
			p.o.Progress(next+1-win.First, win.End-win.First)
		}
	}
}

// from is the seq of the line's first entry at or after that index.
func (l line) from(index uint64) (uint64, error) {
	var failed error
	n := sort.Search(int(l.count), func(i int) bool {
		at, err := l.index(uint64(i) + 1)
		if err != nil {
			failed = err
			return true
		}
		return at >= index
	})
	return uint64(n) + 1, failed
}

// min2 is the lower index of two lines' next entries, which it steps over.
func min2(a line, i *uint64, b line, j *uint64) (uint64, error) {
	x, y := uint64(1<<63), uint64(1<<63)
	var err error
	if *i <= a.count {
		if x, err = a.index(*i); err != nil {
			return 0, err
		}
	}
	if *j <= b.count {
		if y, err = b.index(*j); err != nil {
			return 0, err
		}
	}
	if x <= y {
		*i++
	}
	if y <= x {
		*j++
	}
	return min(x, y), nil
}

// add spools an entry and, where it is to be, its payload; where says before, in or
// after the window.
func (p *writer) add(where int, e Entry, st *receipt.Statement, payload bool) error {
	env := receipt.Envelope{Payload: e.Statement, Signatures: e.Signatures}
	b, err := env.Marshal()
	if err != nil {
		return fmt.Errorf("entry %d: %w", e.Index, err)
	}
	p.entries[where].Write(append(b, '\n'))
	p.know(receipt.Window{First: e.Index, End: e.Index + 1})
	if e.Index == 0 {
		p.genesis = st.Leaf(e.Statement).Hash()
	}
	if !payload {
		return nil
	}
	if err := p.follow(st); err != nil {
		return fmt.Errorf("entry %d: %w", e.Index, err)
	}
	if n := st.Subject.Name; n != receipt.SubjectInput && n != receipt.SubjectResult {
		return nil
	}
	pl, err := p.s.Log.Payload(e.Index)
	if pl == nil || err != nil {
		return err
	}
	lines, err := receipt.Flatten(pl.Value)
	if err != nil {
		return fmt.Errorf("payload of entry %d: %w", e.Index, err)
	}
	d := receipt.Disclose(e.Index, &pl.Secret, lines)
	if err := d.Verify(st.Subject.SHA256); err != nil {
		return err
	}
	if b, err = d.Marshal(); err != nil {
		return err
	}
	if len(b) >= MaxDisclosureBytes {
		return fmt.Errorf("payload of entry %d: its disclosure has %d bytes: at most %d are allowed", e.Index, len(b), MaxDisclosureBytes)
	}
	p.payloads[where].Write(append(b, '\n'))
	return nil
}

// know adds to the known indexes what is not in them; they come in log order.
func (p *writer) know(w receipt.Window) {
	if n := len(p.known); n > 0 && p.known[n-1].End >= w.First {
		p.known[n-1].End = max(p.known[n-1].End, w.End)
		return
	}
	if w.First < w.End {
		p.known = append(p.known, w)
	}
}

// follow takes note of what an entry refers to.
func (p *writer) follow(st *receipt.Statement) error {
	var refs []uint64
	switch b := st.Body.(type) {
	case *receipt.Decision:
		p.policies[b.Policy.SHA256] = true
		if b.Approval != nil {
			refs = append(refs, b.Approval.Index)
			answers, err := p.s.Log.Answers(b.Approval.Index)
			if err != nil {
				return err
			}
			for _, a := range answers {
				if a < st.Index {
					refs = append(refs, a)
				}
			}
		}
	case *receipt.Outcome:
		refs = append(refs, b.Decision.Index)
		if b.Conflict != nil {
			refs = append(refs, b.Conflict.Index)
		}
	case *receipt.Approval:
		refs = append(refs, b.Escalation.Index)
	}
	for _, r := range refs {
		if r >= st.Index {
			return fmt.Errorf("it refers to entry %d, which is not before it", r)
		}
		if r < p.pack.Window.First {
			p.outside[r] = true
		}
	}
	return nil
}

// outsiders adds the single positions outside the window: control entries, what is
// referred to, and neighbours.
func (p *writer) outsiders() error {
	win := p.pack.Window
	control, err := newLine(p.s.Log, p.control)
	if err != nil {
		return err
	}
	for seq := uint64(1); seq <= control.count; seq++ {
		index, err := control.index(seq)
		if err != nil {
			return err
		}
		if (index < win.First || index >= win.End) && !p.outside[index] {
			p.outside[index] = false
		}
	}
	// What an entry refers to can refer further back: settle that first.
	for settled := -1; settled != len(p.outside); {
		settled = len(p.outside)
		for _, index := range sorted(p.outside) {
			if p.outside[index] {
				st, err := p.statement(index)
				if err != nil {
					return err
				}
				if err := p.follow(st); err != nil {
					return err
				}
			}
		}
	}
	inside := p.known
	p.known = nil
	after := false
	for _, index := range sorted(p.outside) {
		where := 0
		if index >= win.End {
			where = 2
			if !after {
				after = true
				for _, k := range inside {
					p.know(k)
				}
			}
		}
		e, err := p.entry(index)
		if err != nil {
			return err
		}
		st, err := parse(e)
		if err != nil {
			return err
		}
		if err := p.add(where, e, st, p.outside[index]); err != nil {
			return err
		}
	}
	if !after {
		for _, k := range inside {
			p.know(k)
		}
	}
	return nil
}

func sorted(m map[uint64]bool) []uint64 {
	out := make([]uint64, 0, len(m))
	for i := range m {
		out = append(out, i)
	}
	slices.Sort(out)
	return out
}

// print writes the tar.
func (p *writer) print(w io.Writer) error {
	t := &tarWriter{w: w}
	file := func(name string, parts ...*spool) {
		t.file(name, parts)
		p.pack.Files = append(p.pack.Files, receipt.Subject{Name: name, SHA256: t.sum})
	}
	file(Checkpoint, text(p.s.Checkpoint))
	shas := make([]receipt.Hash, 0, len(p.policies))
	for sha := range p.policies {
		shas = append(shas, sha)
	}
	if len(shas) > MaxPolicies {
		return fmt.Errorf("%d policies were active: at most %d fit into a pack; narrow the query", len(shas), MaxPolicies)
	}
	slices.SortFunc(shas, func(a, b receipt.Hash) int { return slices.Compare(a[:], b[:]) })
	for _, sha := range shas {
		b, err := p.s.Log.Policy(sha)
		if err != nil {
			return err
		}
		if sha256.Sum256(b) != sha || len(b) > MaxPolicyBytes {
			return fmt.Errorf("policy %x: the log's bytes have another digest, or are over %d", sha, MaxPolicyBytes)
		}
		file(Policy(sha), text(string(b)))
	}
	if p.o.ConsistencyFrom > 0 {
		file(Consistency, p.consistency)
	}
	file(Nodes, p.nodes)
	if p.pack.Leaves {
		file(Leaves, p.leaves)
	}
	file(Entries, p.entries[:]...)
	file(Payloads, p.payloads[:]...)
	file(Readme, text(readme(&p.pack, p.genesis)))
	if t.err != nil {
		return t.err
	}
	st, err := p.pack.Marshal()
	if err != nil {
		return err
	}
	sig, err := receipt.Sign(p.s.Key, st)
	if err != nil {
		return err
	}
	b, err := receipt.MarshalPackFile(&receipt.Envelope{Payload: st, Signatures: []receipt.Signature{sig}})
	if err != nil {
		return err
	}
	t.file(PackFile, []*spool{text(string(b))})
	return t.end()
}

// A spool holds bytes in a temporary file once they are many. After an error it
// swallows what comes.
type spool struct {
	dir  string
	mem  []byte
	file *os.File
	size int64
	err  error
}

const spoolMemory = 1 << 18

func (p *writer) spool() *spool {
	s := &spool{dir: p.o.Dir}
	p.spools = append(p.spools, s)
	return s
}

func text(s string) *spool { return &spool{mem: []byte(s), size: int64(len(s))} }

func (p *writer) close() {
	for _, s := range p.spools {
		s.remove()
	}
}

func (s *spool) Write(b []byte) (int, error) {
	s.mem = append(s.mem, b...)
	s.size += int64(len(b))
	if len(s.mem) > spoolMemory {
		s.flush()
	}
	return len(b), s.err
}

func (s *spool) flush() {
	if s.file == nil && s.err == nil {
		s.file, s.err = os.CreateTemp(s.dir, "helm-pack-*")
	}
	if s.err == nil {
		_, s.err = s.file.Write(s.mem)
	}
	s.mem = s.mem[:0]
}

func (s *spool) copyTo(w io.Writer) error {
	if s.file != nil {
		s.flush()
		if s.err == nil {
			_, s.err = s.file.Seek(0, io.SeekStart)
		}
		if s.err == nil {
			_, s.err = io.Copy(w, s.file)
		}
		return s.err
	}
	_, err := w.Write(s.mem)
	return err
}

// A tarWriter prints files with headers; after an error it does nothing.
type tarWriter struct {
	w   io.Writer
	sum receipt.Hash // of the last file
	err error
}

func (t *tarWriter) file(name string, parts []*spool) {
	size := int64(0)
	for _, s := range parts {
		size += s.size
	}
	if _, limit := rank(name); size > limit && t.err == nil {
		t.err = fmt.Errorf("the file %s has %d bytes: at most %d are allowed; narrow the query", name, size, limit)
	}
	h := header(name, size)
	t.write(h[:])
	digest := sha256.New()
	for _, s := range parts {
		if t.err == nil {
			t.err = s.copyTo(io.MultiWriter(t.w, digest))
		}
	}
	digest.Sum(t.sum[:0])
	t.write(make([]byte, -size&(block-1)))
}

func (t *tarWriter) write(b []byte) {
	if t.err == nil {
		_, t.err = t.w.Write(b)
	}
}

// end prints what ends a tar.
func (t *tarWriter) end() error {
	t.write(make([]byte, 2*block))
	return t.err
}

// readme is README.txt: how a reader who has never heard of this verifies it.
func readme(p *receipt.Pack, genesis receipt.Hash) string {
	return fmt.Sprintf(readmeText, p.Origin, p.Size, genesis, p.Window.First, p.Window.End, helm.Module)
}

const readmeText = `EvidencePack

log          %s
entries      %d
fingerprint  %x
window       entries %d to before %d

This file holds signed records of what an AI agent wanted to do, what the kernel
in front of it decided, and what was reported afterwards. Nothing in it has to be
believed: verify it, offline, with a program and a key that did not come with it.

1. With the verifier (source: https://%s):

     helm-verify --trust trust.policy evidence-pack.tar

   trust.policy names the log's public key. Get it, or at least compare the
   fingerprint above, by another channel than the one this file came by. The answer
   says what is proved, and as plainly what is not.

   helm-verify list prints the entries. Keep the tar as it came: unpacked and made
   again it is no pack.

2. By hand, with tools that every system has. Unpack a copy:

     tar xf evidence-pack.tar
     sha256sum policies/*.toml       # each file's name is its digest
     sha256sum checkpoint nodes entries.jsonl payloads.jsonl

   pack.json is signed, and lists these digests. What is signed is "DSSEv1 28
   application/vnd.in-toto+json LENGTH " and the decoded payload:

     cut -d '"' -f 4 pack.json | base64 -d > statement
     cut -d '"' -f 18 pack.json | base64 -d > sig
     printf 'DSSEv1 28 application/vnd.in-toto+json %%d ' $(wc -c < statement) > pae
     cat statement >> pae
     openssl pkeyutl -verify -pubin -inkey log.pem -rawin -in pae -sigfile sig

   log.pem is the log's public key, from the channel of step 1; its fingerprint is:
   openssl pkey -pubin -in log.pem -outform DER | sha256sum

   Each line of entries.jsonl is signed in the same way. That all of them are in the
   checkpoint's tree, and that nothing was left out, takes a program.

The formats are in spec/receipt.md, spec/log.md and spec/pack.md of the source.
`
