package ledger

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
)

// memory is a Store in memory whose updates can be made to fail: a fault decides,
// per update, whether it persists and what it returns.
type memory struct {
	mu    sync.Mutex // held by an Update
	rw    sync.RWMutex
	rows  [Tables]map[string][]byte
	fault func(update int) (persist bool, err error)
	n     int
}

func newMemory() *memory {
	m := new(memory)
	for t := range m.rows {
		m.rows[t] = map[string][]byte{}
	}
	return m
}

func (m *memory) snapshot() [Tables]map[string][]byte {
	m.rw.RLock()
	defer m.rw.RUnlock()
	var s [Tables]map[string][]byte
	for t := range s {
		s[t] = maps.Clone(m.rows[t])
	}
	return s
}

func (m *memory) View(_ context.Context, read func(Reader) error) error {
	m.rw.RLock()
	rows := m.rows // Update replaces maps, and never changes one that a view may hold
	m.rw.RUnlock()
	return read(memoryTx{rows: rows})
}

func (m *memory) Update(_ context.Context, write func(Writer) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	tx := memoryTx{rows: m.snapshot()}
	if err := write(tx); err != nil {
		return fmt.Errorf("%w: %w", ErrAborted, err)
	}
	persist, err := true, error(nil)
	if m.fault != nil {
		persist, err = m.fault(m.n)
	}
	m.n++
	if persist {
		m.rw.Lock()
		m.rows = tx.rows
		m.rw.Unlock()
	}
	return err
}

func (m *memory) Close() error { return nil }

type memoryTx struct{ rows [Tables]map[string][]byte }

func (x memoryTx) Get(t Table, key []byte) ([]byte, error) {
	return slices.Clone(x.rows[t][string(key)]), nil
}

func (x memoryTx) Scan(t Table, from, to []byte) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for _, k := range slices.Sorted(maps.Keys(x.rows[t])) {
			if k >= string(from) && (to == nil || k < string(to)) && !yield(Row{[]byte(k), slices.Clone(x.rows[t][k])}, nil) {
				return
			}
		}
	}
}

func (x memoryTx) Put(t Table, key, value []byte) error {
	if value == nil {
		value = []byte{}
	}
	x.rows[t][string(key)] = slices.Clone(value)
	return nil
}

func (x memoryTx) Delete(t Table, key []byte) error {
	delete(x.rows[t], string(key))
	return nil
}
