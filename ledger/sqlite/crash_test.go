package sqlite

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
)

// childEnv names the file that a test binary, run as a child, writes to for ever.
const childEnv = "HELM_SQLITE_TEST_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		if err := child(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// child appends batches of rows and prints how many there are after each commit.
func child(path string) error {
	s, err := Open(path)
	if err != nil {
		return err
	}
	for {
		var n uint64
		err := s.Update(context.Background(), func(w ledger.Writer) error {
			b, err := w.Get(ledger.Heads, nil)
			if err != nil {
				return err
			}
			if b != nil {
				n = binary.BigEndian.Uint64(b)
			}
			for range 1 + rand.N(64) {
				for _, t := range []ledger.Table{ledger.Entries, ledger.IDs} {
					if err := w.Put(t, key8(n), rowOf(n)); err != nil {
						return err
					}
				}
				n++
			}
			return w.Put(ledger.Heads, nil, key8(n))
		})
		if err != nil {
			return err
		}
		fmt.Println(n)
	}
}

// rowOf is the value of row n: of any size, and its own.
func rowOf(n uint64) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, n*37%3000), n)
}

// TestKill kills a process that writes, at any moment, again and again: what it
// said is committed is there, and nothing is there by halves.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.db")
	for range 8 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+path)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		kill := time.AfterFunc(100*time.Millisecond+rand.N(200*time.Millisecond), func() { cmd.Process.Kill() })
		var acknowledged uint64
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if _, err := fmt.Sscan(lines.Text(), &acknowledged); err != nil {
				t.Fatal(err)
			}
		}
		cmd.Wait()
		kill.Stop()
		checkRows(t, path, acknowledged)
	}
}

// checkRows opens the file and compares every row.
func checkRows(t *testing.T, path string, acknowledged uint64) {
	t.Helper()
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.View(t.Context(), func(r ledger.Reader) error {
		b, err := r.Get(ledger.Heads, nil)
		if err != nil {
			return err
		}
		var n uint64
		if b != nil {
			n = binary.BigEndian.Uint64(b)
		}
		if n < acknowledged {
			return fmt.Errorf("%d rows were acknowledged, and %d are there", acknowledged, n)
		}
		for _, table := range []ledger.Table{ledger.Entries, ledger.IDs} {
			var i uint64
			for row, err := range r.Scan(table, nil, nil) {
				if err != nil {
					return err
				}
				if string(row.Key) != string(key8(i)) || string(row.Value) != string(rowOf(i)) {
					return fmt.Errorf("table %s: row %d is damaged", table, i)
				}
				i++
			}
			if i != n {
				return fmt.Errorf("table %s has %d rows, not %d", table, i, n)
			}
		}
		t.Logf("%d acknowledged, %d there", acknowledged, n)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
