package hosttest

import (
	"bytes"
	"context"
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
name = "%[1]s"
args = { %[2]s = "command", workdir = "path?" }
extra = true
[[rule]]
id = "look"
verdict = "ALLOW"
tools = ["%[1]s"]
when = "facts.shell.only(['echo', 'false', 'cat'], '/')"
[[rule]]
id = "no-touch"
verdict = "DENY"
reason = "NOTHING_IS_TOUCHED"
message = "Nothing is touched here."
tools = ["%[1]s"]
when = "facts.shell.runs(['touch'])"
[[rule]]
id = "ask"
verdict = "ESCALATE"
tools = ["%[1]s"]
when = "facts.shell.runs(['mkdir'])"
[[rule]]
id = "elsewhere"
verdict = "DENY"
reason = "ELSEWHERE"
tools = ["%[1]s"]
when = "has(args.workdir) && !facts.path.under(context.cwd)"
[[tool]]
name = "claude-code.Task"
extra = true
[[tool]]
name = "claude-code.Agent"
extra = true
[[tool]]
name = "codex.spawn_agent"
extra = true
[[tool]]
name = "codex.multi_agent_v1wait_agent"
extra = true
[[tool]]
name = "gemini.invoke_agent"
extra = true
[[tool]]
name = "gemini.complete_task"
extra = true
[[rule]]
id = "subagents"
verdict = "ALLOW"
tools = ["claude-code.Task", "claude-code.Agent", "codex.spawn_agent", "codex.multi_agent_v1wait_agent", "gemini.invoke_agent", "gemini.complete_task"]
[[tool]]
name = "notes.note"
args = { text = "string" }
[[rule]]
id = "good-notes"
verdict = "ALLOW"
tools = ["notes.note"]
when = "args.text == 'good'"
`

// A site is a kernel, a user and a project, with hooks in a host's settings, and a model.
type site struct {
	*host
	t                        *testing.T
	bin, home, user, project string
	address                  string
	installed                string
	server                   *exec.Cmd
	model                    *model
}

// newSite has a kernel, whose hooks are set up.
func newSite(t *testing.T, h *host, steps ...step) *site {
	t.Helper()
	return newSiteUnder(t, h, fmt.Sprintf(policy, h.tool, h.arg), steps...)
}

func newSiteUnder(t *testing.T, h *host, policy string, steps ...step) *site {
	t.Helper()
	installed := os.Getenv("HELM_TEST_HOSTS")
	if installed == "" {
		t.Skip("SKIPPED: real hosts are tested by make test-hosts")
	}
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	s := &site{host: h, t: t, bin: in("bin"), home: in("home"), user: in("user"), project: in("project"), installed: installed, model: &model{steps: steps}}
	if out, err := exec.Command("go", "build", "-o", s.bin+"/", "../../cmd/...").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	s.address = "http://" + ln.Addr().String()
	file := filepath.Join(s.home, "policy.toml")
	s.write(file, policy)
	if err := os.MkdirAll(s.project, 0o700); err != nil {
		t.Fatal(err)
	}
	s.server = exec.Command(s.bin+"/helm-ai-kernel", "serve", "--policy", file, "--listen", ln.Addr().String(), "--home", s.home)
	s.server.Stderr = t.Output()
	if err := s.server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	for range 500 {
		if r, err := http.Get(s.address + "/readyz"); err == nil {
			r.Body.Close()
			h.setUp(s)
			t.Log(s.helm("setup", h.agent, "--scope", "user", "--server", s.address, "--wait", "20s"))
			return s
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the server does not listen")
	return nil
}

// notes is an MCP server whose tool writes into the project.
func (s *site) notes() obj {
	script, err := filepath.Abs("testdata/notes.js")
	if err != nil {
		s.t.Fatal(err)
	}
	return obj{"command": "node", "args": []string{script, filepath.Join(s.project, "notes.txt")}}
}

func (s *site) write(name, content string) {
	s.t.Helper()
	os.MkdirAll(filepath.Dir(name), 0o700)
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) exists(name string) bool {
	_, err := os.Stat(filepath.Join(s.project, name))
	return err == nil
}

func (s *site) kill() {
	s.server.Process.Kill()
	s.server.Wait()
}

// play lets the host play the model's steps.
func (s *site) play() {
	s.t.Helper()
	api := httptest.NewServer(http.HandlerFunc(s.speaks(s.model)))
	defer api.Close()
	ctx, stop := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer stop()
	args, env := s.run(s, api.URL)
	cmd := exec.CommandContext(ctx, filepath.Join(s.installed, s.program), args...)
	cmd.Dir = s.project
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.user}, env...)
	out, err := cmd.CombinedOutput()
	s.t.Logf("%s: %v\n%s", s.agent, err, out)
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
	cmd.Dir, cmd.Env = s.project, append(os.Environ(), "HOME="+s.user)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		s.t.Fatalf("%v: %v: %s%s", args, err, out.String(), errs.String())
	}
	return out.String()
}

// person approves the first call that waits for one.
func (s *site) person() {
	for range 600 {
		out, _ := exec.Command(s.bin+"/helm-ai-kernel", "approvals", "list", "--json", "--home", s.home).Output()
		if m := regexp.MustCompile(`"id": "([0-9a-f]{64})"`).FindSubmatch(out); m != nil {
			exec.Command(s.bin+"/helm-ai-kernel", "approvals", "approve", string(m[1]), "--home", s.home).Run()
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// each runs a test for each host.
func each(t *testing.T, test func(*testing.T, *host)) {
	for _, h := range []*host{claudeCode, codex, gemini} {
		t.Run(h.agent, func(t *testing.T) { test(t, h) })
	}
}

// TestSession: an allowed command ran and has an outcome, also when it failed, and each
// time that it ran; a denied one did not run, and the agent was told why; an escalated one
// ran after it was approved; the pack verifies, and the session's stream is complete.
func TestSession(t *testing.T) {
	each(t, func(t *testing.T, h *host) {
		s := newSite(t, h, h.shell("echo hello >> out.txt"), h.shell("touch denied.txt"), h.shell("mkdir asked"), h.shell("false"), h.shell("echo hello >> out.txt"))
		go s.person()
		s.play()
		out, _ := os.ReadFile(filepath.Join(s.project, "out.txt"))
		if string(out) != "hello\nhello\n" || s.exists("denied.txt") || !s.exists("asked") {
			t.Errorf("out.txt: %q, denied.txt: %t, asked: %t", out, s.exists("denied.txt"), s.exists("asked"))
		}
		told := s.model.told()
		if len(told) != 5 || !strings.Contains(told[1], "NOTHING_IS_TOUCHED") || !strings.Contains(told[1], "Nothing is touched here.") {
			t.Errorf("the model was told %q", told)
		}
		s.helm("evidence", "export", "--agent", s.agent, "-o", filepath.Join(s.project, "pack.tar"))
		if out := s.helm("verify", filepath.Join(s.project, "pack.tar")); !strings.Contains(out, "VERIFIED") || !strings.Contains(out, "complete") {
			t.Error(out)
		}
		list := s.helm("receipts", "list", "--agent", s.agent)
		t.Log(list)
		for want, n := range map[string]int{"look ALLOWED_BY_RULE": 3, "no-touch NOTHING_IS_TOUCHED": 1, "ask ESCALATED_BY_RULE": 1, "ask APPROVED": 1, s.failed: 1, "session": 1} {
			if strings.Count(list, want) < n {
				t.Errorf("the log does not show %q %d times", want, n)
			}
		}
		if n := len(regexp.MustCompile(`(ok|error) after`).FindAllString(list, -1)); n != 4 {
			t.Errorf("the log shows %d outcomes of 4 calls that ran", n)
		}
	})
}

// TestWithoutKernel: a killed kernel denies.
func TestWithoutKernel(t *testing.T) {
	each(t, func(t *testing.T, h *host) {
		s := newSite(t, h, h.shell("echo hello > out.txt"))
		s.kill()
		s.play()
		if s.exists("out.txt") {
			t.Error("the command ran without a kernel")
		}
		if told := s.model.told(); len(told) != 1 || !strings.Contains(told[0], "no server answers") {
			t.Errorf("the model was told %q", told)
		}
	})
}

// TestApprovedLater: a call for which nobody answers in time is blocked, and the agent is told
// so, and to make it again; it runs when it is made again after an approval, and once.
func TestApprovedLater(t *testing.T) {
	each(t, func(t *testing.T, h *host) {
		again := h.shell("mkdir asked")
		s := newSite(t, h, h.shell("mkdir asked"), again, h.shell("mkdir asked"))
		again.input[""] = func() { s.person() }
		s.helm("setup", h.agent, "--scope", "user", "--server", s.address, "--wait", "500ms")
		s.play()
		told := s.model.told()
		if len(told) != 3 || !strings.Contains(told[0], "helm-ai-kernel approvals approve") || !strings.Contains(told[0], "again") || strings.Contains(told[1], "approvals approve") {
			t.Errorf("the model was told %q", told)
		}
		list := s.helm("receipts", "list", "--agent", s.agent)
		t.Log(list)
		if !s.exists("asked") || strings.Count(list, "ask ESCALATED_BY_RULE") != 2 || strings.Count(list, "ask APPROVED") != 1 || strings.Count(list, " after ") != 1 {
			t.Errorf("asked: %t", s.exists("asked"))
		}
	})
}

// TestMCP: an MCP server's tool is called as it is by its server, allowed and denied, and has
// an outcome.
func TestMCP(t *testing.T) {
	each(t, func(t *testing.T, h *host) {
		s := newSite(t, h, step{h.note, obj{"text": "good"}}, step{h.note, obj{"text": "bad"}})
		s.play()
		notes, _ := os.ReadFile(filepath.Join(s.project, "notes.txt"))
		if string(notes) != "good\n" {
			t.Errorf("noted: %q", notes)
		}
		if told := s.model.told(); len(told) != 2 || !strings.Contains(told[0], "noted") || !strings.Contains(told[1], "DEFAULT_DENY") {
			t.Errorf("the model was told %q", told)
		}
		list := s.helm("receipts", "list", "--agent", s.agent)
		t.Log(list)
		if strings.Count(list, "notes.note") < 2 || strings.Count(list, "ok after") != 1 {
			t.Error("the log does not show two calls of notes.note and an outcome")
		}
	})
}

// TestCodexFolder: the folder in which the agent wants to run a command is an argument of the
// call, though Codex tells it as if it were the session's.
func TestCodexFolder(t *testing.T) {
	elsewhere := t.TempDir()
	in := func(folder string) step {
		return step{"exec_command", obj{"cmd": "echo > here.txt", "workdir": folder}}
	}
	s := newSite(t, codex, in(elsewhere), in("sub"), in("."))
	s.write(filepath.Join(s.project, "sub/x"), "")
	s.play()
	if _, err := os.Stat(filepath.Join(elsewhere, "here.txt")); err == nil || !s.exists("sub/here.txt") || !s.exists("here.txt") {
		t.Errorf("elsewhere: %v, sub: %t, the project: %t", err, s.exists("sub/here.txt"), s.exists("here.txt"))
	}
	if told := s.model.told(); len(told) != 3 || !strings.Contains(told[0], "ELSEWHERE") {
		t.Errorf("the model was told %q", told)
	}
}

// TestCodexTypes: what is typed into a command that runs is told to no hook. It is what
// docs/agents.md says that the hook does not cover; this shows when it changes.
func TestCodexTypes(t *testing.T) {
	s := newSite(t, codex, step{"exec_command", obj{"cmd": "cat", "tty": true, "yield_time_ms": 300}}, step{"write_stdin", obj{"session_id": found(`session ID (\d+)`), "chars": "typed\n", "yield_time_ms": 500}})
	s.play()
	if told := s.model.told(); len(told) != 2 || !strings.Contains(told[1], "typed") {
		t.Errorf("the model was told %q", told)
	}
	if list := s.helm("receipts", "list", "--agent", s.agent); strings.Count(list, " ALLOW ") != 1 || strings.Contains(list, "stdin") {
		t.Error(list)
	}
}

// TestSubagents: what a subagent does is decided too, and its name and kind are in the call's
// context, where the host tells them. The stand-in for Codex's model gives both conversations' calls the same ids.
func TestSubagents(t *testing.T) {
	for h, start := range map[*host][]step{
		claudeCode: {{"Task", obj{"description": "a task", "prompt": subtask, "subagent_type": "general-purpose"}}},
		codex:      {{"multi_agent_v1/spawn_agent", obj{"message": subtask}}, {"multi_agent_v1/wait_agent", obj{"targets": []found{`agent_id\W+([\w-]+)`}}}},
		gemini:     {{"invoke_agent", obj{"agent_name": "generalist", "prompt": subtask}}},
	} {
		t.Run(h.agent, func(t *testing.T) {
			s := newSite(t, h, start...)
			s.model.below = &model{steps: []step{h.shell("echo hello > sub.txt"), h.shell("touch sub-denied.txt")}}
			if h == gemini {
				s.model.below.steps = append(s.model.below.steps, step{"complete_task", obj{"result": obj{"response": "That is all."}}})
			}
			s.play()
			if !s.exists("sub.txt") || s.exists("sub-denied.txt") {
				t.Errorf("sub.txt: %t, sub-denied.txt: %t", s.exists("sub.txt"), s.exists("sub-denied.txt"))
			}
			if told := s.model.below.told(); len(told) != 2 || !strings.Contains(told[1], "NOTHING_IS_TOUCHED") {
				t.Errorf("the subagent was told %q", told)
			}
			s.helm("evidence", "export", "--agent", s.agent, "-o", filepath.Join(s.project, "pack.tar"))
			pack, _ := os.ReadFile(filepath.Join(s.project, "pack.tar"))
			if h != gemini && (!bytes.Contains(pack, []byte("/context/subagent_type")) || !bytes.Contains(pack, []byte("/context/permission_mode"))) {
				t.Error("the log does not say which subagent it was")
			}
			t.Log(s.helm("receipts", "list", "--agent", s.agent))
		})
	}
}
