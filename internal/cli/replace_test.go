package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Of several that change the same settings at once one does, and the others are told.
func TestReplaceAtOnce(t *testing.T) {
	for _, before := range []string{"", "old"} {
		for range 50 {
			path := filepath.Join(t.TempDir(), "new", "settings.json")
			if before != "" {
				os.MkdirAll(filepath.Dir(path), 0o700)
				if err := os.WriteFile(path, []byte(before), 0o640); err != nil {
					t.Fatal(err)
				}
			}
			var wg sync.WaitGroup
			errs := make([]error, 8)
			for i := range errs {
				wg.Go(func() { errs[i] = replace(path, []byte(before), fmt.Appendf(nil, "run %d", i)) })
			}
			wg.Wait()
			now, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			done := 0
			for i, err := range errs {
				switch {
				case err == nil:
					if done++; string(now) != fmt.Sprintf("run %d", i) {
						t.Errorf("run %d was told that it is done, and the file has %q", i, now)
					}
				case !strings.Contains(err.Error(), "another setup is about to") && !strings.Contains(err.Error(), "has been changed meanwhile"):
					t.Error(err)
				}
			}
			if done != 1 {
				t.Errorf("%d runs were told that they are done", done)
			}
			if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
				t.Errorf("left: %v", left)
			}
			if st, _ := os.Stat(path); before != "" && st.Mode().Perm() != 0o640 {
				t.Errorf("mode %o", st.Mode().Perm())
			}
		}
	}
}

// What cannot be written leaves what was there, and nothing beside it.
func TestReplaceFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "settings.json")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := replace(path, nil, []byte("x")); err == nil {
		t.Error("a folder was replaced")
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}
