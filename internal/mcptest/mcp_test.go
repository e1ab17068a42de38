// Package mcptest runs real MCP servers, the TypeScript SDK's client and the official
// conformance suite against the MCP boundary. internal/testparts/mcp.sh installs them.
package mcptest

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// parts is the folder with the servers and the client.
func parts(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("SKIPPED: there is no npm, and so no real MCP server to test against")
	}
	out, err := exec.Command("bash", "../testparts/mcp.sh").Output()
	if err != nil {
		t.Fatalf("internal/testparts/mcp.sh: %v", err)
	}
	return strings.TrimSpace(string(out))
}

var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "mcptest-*")
	if err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-o", dir+"/", "../../cmd/helm-ai-kernel", "github.com/modelcontextprotocol/go-sdk/conformance/everything-server").CombinedOutput()
	if err != nil {
		os.Stderr.Write(out)
	}
	return dir, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := build(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// A site is a kernel that serves.
type site struct {
	t                   *testing.T
	parts, bin, address string
	dir                 string
	server              *exec.Cmd
}

const everythingIsAllowed = `[policy]
id = "all"
version = 1
format = "helm.policy/v1"
[[rule]]
id = "all"
verdict = "ALLOW"
tools = ["*"]
`

func newSite(t *testing.T, policy string) *site {
	t.Helper()
	s := &site{t: t, parts: parts(t), dir: t.TempDir()}
	var err error
	if s.bin, err = build(); err != nil {
		t.Fatal(err)
	}
	s.write("policy.toml", policy)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	s.address = "http://" + ln.Addr().String()
	s.server = s.helm("serve", "--policy", filepath.Join(s.dir, "policy.toml"), "--listen", ln.Addr().String())
	s.start(s.server)
	s.ready(s.address + "/readyz")
	return s
}

func (s *site) start(cmd *exec.Cmd) {
	s.t.Helper()
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
}

// ready waits until something answers there.
func (s *site) ready(url string) {
	s.t.Helper()
	for range 2000 {
		if r, err := http.Get(url); err == nil {
			r.Body.Close()
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatalf("nothing answers at %s", url)
}

func (s *site) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) helm(args ...string) *exec.Cmd {
	cmd := exec.Command(s.bin+"/helm-ai-kernel", append(args, "--home", s.dir+"/home")...)
	if args[0] == "mcp" { // what stands behind -- is not ours
		cmd = exec.Command(s.bin+"/helm-ai-kernel", args...)
	}
	cmd.Env = append(os.Environ(), "HELM_HOME="+s.dir+"/home")
	return cmd
}

func (s *site) run(args ...string) string {
	s.t.Helper()
	out, err := s.helm(args...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s: %v\n%s", args, err, out)
	}
	return string(out)
}

// serverCommand is how a server of npm is started.
func (s *site) serverCommand(name string, args ...string) []string {
	return append([]string{"node", s.parts + "/node_modules/@modelcontextprotocol/server-" + name + "/dist/index.js"}, args...)
}

// wrapped is that command behind the boundary.
func (s *site) wrapped(name string, command []string, flags ...string) []string {
	return append(append([]string{s.bin + "/helm-ai-kernel", "mcp", "wrap", "--home", s.dir + "/home", "--server", s.address, "--name", name}, flags...), append([]string{"--"}, command...)...)
}

var created = regexp.MustCompile(`created at [^"]*`)

// explore has the foreign client explore a server, and returns what it came to know.
func (s *site) explore(exploration string, command []string, env ...string) string {
	s.t.Helper()
	ctx, stop := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, "node", append([]string{s.parts + "/client.mjs", exploration}, command...)...)
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("%s: %v\n%s", exploration, err, stderr.String())
	}
	return created.ReplaceAllString(string(out), "created")
}

