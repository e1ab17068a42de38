package cli_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestFourLines runs the four lines that the design promises, as they are written,
// in order, on a machine where nothing else is set.
func TestFourLines(t *testing.T) {
	bin := buildAll(t)
	dir := t.TempDir()
	copyPolicies(t, "../..", dir)
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "HELM_") && !strings.HasPrefix(e, "HOME=") && !strings.HasPrefix(e, "PATH=") {
			env = append(env, e)
		}
	}
	env = append(env, "HOME="+filepath.Join(dir, "home"), "PATH="+bin+":"+os.Getenv("PATH"))
	run := func(line string) string {
		t.Helper()
		cmd := exec.Command("sh", "-c", line)
		cmd.Dir, cmd.Env = dir, env
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
		return string(out)
	}

	startServer(t, dir, env, "helm-ai-kernel serve --policy ./release.high_risk.v3.toml")
	if out := run("helm-ai-kernel boundary status --json"); !strings.Contains(out, `"status":"up"`) {
		t.Fatalf("boundary status: %s", out)
	}
	run("helm-ai-kernel demo --server http://127.0.0.1:7714")

	tail := exec.Command("sh", "-c", "exec helm-ai-kernel receipts tail --agent agent.demo.exec --server http://127.0.0.1:7714")
	tail.Dir, tail.Env = dir, env
	out, err := tail.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := tail.Start(); err != nil {
		t.Fatal(err)
	}
	stop := time.AfterFunc(20*time.Second, func() { tail.Process.Kill() })
	seen := map[string]bool{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		for _, v := range []string{"ALLOW", "DENY", "ESCALATE", "outcome", "approval", "session"} {
			if strings.Contains(lines.Text(), v) && strings.Contains(lines.Text(), "agent.demo.exec/") {
				seen[v] = true
			}
		}
		if seen["session"] { // the demo's last
			break
		}
	}
	if !stop.Stop() {
		t.Error("tail did not show the demo's last entry within 20 s")
	}
	tail.Process.Signal(os.Interrupt)
	if err := tail.Wait(); err != nil {
		t.Errorf("tail, when it was interrupted: %v", err)
	}
	if len(seen) != 6 {
		t.Errorf("tail showed %v", seen)
	}
	if out := run("helm-ai-kernel verify evidence-pack.tar"); !strings.HasPrefix(out, "VERIFIED") {
		t.Errorf("verify: %s", out)
	}
}

// TestRecordedCalls puts the 210 calls that a real agent made to the kernel. The
// file is beside the checkout, not in it.
func TestRecordedCalls(t *testing.T) {
	calls, err := filepath.Abs("../../../shared/data/agent-calls.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(calls); err != nil {
		t.Skipf("SKIPPED: %s is not there: the recorded calls were NOT put to the kernel", calls)
	}
	bin, dir := buildAll(t), t.TempDir()
	home := filepath.Join(dir, "home")
	d := launch(t, bin, home, "--policy", "../../release.high_risk.v3.toml")
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(filepath.Join(bin, "helm-ai-kernel"), append(args, "--home", home, "--server", d.address)...)
		if args[0] == "verify" {
			cmd = exec.Command(filepath.Join(bin, "helm-verify"), args[1:]...)
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	out := run("decide", "--file", calls)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	totals := lines[len(lines)-1]
	if len(lines) != 211 || !strings.HasPrefix(totals, "210 calls: ") || !strings.HasSuffix(totals, " 0 failed") {
		t.Fatalf("%d lines, the last: %s", len(lines), totals)
	}
	t.Log(totals)
	file := filepath.Join(dir, "all.tar")
	run("evidence", "export", "--all", "-o", file)
	if out := run("verify", "--trust", filepath.Join(home, "trust.policy"), file); !strings.HasPrefix(out, "VERIFIED") {
		t.Fatal(out)
	}
	// Each is decided again from the pack alone, and every decision agrees.
	if out := run("replay", file); !strings.Contains(out, "\n210 decisions under their own policies: 210 agree, 0 differ, of 0 it cannot be told\n") {
		t.Fatal(out)
	}
	d.stop()
	checkLog(t, bin, home)
}
