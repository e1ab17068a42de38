package sqlite

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
)

// TestNoTemporaryFiles holds that rows are nowhere but in the store's own files:
// SQLite would keep a statement's undo in the system's folder for temporary files.
func TestNoTemporaryFiles(t *testing.T) {
	const fds = "/proc/self/fd"
	if _, err := os.Stat(fds); err != nil {
		t.Skipf("SKIPPED: open files cannot be listed: %v", err)
	}
	s := openStore(t, filepath.Join(t.TempDir(), "log.db"))
	for round := range 2 { // the second changes many pages with one statement, which SQLite must be able to undo
		err := s.Update(context.Background(), func(w ledger.Writer) error {
			for i := range uint64(4 * bulk) {
				if err := w.Put(ledger.Entries, key8(i), bytes.Repeat([]byte{byte(round)}, 3000)); err != nil {
					return err
				}
			}
			if _, err := w.Get(ledger.Entries, key8(0)); err != nil { // writes them
				return err
			}
			open, err := os.ReadDir(fds)
			if err != nil {
				return err
			}
			for _, f := range open {
				// Such a file has no name, which Linux shows as # and a number, or one of SQLite's.
				name, _ := os.Readlink(filepath.Join(fds, f.Name()))
				if base := filepath.Base(name); base[0] == '#' || strings.HasPrefix(base, "etilqs_") {
					t.Errorf("SQLite writes to %s", name)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
