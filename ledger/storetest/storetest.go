// Package storetest is the conformance suite of ledger.Store: what ledger/store.go
// promises, as tests that every store passes.
package storetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
)

// Run tests a store. new makes a new, empty store and returns what opens it: each
// call gives another handle on the same store, as another process would have. The
// suite closes the handles.
func Run(t *testing.T, new func(t testing.TB) (open func() ledger.Store)) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, open func() ledger.Store)
	}{
		{"GetPutDelete", testGetPutDelete},
		{"Model", testModel},
		{"Values", testValues},
		{"Dense", testDense},
		{"OwnWrites", testOwnWrites},
		{"NestedScans", testNestedScans},
		{"Snapshot", testSnapshot},
		{"ViewsBesideUpdate", testViewsBesideUpdate},
		{"Atomic", testAtomic},
		{"Panic", testPanic},
		{"LostUpdate", testLostUpdate},
		{"Cancel", testCancel},
		{"CancelView", testCancelView},
		{"Reopen", testReopen},
		{"Over", testOver},
		{"Closed", testClosed},
	} {
		t.Run(test.name, func(t *testing.T) {
			open := new(t)
			test.run(t, func() ledger.Store {
				s := open()
				t.Cleanup(func() {
					if err := s.Close(); err != nil {
						t.Errorf("close: %v", err)
					}
				})
				return s
			})
		})
	}
}

// update calls write in an Update that must succeed.
func update(t testing.TB, s ledger.Store, write func(w ledger.Writer)) {
	t.Helper()
	if err := s.Update(t.Context(), func(w ledger.Writer) error { write(w); return nil }); err != nil {
		t.Fatal(err)
	}
}

// view calls read in a View that must succeed.
func view(t testing.TB, s ledger.Store, read func(r ledger.Reader)) {
	t.Helper()
	if err := s.View(t.Context(), func(r ledger.Reader) error { read(r); return nil }); err != nil {
		t.Fatal(err)
	}
}

func put(t testing.TB, w ledger.Writer, table ledger.Table, key, value string) {
	t.Helper()
	if err := w.Put(table, []byte(key), []byte(value)); err != nil {
		t.Fatal(err)
	}
}

func remove(t testing.TB, w ledger.Writer, table ledger.Table, key string) {
	t.Helper()
	if err := w.Delete(table, []byte(key)); err != nil {
		t.Fatal(err)
	}
}

// get is a row's value in quotes, or "absent".
func get(t testing.TB, r ledger.Reader, table ledger.Table, key string) string {
	t.Helper()
	v, err := r.Get(table, []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	if v == nil {
		return "absent"
	}
	return fmt.Sprintf("%q", v)
}

func check(t testing.TB, what, got, want string) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %s, want %s", what, got, want)
	}
}

// scan is what a scan yields, printed.
func scan(t testing.TB, r ledger.Reader, table ledger.Table, from, to []byte) string {
	t.Helper()
	var rows []string
	for row, err := range r.Scan(table, from, to) {
		if err != nil {
			t.Fatal(err)
		}
		if row.Key == nil || row.Value == nil {
			t.Fatalf("a scan yields a nil key or value: %v", row)
		}
		rows = append(rows, fmt.Sprintf("%q=%q", row.Key, row.Value))
	}
	return strings.Join(rows, " ")
}

