package hosttest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const policy = `[policy]
id = "hosts"
version = 1
format = "helm.policy/v1"
[[tool]]
name = "claude-code.Bash"
args = { command = "command" }
extra = true
[[rule]]
id = "look"
verdict = "ALLOW"
tools = ["claude-code.Bash"]
when = "facts.shell.only(['echo', 'false'], '/')"
[[rule]]
id = "no-touch"
verdict = "DENY"
reason = "NOTHING_IS_TOUCHED"
message = "Nothing is touched here."
tools = ["claude-code.Bash"]
when = "facts.shell.runs(['touch'])"
[[rule]]
id = "ask"
verdict = "ESCALATE"
tools = ["claude-code.Bash"]
when = "facts.shell.runs(['mkdir'])"
`

// A site is a kernel, a project with its hooks in Claude Code's settings, and a model.
type site struct {
	t                  *testing.T
	bin, home, project string
	address            string
	claude             string
	server             *exec.Cmd
	model              *model
}

func newSite(t *testing.T, steps ...step) *site {
	t.Helper()
	hosts := os.Getenv("HELM_TEST_HOSTS")
	if hosts == "" {
		t.Skip("SKIPPED: real hosts are tested by make test-hosts")
	}
	dir := t.TempDir()
	s := &site{t: t, bin: filepath.Join(dir, "bin"), home: filepath.Join(dir, "home"), project: filepath.Join(dir, "project"), model: &model{steps: steps}}
	s.claude = filepath.Join(hosts, "node_modules/@anthropic-ai/claude-code-linux-x64/claude")
	if out, err := exec.Command("go", "build", "-o", s.bin+"/", "../../cmd/...").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	s.address = "http://" + ln.Addr().String()
	file := filepath.Join(dir, "policy.toml")
	hook := func(wait string) any {
		return []any{map[string]any{"matcher": "*", "hooks": []any{map[string]any{"type": "command", "timeout": 60,
			"command": fmt.Sprintf("%s/helm-ai-kernel hook claude-code --server %s --home %s --wait %s", s.bin, s.address, s.home, wait)}}}}
	}
	settings, _ := json.Marshal(map[string]any{"hooks": map[string]any{"PreToolUse": hook("20s"), "PostToolUse": hook("0"), "PostToolUseFailure": hook("0"), "SessionEnd": hook("0")}})
	for name, b := range map[string][]byte{file: []byte(policy), filepath.Join(s.project, ".claude/settings.json"): settings} {
		os.MkdirAll(filepath.Dir(name), 0o700)
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.server = exec.Command(s.bin+"/helm-ai-kernel", "serve", "--policy", file, "--listen", ln.Addr().String(), "--home", s.home)
	if err := s.server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.server.Process.Kill(); s.server.Wait() })
	for range 500 {
		if r, err := http.Get(s.address + "/readyz"); err == nil {
			r.Body.Close()
			return s
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the server does not listen")
	return nil
}

// run lets Claude Code play the model's steps.
func (s *site) run() {
	s.t.Helper()
	api := httptest.NewServer(s.model)
	defer api.Close()
	ctx, stop := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, s.claude, "-p", "do it", "--permission-mode", "bypassPermissions", "--model", "claude-sonnet-4-5")
	cmd.Dir = s.project
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.t.TempDir(), "ANTHROPIC_BASE_URL=" + api.URL, "ANTHROPIC_API_KEY=sk-stand-in", "IS_SANDBOX=1",
		"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1", "DISABLE_AUTOUPDATER=1"}
	out, err := cmd.CombinedOutput()
	s.t.Logf("claude: %v\n%s", err, out)
	for i, r := range s.model.told() {
		s.t.Logf("the model was told of call %d: %.400s", i+1, r)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) helm(args ...string) string {
	s.t.Helper()
	cmd := exec.Command(s.bin+"/helm-ai-kernel", append(args, "--home", s.home)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		s.t.Fatalf("%v: %v: %s%s", args, err, out.String(), errs.String())
	}
	return out.String()
}

func bash(command string) step {
	return step{"Bash", map[string]any{"command": command, "description": "a step"}}
}

// TestClaudeCode: an allowed command ran and has an outcome, also when it failed; a denied
// one did not run, and the agent was told why; an escalated one ran after it was approved; the
// pack verifies, and the session's stream is complete.
func TestClaudeCode(t *testing.T) {
	s := newSite(t, bash("echo hello > out.txt"), bash("touch denied.txt"), bash("mkdir asked"), bash("false"))
	go func() { // the person
		for range 600 {
			cmd := exec.Command(s.bin+"/helm-ai-kernel", "approvals", "list", "--json", "--home", s.home)
			out, _ := cmd.Output()
			if m := regexp.MustCompile(`"id": "([0-9a-f]{64})"`).FindSubmatch(out); m != nil {
				exec.Command(s.bin+"/helm-ai-kernel", "approvals", "approve", string(m[1]), "--home", s.home).Run()
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	}()
	s.run()
	exists := func(name string) bool { _, err := os.Stat(filepath.Join(s.project, name)); return err == nil }
	if !exists("out.txt") || exists("denied.txt") || !exists("asked") {
		t.Errorf("out.txt: %t, denied.txt: %t, asked: %t", exists("out.txt"), exists("denied.txt"), exists("asked"))
	}
	told := s.model.told()
	if len(told) != 4 || !strings.Contains(told[1], "error=true") || !strings.Contains(told[1], "NOTHING_IS_TOUCHED") || !strings.Contains(told[1], "Nothing is touched here.") {
		t.Errorf("the model was told %q", told)
	}
	s.helm("evidence", "export", "--agent", "claude-code", "-o", filepath.Join(s.project, "pack.tar"))
	if out := s.helm("verify", filepath.Join(s.project, "pack.tar")); !strings.Contains(out, "VERIFIED") || !strings.Contains(out, "complete") {
		t.Error(out)
	}
	list := s.helm("receipts", "list", "--agent", "claude-code")
	t.Log(list)
	for _, want := range []string{"look ALLOWED_BY_RULE", "no-touch NOTHING_IS_TOUCHED", "ask ESCALATED_BY_RULE", "ask APPROVED", "ok after", "error after", "session"} {
		if !strings.Contains(list, want) {
			t.Errorf("the log does not show %q", want)
		}
	}
}

// TestClaudeCodeWithoutKernel: a killed kernel denies.
func TestClaudeCodeWithoutKernel(t *testing.T) {
	s := newSite(t, bash("echo hello > out.txt"))
	s.server.Process.Kill()
	s.server.Wait()
	s.run()
	if _, err := os.Stat(filepath.Join(s.project, "out.txt")); err == nil {
		t.Error("the command ran without a kernel")
	}
	if told := s.model.told(); len(told) != 1 || !strings.Contains(told[0], "error=true") || !strings.Contains(told[0], "no server answers") {
		t.Errorf("the model was told %q", told)
	}
}
