package verify

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"

	"github.com/helm-ai-kernel/helm-ai-kernel/pack"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// What is worked on at once; memory is bounded by it.
const (
	chunkEntries = 1024
	chunkLeaves  = 8192
	chunkBytes   = 4 << 20
)

// An item is one line of entries.jsonl, checked by itself.
type item struct {
	line   []byte
	key    ed25519.PublicKey // that it was checked with
	env    *receipt.Envelope
	st     *receipt.Statement // nil unless the signature is right
	leaf   []byte
	hash   receipt.Hash // of the leaf
	digest receipt.Hash // of the statement
	err    error

	disclosure []byte // a line of payloads.jsonl, or nil
}

var errSignature = errors.New("its signature is not by the log's key")

// A signer is the key in force and its id.
type signer struct {
	key ed25519.PublicKey
	id  string
}

func newSigner(key ed25519.PublicKey) *signer { return &signer{key, receipt.KeyID(key)} }

// check verifies the signature, parses what it signs, and derives its leaf from it.
// Nothing else is looked at.
func (sg *signer) check(it *item) {
	it.key, it.st, it.err = sg.key, nil, nil
	if it.env == nil {
		if it.env, it.err = receipt.ParseEnvelope(it.line); it.err != nil {
			return
		}
		if it.env.Proof != "" {
			it.err = errors.New("an envelope in a pack has no proof")
			return
		}
	}
	if s := &it.env.Signatures[0]; s.KeyID != sg.id || !s.Verify(sg.key, it.env.Payload) {
		it.err = errSignature
		return
	}
	st, err := receipt.ParseStatement(it.env.Payload)
	if err != nil {
		it.err = err
		return
	}
	if it.err = checkCosigner(st, it.env); it.err != nil {
		return
	}
	leaf := st.Leaf(it.env.Payload)
	it.digest, it.leaf = leaf.Statement, leaf.Marshal()
	it.hash = receipt.LeafHash(it.leaf)
	it.st = st
}

// checkCosigner verifies the second signature of a key entry, and that nothing
// else has one.
func checkCosigner(st *receipt.Statement, env *receipt.Envelope) error {
	k, ok := st.Body.(*receipt.Key)
	switch {
	case !ok && len(env.Signatures) == 1:
		return nil
	case !ok:
		return fmt.Errorf("a %s entry has %d signatures, not one", st.Body.Kind(), len(env.Signatures))
	case len(env.Signatures) != 2:
		return errors.New("a key entry is not signed by the new key")
	}
	s, pub := &env.Signatures[1], ed25519.PublicKey(k.New[:])
	if s.KeyID != receipt.KeyID(pub) || !s.Verify(pub, env.Payload) {
		return errors.New("the second signature of a key entry is not by the new key")
	}
	return nil
}

// names are whose streams an entry is in, "" for the control stream.
func names(b receipt.Body) (agent, session string) {
	switch b := b.(type) {
	case *receipt.Session:
		return b.Agent, b.Session
	case *receipt.Decision:
		return b.Agent, b.Session
	case *receipt.Outcome:
		return b.Agent, b.Session
	case *receipt.Approval:
		return b.Agent, b.Session
	}
	return "", ""
}

// streamIDs holds the ids of streams to those that their names have under the pack's
// stream key. It remembers what it computed: most entries are in few streams.
type streamIDs struct {
	key   *receipt.StreamKey // nil: they cannot be checked
	known map[[2]string][2]receipt.Hash
}

const maxKnownIDs = 4096

func (s *streamIDs) check(st *receipt.Statement) error {
	if s.key == nil {
		return nil
	}
	agent, session := names(st.Body)
	want, ok := s.known[[2]string{agent, session}]
	if !ok {
		if len(s.known) >= maxKnownIDs || s.known == nil {
			s.known = map[[2]string][2]receipt.Hash{}
		}
		want = [2]receipt.Hash{s.key.Control()}
		if agent != "" {
			want = [2]receipt.Hash{s.key.Agent(agent), s.key.Session(agent, session)}
		}
		s.known[[2]string{agent, session}] = want
	}
	for i := range st.Streams {
		if in := &st.Streams[i]; in.ID != want[i] {
			return fmt.Errorf("the id of its %s stream is not the one of its name", in.Name)
		}
	}
	return nil
}

