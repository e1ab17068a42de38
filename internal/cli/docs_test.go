package cli_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var fence = regexp.MustCompile("(?ms)^```sh( server)?\n(.*?)^```$")

// TestDocs runs every command of README and docs, in order, in a fresh home, on the
// default port. A block marked "sh server" keeps running while the others do.
func TestDocs(t *testing.T) {
	bin := buildAll(t)
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, "docs/*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, filepath.Join(root, "README.md"), filepath.Join(root, "CONTRIBUTING.md")) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			blocks := fence.FindAllStringSubmatch(string(text), -1)
			if open := strings.Count(string(text), "```sh"); open != len(blocks) {
				t.Fatalf("%d blocks begin with ```sh, and %d could be read", open, len(blocks))
			}
			if len(blocks) == 0 {
				return
			}
			dir := t.TempDir()
			copyPolicies(t, root, dir)
			if err := os.Symlink(bin, filepath.Join(dir, "bin")); err != nil {
				t.Fatal(err)
			}
			env := append(os.Environ(), "HOME="+filepath.Join(dir, "home"), "PATH="+bin+":"+os.Getenv("PATH"), "HELM_HOME="+filepath.Join(dir, "home", ".helm-ai-kernel"))
			for _, b := range blocks {
				script := withoutMake(t, string(makefile), b[2])
				if script == "" {
					continue
				}
				if b[1] != "" {
					startServer(t, dir, env, script)
					continue
				}
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script)
				cmd.Dir, cmd.Env = dir, env
				out, err := cmd.CombinedOutput()
				cancel()
				if err != nil {
					t.Fatalf("%v\n%s\n%s", err, script, out)
				}
			}
		})
	}
}

// withoutMake takes out the lines that call make, after checking that the target
// exists: make runs these tests.
func withoutMake(t *testing.T, makefile, script string) string {
	var left []string
	for _, line := range strings.Split(script, "\n") {
		if f := strings.Fields(line); len(f) > 0 && f[0] == "make" {
			for _, target := range f[1:] {
				if strings.HasPrefix(target, "#") {
					break
				}
				if !strings.Contains(target, "=") && !strings.Contains(makefile, "\n"+target+":") {
					t.Fatalf("make has no target %q", target)
				}
			}
			continue
		}
		left = append(left, line)
	}
	return strings.TrimSpace(strings.Join(left, "\n"))
}

// buildAll is the folder of both programs.
func buildAll(t *testing.T) string {
	t.Helper()
	dir, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func copyPolicies(t *testing.T, root, dir string) {
	t.Helper()
	var files []string
	for _, pattern := range []string{"*.toml", "policies/*.toml", "examples/*/*"} {
		more, _ := filepath.Glob(filepath.Join(root, pattern))
		files = append(files, more...)
	}
	for _, f := range files {
		rel, err := filepath.Rel(root, f)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, rel)), 0o700); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(f)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, rel), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// startServer runs a server until the test ends.
func startServer(t *testing.T, dir string, env []string, script string) {
	t.Helper()
	const address = "127.0.0.1:7714"
	if c, err := net.DialTimeout("tcp", address, time.Second); err == nil {
		c.Close()
		t.Skipf("SKIPPED: something else listens on %s: the commands of this document were NOT run", address)
	}
	cmd := exec.Command("bash", "-c", "exec "+script)
	cmd.Dir, cmd.Env = dir, env
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			cmd.Process.Kill()
			<-ended
		}
	})
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if isReady("http://"+address) == nil {
			return
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s ended: %v\n%s", script, err, log.String())
		default:
		}
		if time.Since(began) > 20*time.Second {
			t.Fatalf("%s does not listen\n%s", script, log.String())
		}
	}
}
