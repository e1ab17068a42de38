package hosts

import (
	"bytes"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestUnread: what each host reads, as internal/hosttest shows with the hosts themselves.
func TestUnread(t *testing.T) {
	for _, c := range []struct {
		file                          string
		claude, codex, gemini, cursor bool // whether it is read
	}{
		{"", true, true, true, true},
		{"{}", true, true, true, true},
		{"{ // c\n}", false, false, true, false},
		{"{ /* c */ \"hooks\": {} }", false, false, true, false},
		{`{"a": "// no comment"}`, true, false, true, true},
		{`{"hooks":{},}`, false, false, false, false},
		{`{"hooks":{"PreToolUse":[1,]}}`, false, false, false, false},
		{`{"hooks":{}, /* c */ }`, false, false, false, false},
		{`{"description":"mine","hooks":{}}`, true, true, true, true},
		{`{"$schema":"x","hooks":{}}`, true, false, true, true},
		{"\ufeff{}", false, false, false, false},
		{"[]", false, false, false, false},
		{"{", false, false, false, false},
	} {
		for h, want := range map[*Host]bool{ClaudeCode: c.claude, Codex: c.codex, Gemini: c.gemini, Cursor: c.cursor} {
			if why := h.Unread([]byte(c.file)); (why == "") != want {
				t.Errorf("%s: %s: %q", h.Name, c.file, why)
			}
		}
	}
}

// TestDeep: brackets within brackets end neither this program nor its memory.
func TestDeep(t *testing.T) {
	for _, b := range []string{"[", `{"a":`, `{"hooks":{"PreToolUse":[`} {
		if _, err := ClaudeCode.Installed(bytes.Repeat([]byte(b), 1<<20)); err == nil || !strings.Contains(err.Error(), "brackets within one another") {
			t.Errorf("%s: %v", b, err)
		}
	}
}

// TestCalled: hooks that a host finds and does not call.
func TestCalled(t *testing.T) {
	const trusted = `[hooks.state."/u/.codex/hooks.json:pre_tool_use:0:0"]
trusted_hash = "sha256:724305baa24a0e29a0b636808ff9095e2024ac00d58ceef09a237236727f39be"
` // as Codex 0.169.0 counts it
	const others = `[hooks.state."/u/.codex/hooks.json:post_tool_use:0:0"]
trusted_hash = "sha256:2"
`
	for _, c := range []struct {
		name, file string // in which the hook is set up
		h          *Host
		files      map[string]string
		why, doubt string
	}{
		{name: "nothing else", h: ClaudeCode, file: "/u/.claude/settings.json"},
		{name: "off for the user", h: ClaudeCode, file: "/u/.claude/settings.json", files: map[string]string{"/u/.claude/settings.json": `{"disableAllHooks":true}`}, why: "/u/.claude/settings.json has disableAllHooks"},
		{name: "off in the project", h: ClaudeCode, file: "/u/.claude/settings.json", files: map[string]string{"/u/p/.claude/settings.json": `{"disableAllHooks":true}`}, why: "/u/p/.claude/settings.json has disableAllHooks"},
		{name: "off here", h: ClaudeCode, file: "/u/.claude/settings.json", files: map[string]string{"/u/p/.claude/settings.local.json": `{"disableAllHooks":true}`}, why: "settings.local.json has disableAllHooks"},
		{name: "on again in the project", h: ClaudeCode, file: "/u/.claude/settings.json", files: map[string]string{
			"/u/.claude/settings.json": `{"disableAllHooks":true}`, "/u/p/.claude/settings.json": `{"disableAllHooks":false}`}},
		{name: "said twice", h: ClaudeCode, file: "/u/.claude/settings.json", files: map[string]string{"/u/.claude/settings.json": `{"disableAllHooks":false,"disableAllHooks":true}`}, why: "disableAllHooks"},
		{name: "off in a file that is not read", h: ClaudeCode, file: "/u/.claude/settings.json", files: map[string]string{"/u/p/.claude/settings.json": `{"disableAllHooks":true,}`}},

		{name: "another host's", h: ClaudeCode, file: "/u/.claude/settings.json", files: map[string]string{"/u/.claude/settings.json": `{"hooksConfig":{"enabled":false}}`}},
		{name: "of another form", h: Gemini, file: "/u/.gemini/settings.json", files: map[string]string{"/u/.gemini/settings.json": `{"hooksConfig":[]}`}},
		{name: "beside another of another form", h: ClaudeCode, file: "/u/.claude/settings.json", files: map[string]string{"/u/.claude/settings.json": `{"disableAllHooks":true,"security":1,"hooksConfig":1}`}, why: "disableAllHooks"},
		{name: "user's", h: Gemini, file: "/u/.gemini/settings.json"},
		{name: "off", h: Gemini, file: "/u/.gemini/settings.json", files: map[string]string{"/u/.gemini/settings.json": "{\"hooksConfig\":{\"enabled\":false}} // off"}, why: "switches hooks off"},
		{name: "on again", h: Gemini, file: "/u/.gemini/settings.json", files: map[string]string{
			"/u/.gemini/settings.json": `{"hooksConfig":{"enabled":false}}`, "/u/p/.gemini/settings.json": `{"hooksConfig":{"enabled":true}}`}},
		{name: "disabled", h: Gemini, file: "/u/.gemini/settings.json", files: map[string]string{"/u/.gemini/settings.json": `{"hooksConfig":{"disabled":["/opt/helm-ai-kernel hook gemini"]}}`}, why: "disables this hook"},
		{name: "other disabled", h: Gemini, file: "/u/.gemini/settings.json", files: map[string]string{"/u/.gemini/settings.json": `{"hooksConfig":{"disabled":["other"]}}`}},
		{name: "project's", h: Gemini, file: "/u/p/.gemini/settings.json", doubt: "does not say that Gemini CLI trusts this folder"},
		{name: "trusted", h: Gemini, file: "/u/p/.gemini/settings.json", files: map[string]string{"/u/.gemini/trustedFolders.json": `{"/u/p":"TRUST_FOLDER"}`}},
		{name: "trusted above", h: Gemini, file: "/u/p/.gemini/settings.json", files: map[string]string{"/u/.gemini/trustedFolders.json": `{"/u":"TRUST_FOLDER"}`}},
		{name: "trusted beside", h: Gemini, file: "/u/p/.gemini/settings.json", files: map[string]string{"/u/.gemini/trustedFolders.json": `{"/u/q":"TRUST_PARENT"}`}},
		{name: "other trusted", h: Gemini, file: "/u/p/.gemini/settings.json", files: map[string]string{"/u/.gemini/trustedFolders.json": `{"/u/p2":"TRUST_FOLDER","/u/p":"DO_NOT_TRUST"}`}, doubt: "does not say"},
		{name: "trusts all", h: Gemini, file: "/u/p/.gemini/settings.json", files: map[string]string{"/u/.gemini/settings.json": `{"security":{"folderTrust":{"enabled":false}}}`}},

		{name: "never trusted", h: Codex, file: "/u/.codex/hooks.json", why: "Codex was not told to trust it"},
		{name: "trusted", h: Codex, file: "/u/.codex/hooks.json", files: map[string]string{"/u/.codex/config.toml": trusted}, doubt: "PostToolUse: Codex was not told to trust it"},
		{name: "another changed", h: Codex, file: "/u/.codex/hooks.json", files: map[string]string{"/u/.codex/config.toml": trusted + others}, doubt: "PostToolUse: it was changed since"},
		{name: "changed", h: Codex, file: "/u/.codex/hooks.json", files: map[string]string{"/u/.codex/config.toml": strings.Replace(trusted, "72", "73", 1)}, why: "it was changed since Codex was told to trust it"},
		{name: "switched off", h: Codex, file: "/u/.codex/hooks.json", files: map[string]string{"/u/.codex/config.toml": trusted + "enabled = false\n"}, why: "switched off in Codex, under /hooks"},
		{name: "feature off", h: Codex, file: "/u/.codex/hooks.json", files: map[string]string{"/u/.codex/config.toml": trusted + "[features]\nhooks = false\n"}, why: "config.toml switches hooks off"},
		{name: "feature off by its old name", h: Codex, file: "/u/.codex/hooks.json", files: map[string]string{"/u/.codex/config.toml": trusted + "[features]\ncodex_hooks = false\n"}, why: "config.toml switches hooks off"},
		{name: "project not trusted", h: Codex, file: "/u/p/.codex/hooks.json", why: "only when you have told it to trust the project"},
		{name: "project trusted, and not the hook", h: Codex, file: "/u/p/.codex/hooks.json", files: map[string]string{"/u/.codex/config.toml": "[projects.\"/u\"]\ntrust_level = \"trusted\"\n", "/u/.git": ""}, why: "Codex was not told to trust it"},
		{name: "folder above trusted", h: Codex, file: "/u/p/.codex/hooks.json", files: map[string]string{"/u/.codex/config.toml": "[projects.\"/u\"]\ntrust_level = \"trusted\"\n"}, why: "only when you have told it to trust the project"},
		{name: "both trusted", h: Codex, file: "/u/p/.codex/hooks.json", files: map[string]string{"/u/.codex/config.toml": strings.Replace(trusted, "/u/", "/u/p/", 1) + "[projects.\"/u/p\"]\ntrust_level = \"trusted\"\n"}, doubt: "PostToolUse"},
		{name: "broken", h: Codex, file: "/u/.codex/hooks.json", files: map[string]string{"/u/.codex/config.toml": "["}, doubt: "cannot be read"},

		{name: "nothing is known", h: Cursor, file: "/u/.cursor/hooks.json"},
	} {
		t.Run(c.h.Name+" "+c.name, func(t *testing.T) {
			set, err := c.h.Set(nil, command+c.h.Name, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			hooks, err := c.h.Hooks(c.file, set)
			if err != nil {
				t.Fatal(err)
			}
			p := Place{User: filepath.Join("/u", c.h.Dir), Project: "/u/p", Read: func(path string) ([]byte, error) {
				if s, ok := c.files[path]; ok {
					return []byte(s), nil
				}
				return nil, fs.ErrNotExist
			}}
			why, doubts := c.h.Uncalled(p, []string{c.file}, hooks)
			if !strings.Contains(why, c.why) || (why == "") != (c.why == "") || !strings.Contains(strings.Join(doubts, "; "), c.doubt) || (len(doubts) == 0) != (c.doubt == "") {
				t.Errorf("%q, %q", why, doubts)
			}
			hooks[0].Beside = "async"
			if why, _ := c.h.Uncalled(p, []string{c.file}, hooks); !strings.Contains(why, "async") {
				t.Errorf("async: %q", why)
			}
		})
	}
}

// TestTOML: hooks that stand in Codex's config.toml.
func TestTOML(t *testing.T) {
	hooks, err := Codex.Hooks("/u/.codex/config.toml", []byte(`model = "x"
[hooks.state."/a:pre_tool_use:0:0"]
enabled = true
[[hooks.PreToolUse]]
[[hooks.PreToolUse.hooks]]
type = "command"
command = "other"
[[hooks.PreToolUse]]
matcher = "Bash"
[[hooks.PreToolUse.hooks]]
type = "command"
command = "/opt/helm-ai-kernel hook codex"
timeout = 70
`))
	if err != nil || len(hooks) != 1 || hooks[0].Matcher != "Bash" || hooks[0].Timeout != 70*time.Second || hooks[0].place != (place{1, 0}) {
		t.Errorf("%+v, %v", hooks, err)
	}
	for _, none := range []string{"", "model = 1\n", "[hooks.state.x]\nenabled = true\n"} {
		if hooks, err := Codex.Hooks("config.toml", []byte(none)); len(hooks) > 0 || err != nil {
			t.Errorf("%q: %v, %v", none, hooks, err)
		}
	}
	for _, bad := range []string{"[", "hooks = 1\n", "[hooks]\nPreToolUse = 1\n"} {
		if _, err := Codex.Hooks("config.toml", []byte(bad)); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}