// readEntries walks through entries, leaves and payloads at once: all three are in
// log order. What is wrong with an entry by itself ends the walk, for everything
// after it would be wrong too.
func (v *verifier) readEntries() error {
	entries, leaves, payloads, nodes := v.stream(pack.Entries), v.stream(pack.Leaves), v.stream(pack.Payloads), v.stream(pack.Nodes)
	var older uint64
	if v.kept != nil {
		older = v.kept.at.Size
	}
	v.tree = pack.NewTree(v.pack.Size, nodes, older)
	_, consistency := v.files.File(pack.Consistency)
	if (leaves != nil) != v.pack.Leaves || consistency != (v.pack.ConsistencyFrom > 0) {
		v.add(Integrity, Wrong, "file-unlisted", "leaves or consistency is here, or missing, against what pack.json says")
		v.stopped = true
	}
	w := &walk{verifier: v, leaves: &leafReader{from: leaves, next: v.pack.Window.First, end: v.pack.Window.End, each: v.opts.Each}, ids: streamIDs{key: v.pack.StreamKey}}
	if !v.pack.Leaves {
		w.leaves.next = w.leaves.end
	}
	v.chain.begin(v.pack)
	if !v.stopped {
		if err := w.run(entries, payloads); err != nil {
			return err
		}
	}
	if !v.stopped {
		if err := w.finish(payloads); err != nil {
			return err
		}
	}
	for name, s := range map[string]*stream{pack.Entries: entries, pack.Leaves: leaves, pack.Payloads: payloads, pack.Nodes: nodes} {
		if s == nil {
			continue
		}
		if name == pack.Nodes && !v.stopped {
			continue // what the tree leaves is found at the end
		}
		if _, err := io.Copy(io.Discard, s); err != nil {
			return fmt.Errorf("read %s of the pack: %w", name, err)
		}
	}
	for name, s := range map[string]*stream{pack.Entries: entries, pack.Leaves: leaves, pack.Payloads: payloads} {
		if s != nil {
			v.digests[name] = s.sum()
		}
	}
	return v.digestNodes()
}

// digestNodes takes the digest of the nodes by themselves: the tree reads them
// until the end.
func (v *verifier) digestNodes() error {
	s := v.stream(pack.Nodes)
	if _, err := io.Copy(io.Discard, s); err != nil {
		return fmt.Errorf("read %s of the pack: %w", pack.Nodes, err)
	}
	v.digests[pack.Nodes] = s.sum()
	return nil
}

type walk struct {
	*verifier
	leaves  *leafReader
	ids     streamIDs
	pending []byte // the next line of payloads.jsonl
	done    bool   // there is no further payload
}

// run takes the entries, chunk by chunk: one is checked while the one before it is given
// its place, and the one after it is read.
func (w *walk) run(entries, payloads *stream) error {
	r := &entryReader{from: entries}
	next := r.read()
	for checked := []item(nil); len(checked)+len(next) > 0; {
		s, err, read := r.signer, error(nil), []item(nil)
		w.opts.Each(2+len(next), func(i int) {
			switch i {
			case 0:
				err = w.take(checked, payloads)
			case 1:
				read = r.read()
			default:
				s.check(&next[i-2])
			}
		})
		if err != nil || w.stopped {
			return err
		}
		r.follow(next)
		checked, next = next, read
	}
	return w.ended(r.err)
}

// ended is told why no entry follows.
func (w *walk) ended(err error) error {
	switch {
	case err == io.EOF:
		return nil
	case errors.Is(err, errLine):
		w.add(Integrity, Wrong, "entry-unreadable", "entries.jsonl: after line %d: %v", w.chain.entries, err)
		w.stopped = true
		return nil
	}
	return err
}