// count is how many rows a table has.
func count(t testing.TB, r ledger.Reader, table ledger.Table) (n int) {
	t.Helper()
	for _, err := range r.Scan(table, nil, nil) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func testGetPutDelete(t *testing.T, open func() ledger.Store) {
	s := open()
	for table := range ledger.Table(ledger.Tables) {
		k1, k2 := "\x00\x00\x00\x00\x00\x00\x00\x01", "\x00\x00\x00\x00\x00\x00\x00\x02" // also fit where keys are dense
		view(t, s, func(r ledger.Reader) { check(t, table.String(), get(t, r, table, k1), "absent") })
		update(t, s, func(w ledger.Writer) {
			remove(t, w, table, k1)
			put(t, w, table, k1, "")
			put(t, w, table, k2, "two")
		})
		view(t, s, func(r ledger.Reader) {
			check(t, table.String(), get(t, r, table, k1), `""`)
			check(t, table.String(), get(t, r, table, k2), `"two"`)
		})
		update(t, s, func(w ledger.Writer) {
			put(t, w, table, k1, "one")
			put(t, w, table, k1, "ONE")
			remove(t, w, table, k2)
		})
		view(t, s, func(r ledger.Reader) {
			check(t, table.String(), scan(t, r, table, nil, nil), fmt.Sprintf(`%q="ONE"`, k1))
		})
	}
	update(t, s, func(w ledger.Writer) {
		if err := w.Put(ledger.Policies, []byte("nil"), nil); err != nil {
			t.Fatal(err)
		}
		check(t, "a nil value", get(t, w, ledger.Policies, "nil"), `""`)
		if err := w.Put(ledger.Heads, nil, []byte("head")); err != nil {
			t.Fatal(err)
		}
		if err := w.Put(ledger.Heads, []byte{}, []byte("HEAD")); err != nil {
			t.Fatal(err)
		}
	})
	view(t, s, func(r ledger.Reader) {
		check(t, "the empty key", get(t, r, ledger.Heads, ""), `"HEAD"`)
		check(t, "the empty key", scan(t, r, ledger.Heads, nil, []byte{0}), `""="HEAD"`)
	})
}

// testModel compares scans with a sorted slice: binary keys, and keys that are
// prefixes of one another.
func testModel(t *testing.T, open func() ledger.Store) {
	s := open()
	r := rand.New(rand.NewPCG(1, 2))
	alphabet := []byte{0, 1, 'a', '\'', '%', 0x7f, 0x80, 0xff}
	key := func() []byte {
		k := make([]byte, r.IntN(5))
		for i := range k {
			k[i] = alphabet[r.IntN(len(alphabet))]
		}
		return k
	}
	for _, table := range []ledger.Table{ledger.Calls, ledger.Policies} { // one small, one with large values
		model := map[string]string{}
		for round := range 20 {
			update(t, s, func(w ledger.Writer) {
				for range 60 {
					k := string(key())
					if r.IntN(3) == 0 {
						remove(t, w, table, k)
						delete(model, k)
					} else {
						model[k] = fmt.Sprint(round, r.Int())
						put(t, w, table, k, model[k])
					}
				}
			})
			view(t, s, func(rd ledger.Reader) {
				for i := range 20 {
					from, to := key(), key()
					switch i {
					case 0:
						from, to = nil, nil
					case 1:
						to = nil
					case 2:
						from = nil
					}
					check(t, fmt.Sprintf("%s from %q to %q", table, from, to), scan(t, rd, table, from, to), modelScan(model, from, to))
				}
				for range 20 {
					k, want := string(key()), "absent"
					if v, ok := model[k]; ok {
						want = fmt.Sprintf("%q", v)
					}
					check(t, "get", get(t, rd, table, k), want)
				}
			})
		}
	}
}

func modelScan(model map[string]string, from, to []byte) string {
	var rows []string
	var keys []string
	for k := range model {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		if k >= string(from) && (to == nil || k < string(to)) {
			rows = append(rows, fmt.Sprintf("%q=%q", k, model[k]))
		}
	}
	return strings.Join(rows, " ")
}

// testValues: large values come back whole, and belong to the caller.
func testValues(t *testing.T, open func() ledger.Store) {
	s := open()
	value := func(table ledger.Table, size int) []byte {
		return bytes.Repeat([]byte{byte(table), byte(size), 0, 0xff}, size/4)
	}
	sizes := []int{4, 900, 1000, 1100, 4096, 8192, 1 << 20}
	update(t, s, func(w ledger.Writer) {
		for table := range ledger.Table(ledger.Tables) {
			for i, size := range sizes {
				if err := w.Put(table, key8(uint64(i)), value(table, size)); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
	view(t, s, func(r ledger.Reader) {
		for table := range ledger.Table(ledger.Tables) {
			for i, size := range sizes {
				for range 2 {
					v, err := r.Get(table, key8(uint64(i)))
					if err != nil || !bytes.Equal(v, value(table, size)) {
						t.Fatalf("%s: a value of %d bytes came back with %d, %v", table, size, len(v), err)
					}
					clear(v)
				}
			}
			i := 0
			for row, err := range r.Scan(table, nil, nil) {
				if err != nil || !bytes.Equal(row.Value, value(table, sizes[i])) {
					t.Fatalf("%s: a value of %d bytes was scanned with %d, %v", table, sizes[i], len(row.Value), err)
				}
				clear(row.Value)
				clear(row.Key)
				i++
			}
		}
	})
}

func key8(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// testDense: tables that are keyed by numbers keep to byte order, to bounds of any
// length, and to keys of 8 bytes.
func testDense(t *testing.T, open func() ledger.Store) {
	s := open()
	numbers := []uint64{0, 1, 255, 256, 1 << 32, 1<<63 - 1}
	for _, table := range []ledger.Table{ledger.Entries, ledger.Payloads} {
		update(t, s, func(w ledger.Writer) {
			for _, n := range slices.Backward(numbers) {
				if err := w.Put(table, key8(n), key8(n)); err != nil {
					t.Fatal(err)
				}
			}
		})
		view(t, s, func(r ledger.Reader) {
			model := map[string]string{}
			for _, n := range numbers {
				model[string(key8(n))] = string(key8(n))
			}
			bounds := [][]byte{nil, {}, {0}, {0, 0, 0, 1}, {0x7f}, {0x80}, {0xff}, append(key8(1), 0), append(key8(1<<63-1), 0), append(key8(1<<64-1), 0)}
			for _, n := range numbers {
				bounds = append(bounds, key8(n), key8(n+1))
			}
			for _, from := range bounds {
				for _, to := range bounds {
					check(t, fmt.Sprintf("%s from %x to %x", table, from, to), scan(t, r, table, from, to), modelScan(model, from, to))
				}
			}
		})
	}
}

func testOwnWrites(t *testing.T, open func() ledger.Store) {
	s := open()
	update(t, s, func(w ledger.Writer) {
		put(t, w, ledger.Calls, "a", "1")
		put(t, w, ledger.Calls, "b", "1")
	})
	update(t, s, func(w ledger.Writer) {
		put(t, w, ledger.Calls, "c", "2")
		put(t, w, ledger.Calls, "a", "2")
		check(t, "get", get(t, w, ledger.Calls, "a"), `"2"`)
		remove(t, w, ledger.Calls, "b")
		check(t, "get", get(t, w, ledger.Calls, "b"), "absent")
		check(t, "scan", scan(t, w, ledger.Calls, nil, nil), `"a"="2" "c"="2"`)
		put(t, w, ledger.Calls, "b", "3")
		remove(t, w, ledger.Calls, "b")
		put(t, w, ledger.Calls, "b", "4")
		for i := range 100 {
			put(t, w, ledger.IDs, fmt.Sprintf("%03d", i), fmt.Sprint(i))
			put(t, w, ledger.IDs, fmt.Sprintf("%03d", i/2), "again")
		}
		check(t, "get", get(t, w, ledger.IDs, "049"), `"again"`)
		check(t, "get", get(t, w, ledger.IDs, "050"), `"50"`)
	})
	view(t, s, func(r ledger.Reader) {
		check(t, "scan", scan(t, r, ledger.Calls, nil, nil), `"a"="2" "b"="4" "c"="2"`)
	})
}

// testNestedScans: scans of one table inside one another, each left early.
func testNestedScans(t *testing.T, open func() ledger.Store) {
	s := open()
	read := func(r ledger.Reader) {
		var seen []string
		for outer, err := range r.Scan(ledger.Calls, nil, nil) {
			if err != nil {
				t.Fatal(err)
			}
			for inner, err := range r.Scan(ledger.Calls, outer.Key, nil) {
				if err != nil {
					t.Fatal(err)
				}
				seen = append(seen, string(outer.Key)+string(inner.Key)+get(t, r, ledger.Calls, string(inner.Key)))
				if string(inner.Key) == "c" {
					break
				}
			}
		}
		check(t, "nested scans", strings.Join(seen, " "), `aa"1" ab"2" ac"3" bb"2" bc"3" cc"3"`)
	}
	update(t, s, func(w ledger.Writer) {
		put(t, w, ledger.Calls, "a", "1")
		put(t, w, ledger.Calls, "b", "2")
		put(t, w, ledger.Calls, "c", "3")
		read(w)
	})
	view(t, s, read)
}

// testSnapshot: a View sees one state, whatever is committed meanwhile, by this
// handle or another, and Views do not wait for one another.
func testSnapshot(t *testing.T, open func() ledger.Store) {
	a, b := open(), open()
	update(t, a, func(w ledger.Writer) { put(t, w, ledger.Calls, "k", "0") })
	var nest func(depth int)
	nest = func(depth int) {
		want := fmt.Sprintf(`"%d"`, depth)
		view(t, a, func(r ledger.Reader) {
			check(t, "get", get(t, r, ledger.Calls, "k"), want)
			if depth < 20 {
				update(t, []ledger.Store{a, b}[depth%2], func(w ledger.Writer) {
					put(t, w, ledger.Calls, "k", fmt.Sprint(depth+1))
					put(t, w, ledger.Calls, fmt.Sprint("k", depth), "")
				})
				nest(depth + 1)
			}
			check(t, "get again", get(t, r, ledger.Calls, "k"), want)
			check(t, "rows", fmt.Sprint(count(t, r, ledger.Calls)), fmt.Sprint(depth+1))
		})
	}
	nest(0)
}

// testViewsBesideUpdate: a View inside an Update that has written does not wait,
// and sees what was there before.
func testViewsBesideUpdate(t *testing.T, open func() ledger.Store) {
	a, b := open(), open()
	update(t, a, func(w ledger.Writer) { put(t, w, ledger.Calls, "k", "before") })
	update(t, a, func(w ledger.Writer) {
		put(t, w, ledger.Calls, "k", "after")
		check(t, "own", get(t, w, ledger.Calls, "k"), `"after"`)
		for _, s := range []ledger.Store{a, b} {
			view(t, s, func(r ledger.Reader) { check(t, "beside", get(t, r, ledger.Calls, "k"), `"before"`) })
		}
	})
	for _, s := range []ledger.Store{a, b} {
		view(t, s, func(r ledger.Reader) { check(t, "after", get(t, r, ledger.Calls, "k"), `"after"`) })
	}
}

func testAtomic(t *testing.T, open func() ledger.Store) {
	s := open()
	boom := errors.New("boom")
	for _, read := range []bool{false, true} { // a read makes some stores write what waits
		err := s.Update(t.Context(), func(w ledger.Writer) error {
			for table := range ledger.Table(ledger.Tables) {
				put(t, w, table, "12345678", "v")
				if read {
					get(t, w, table, "12345678")
				}
			}
			return boom
		})
		if !errors.Is(err, boom) || !errors.Is(err, ledger.ErrAborted) || errors.Is(err, ledger.ErrFull) {
			t.Fatalf("a function that fails leads to: %v", err)
		}
		view(t, s, func(r ledger.Reader) {
			for table := range ledger.Table(ledger.Tables) {
				check(t, table.String(), scan(t, r, table, nil, nil), "")
			}
		})
	}
	update(t, s, func(w ledger.Writer) { put(t, w, ledger.Calls, "k", "v") }) // it goes on
	if err := s.View(t.Context(), func(ledger.Reader) error { return boom }); err != boom {
		t.Fatalf("a View gives %v back, not what its function returned", err)
	}
}

func testPanic(t *testing.T, open func() ledger.Store) {
	s := open()
	for _, run := range []func(){
		func() {
			s.Update(t.Context(), func(w ledger.Writer) error { put(t, w, ledger.Calls, "k", "v"); panic("boom") })
		},
		func() {
			s.View(t.Context(), func(r ledger.Reader) error { get(t, r, ledger.Calls, "k"); panic("boom") })
		},
	} {
		func() {
			defer func() {
				if recover() != "boom" {
					t.Error("the panic was swallowed")
				}
			}()
			run()
		}()
	}
	update(t, s, func(w ledger.Writer) {
		check(t, "written before the panic", get(t, w, ledger.Calls, "k"), "absent")
		put(t, w, ledger.Calls, "k", "v")
	})
	view(t, s, func(r ledger.Reader) { check(t, "after", get(t, r, ledger.Calls, "k"), `"v"`) })
}

// testLostUpdate: counters that many goroutines of two handles count up lose
// nothing, in a read that is always the last write.
func testLostUpdate(t *testing.T, open func() ledger.Store) {
	stores := []ledger.Store{open(), open()}
	const workers, rounds = 8, 25
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			for range rounds {
				err := stores[i%2].Update(context.Background(), func(w ledger.Writer) error {
					b, err := w.Get(ledger.Heads, nil)
					if err != nil {
						return err
					}
					n := uint64(0)
					if b != nil {
						n = binary.BigEndian.Uint64(b)
					}
					if err := w.Put(ledger.Entries, key8(n), []byte{byte(i)}); err != nil {
						return err
					}
					return w.Put(ledger.Heads, nil, key8(n+1))
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	for _, s := range stores {
		view(t, s, func(r ledger.Reader) {
			check(t, "the counter", get(t, r, ledger.Heads, ""), fmt.Sprintf("%q", key8(workers*rounds)))
			check(t, "the rows", fmt.Sprint(count(t, r, ledger.Entries)), fmt.Sprint(workers*rounds))
		})
	}
}

// testCancel: a context ends the wait for the lock, and then nothing is written.
func testCancel(t *testing.T, open func() ledger.Store) {
	a, b := open(), open()
	update(t, a, func(w ledger.Writer) {
		put(t, w, ledger.Calls, "k", "v")
		get(t, w, ledger.Calls, "k")
		for _, s := range []ledger.Store{a, b} {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
			began := time.Now()
			err := s.Update(ctx, func(w ledger.Writer) error { return errors.New("it got the lock twice") })
			if !errors.Is(err, ledger.ErrAborted) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a wait for the lock ended with: %v", err)
			}
			if d := time.Since(began); d > 5*time.Second {
				t.Errorf("and after %v", d)
			}
			cancel()
			if err := s.Update(ctx, func(w ledger.Writer) error { return nil }); !errors.Is(err, ledger.ErrAborted) {
				t.Errorf("an Update under a context that has ended: %v", err)
			}
		}
	})
	update(t, b, func(w ledger.Writer) { check(t, "get", get(t, w, ledger.Calls, "k"), `"v"`) })
}

// testCancelView: a context ends a scan.
func testCancelView(t *testing.T, open func() ledger.Store) {
	s := open()
	update(t, s, func(w ledger.Writer) {
		for i := range 1000 {
			put(t, w, ledger.Calls, fmt.Sprint(i), "")
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	err := s.View(ctx, func(r ledger.Reader) error {
		for _, err := range r.Scan(ledger.Calls, nil, nil) {
			if err != nil {
				return err
			}
			if n++; n == 10 {
				cancel()
			}
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || n == 1000 {
		t.Fatalf("after %d rows: %v", n, err)
	}
	if err := s.View(ctx, func(ledger.Reader) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Fatalf("a View under a context that has ended: %v", err)
	}
}

func testReopen(t *testing.T, open func() ledger.Store) {
	s := open()
	for i := range 10 {
		update(t, s, func(w ledger.Writer) {
			for table := range ledger.Table(ledger.Tables) {
				if err := w.Put(table, key8(uint64(i)), bytes.Repeat([]byte{byte(i)}, 500)); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	view(t, open(), func(r ledger.Reader) {
		for table := range ledger.Table(ledger.Tables) {
			if n := count(t, r, table); n != 10 {
				t.Fatalf("%s: %d rows of 10 after it was opened again", table, n)
			}
		}
	})
}

// testOver: a Reader, a Writer and a scan refuse once their function has returned.
func testOver(t *testing.T, open func() ledger.Store) {
	s := open()
	var kept ledger.Writer
	update(t, s, func(w ledger.Writer) {
		kept = w
		put(t, w, ledger.Meta, "a", "1")
		put(t, w, ledger.Meta, "b", "2")
	})
	if err := kept.Put(ledger.Meta, []byte("a"), []byte("3")); err == nil {
		t.Error("Put after Update returned")
	}
	if err := kept.Delete(ledger.Meta, []byte("a")); err == nil {
		t.Error("Delete after Update returned")
	}
	var reader ledger.Reader
	var next func() (ledger.Row, error, bool)
	stop := func() {}
	view(t, s, func(r ledger.Reader) {
		reader = r
		next, stop = iter.Pull2(r.Scan(ledger.Meta, nil, nil))
		if row, err, ok := next(); !ok || err != nil || string(row.Key) != "a" {
			t.Fatalf("the first row is %q, %v", row.Key, err)
		}
	})
	defer stop()
	if _, err, ok := next(); ok && err == nil {
		t.Error("a scan goes on after View returned")
	}
	for _, r := range []ledger.Reader{reader, kept} {
		if _, err := r.Get(ledger.Meta, []byte("a")); err == nil {
			t.Errorf("%T: Get after it was over", r)
		}
	}
	view(t, s, func(r ledger.Reader) { check(t, "after a kept Writer", get(t, r, ledger.Meta, "a"), `"1"`) })
}

// testClosed: a store that was closed refuses, and may be closed again.
func testClosed(t *testing.T, open func() ledger.Store) {
	s := open()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), func(ledger.Writer) error { return nil }); !errors.Is(err, ledger.ErrAborted) {
		t.Errorf("an Update of a closed store: %v", err)
	}
	if err := s.View(t.Context(), func(ledger.Reader) error { return nil }); err == nil {
		t.Error("a View of a closed store")
	}
}
