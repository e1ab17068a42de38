package cli_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/helm-ai-kernel/helm-ai-kernel/internal/cli"
	"github.com/helm-ai-kernel/helm-ai-kernel/verify/verifycmd"
)

// tidy takes away in the end what the tests built.
type tidy struct{ *testing.M }

func (m tidy) Run() int {
	defer func() { os.RemoveAll(built) }()
	return m.M.Run()
}

func TestMain(m *testing.M) {
	testscript.Main(tidy{m}, map[string]func(){
		"mcp-server":     mcpServer,
		"mcp-client":     mcpClient,
		"helm-ai-kernel": func() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
		"helm-verify": func() {
			os.Exit(verifycmd.Run(verifycmd.Command{Name: "helm-verify", Args: os.Args[1:], Stdout: os.Stdout, Stderr: os.Stderr}))
		},
	})
}

// TestScripts runs testdata/*.txtar, each with a home and a port of its own. HELM_SERVER
// and HELM_LISTEN name the port, so that a script's commands need not; SECOND and THIRD are others.
func TestScripts(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			defer ln.Close()
			for _, name := range []string{"SECOND", "THIRD"} {
				ln, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					return err
				}
				defer ln.Close()
				env.Setenv(name, ln.Addr().String())
			}
			env.Setenv("HOME", filepath.Join(env.WorkDir, "user"))
			env.Setenv("HELM_HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("HELM_LISTEN", ln.Addr().String())
			env.Setenv("HELM_SERVER", "http://"+ln.Addr().String())
			env.Setenv("ROOT", root)
			env.Setenv("GORACE", "atexit_sleep_ms=10") // else each command of a script ends a second later under the race detector
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"ready": ready,
			"field": field,
			"plain": plain,
			"http":  send,
			"sleep": pause,
		},
	})
}

// ready waits until the script's server answers.
func ready(ts *testscript.TestScript, _ bool, _ []string) {
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		err := isReady(ts.Getenv("HELM_SERVER"))
		if err == nil {
			return
		}
		if time.Since(began) > 20*time.Second {
			ts.Fatalf("the server is not ready: %v", err)
		}
	}
}

func isReady(server string) error {
	resp, err := http.Get(server + "/readyz")
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

var built string // the folder of the programs, once one asked for them

// build builds both programs, once, as they are built for people, and returns their folder.
var build = sync.OnceValues(func() (string, error) {
	var err error
	if built, err = os.MkdirTemp("", "helm-built-*"); err != nil {
		return "", err
	}
	if out, err := exec.Command("go", "build", "-o", built+"/", "../../cmd/...").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return built, nil
})

// plain runs the rest of a script with the programs as they are built for people: the race
// detector makes what stretches a passphrase ten times as slow.
func plain(ts *testscript.TestScript, _ bool, _ []string) {
	dir, err := build()
	ts.Check(err)
	ts.Setenv("PATH", dir+string(os.PathListSeparator)+ts.Getenv("PATH"))
}

// field NAME FILE VAR sets VAR to the first JSON string or number member NAME in FILE.
func field(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[1])
	_, rest, ok := strings.Cut(text, fmt.Sprintf("%q:", args[0]))
	if !ok {
		ts.Fatalf("%s has no member %q:\n%s", args[1], args[0], text)
	}
	rest = strings.TrimLeft(rest, " \"")
	ts.Setenv(args[2], rest[:strings.IndexAny(rest, "\",}\n")])
}

// pause waits for a duration: for what is polled.
func pause(ts *testscript.TestScript, _ bool, args []string) {
	d, err := time.ParseDuration(args[0])
	ts.Check(err)
	time.Sleep(d)
}
