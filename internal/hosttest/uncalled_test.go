package hosttest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestUncalled: a denied command runs where the host does not call the hook, or does not wait
// for it, and there the doctor says so. Where it says that all is well, the host was stopped.
func TestUncalled(t *testing.T) {
	claude, cdx, gem := ".claude/settings.json", ".codex/hooks.json", ".gemini/settings.json"
	for _, c := range []struct {
		name   string
		h      *host
		change func(*site)
		says   string // the doctor, or "" where the hook is called
	}{
		{"as it is set up", claudeCode, nil, ""},
		{"a comment", claudeCode, swap(claude, "{", "{ // mine\n"), "no hook in it is called"},
		{"a comma", claudeCode, swap(claude, "\n}\n", ",\n}\n"), "no hook in it is called"},
		{"a member that it does not know", claudeCode, swap(claude, "{", `{"mine": true,`), ""},
		{"switched off", claudeCode, swap(claude, "{", `{"disableAllHooks": true,`), "disableAllHooks"},
		{"switched off in the project", claudeCode, project(".claude/settings.json", `{"disableAllHooks": true}`), "disableAllHooks"},
		{"switched off by a local file", claudeCode, project(".claude/settings.local.json", `{"disableAllHooks": true}`), "disableAllHooks"},
		{"async", claudeCode, swap(claude, `"type": "command"`, `"type": "command", "async": true`), "async"},

		{"never trusted", codexAsked, nil, "was not told to trust it"},
		{"trusted", codexAsked, trust, ""},
		{"trusted and changed", codexAsked, func(s *site) {
			trust(s)
			swap(cdx, `"timeout": 50`, `"timeout": 51`)(s)
		}, "was changed since"},
		{"trusted and switched off", codexAsked, func(s *site) {
			trust(s)
			more(s, "[features]\nhooks = false\n")
		}, "switches hooks off"},
		{"a comment", codex, swap(cdx, "{", "{ // mine\n"), "no hook in it is called"},
		{"a comma", codex, swap(cdx, "\n}\n", ",\n}\n"), "no hook in it is called"},
		{"a member that it does not know", codex, swap(cdx, "{", `{"mine": true,`), "no hook in it is called"},
		{"a description", codexAsked, func(s *site) {
			swap(cdx, "{", `{"description": "mine",`)(s)
			trust(s)
		}, ""},
		{"a project that is not trusted", codex, toProject(".codex"), "to trust the project"},
		{"its output is held", codex, func(s *site) {
			fake := filepath.Join(s.user, "fake/helm-ai-kernel")
			s.write(fake, "#!/bin/sh\nsleep 30 &\necho no >&2\nexit 2\n")
			os.Chmod(fake, 0o700)
			s.edit(cdx, func(text string) string {
				text = regexp.MustCompile(`"command": "\S+`).ReplaceAllString(text, `"command": "`+fake)
				return regexp.MustCompile(`"timeout": \d+`).ReplaceAllString(text, `"timeout": 3`)
			})
		}, "did not answer within 3s"},

		{"a comment", gemini, swap(gem, "{", "{ // mine\n"), ""},
		{"switched off", gemini, swap(gem, "{", `{"hooksConfig": {"enabled": false},`), "switches hooks off"},
		{"switched off for the user and on in the project", gemini, func(s *site) {
			swap(gem, "{", `{"hooksConfig": {"enabled": false},`)(s)
			project(gem, `{"hooksConfig": {"enabled": true}}`)(s)
		}, ""},
		{"disabled", gemini, func(s *site) {
			s.edit(gem, func(text string) string {
				command := regexp.MustCompile(`"command": ("/\S+ hook gemini.*")`).FindStringSubmatch(text)[1]
				return strings.Replace(text, "{", `{"hooksConfig": {"disabled": [`+command+`]},`, 1)
			})
		}, "disables this hook"},
	} {
		t.Run(c.h.agent+" "+c.name, func(t *testing.T) {
			own := *c.h
			s := newSite(t, &own, c.h.shell("touch denied.txt"))
			c.h.run(s, s.address) // which writes what settings there are beside
			if c.change != nil {
				c.change(s)
			}
			config, _ := os.ReadFile(filepath.Join(s.user, ".codex/config.toml"))
			own.run = func(s *site, api string) (args, env []string) {
				args, env = c.h.run(s, api)
				if config != nil {
					s.write(filepath.Join(s.user, ".codex/config.toml"), strings.ReplaceAll(string(config), s.address, api))
				}
				return args, env
			}
			cmd := exec.Command(s.bin+"/helm-ai-kernel", "doctor", "--home", s.home, "--server", s.address)
			cmd.Dir, cmd.Env = s.project, append(os.Environ(), "HOME="+s.user)
			out, err := cmd.CombinedOutput()
			t.Logf("%s", out)
			if well := err == nil && !strings.Contains(string(out), "NOT"); well != (c.says == "") || !strings.Contains(string(out), c.says) {
				t.Errorf("the doctor does not say %q: %v", c.says, err)
			}
			s.play()
			if ran := s.exists("denied.txt"); ran != (c.says != "") {
				t.Errorf("the denied command ran: %t", ran)
			}
		})
	}
}

