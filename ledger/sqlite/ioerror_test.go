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

	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
)

// TestCommitFails: when the disk refuses a commit for another reason than that it
// is full, nothing is known, and nothing more is written. The test runs in a child,
// since the limit that makes writes fail is the whole process's.
func TestCommitFails(t *testing.T) {
	const env = "HELM_SQLITE_TEST_LIMIT"
	if os.Getenv(env) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestCommitFails$", "-test.v")
		cmd.Env = append(os.Environ(), env+"=1")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestCommitFails") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	signal.Ignore(syscall.SIGXFSZ)
	s := openStore(t, filepath.Join(t.TempDir(), "log.db"))
	if err := set(s, "before", 100); err != nil {
		t.Fatal(err)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	free := limit
	limit.Cur = 256 << 10
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	if err := set(s, "lost", 1<<20); err == nil || errors.Is(err, ledger.ErrAborted) || !strings.Contains(err.Error(), "not known") {
		t.Errorf("a commit that failed gives %v", err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &free); err != nil {
		t.Fatal(err)
	}
	if err := set(s, "after", 1); err == nil || errors.Is(err, ledger.ErrAborted) {
		t.Errorf("and the next update gives %v", err)
	}
	if row(t, s, "before") == nil || row(t, s, "lost") != nil || row(t, s, "after") != nil {
		t.Error("what was committed before is lost, or what was not is there")
	}
}