// Real servers look to a foreign client as they do without the boundary, and each call of
// theirs is in the log with its outcome.
func TestForeignClient(t *testing.T) {
	s := newSite(t, everythingIsAllowed)
	for _, c := range []struct {
		name  string
		args  []string
		calls int
	}{{"everything", []string{"stdio"}, 64}, {"filesystem", nil, 8}, {"memory", nil, 5}} {
		t.Run(c.name, func(t *testing.T) {
			s := *s
			s.t = t
			var told [2]string
			for i := range told { // the same folder, as new
				os.RemoveAll(s.dir + "/folder")
				os.Mkdir(s.dir+"/folder", 0o700)
				s.write("folder/large.txt", strings.Repeat("é\n", 1<<20))
				command := s.serverCommand(c.name, c.args...)
				if c.name == "filesystem" {
					command = append(command, s.dir+"/folder")
				}
				if i == 1 {
					command = s.wrapped(c.name, command, "--agent", c.name)
				}
				told[i] = s.explore(c.name, command, "FOLDER="+s.dir+"/folder", "MEMORY_FILE_PATH="+s.dir+"/folder/memory.jsonl")
			}
			if told[0] != told[1] {
				os.WriteFile(s.dir+"/direct", []byte(told[0]), 0o600)
				os.WriteFile(s.dir+"/wrapped", []byte(told[1]), 0o600)
				out, _ := exec.Command("diff", s.dir+"/direct", s.dir+"/wrapped").CombinedOutput()
				t.Errorf("through the boundary the client comes to know something else:\n%s", out)
			}
			s.run("evidence", "export", "--agent", c.name, "--output", s.dir+"/pack.tar")
			s.run("verify", "--trust", s.dir+"/home/trust.policy", "--allow-partial", s.dir+"/pack.tar")
			listed := s.run("verify", "list", "--trust", s.dir+"/home/trust.policy", s.dir+"/pack.tar")
			decisions, outcomes := strings.Count(listed, " ALLOW "), strings.Count(listed, " outcome ")
			if decisions != c.calls || outcomes != c.calls {
				t.Errorf("%d decisions and %d outcomes of %d calls:\n%.3000s", decisions, outcomes, c.calls, listed)
			}
		})
	}
}

const guarded = `[policy]
id = "guarded"
version = 1
format = "helm.policy/v1"
[[tool]]
name = "filesystem.write_file"
args = { path = "path", content = "string" }
[[tool]]
name = "filesystem.read_text_file"
args = { path = "path", head = "double?", tail = "double?" }
[[rule]]
id = "read"
verdict = "ALLOW"
tools = ["filesystem.read_text_file"]
[[rule]]
id = "write"
verdict = "ALLOW"
tools = ["filesystem.write_file"]
when = "!args.path.endsWith('.env')"
[[rule]]
id = "secrets"
verdict = "DENY"
reason = "SECRETS_ARE_NOT_WRITTEN"
message = "Files with secrets are not written by agents."
tools = ["filesystem.write_file"]
when = "args.path.endsWith('.env')"
`

// What is denied does not happen, and the agent is told why; a killed kernel denies.
func TestDenied(t *testing.T) {
	s := newSite(t, guarded)
	os.Mkdir(s.dir+"/folder", 0o700)
	calls := func(name string) string {
		b, _ := json.Marshal([]any{[]any{"write_file", map[string]string{"path": s.dir + "/folder/" + name, "content": "x"}}})
		return "CALLS=" + string(b)
	}
	wrapped := s.wrapped("filesystem", s.serverCommand("filesystem", s.dir+"/folder"))
	if told := s.explore("one", wrapped, calls("a.txt")); !strings.Contains(told, "Successfully wrote") {
		t.Error(told)
	}
	if told := s.explore("one", wrapped, calls(".env")); !strings.Contains(told, "DENY by secrets (SECRETS_ARE_NOT_WRITTEN): Files with secrets are not written by agents.") || !strings.Contains(told, `"isError": true`) {
		t.Error(told)
	}
	s.server.Process.Kill()
	s.server.Wait()
	if told := s.explore("one", wrapped, calls("b.txt")); !strings.Contains(told, "was not made: no server answers") {
		t.Error(told)
	}
	files, err := os.ReadDir(s.dir + "/folder")
	if err != nil || len(files) != 1 || files[0].Name() != "a.txt" {
		t.Errorf("the folder has %v, %v", files, err)
	}
}
