package ledger

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
)

// Entries are found by their id, a leaf hash, in sorted runs. Ids are random: in
// one sorted table every appended entry would dirty a page of its own. So a run of
// 256 ids is written when their tile is full, and 16 runs of a level are merged
// into one of the next. A lookup reads a page or two of at most 15 runs a level.
// Ids since the last full tile are in the entries.

const (
	idFan      = 16
	idPage     = 512 // ids in a row
	idBytes    = 12
	recentSize = 1 << 15
)

// An idRef is the front of an id, and where in its run the entry is.
type idRef struct {
	prefix uint64
	offset uint32
}

func compareRefs(a, b idRef) int {
	return cmp.Or(cmp.Compare(a.prefix, b.prefix), cmp.Compare(a.offset, b.offset))
}

func idPrefix(id []byte) uint64 { return binary.BigEndian.Uint64(id) }

// idKey is the key of a page of a run. Levels count from 0.
func idKey(level int, run uint64, page int) []byte {
	return binary.BigEndian.AppendUint32(append([]byte{byte(level)}, key8(run)...), uint32(page))
}

// runLength is how many ids a run of a level has.
func runLength(level int) uint64 { return tileWidth << (4 * level) }

// runPages is how many rows it has.
func runPages(level int) int { return int((runLength(level) + idPage - 1) / idPage) }

// putIDs writes the run of a full tile, and merges the runs that it completes.
func putIDs(over *overlay, tile uint64, hashes []byte) error {
	refs := make([]idRef, tileWidth)
	for i := range refs {
		refs[i] = idRef{idPrefix(hashes[i*32:]), uint32(i)}
	}
	slices.SortFunc(refs, compareRefs)
	level, run := 0, tile
	for ; run%idFan == idFan-1; level, run = level+1, run/idFan {
		var err error
		if refs, err = mergeRuns(over, level, run, refs); err != nil {
			return err
		}
	}
	for page := range runPages(level) {
		over.put(IDs, idKey(level, run, page), marshalRefs(refs[page*idPage:min((page+1)*idPage, len(refs))]))
	}
	return nil
}

// mergeRuns merges the 15 runs before run, which it removes, with that one's refs.
func mergeRuns(over *overlay, level int, run uint64, last []idRef) ([]idRef, error) {
	runs := make([][]idRef, 0, idFan)
	for n := run - (idFan - 1); n <= run; n++ {
		refs := last
		if n < run {
			refs = nil
			for page := range runPages(level) {
				key := idKey(level, n, page)
				b, err := over.Get(IDs, key)
				if err != nil {
					return nil, err
				}
				more, err := parseRefs(b)
				if err != nil {
					return nil, err
				}
				refs = append(refs, more...)
				over.delete(IDs, key)
			}
		}
		if uint64(len(refs)) != runLength(level) {
			return nil, fmt.Errorf("%w: table %s: run %d of level %d has %d ids, not %d", errContradiction, IDs, n, level, len(refs), runLength(level))
		}
		for i := range refs {
			refs[i].offset += uint32((n % idFan) * runLength(level))
		}
		runs = append(runs, refs)
	}
	for len(runs) > 1 {
		for i := range len(runs) / 2 {
			runs[i] = mergeTwo(runs[2*i], runs[2*i+1])
		}
		runs = runs[:len(runs)/2]
	}
	return runs[0], nil
}

