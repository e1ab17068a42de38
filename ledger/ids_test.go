package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"testing"
)

// idLog is as much of a log as finding ids needs: entries that have a leaf hash and
// nothing more, and their ids in runs.
type idLog struct {
	leaves []Hash
	*overlay
}

func newIDLog(t testing.TB, leaves []Hash) *idLog {
	t.Helper()
	l := &idLog{leaves, &overlay{below: nothing{}}}
	for n := range len(leaves) / tileWidth {
		var tile []byte
		for _, h := range leaves[n*tileWidth : (n+1)*tileWidth] {
			tile = append(tile, h[:]...)
		}
		if err := putIDs(l.overlay, uint64(n), tile); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func (l *idLog) row(i int) []byte {
	row, err := (&Entry{Leaf: l.leaves[i], Statement: []byte("{}"), Signatures: unsigned, links: []link{{}}}).marshal()
	if err != nil {
		panic(err)
	}
	return row
}

func (l *idLog) Get(t Table, key []byte) ([]byte, error) {
	if t != Entries {
		return l.overlay.Get(t, key)
	}
	return l.row(int(binary.BigEndian.Uint64(key))), nil
}

func (l *idLog) Scan(t Table, from, to []byte) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for i := binary.BigEndian.Uint64(from); i < binary.BigEndian.Uint64(to); i++ {
			if !yield(Row{key8(i), l.row(int(i))}, nil) {
				return
			}
		}
	}
}

func (l *idLog) view() *View { return &View{rows: l, head: headRow{Size: uint64(len(l.leaves))}} }

func randomLeaves(n int) []Hash {
	r := rand.NewChaCha8([32]byte{7})
	leaves := make([]Hash, n)
	for i := range leaves {
		r.Read(leaves[i][:])
	}
	return leaves
}

// sizes of logs at which runs of the levels 0 to 2 begin and end.
var idSizes = []int{1, 255, 256, 257, 15 * 256, 16*256 - 1, 16 * 256, 17*256 + 3, 32 * 256, 255*256 + 9, 256 * 256, 259*256 + 11}

// TestFindID finds every id at every size, none that is not there, and no more runs
// than a logarithm of the size.
func TestFindID(t *testing.T) {
	all := randomLeaves(idSizes[len(idSizes)-1])
	absent := randomLeaves(len(all) + 100)[len(all):]
	for _, size := range idSizes {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			l := newIDLog(t, all[:size])
			v := l.view()
			step := 1
			if size > 32*256 && size != 256*256 {
				step = 13 // lookups in many runs take long
			}
			for i := 0; i < size; i += step {
				id := all[i]
				if n, err := v.FindID(id); err != nil || n != uint64(i) {
					t.Fatalf("the id of entry %d leads to %d: %v", i, n, err)
				}
			}
			for i, id := range absent {
				copy(id[:], all[i%size][:i%8]) // begins as one that is there
				if n, err := v.FindID(id); !errors.Is(err, ErrNotFound) {
					t.Fatalf("an absent id leads to %d: %v", n, err)
				}
			}
			pages := 0
			for tiles, level := size/tileWidth, 0; tiles > 0; tiles, level = tiles/idFan, level+1 {
				pages += tiles % idFan * runPages(level)
			}
			if got := len(l.stored()); got != pages {
				t.Errorf("the runs have %d pages, not %d", got, pages)
			}
		})
	}
}

// stored are the rows of table IDs.
func (l *idLog) stored() (keys []string) {
	for k, row := range l.rows[IDs] {
		if row != nil {
			keys = append(keys, k)
		}
	}
	return keys
}

// TestFindIDWithEqualFronts: an operator can make entries whose ids begin alike. All
// of them are found, also where they are on many pages of a run.
func TestFindIDWithEqualFronts(t *testing.T) {
	for _, front := range []Hash{{}, {0x80}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}} {
		leaves := randomLeaves(16 * tileWidth)
		for i := 100; i < 2000; i++ {
			copy(leaves[i][:8], front[:])
		}
		v := newIDLog(t, leaves).view()
		for i := 0; i < len(leaves); i += 11 {
			if n, err := v.FindID(leaves[i]); err != nil || n != uint64(i) {
				t.Fatalf("front %x: the id of entry %d leads to %d: %v", front[:8], i, n, err)
			}
		}
		absent := front
		absent[31] = 1
		if _, err := v.FindID(absent); !errors.Is(err, ErrNotFound) {
			t.Fatalf("front %x: an absent id: %v", front[:8], err)
		}
	}
}

