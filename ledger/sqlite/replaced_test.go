package sqlite_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// TestReplacedUnderTheLog: a log whose files were taken away or exchanged records
// nothing more. What it wrote would be gone with the process, and a process that
// opened the new files would sign a second history.
func TestReplacedUnderTheLog(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("SKIPPED: Windows refuses it")
	}
	for name, attack := range map[string]func(t *testing.T, db string){
		"database deleted":          func(t *testing.T, db string) { remove(t, db) },
		"write-ahead log deleted":   func(t *testing.T, db string) { remove(t, db+"-wal") },
		"all deleted":               func(t *testing.T, db string) { remove(t, db, db+"-wal", db+"-shm") },
		"write-ahead log exchanged": func(t *testing.T, db string) { exchange(t, db+"-wal") },
		"exchanged for a copy": func(t *testing.T, db string) {
			exchange(t, db)
			exchange(t, db+"-wal")
			remove(t, db+"-shm")
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHome(t)
			h.create(t)
			l, _, close, err := h.open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer close()
			record(t, l, decision("s", "1", helm.Deny))
			attack(t, h.db)
			_, err = l.Append(context.Background(), func(v *ledger.View) (*ledger.Draft, error) {
				d := decision("s", "2", helm.Deny)
				d.Body.(*receipt.Decision).Now = v.Now()
				return d, nil
			})
			if err == nil || errors.Is(err, ledger.ErrAborted) {
				t.Fatalf("it went on with %v", err)
			}
			if l.Err() == nil {
				t.Fatalf("the log has not stopped after: %v", err)
			}
		})
	}
}

func remove(t *testing.T, paths ...string) {
	t.Helper()
	for _, p := range paths {
		if err := os.Remove(p); err != nil {
			t.Fatal(err)
		}
	}
}

// exchange puts a copy of a file in its place.
func exchange(t *testing.T, path string) {
	t.Helper()
	copyFile(t, path, path+".copy")
	if err := os.Rename(path+".copy", path); err != nil {
		t.Fatal(err)
	}
}