func mergeTwo(a, b []idRef) []idRef {
	out := make([]idRef, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if compareRefs(a[0], b[0]) <= 0 {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return append(append(out, a...), b...)
}

func marshalRefs(refs []idRef) []byte {
	b := make([]byte, 0, len(refs)*idBytes)
	for _, r := range refs {
		b = binary.BigEndian.AppendUint64(b, r.prefix)
		b = binary.BigEndian.AppendUint32(b, r.offset)
	}
	return b
}

func parseRefs(b []byte) ([]idRef, error) {
	if len(b) == 0 || len(b)%idBytes != 0 {
		return nil, fmt.Errorf("a row of table %s is damaged", IDs)
	}
	refs := make([]idRef, len(b)/idBytes)
	for i := range refs {
		refs[i] = idRef{binary.BigEndian.Uint64(b[i*idBytes:]), binary.BigEndian.Uint32(b[i*idBytes+8:])}
	}
	return refs, nil
}

// FindID is the index of the entry with that leaf hash.
func (v *View) FindID(id Hash) (uint64, error) {
	if index, ok := v.recent.find(id); ok {
		if e, err := v.Entry(index); err == nil && e.Leaf == id {
			return index, nil
		}
	}
	tiles := v.head.Size / tileWidth
	for e, err := range v.Entries(tiles*tileWidth, v.head.Size) {
		if err != nil {
			return 0, err
		}
		if e.Leaf == id {
			return e.Index, nil
		}
	}
	for level := 0; tiles>>(4*level) > 0; level++ {
		end := tiles >> (4 * level)
		for run := end - end%idFan; run < end; run++ {
			index, found, err := v.findInRun(level, run, id)
			if err != nil || found {
				return index, err
			}
		}
	}
	return 0, fmt.Errorf("entry %x: %w", id, ErrNotFound)
}

// findInRun finds an id in a run. Ids are spread evenly, so the first page that is
// read is mostly the right one; from there the steps double, so that no ids, however
// they are spread, cost more than a logarithm of the run.
func (v *View) findInRun(level int, run uint64, id Hash) (uint64, bool, error) {
	prefix := idPrefix(id[:])
	var refs []idRef
	at := -1                     // the page of refs
	lo, hi := 0, runPages(level) // the first page that ends at the prefix or behind it is from lo to hi
	page := int(prefix >> 32 * uint64(hi) >> 32)
	for step := 1; lo < hi; step *= 2 {
		var err error
		if refs, err = v.idRefs(level, run, page); err != nil {
			return 0, false, err
		}
		at = page
		switch {
		case refs[len(refs)-1].prefix < prefix:
			lo = page + 1
			page = min(page+step, lo+(hi-lo)/2)
		case refs[0].prefix < prefix:
			lo, hi = page, page
		default:
			hi = page
			page = max(page-step, lo+(hi-lo)/2)
		}
	}
	for page := lo; page < runPages(level); page++ {
		if page != at {
			var err error
			if refs, err = v.idRefs(level, run, page); err != nil {
				return 0, false, err
			}
		}
		for _, r := range refs {
			if r.prefix > prefix {
				return 0, false, nil
			}
			if r.prefix < prefix {
				continue
			}
			index := run*runLength(level) + uint64(r.offset)
			if e, err := v.Entry(index); err != nil || e.Leaf == id {
				return index, err == nil, err
			}
		}
	}
	return 0, false, nil
}

// idRefs is a page of a run.
func (v *View) idRefs(level int, run uint64, page int) ([]idRef, error) {
	b, err := v.rows.Get(IDs, idKey(level, run, page))
	if err != nil {
		return nil, err
	}
	refs, err := parseRefs(b)
	if err != nil {
		return nil, err
	}
	damaged := len(refs) != min(int(runLength(level))-page*idPage, idPage)
	for i, r := range refs {
		damaged = damaged || uint64(r.offset) >= runLength(level) || i > 0 && compareRefs(refs[i-1], r) >= 0
	}
	if damaged {
		return nil, fmt.Errorf("a row of table %s is damaged", IDs)
	}
	return refs, nil
}

// recentIDs remembers where the newest entries of this process are: outcomes are
// mostly of those. What it says is checked.
type recentIDs struct {
	mu       sync.Mutex
	new, old map[Hash]uint64 // guarded by mu
}

func (r *recentIDs) add(entries []*Appended) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.new == nil || len(r.new)+len(entries) > recentSize {
		r.old, r.new = r.new, make(map[Hash]uint64, recentSize)
	}
	for _, a := range entries {
		r.new[a.Leaf] = a.Index
	}
}

func (r *recentIDs) find(id Hash) (uint64, bool) {
	if r == nil {
		return 0, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if index, ok := r.new[id]; ok {
		return index, true
	}
	index, ok := r.old[id]
	return index, ok
}

// knownStreams are heads of streams as they are after the batch whose head row is
// at, so that most batches need not read them. It belongs to buildBatches.
type knownStreams struct {
	at   []byte
	rows map[string][]byte
}

// maxKnownStreams bounds what is kept.
const maxKnownStreams = 1 << 16

// over is a Reader that knows streams, for a batch on the head with that row.
func (k *knownStreams) over(r Reader, row []byte) Reader {
	if !bytes.Equal(k.at, row) || len(k.rows) > maxKnownStreams {
		k.rows = map[string][]byte{}
	}
	return &knownReader{r, k.rows}
}

// learn takes note of what a batch writes.
func (k *knownStreams) learn(b *batch) {
	k.at = b.row
	for key, row := range b.over.rows[Streams] {
		k.rows[key] = row
	}
}

type knownReader struct {
	Reader
	rows map[string][]byte
}

// Get implements Reader.
func (k *knownReader) Get(t Table, key []byte) ([]byte, error) {
	if t != Streams {
		return k.Reader.Get(t, key)
	}
	if row, ok := k.rows[string(key)]; ok {
		return slices.Clone(row), nil
	}
	row, err := k.Reader.Get(t, key)
	if err == nil {
		k.rows[string(key)] = slices.Clone(row)
	}
	return row, err
}