// TestFindIDReadsFewPages, however ids are spread.
func TestFindIDReadsFewPages(t *testing.T) {
	leaves := randomLeaves(256 * tileWidth)
	for i := range leaves {
		if i%3 != 0 {
			leaves[i][0], leaves[i][1] = 0xff, 0xfe // two thirds at the end
		}
	}
	l := newIDLog(t, leaves)
	worst := 0
	for i := 0; i < len(leaves); i += 97 {
		c := &pageCounter{idLog: l}
		if n, err := (&View{rows: c, head: l.view().head}).FindID(leaves[i]); err != nil || n != uint64(i) {
			t.Fatalf("the id of entry %d leads to %d: %v", i, n, err)
		}
		worst = max(worst, c.pages)
	}
	if worst > 16 {
		t.Errorf("%d of %d pages were read", worst, runPages(2))
	}
}

type pageCounter struct {
	*idLog
	pages int
}

func (c *pageCounter) Get(t Table, key []byte) ([]byte, error) {
	if t == IDs {
		c.pages++
	}
	return c.idLog.Get(t, key)
}

// TestDamagedIDs: a page that is damaged never leads to another entry, and a lookup
// that meets it says so, not that there is no such entry.
func TestDamagedIDs(t *testing.T) {
	for _, test := range []struct {
		name   string
		damage func(row []byte) []byte
	}{
		{"missing", func([]byte) []byte { return nil }},
		{"empty", func([]byte) []byte { return []byte{} }},
		{"cut off", func(row []byte) []byte { return row[:len(row)-1] }},
		{"shorter by an id", func(row []byte) []byte { return row[idBytes:] }},
		{"longer by an id", func(row []byte) []byte { return append(row, row[len(row)-idBytes:]...) }},
		{"places out of the run", func(row []byte) []byte {
			for i := 8; i < len(row); i += idBytes {
				row[i] = 0xff
			}
			return row
		}},
		{"out of order", func(row []byte) []byte {
			for i, j := 0, len(row)-idBytes; i < j; i, j = i+idBytes, j-idBytes {
				var r [idBytes]byte
				copy(r[:], row[i:])
				copy(row[i:], row[j:j+idBytes])
				copy(row[j:], r[:])
			}
			return row
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			leaves := randomLeaves(17 * tileWidth)
			l := newIDLog(t, leaves)
			key := idKey(1, 0, 3)
			refs, err := parseRefs(l.rows[IDs][string(key)])
			if err != nil {
				t.Fatal(err)
			}
			l.put(IDs, key, test.damage(l.rows[IDs][string(key)]))
			for i, r := range refs {
				n, err := l.view().FindID(leaves[r.offset])
				if err == nil && n != uint64(r.offset) {
					t.Fatalf("the id of entry %d leads to %d", r.offset, n)
				}
				if err == nil || errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "table ids") {
					t.Fatalf("id %d of the page, entry %d: %v", i, r.offset, err)
				}
			}
		})
	}
}

// TestDamagedIDsAreNotMerged: what is damaged is not carried on into a new run.
func TestDamagedIDsAreNotMerged(t *testing.T) {
	for _, row := range [][]byte{nil, {}, make([]byte, idBytes), make([]byte, tileWidth*idBytes+1)} {
		leaves := randomLeaves(15 * tileWidth)
		l := newIDLog(t, leaves)
		l.put(IDs, idKey(0, 4, 0), row)
		if err := putIDs(l.overlay, 15, make([]byte, tileWidth*32)); err == nil {
			t.Errorf("a run with a row of %d bytes was merged: %v", len(row), err)
		}
	}
}
