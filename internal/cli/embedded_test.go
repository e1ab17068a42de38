package cli_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const embeddedPolicy = `[policy]
id = "embedded"
version = 1
format = "helm.policy/v1"
[[tool]]
name = "claude-code.Bash"
args = { command = "command" }
[[rule]]
id = "look"
verdict = "ALLOW"
tools = ["claude-code.Bash"]
when = "facts.shell.only(['ls'])"
`

// hookOf is a hook over the log of the home, which is asked about one call.
func hookOf(bin, home, policy string, call int) (*exec.Cmd, *bytes.Buffer) {
	cmd := exec.Command(filepath.Join(bin, "helm-ai-kernel"), "hook", "claude-code", "--embedded", "--home", home, "--policy", policy)
	said := new(bytes.Buffer)
	cmd.Stderr = said
	cmd.Stdin = strings.NewReader(fmt.Sprintf(`{"session_id":"s","cwd":"/srv","hook_event_name":"PreToolUse","tool_name":"Bash","tool_input":{"command":"ls"},"tool_use_id":"t%d"}`, call))
	return cmd, said
}

// TestEmbeddedAtOnce: many hooks over one log, with nobody before them and no server, and
// killed at any moment: whoever says that the call may go on has recorded it, once.
func TestEmbeddedAtOnce(t *testing.T) {
	bin, home := buildAll(t), filepath.Join(t.TempDir(), "home")
	policy := filepath.Join(t.TempDir(), "policy.toml")
	if err := os.WriteFile(policy, []byte(embeddedPolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	if cmd, said := hookOf(bin, home, policy, 0); cmd.Run() != nil { // the key and the log are one process's to make
		t.Fatal(said)
	}
	const hooks = 48
	allowed := make([]bool, hooks)
	var wg sync.WaitGroup
	slots := make(chan struct{}, 8)
	for i := range hooks {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			cmd, said := hookOf(bin, home, policy, i+1)
			if err := cmd.Start(); err != nil {
				t.Error(err)
				return
			}
			if i%3 == 2 {
				go func() {
					time.Sleep(rand.N(80 * time.Millisecond))
					cmd.Process.Kill()
				}()
			}
			err := cmd.Wait()
			allowed[i] = err == nil
			if exit := (*exec.ExitError)(nil); i%3 != 2 && err != nil || errors.As(err, &exit) && exit.ExitCode() != -1 {
				t.Errorf("hook %d: %v: %s", i, err, said)
			}
		})
	}
	wg.Wait()
	if out, err := exec.Command(filepath.Join(bin, "helm-ai-kernel"), "log", "check", "--home", home).CombinedOutput(); err != nil {
		t.Fatalf("the log does not check: %s", out)
	}
	d := launch(t, bin, home, "--policy", policy)
	defer d.stop()
	out, err := exec.Command(filepath.Join(bin, "helm-ai-kernel"), "receipts", "list", "--json", "--home", home, "--server", d.address).Output()
	if err != nil {
		t.Fatal(err)
	}
	for i, ok := range allowed {
		if n := bytes.Count(out, fmt.Appendf(nil, `"call_id":"t%d"`, i+1)); n > 1 || ok && n == 0 {
			t.Errorf("the call %d, which the hook let go on: %t, is recorded %d times", i, ok, n)
		}
	}
}