// take gives checked entries their places, and holds their payloads to them.
func (w *walk) take(items []item, payloads *stream) error {
	good := 0
	for i := range items {
		it := &items[i]
		if w.chain.key != nil && !w.chain.key.Equal(it.key) {
			newSigner(w.chain.key).check(it) // a key entry stands in this chunk
		}
		if it.st != nil {
			if it.err = w.ids.check(it.st); it.err != nil {
				it.st = nil
			}
		}
		if it.st == nil {
			w.broken(it)
			break
		}
		if !w.place(it) {
			break
		}
		good = i + 1
	}
	return w.disclose(payloads, items[:good])
}

// An entryReader reads entries.jsonl.
type entryReader struct {
	from   *stream
	signer *signer // of the next entries, as far as those before them tell
	err    error   // why no further line was read
}

// read reads the next entries; there are none at the end.
func (r *entryReader) read() (items []item) {
	for size := 0; r.err == nil && len(items) < chunkEntries && size < chunkBytes; {
		var line []byte
		if line, r.err = r.from.line(receipt.MaxEnvelopeBytes); r.err == nil {
			size += len(line)
			items = append(items, item{line: line})
		}
	}
	if r.signer == nil && len(items) > 0 {
		r.signer = newSigner(genesisKey(items[0].line))
	}
	return items
}

// follow notes the key that checked entries name as the next one. Whether it is, the
// chain decides.
func (r *entryReader) follow(items []item) {
	for i := range items {
		if st := items[i].st; st != nil {
			if k, ok := st.Body.(*receipt.Key); ok {
				r.signer = newSigner(k.New[:])
			}
		}
	}
}

// genesisKey is the key that the pack's first entry says it is signed with. It is
// what the entry claims, and who signs is decided by the trust file alone.
func genesisKey(line []byte) ed25519.PublicKey {
	if env, err := receipt.ParseEnvelope(line); err == nil {
		if st, err := receipt.ParseStatement(env.Payload); err == nil {
			if g, ok := st.Body.(*receipt.Genesis); ok {
				return g.Key[:]
			}
		}
	}
	return make(ed25519.PublicKey, ed25519.PublicKeySize)
}

// broken tells what is wrong with an entry by itself, and ends the walk.
func (w *walk) broken(it *item) {
	code := "entry-unreadable"
	if it.err == errSignature {
		code = "entry-signature"
	}
	f := w.add(Integrity, Wrong, code, "line %d of entries.jsonl%s: %v; what comes after it was not examined", w.chain.entries+1, w.claims(it), it.err)
	if it.env != nil {
		if st, err := receipt.ParseStatement(it.env.Payload); err == nil {
			f.at(st.Index, receipt.Hash{})
		}
	}
	w.stopped = true
}

// claims is what a broken line says that it is, for people.
func (w *walk) claims(it *item) string {
	if it.env != nil {
		if st, err := receipt.ParseStatement(it.env.Payload); err == nil {
			return fmt.Sprintf(", which says that it is entry %d", st.Index)
		}
	}
	if w.chain.entries > 0 {
		return fmt.Sprintf(", after entry %d", w.chain.index)
	}
	return ""
}

// place gives an entry its place in the chain and in the tree.
func (w *walk) place(it *item) bool {
	index := it.st.Index
	if !w.chain.accept(it) {
		w.stopped = true
		return false
	}
	if !w.passLeaves(index) {
		return false
	}
	if l, ok := w.leaves.take(index); ok {
		if !bytes.Equal(l.bytes, it.leaf) {
			w.add(Integrity, Wrong, "leaf-differs", "entry %d: the leaf in the window is not its statement's", index).at(index, it.hash)
			w.stopped = true
			return false
		}
	} else if w.leaves.err != nil {
		w.leafError()
		return false
	}
	if k := w.kept; k != nil && k.receipt && k.index == index {
		if k.found = k.leaf == it.hash; !k.found {
			w.add(Witnesses, Wrong, "kept-contradicted", "entry %d is not the one of the receipt that was kept: its history was rewritten", index).at(index, it.hash)
		}
	}
	return w.grow(index, it.hash)
}

