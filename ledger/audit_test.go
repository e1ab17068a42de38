package ledger

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel"
)

// swap exchanges two entries' rows.
func (m *memory) swap(i, j uint64) {
	rows := m.rows[Entries]
	a, b := string(key8(i)), string(key8(j))
	rows[a], rows[b] = rows[b], rows[a]
}

// TestAuditNamesTheIndex: a refusal says from which index on the log is wrong, also
// of entries in the last tile, which the head's check meets first, and in the short
// check of a process that lives shortly.
func TestAuditNamesTheIndex(t *testing.T) {
	for _, size := range []uint64{2, 10, 300} {
		for _, auditFor := range []time.Duration{0, time.Second, -1} {
			t.Run(fmt.Sprint(size, auditFor), func(t *testing.T) {
				s, opts := newMemory(), testOptions(t)
				l := create(t, s, opts)
				for l.Size() < size+2 {
					decide(t, l, "a", "s", fmt.Sprint(l.Size()), helm.Deny)
				}
				l.Close()
				s.swap(size-1, size)
				opts.AuditFor = auditFor
				_, err := Open(t.Context(), s, opts)
				if want := fmt.Sprintf("entry %d: its statement is of entry %d", size-1, size); err == nil || !strings.Contains(err.Error(), want) {
					t.Fatalf("swapped entries gave: %v", err)
				}
			})
		}
	}
}

// TestAuditNamesTheEdge: where each entry by itself is as it was signed, the edge
// says from where on the tree is another.
func TestAuditNamesTheEdge(t *testing.T) {
	s, opts := newMemory(), testOptions(t)
	l := create(t, s, opts)
	for l.Size() < 3*tileWidth+1 {
		decide(t, l, "a", "s", fmt.Sprint(l.Size()), helm.Deny)
	}
	l.Close()
	opts.AuditFor = -1
	s.rows[Tiles][string(tileKey(1, 0))][2*32] ^= 1
	if _, err := Open(t.Context(), s, opts); err == nil || !strings.Contains(err.Error(), "from index 512 on") {
		t.Fatalf("a changed tile gave: %v", err)
	}
}