// codexAsked is Codex that asks which hooks are trusted.
var codexAsked = func() *host {
	h := *codex
	h.run = func(s *site, api string) (args, env []string) {
		args, env = codex.run(s, api)
		return slices.DeleteFunc(args, func(a string) bool { return a == "--dangerously-bypass-hook-trust" }), env
	}
	return &h
}()

func (s *site) edit(file string, change func(string) string) {
	s.t.Helper()
	before, err := os.ReadFile(filepath.Join(s.user, file))
	if err != nil {
		s.t.Fatal(err)
	}
	after := change(string(before))
	if after == string(before) {
		s.t.Fatalf("nothing is changed in %s", before)
	}
	s.write(filepath.Join(s.user, file), after)
}

func swap(file, old, new string) func(*site) {
	return func(s *site) { s.edit(file, func(text string) string { return strings.Replace(text, old, new, 1) }) }
}

func project(file, content string) func(*site) {
	return func(s *site) { s.write(filepath.Join(s.project, file), content) }
}

// toProject has the hooks in the project's file, and none in the user's.
func toProject(folder string) func(*site) {
	return func(s *site) {
		if err := os.MkdirAll(filepath.Join(s.project, folder), 0o700); err != nil {
			s.t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(s.user, folder, "hooks.json"), filepath.Join(s.project, folder, "hooks.json")); err != nil {
			s.t.Fatal(err)
		}
	}
}

// more adds to Codex's own settings.
func more(s *site, text string) {
	s.edit(".codex/config.toml", func(before string) string { return before + text })
}

// trust has Codex trust its hooks, by what it says itself of each.
func trust(s *site) {
	s.t.Helper()
	cmd := exec.Command(filepath.Join(s.installed, s.program), "app-server")
	cmd.Dir, cmd.Env = s.project, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.user}
	in, err := cmd.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	defer func() { in.Close(); cmd.Process.Kill(); cmd.Wait() }()
	fmt.Fprintf(in, "%s\n%s\n%s\n", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"clientInfo":{"name":"test","version":"1"}}}`,
		`{"jsonrpc":"2.0","method":"initialized"}`, text(obj{"jsonrpc": "2.0", "id": 2, "method": "hooks/list", "params": obj{"cwds": []string{s.project}}}))
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var answer struct {
			ID     int `json:"id"`
			Result struct {
				Data []struct {
					Hooks []struct{ Key, CurrentHash string } `json:"hooks"`
				} `json:"data"`
			} `json:"result"`
		}
		if json.Unmarshal(lines.Bytes(), &answer) != nil || answer.ID != 2 {
			continue
		}
		for _, d := range answer.Result.Data {
			for _, h := range d.Hooks {
				more(s, fmt.Sprintf("[hooks.state.%q]\ntrusted_hash = %q\n", h.Key, h.CurrentHash))
			}
		}
		return
	}
	s.t.Fatal("Codex does not list its hooks")
}
