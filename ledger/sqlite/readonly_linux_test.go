package sqlite

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// TestReadOnly: who may read the file and not write it is told so.
func TestReadOnly(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log.db")
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o444); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{dir, filepath.Dir(dir)} { // the latter is the test's, too
		if err := os.Chmod(d, 0o555); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { os.Chmod(filepath.Dir(dir), 0o700); os.Chmod(dir, 0o700) })
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread, which opens files as nobody, ends
		if os.Getuid() == 0 {
			syscall.Setfsuid(65534)
		}
		s, err := Open(path)
		if err == nil {
			s.Close()
		}
		done <- err
	}()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "this user may not write the file") {
		t.Errorf("opened with %v", err)
	}
}
