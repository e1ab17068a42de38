package sqlite

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
)

// A load writes what decisions write, on many sessions.
type load struct {
	n       uint64
	entry   []byte
	payload []byte
	stream  []byte
}

func newLoad() *load {
	l := &load{entry: make([]byte, 1400), payload: make([]byte, 300), stream: make([]byte, 97)}
	r := rand.NewChaCha8([32]byte{})
	r.Read(l.entry)
	r.Read(l.payload)
	return l
}

func key8(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// batch writes n decisions, in the order of tables and keys as the ledger does.
func (l *load) batch(w ledger.Writer, n int) (err error) {
	puts := func(t ledger.Table, key, value []byte) {
		if err == nil {
			err = w.Put(t, key, value)
		}
	}
	if _, err := w.Get(ledger.Heads, nil); err != nil {
		return err
	}
	puts(ledger.Heads, nil, l.entry)
	for i := l.n; i < l.n+uint64(n); i++ {
		puts(ledger.Entries, key8(i), l.entry)
		puts(ledger.Payloads, key8(i), l.payload)
		agent, session := i%8, 8+i%64+i/4096*64 // 64 sessions at a time, 64 decisions each
		for _, number := range []uint64{agent, session} {
			id := sha256.Sum256(key8(number))
			puts(ledger.Streams, id[:], l.stream)
		}
		if i%2 == 0 {
			puts(ledger.Calls, fmt.Appendf(key8(session), "none\x00call-%d", i), key8(i))
		}
		if i%256 == 255 {
			puts(ledger.Tiles, append([]byte{0}, key8(i/256)...), make([]byte, 8192))
			puts(ledger.IDs, append([]byte{0}, key8(i/256)...), make([]byte, 256*12))
		}
	}
	l.n += uint64(n)
	return err
}

func BenchmarkUpdate(b *testing.B) {
	for _, batch := range []int{1, 64, 512} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			benchmarkUpdate(b, newLoad(), openStore(b, filepath.Join(b.TempDir(), "log.db")), batch)
		})
	}
}

func benchmarkUpdate(b *testing.B, l *load, s *Store, batch int) {
	began := l.n
	for b.Loop() {
		if err := s.Update(b.Context(), func(w ledger.Writer) error { return l.batch(w, batch) }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(l.n-began), "us/decision")
}

// BenchmarkUpdateGrown is BenchmarkUpdate on a log that has a million decisions.
func BenchmarkUpdateGrown(b *testing.B) {
	l, s := newLoad(), openStore(b, filepath.Join(b.TempDir(), "log.db"))
	for l.n < 1_000_000 {
		if err := s.Update(b.Context(), func(w ledger.Writer) error { return l.batch(w, 512) }); err != nil {
			b.Fatal(err)
		}
	}
	for _, batch := range []int{1, 64, 512} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) { benchmarkUpdate(b, l, s, batch) })
	}
}

func BenchmarkGet(b *testing.B) {
	l, s := newLoad(), openStore(b, filepath.Join(b.TempDir(), "log.db"))
	if err := s.Update(b.Context(), func(w ledger.Writer) error { return l.batch(w, 5000) }); err != nil {
		b.Fatal(err)
	}
	for _, t := range []ledger.Table{ledger.Heads, ledger.Entries, ledger.Streams} {
		b.Run(t.String(), func(b *testing.B) {
			err := s.View(b.Context(), func(r ledger.Reader) error {
				n := uint64(0)
				for b.Loop() {
					var key []byte
					switch n = (n + 1) % 64; t {
					case ledger.Entries:
						key = key8(n)
					case ledger.Streams:
						id := sha256.Sum256(key8(n))
						key = id[:]
					}
					if v, err := r.Get(t, key); err != nil || v == nil {
						return fmt.Errorf("%x: %w", key, err)
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		})
	}
	b.Run("View", func(b *testing.B) {
		for b.Loop() {
			if err := s.View(b.Context(), func(r ledger.Reader) error { _, err := r.Get(ledger.Heads, nil); return err }); err != nil {
				b.Fatal(err)
			}
		}
	})
}