func (w *walk) grow(index uint64, leaf receipt.Hash) bool {
	if err := w.tree.Add(index, leaf); err != nil {
		w.add(Integrity, Wrong, "inclusion", "entry %d: %v", index, err)
		w.stopped = true
		return false
	}
	return true
}

// passLeaves looks at the leaves of the window before an index that have no entry
// in the pack.
func (w *walk) passLeaves(to uint64) bool {
	for {
		l, ok := w.leaves.takeBefore(to)
		if !ok {
			break
		}
		if l.err != nil {
			w.add(Integrity, Wrong, "leaf-unreadable", "leaf %d of the window: %v", l.index, l.err)
			w.stopped = true
			return false
		}
		w.chain.passLeaf(l)
		if !w.grow(l.index, l.hash) {
			return false
		}
	}
	if w.leaves.err != nil {
		w.leafError()
		return false
	}
	return true
}

func (w *walk) leafError() {
	w.add(Integrity, Wrong, "leaf-unreadable", "leaves: %v", w.leaves.err)
	w.stopped = true
}

// finish passes the leaves after the last entry.
func (w *walk) finish(payloads *stream) error {
	if !w.passLeaves(w.pack.Window.End) {
		return nil
	}
	if w.pack.Leaves {
		if n, err := w.leaves.from.Read(make([]byte, 1)); n > 0 || err != io.EOF {
			w.add(Integrity, Wrong, "leaf-unreadable", "leaves: more follows the last leaf of the window")
			w.stopped = true
		}
	}
	if err := w.peekPayload(payloads); err != nil {
		return err
	}
	if w.pending != nil && !w.stopped {
		w.add(Integrity, Wrong, "disclosure", "payloads.jsonl: a line opens an entry that is not in the pack: %.60q", w.pending)
	}
	return nil
}

// disclose holds the payloads of these entries to their commitments.
func (w *walk) disclose(payloads *stream, items []item) error {
	n := 0
	for n < len(items) {
		size, from := 0, n
		for ; n < len(items) && size < chunkBytes; n++ {
			if err := w.peekPayload(payloads); err != nil {
				return err
			}
			if w.pending != nil {
				if index, ok := payloadIndex(w.pending); ok && index == items[n].st.Index {
					items[n].disclosure, w.pending = w.pending, nil
					size += len(items[n].disclosure)
				}
			}
		}
		batch := items[from:n]
		w.opts.Each(len(batch), func(i int) { batch[i].err = batch[i].open() })
		for i := range batch {
			it := &batch[i]
			w.chain.disclosed(it)
			if it.err != nil {
				w.add(Integrity, Wrong, "disclosure", "entry %d: %v", it.st.Index, it.err).at(it.st.Index, it.hash)
			}
			it.line, it.disclosure = nil, nil
		}
	}
	return nil
}

func (it *item) open() error {
	if it.disclosure == nil {
		return nil
	}
	d, err := receipt.ParseDisclosure(it.disclosure)
	if err != nil {
		return err
	}
	if n := it.st.Subject.Name; n != receipt.SubjectInput && n != receipt.SubjectResult {
		return fmt.Errorf("a disclosure opens the subject of a %s entry, which is no commitment", it.st.Body.Kind())
	}
	return d.Verify(it.st.Subject.SHA256)
}

// peekPayload reads the next line of payloads.jsonl, if none is waiting.
func (w *walk) peekPayload(payloads *stream) error {
	if w.pending != nil || w.done {
		return nil
	}
	line, err := payloads.line(pack.MaxDisclosureBytes)
	switch {
	case err == io.EOF:
		w.done = true
	case errors.Is(err, errLine):
		w.add(Integrity, Wrong, "disclosure", "payloads.jsonl: %v", err)
		w.done, w.stopped = true, true
	case err != nil:
		return err
	default:
		w.pending = line
	}
	return nil
}

// payloadIndex is the entry that a line of payloads.jsonl says it opens.
func payloadIndex(line []byte) (uint64, bool) {
	rest, ok := bytes.CutPrefix(line, []byte(`{"index":`))
	digits, _, ok2 := bytes.Cut(rest, []byte(","))
	n, err := strconv.ParseUint(string(digits), 10, 64)
	return n, ok && ok2 && err == nil
}

