package cli_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestKilledWhileWaiting: a server that is killed while a hook waits for people blocks the
// call; a server of the same home then knows of the approval.
func TestKilledWhileWaiting(t *testing.T) {
	bin, home := buildAll(t), filepath.Join(t.TempDir(), "home")
	policy := filepath.Join(t.TempDir(), "policy.toml")
	if err := os.WriteFile(policy, []byte(strings.Replace(embeddedPolicy, "ALLOW", "ESCALATE", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	d := launch(t, bin, home, "--policy", policy)
	cmd := exec.Command(filepath.Join(bin, "helm-ai-kernel"), "hook", "claude-code", "--home", home, "--server", d.address, "--wait", "50s")
	cmd.Stdin = strings.NewReader(`{"session_id":"s","cwd":"/srv","hook_event_name":"PreToolUse","tool_name":"Bash","tool_input":{"command":"ls"},"tool_use_id":"t1"}`)
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if b, err := d.send("GET", "/v1/approvals", "", true); err == nil && bytes.Contains(b, []byte(`"state":"pending"`)) {
			break
		}
		if time.Since(began) > 20*time.Second {
			t.Fatal("nothing is escalated")
		}
	}
	d.kill()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		cmd.Process.Kill()
		t.Fatal("the hook waits on")
	}
	if cmd.ProcessState.ExitCode() != 2 || said.Len() == 0 {
		t.Errorf("exit code %d, %s", cmd.ProcessState.ExitCode(), said.String())
	}
	d = launch(t, bin, home, "--policy", policy)
	defer d.stop()
	if b, err := d.send("GET", "/v1/approvals", "", true); err != nil || !bytes.Contains(b, []byte(`"state":"pending"`)) {
		t.Errorf("%s, %v", b, err)
	}
}
