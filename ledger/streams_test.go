package ledger

import (
	"fmt"
	"iter"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// A streamLog is a log that is folded and not signed, with what its streams must
// hold.
type streamLog struct {
	*state
	want map[Hash][]uint64 // stream id -> indexes
}

// newStreamLog has n entries of one agent's sessions: one that has most of them,
// some that share the rest, and many of one entry.
func newStreamLog(t testing.TB, n int) *streamLog {
	t.Helper()
	m := &meta{Origin: "helm.test/0123456789abcdef"}
	m.streamKey = receipt.StreamKey{1, 2, 3}
	over := &overlay{below: nothing{}}
	l := &streamLog{&state{View: View{rows: over, meta: m}, over: over}, map[Hash][]uint64{}}
	l.entry = l.Entry
	l.head.Size, l.head.ControlSeq = 1, 1 // genesis, which nobody reads
	r := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		session := fmt.Sprint("once", i)
		switch at := r.IntN(100); {
		case at < 60:
			session = "long"
		case at < 95:
			session = fmt.Sprint("some", r.IntN(5))
		}
		l.head.Time = time.Unix(int64(i), 0).UTC()
		a, err := l.append(decision("a", session, fmt.Sprint(i), helm.Deny, l.head.Time))
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []Hash{m.streamKey.Agent("a"), m.streamKey.Session("a", session)} {
			l.want[id] = append(l.want[id], a.Index)
		}
	}
	return l
}

func (l *streamLog) agent() Hash           { return l.meta.streamKey.Agent("a") }
func (l *streamLog) session(s string) Hash { return l.meta.streamKey.Session("a", s) }

// TestStreams: each stream is found from every index and at every seq, in a logarithm
// of reads.
func TestStreams(t *testing.T) {
	l := newStreamLog(t, 2000)
	size := l.Size()
	for id, want := range l.want {
		seq := 0
		for index := range size + 2 {
			for seq < len(want) && want[seq] < index {
				seq++
			}
			if len(want) > 10 || index%97 == 0 || index == want[0] || index == want[0]+1 {
				if got, err := l.StreamFrom(id, index); err != nil || got != uint64(seq)+1 {
					t.Fatalf("from index %d on the stream's seq is %d, not %d: %v", index, got, seq+1, err)
				}
			}
		}
		for from := 0; from <= len(want)+1; from += 1 + len(want)/20 {
			got, err := collect(l.StreamEntries(id, uint64(from)))
			if err != nil || !slices.Equal(got, want[min(max(from, 1)-1, len(want)):]) {
				t.Fatalf("from seq %d on the stream has %d entries of %d: %v", from, len(got), len(want), err)
			}
		}
	}
	if got, err := collect(l.StreamEntries(Hash{9}, 1)); err != nil || got != nil {
		t.Errorf("a stream that is not there has the entries %v: %v", got, err)
	}

	c := &readCounter{Reader: l.rows}
	v := l.View
	v.rows = c
	for index := range size {
		c.reads = 0
		if _, err := v.StreamFrom(l.agent(), index); err != nil {
			t.Fatal(err)
		}
		if limit := 4 * bits.Len64(size); c.reads > limit {
			t.Fatalf("%d rows were read to find a place in a stream of %d, more than %d", c.reads, size, limit)
		}
	}
}

type readCounter struct {
	Reader
	reads int
}

func (c *readCounter) Get(t Table, key []byte) ([]byte, error) {
	c.reads++
	return c.Reader.Get(t, key)
}

// TestStreamEntriesStops where its reader does.
func TestStreamEntriesStops(t *testing.T) {
	l := newStreamLog(t, 700)
	next, stop := iter.Pull2(l.StreamEntries(l.agent(), 1))
	for i := range uint64(300) {
		if got, err, ok := next(); got != i+1 || err != nil || !ok {
			t.Fatal(got, err, ok)
		}
	}
	stop()
}

// TestEditedLinks: a link that was edited is an error to those who go along it, and
// leads nobody to a wrong entry; the rest is as it was.
func TestEditedLinks(t *testing.T) {
	l := newStreamLog(t, 300)
	agent, long := l.want[l.agent()], l.want[l.session("long")]
	for name, edit := range map[string]func(e *Entry){
		"before it, another session's": func(e *Entry) { e.links[1].Prev = l.want[l.session("some1")][0] },
		"before it, the first":         func(e *Entry) { e.links[0].Prev, e.links[1].Prev = agent[0], long[0] },
		"before it, one too far":       func(e *Entry) { e.links[0].Prev-- },
		"to itself":                    func(e *Entry) { e.links[0].Prev, e.links[1].Prev = e.Index, e.Index },
		"forward":                      func(e *Entry) { e.links[0].Prev, e.links[0].Jump.Index = e.Index+1, e.Index+1 },
		"jump to another seq":          func(e *Entry) { e.links[0].Jump.Seq--; e.links[1].Jump.Seq-- },
		"jump to another entry":        func(e *Entry) { e.links[0].Jump.Index--; e.links[1].Jump.Index-- },
		"jump to the first, which is another": func(e *Entry) {
			e.links[0].Jump, e.links[1].Jump = node{long[5], 1}, node{agent[3], 1}
		},
		"no second link": func(e *Entry) { e.links = e.links[:1] },
	} {
		t.Run(name, func(t *testing.T) {
			for _, index := range []uint64{long[20], long[100], long[len(long)-1]} {
				e, err := l.Entry(index)
				if err != nil {
					t.Fatal(err)
				}
				edit(e)
				row, err := e.marshal()
				if err != nil {
					t.Fatal(err)
				}
				over := &overlay{below: l.rows}
				over.put(Entries, key8(index), row)
				v := l.View
				v.rows = over
				errs := 0
				for id, want := range map[Hash][]uint64{l.agent(): agent, l.session("long"): long} {
					for at := range l.Size() {
						seq, _ := slices.BinarySearch(want, at)
						got, err := v.StreamFrom(id, at)
						if err != nil {
							errs++
						} else if got != uint64(seq)+1 {
							t.Fatalf("entry %d edited: from index %d on the stream's seq is %d, not %d", index, at, got, seq+1)
						}
					}
					for from := 0; from < len(want); from += 53 {
						got, err := collect(v.StreamEntries(id, uint64(from)+1))
						if err != nil {
							errs++
						} else if !slices.Equal(got, want[from:]) {
							t.Fatalf("entry %d edited: from seq %d on the stream has other entries", index, from+1)
						}
					}
				}
				if errs == 0 && !strings.HasPrefix(name, "jump") {
					t.Errorf("entry %d edited: nobody met it", index)
				}
			}
		})
	}
}
