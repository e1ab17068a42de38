package cli_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// changing are the system calls that change files or wait until they are changed.
var changing = map[uint64]bool{
	syscall.SYS_OPENAT: true, syscall.SYS_OPEN: true, syscall.SYS_WRITE: true, syscall.SYS_PWRITE64: true, syscall.SYS_FSYNC: true,
	syscall.SYS_FDATASYNC: true, syscall.SYS_RENAME: true, syscall.SYS_RENAMEAT: true, syscall.SYS_UNLINK: true,
	syscall.SYS_UNLINKAT: true, syscall.SYS_FTRUNCATE: true, syscall.SYS_FLOCK: true, syscall.SYS_CLOSE: true,
}

// runUntil runs a command and kills it at the beginning of its nth changing system
// call. It reports whether it ended before that, as it should.
func runUntil(t *testing.T, n int, name string, args ...string) (ended bool) {
	t.Helper()
	runtime.LockOSThread() // which traces
	defer runtime.UnlockOSThread()
	cmd := exec.Command(name, args...)
	var out strings.Builder
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	check := func(what string, err error) {
		if err != nil && err != syscall.ESRCH { // the thread ended
			syscall.Kill(pid, syscall.SIGKILL)
			t.Fatalf("%s: %v", what, err)
		}
	}
	var ws syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &ws, syscall.WALL, nil); err != nil {
		t.Fatal(err)
	}
	const traceSysGood, traceClone = 1, 8
	check("ptrace", syscall.PtraceSetOptions(pid, traceSysGood|traceClone))
	check("ptrace", syscall.PtraceSyscall(pid, 0))
	inside := map[int]bool{} // threads that are in a system call
	killed := false
	for {
		tid, err := syscall.Wait4(-pid, &ws, syscall.WALL, nil)
		if err == syscall.EINTR {
			continue
		}
		check("wait", err)
		if ws.Exited() || ws.Signaled() {
			if tid != pid {
				continue
			}
			if !killed && ws.ExitStatus() != 0 {
				t.Fatalf("it ended with %v: %s", ws, out.String())
			}
			return !killed
		}
		deliver := 0
		switch sig := ws.StopSignal(); {
		case sig == syscall.SIGTRAP|0x80:
			var regs syscall.PtraceRegs
			check("registers", syscall.PtraceGetRegs(tid, &regs))
			if inside[tid] = !inside[tid]; inside[tid] && changing[regs.Orig_rax] && !killed {
				if n--; n == 0 {
					killed = true
					syscall.Kill(pid, syscall.SIGKILL)
				}
			}
		case sig != syscall.SIGTRAP && sig != syscall.SIGSTOP:
			deliver = int(sig)
		}
		if err := syscall.PtraceSyscall(tid, deliver); err != syscall.ESRCH {
			check("ptrace", err)
		}
	}
}

// TestRotateKilled kills keys rotate at each of its system calls that change a file.
// Each time the home goes on, with the old key or with the new one, whatever the
// first command after it is.
func TestRotateKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: it kills keys rotate at each of its system calls")
	}
	bin, dir := buildAll(t), t.TempDir()
	helm, home := filepath.Join(bin, "helm-ai-kernel"), filepath.Join(dir, "home")
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(helm, append(args, "--home", home)...)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %v: %s", args, err, err.(*exec.ExitError).Stderr)
		}
		return string(out)
	}
	run("log", "new")
	replaced, before, after := 0, 0, 0
	for n := 1; ; n++ {
		ended := runUntil(t, n, helm, "keys", "rotate", "--home", home)
		if n%2 == 0 {
			run("log", "backup", filepath.Join(dir, fmt.Sprintf("backup-%d.db", n)))
		}
		var shown struct {
			Trust    string
			Replaced []struct{ Trust string }
		}
		if err := json.Unmarshal([]byte(run("keys", "show", "--json")), &shown); err != nil {
			t.Fatal(err)
		}
		switch len(shown.Replaced) - replaced {
		case 0:
			before++
		case 1:
			after++
			if _, err := os.Stat(filepath.Join(home, "key.pem.next")); err == nil {
				t.Fatalf("killed at call %d: key.pem.next is there yet", n)
			}
		default:
			t.Fatalf("killed at call %d: %d keys were replaced, and %d before", n, len(shown.Replaced), replaced)
		}
		replaced = len(shown.Replaced)
		trust, err := os.ReadFile(filepath.Join(home, "trust.policy"))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Count("\n"+string(trust), "\nlog "); got != 1 || !strings.Contains("\n"+string(trust), "\n"+shown.Trust+"\n") {
			t.Fatalf("killed at call %d: the trust file does not name the key %s:\n%s", n, shown.Trust, trust)
		}
		if ended {
			break
		}
	}
	run("log", "check")
	t.Logf("killed %d times before the key was replaced, and %d times after", before, after-1)
	if before == 0 || after < 3 {
		t.Fatal("it was not killed on both sides of the change")
	}
}
