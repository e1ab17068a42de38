package ledger

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel"
)

// copy is a store with the same rows.
func (m *memory) copy() *memory {
	c := newMemory()
	c.rows = m.snapshot()
	return c
}

// become puts another store's rows in place of this one's.
func (m *memory) become(other *memory) {
	rows := other.snapshot()
	m.rw.Lock()
	defer m.rw.Unlock()
	m.rows = rows
}

// edit changes the head's row under a log that runs.
func (m *memory) edit(t *testing.T, change func(*headRow)) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	head, err := parseHead(m.rows[Heads][""])
	if err != nil {
		t.Fatal(err)
	}
	change(head)
	rows := m.snapshot()
	rows[Heads] = map[string][]byte{"": marshalRow(head)}
	m.rw.Lock()
	defer m.rw.Unlock()
	m.rows = rows
}

// TestEditedUnderTheLog: a log that runs signs nothing on a head that somebody
// edited in the store, whoever looks at it next.
func TestEditedUnderTheLog(t *testing.T) {
	for name, change := range map[string]func(*headRow){
		"frontier":   func(h *headRow) { h.Frontier[0][0] ^= 1 },
		"frozen":     func(h *headRow) { h.Frozen = 3 },
		"policy":     func(h *headRow) { h.Policy[0] ^= 1 },
		"root":       func(h *headRow) { h.Root[0] ^= 1 },
		"checkpoint": func(h *headRow) { h.Checkpoint = strings.Replace(h.Checkpoint, "\n6\n", "\n7\n", 1) },
		"time":       func(h *headRow) { h.Time = h.Time.AddDate(100, 0, 0) },
		"size":       func(h *headRow) { h.Size++ },
	} {
		t.Run(name, func(t *testing.T) {
			s := newMemory()
			l := create(t, s, testOptions(t))
			for i := range 5 {
				decide(t, l, "a", "s", fmt.Sprint(i), helm.Deny)
			}
			s.edit(t, change)
			a, err := l.Append(t.Context(), func(v *View) (*Draft, error) { return decision("a", "s", "x", helm.Allow, v.Now()), nil })
			if err == nil {
				t.Fatalf("entry %d was signed on the edited head", a.Index)
			}
			if l.Err() == nil {
				t.Fatalf("the log goes on after: %v", err)
			}
		})
	}
}

// TestEditedFrontier: nor does one that sees it for the first time.
func TestEditedFrontier(t *testing.T) {
	s, opts := newMemory(), testOptions(t)
	l := create(t, s, opts)
	for i := range 6 {
		decide(t, l, "a", "s", fmt.Sprint(i), helm.Deny)
	}
	opts.HighWater = ""
	other := open(t, s, opts)
	decide(t, other, "a", "s", "7", helm.Deny)
	s.edit(t, func(h *headRow) { h.Frontier[0][0] ^= 1 })
	if a, err := l.Append(t.Context(), func(v *View) (*Draft, error) { return decision("a", "s", "x", helm.Allow, v.Now()), nil }); err == nil {
		t.Fatalf("entry %d was signed on the edited frontier", a.Index)
	}
}

// TestFork: the store is rolled back by less than the high-water file shows, and
// goes on with the genuine key beyond where a running process saw it. That process
// does not sign a second history.
func TestFork(t *testing.T) {
	for _, grown := range []int{1, 3, 300} {
		t.Run(fmt.Sprint(grown), func(t *testing.T) {
			s, opts := newMemory(), testOptions(t)
			l := create(t, s, opts)
			for i := range 10 {
				decide(t, l, "a", "s", fmt.Sprint(i), helm.Deny)
			}
			old := s.copy()
			decide(t, l, "a", "s", "10", helm.Deny)
			decide(t, l, "a", "s", "11", helm.Allow)

			o := opts
			o.HighWater = ""
			o.AuditFor = -1
			fork := open(t, old, o)
			for i := range 1 + grown {
				decide(t, fork, "a", "s", fmt.Sprint(10+i), helm.Deny)
			}
			// The entry that the process saw last is put back, too.
			old.rw.Lock()
			rows := old.rows
			rows[Entries] = maps.Clone(rows[Entries])
			last := string(key8(l.Size() - 1))
			rows[Entries][last] = s.rows[Entries][last]
			old.rows = rows
			old.rw.Unlock()
			s.become(old)
			if a, err := l.Append(t.Context(), func(v *View) (*Draft, error) { return decision("a", "s", "x", helm.Allow, v.Now()), nil }); err == nil {
				t.Fatalf("entry %d was signed on another history", a.Index)
			} else if l.Err() == nil {
				t.Fatalf("the log goes on after: %v", err)
			}
		})
	}
}
