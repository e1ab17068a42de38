//go:build linux || darwin

package sqlite

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
)

// inChild runs a test in a child, since the limit that makes writes fail is the
// whole process's. It reports whether this is the child.
func inChild(t *testing.T) bool {
	const env = "HELM_SQLITE_TEST_LIMIT"
	if os.Getenv(env) != "" {
		signal.Ignore(syscall.SIGXFSZ)
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), env+"=1")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("%v\n%s", err, out)
	}
	return false
}

// limitFiles makes writes behind that size fail, until free is called.
func limitFiles(t *testing.T, size uint64) (free func()) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	before := limit
	limit.Cur = size
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCommitFails: when the disk refuses a commit for another reason than that it
// is full, nothing is known, and nothing more is written.
func TestCommitFails(t *testing.T) {
	if !inChild(t) {
		return
	}
	s := openStore(t, filepath.Join(t.TempDir(), "log.db"))
	if err := set(s, "before", 100); err != nil {
		t.Fatal(err)
	}
	free := limitFiles(t, 256<<10)
	if err := set(s, "lost", 1<<20); err == nil || errors.Is(err, ledger.ErrAborted) || !strings.Contains(err.Error(), "not known") {
		t.Errorf("a commit that failed gives %v", err)
	}
	free()
	if err := set(s, "after", 1); err == nil || errors.Is(err, ledger.ErrAborted) {
		t.Errorf("and the next update gives %v", err)
	}
	if row(t, s, "before") == nil || row(t, s, "lost") != nil || row(t, s, "after") != nil {
		t.Error("what was committed before is lost, or what was not is there")
	}
}

// TestCheckpointFails: nor is anything written after the disk refused to take what
// was committed out of the write-ahead log, though each commit is in that one.
func TestCheckpointFails(t *testing.T) {
	if !inChild(t) {
		return
	}
	path := filepath.Join(t.TempDir(), "log.db")
	s := openStore(t, path)
	if err := set(s, "before", 6<<20); err != nil {
		t.Fatal(err)
	}
	until := func(what string, ok func() bool) {
		for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal(what)
			}
		}
	}
	until("the write-ahead log was not copied", func() bool {
		st, err := os.Stat(path)
		return err == nil && st.Size() > 6<<20
	})
	time.Sleep(100 * time.Millisecond) // its sync
	free := limitFiles(t, 8<<20)
	defer free()
	if err := set(s, "committed", 5<<20); err != nil { // from the beginning of the write-ahead log
		t.Fatal(err)
	}
	var err error
	until("the store goes on", func() bool { err = set(s, "after", 1); return err != nil })
	if errors.Is(err, ledger.ErrAborted) || !strings.Contains(err.Error(), "checkpoint") {
		t.Errorf("after a checkpoint that failed an update gives %v", err)
	}
	if row(t, s, "before") == nil || row(t, s, "committed") == nil {
		t.Error("what was committed is lost")
	}
}