// A leafReader reads the window's leaves, in chunks.
type leafReader struct {
	from      *stream
	next, end uint64
	each      func(int, func(int))
	chunk     []leaf
	at        int
	buf       []byte
	err       error
}

type leaf struct {
	index uint64
	bytes []byte
	hash  receipt.Hash
	leaf  receipt.Leaf
	err   error
}

// takeBefore takes the next leaf if its index is before that one.
func (r *leafReader) takeBefore(index uint64) (*leaf, bool) {
	if r.err != nil || r.next >= index || r.next >= r.end {
		return nil, false
	}
	if r.at == len(r.chunk) {
		if r.fill(); r.err != nil {
			return nil, false
		}
	}
	l := &r.chunk[r.at]
	r.at++
	r.next++
	return l, true
}

// take takes the leaf with that index, if it is next.
func (r *leafReader) take(index uint64) (*leaf, bool) {
	if r.next != index {
		return nil, false
	}
	return r.takeBefore(index + 1)
}

// fill reads the next chunk of C2SP tlog-tiles' entry bundle: each leaf after its
// length in two big-endian bytes.
func (r *leafReader) fill() {
	n := int(min(chunkLeaves, r.end-r.next))
	if r.chunk == nil {
		r.chunk = make([]leaf, n)
	}
	r.chunk = r.chunk[:n]
	r.at = 0
	r.buf = r.buf[:0]
	var lens [chunkLeaves]int
	for i := range r.chunk {
		var n [2]byte
		if _, err := io.ReadFull(r.from, n[:]); err != nil {
			r.err = fmt.Errorf("it ends before leaf %d", r.next+uint64(i))
			return
		}
		lens[i] = int(binary.BigEndian.Uint16(n[:]))
		if lens[i] > receipt.MaxLeafBytes {
			r.err = fmt.Errorf("leaf %d has %d bytes: at most %d are allowed", r.next+uint64(i), lens[i], receipt.MaxLeafBytes)
			return
		}
		from := len(r.buf)
		r.buf = append(r.buf, make([]byte, lens[i])...)
		if _, err := io.ReadFull(r.from, r.buf[from:]); err != nil {
			r.err = fmt.Errorf("it ends before leaf %d", r.next+uint64(i))
			return
		}
	}
	rest := r.buf
	for i := range r.chunk {
		r.chunk[i] = leaf{index: r.next + uint64(i), bytes: rest[:lens[i]]}
		rest = rest[lens[i]:]
	}
	r.each(len(r.chunk), func(i int) {
		l := &r.chunk[i]
		l.hash = receipt.LeafHash(l.bytes)
		l.leaf, l.err = receipt.ParseLeaf(l.bytes)
	})
}

// A stream is one file of the pack, whose digest is taken on the way.
type stream struct {
	*bufio.Reader
	hash hash.Hash
}

func (v *verifier) stream(name string) *stream {
	f, ok := v.files.File(name)
	if !ok {
		return nil
	}
	h := sha256.New()
	return &stream{bufio.NewReaderSize(io.TeeReader(v.files.Section(f), h), 1<<16), h}
}

// sum is the digest of what was read; the file was read to its end.
func (s *stream) sum() (sum receipt.Hash) {
	s.hash.Sum(sum[:0])
	return sum
}

// errLine is wrapped when a file is not made of lines of the allowed length.
var errLine = errors.New("bad line")

// line is the next line, without the LF that must end it.
func (s *stream) line(max int) ([]byte, error) {
	var line []byte
	for {
		part, err := s.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > max+1:
			return nil, fmt.Errorf("%w: it has more than %d bytes", errLine, max)
		case err == nil:
			return line[:len(line)-1], nil
		case err == io.EOF && len(line) > 0:
			return nil, fmt.Errorf("%w: it does not end in a newline", errLine)
		case err != bufio.ErrBufferFull:
			return nil, err
		}
	}
}
