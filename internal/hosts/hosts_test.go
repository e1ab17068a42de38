package hosts

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tailscale/hujson"
)

const command = "/opt/helm-ai-kernel hook "

// TestSet writes the file of each host that has none.
func TestSet(t *testing.T) {
	for h, want := range map[*Host]string{
		Codex: `{
  "hooks": {
    "PreToolUse": [
      {
        "hooks": [
          {
            "type": "command",
            "command": "/opt/helm-ai-kernel hook codex",
            "timeout": 60
          }
        ]
      }
    ],
    "PostToolUse": [
      {
        "hooks": [
          {
            "type": "command",
            "command": "/opt/helm-ai-kernel hook codex",
            "timeout": 60
          }
        ]
      }
    ],
    "SessionEnd": [
      {
        "hooks": [
          {
            "type": "command",
            "command": "/opt/helm-ai-kernel hook codex",
            "timeout": 3
          }
        ]
      }
    ]
  }
}
`,
		Cursor: `{
  "version": 1,
  "hooks": {
    "preToolUse": [
      {
        "command": "/opt/helm-ai-kernel hook cursor",
        "timeout": 60,
        "failClosed": true
      }
    ],
    "postToolUse": [
      {
        "command": "/opt/helm-ai-kernel hook cursor",
        "timeout": 60,
        "failClosed": true
      }
    ],
    "postToolUseFailure": [
      {
        "command": "/opt/helm-ai-kernel hook cursor",
        "timeout": 60,
        "failClosed": true
      }
    ],
    "sessionEnd": [
      {
        "command": "/opt/helm-ai-kernel hook cursor",
        "timeout": 60,
        "failClosed": true
      }
    ]
  }
}
`} {
		got, err := h.Set(nil, command+h.Name, time.Minute)
		if err != nil || string(got) != want {
			t.Errorf("%s: %v\n%s", h.Name, err, got)
		}
	}
}

// files are such as people have.
var files = []string{
	"", "{}", "{}\n", "{\n}\n", `{"model":"x"}`,
	`{
    "permissions": { "allow": ["Bash(ls:*)"] }, // ours
    "hooks": {
        "PreToolUse": [
            { "matcher": "Bash", "hooks": [{ "type": "command", "command": "my-own-hook" }] }
        ],
        "Stop": []
    }
}
`,
	"{\"hooks\": {\"PreToolUse\": [],},}", `{"model": 1,}`,
	"{\n\t\"version\": 1,\n\t\"hooks\": {\n\t\t\"preToolUse\": [ { \"command\": \"other\", \"timeout\": 5 } ]\n\t}\n}",
	`{"hooks":{"PreToolUse":[{"hooks":[{"type":"command","command":"a"},{"type":"command","command":"helm-ai-kernel hook claude-code"},{"type":"command","command":"b"}]}]}}`,
	`{"hooks":{"PreToolUse":[{"matcher":"*","hooks":[{"type":"command","command":"HELM_WAIT=1s /usr/bin/helm-ai-kernel hook claude-code --wait 5s","timeout":15}]}]},"z":null}`,
	`{"hooks":{}}`,
	`{"hooks":{"BeforeTool":[{"hooks":[]}]}}`,
}

// TestSetAndRemove: what was there stays, ours is there once, a second time changes nothing,
// and what is taken out again leaves what was there.
func TestSetAndRemove(t *testing.T) {
	for _, h := range All {
		for _, file := range files {
			set, err := h.Set([]byte(file), command+h.Name, time.Minute)
			if h.Unread([]byte(file)) != "" {
				if err == nil {
					t.Errorf("%s reads nothing of it, and it is set up in %s", h.Name, set)
				}
				continue
			}
			if err != nil {
				t.Fatalf("%s: %s: %v", h.Name, file, err)
			}
			have, err := h.Installed(set)
			if err != nil || len(have) != len(h.Events) {
				t.Fatalf("%s: %s: %v, %+v", h.Name, set, err, have)
			}
			for _, k := range have {
				if k.Command != command+h.Name || k.Timeout != time.Minute && (h != Codex || k.Event != "SessionEnd") {
					t.Errorf("%s: %+v", h.Name, k)
				}
			}
			if again, err := h.Set(set, command+h.Name, time.Minute); err != nil || !bytes.Equal(again, set) {
				t.Errorf("%s: set twice: %v\n%s", h.Name, err, again)
			}
			other, err := h.Set(set, command+h.Name+" --wait 5s", 30*time.Second)
			if have, _ := h.Installed(other); err != nil || len(have) != len(h.Events) || have[0].Timeout != 30*time.Second {
				t.Errorf("%s: set otherwise: %v, %+v", h.Name, err, have)
			}
			if others, want := without(t, h, set), without(t, h, []byte(file)); !reflect.DeepEqual(others, want) {
				t.Errorf("%s: what others had in %s is now\n%s", h.Name, file, set)
			}
			removed, err := h.Remove(set)
			if err != nil || !reflect.DeepEqual(without(t, h, removed), without(t, h, []byte(file))) {
				t.Errorf("%s: removed: %v\n%s\n%s", h.Name, err, file, removed)
			}
			if have, err := h.Installed(removed); len(have) > 0 || err != nil {
				t.Errorf("%s: %+v is left", h.Name, have)
			}
		}
	}
	// To the byte, where the file has lines of its own.
	mine := files[5]
	set, _ := Gemini.Set([]byte(mine), command+"gemini", time.Minute)
	if removed, _ := Gemini.Remove(set); string(removed) != mine {
		t.Errorf("%s", removed)
	}
	if !strings.Contains(string(set), "\n        \"AfterTool\": [\n            {\n                \"matcher\": \"*\"") || !strings.Contains(string(set), "// ours") {
		t.Errorf("it is not moved in as the rest is:\n%s", set)
	}
}

// TestMade: a file goes only if it is as it was made, also with other flags since; what a
// person had stays, be it empty.
func TestMade(t *testing.T) {
	for _, h := range All {
		set, _ := h.Set(nil, command+h.Name, time.Minute)
		set, _ = h.Set(set, command+h.Name+" --agent 'a b'", 30*time.Second)
		if left, err := h.Remove(set); left != nil || err != nil {
			t.Errorf("%s: %v\n%s", h.Name, err, left)
		}
		for _, had := range []string{"{}", `{"version":1,"hooks":{}}`, `{"hooks":{}}`} {
			if h.Unread([]byte(had)) != "" {
				continue
			}
			set, err := h.Set([]byte(had), command+h.Name, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if left, err := h.Remove(set); left == nil || err != nil {
				t.Errorf("%s: %s was removed: %v", h.Name, had, err)
			}
		}
	}
}

// without is a file's value without hooks of ours and without what holds nothing.
func without(t *testing.T, h *Host, content []byte) any {
	t.Helper()
	if len(content) == 0 {
		return map[string]any{}
	}
	standard, err := hujson.Standardize(bytes.Clone(content))
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(standard, &v); err != nil {
		t.Fatal(err)
	}
	if h == Cursor {
		delete(v, "version")
	}
	prune(h, v)
	return v
}

func prune(h *Host, v map[string]any) {
	hooks, ok := v["hooks"].(map[string]any)
	if !ok {
		return
	}
	ours := func(x any) bool {
		c, _ := x.(map[string]any)["command"].(string)
		return h.Ours(c)
	}
	for name, list := range hooks {
		var left []any
		for _, group := range list.([]any) {
			g := group.(map[string]any)
			if inner, ok := g["hooks"].([]any); ok && !h.flat {
				var kept []any
				for _, k := range inner {
					if !ours(k) {
						kept = append(kept, k)
					}
				}
				if len(kept) == 0 {
					continue
				}
				g["hooks"] = kept
			} else if ours(group) {
				continue
			}
			left = append(left, g)
		}
		if hooks[name] = left; len(left) == 0 {
			delete(hooks, name)
		}
	}
	if len(hooks) == 0 {
		delete(v, "hooks")
	}
}

// TestComments: none is lost, wherever it stands, and a file that has one is not empty.
func TestComments(t *testing.T) {
	for _, file := range []string{
		"{ // keep\n}", "{/* keep */}", "{\"a\":1 /* keep */}", "// keep\n{}", "{} // keep\n", `{"hooks":{ /* keep */ }}`, `{"hooks":{"BeforeTool":[ /* keep */ ]}}`,
		`{"hooks":{"BeforeTool":[{"hooks":[{"type":"command","command":"a"} /* keep */, {"type":"command","command":"helm-ai-kernel hook gemini"}]}]}}`,
		`{"hooks":{"BeforeTool":[{"hooks":[{"type":"command","command":"a"}, /* keep */ {"type":"command","command":"helm-ai-kernel hook gemini"} /* keep */ /* keep */]}]}}`,
		`{"hooks":{"BeforeTool":[{"hooks":[{"type":"command","command":"helm-ai-kernel hook gemini"} /* keep */, {"type":"command","command":"a"}]}]}}`,
		`{"hooks":{"BeforeTool":[{"hooks":[/* keep */{"type":"command","command":"helm-ai-kernel hook gemini"}/* keep */]/* keep */}/* keep */]/* keep */}/* keep */}`,
		`{"a":1 /* keep */, "hooks":{"BeforeTool":[{"hooks":[{"type":"command","command":"helm-ai-kernel hook gemini"}]}]}}`,
		`{"a":1, /* keep */ "hooks":{"BeforeTool":[{"hooks":[{"type":"command","command":"helm-ai-kernel hook gemini"}]}]} /* keep */ /* keep */}`,
	} {
		set, err := Gemini.Set([]byte(file), command+"gemini", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		removed, err := Gemini.Remove(set)
		if err != nil {
			t.Fatal(err)
		}
		for _, now := range [][]byte{set, removed} {
			if strings.Count(string(now), "keep") != strings.Count(file, "keep") {
				t.Errorf("%s\nbecame\n%s", file, now)
			}
			if _, err := Gemini.Installed(now); err != nil {
				t.Errorf("%v:\n%s", err, now)
			}
		}
	}
}

// TestBeside: a hook that a host would not call, or not wait for, is told from ours, and set
// anew; what does no harm stays.
func TestBeside(t *testing.T) {
	claude := func(hook, group string) string {
		return `{"hooks":{"PreToolUse":[{"matcher":"*",` + group + `"hooks":[{` + hook + `"command":"helm-ai-kernel hook claude-code"}]}]}}`
	}
	cursor := func(hook string) string {
		return `{"hooks":{"preToolUse":[{` + hook + `"command":"helm-ai-kernel hook cursor"}]}}`
	}
	for _, c := range []struct {
		h          *Host
		file, want string
	}{
		{ClaudeCode, claude(`"type":"command",`, ``), ""},
		{ClaudeCode, claude(`"type":"command","async":false,"statusMessage":"x",`, `"description":"x",`), ""},
		{ClaudeCode, claude(``, ``), `the type ""`},
		{ClaudeCode, claude(`"type":"prompt",`, ``), `the type "prompt"`},
		{ClaudeCode, claude(`"type":"command","async":true,`, ``), "async"},
		{ClaudeCode, claude(`"type":"command","if":"Bash(git *)","once":true,`, `"enabled":0,`), "enabled, if, once"},
		{ClaudeCode, claude(`"type":"command","timeout":0,`, ``), "a timeout of 0"},
		{ClaudeCode, claude(`"type":"command","args":[],`, ``), "args"},
		{Cursor, cursor(``), ""},
		{Cursor, cursor(`"type":"command",`), ""},
		{Cursor, cursor(`"type":"prompt",`), `the type "prompt"`},
		{Cursor, cursor(`"enabled":null,`), "enabled"},
	} {
		have, err := c.h.Installed([]byte(c.file))
		if err != nil || len(have) != 1 || have[0].Beside != c.want {
			t.Errorf("%s: %v, %+v", c.file, err, have)
		}
		set, err := c.h.Set([]byte(c.file), command+c.h.Name, time.Minute)
		if have, _ = c.h.Installed(set); err != nil || len(have) != len(c.h.Events) || have[0].Beside != "" {
			t.Errorf("%s: %v, %+v", set, err, have)
		}
	}
	// Ours, with something beside it, is not what setup writes.
	set, _ := ClaudeCode.Set(nil, command+"claude-code", time.Minute)
	spoilt := bytes.Replace(set, []byte(`"type"`), []byte(`"async": true, "type"`), 1)
	if again, err := ClaudeCode.Set(spoilt, command+"claude-code", time.Minute); err != nil || bytes.Contains(again, []byte("async")) {
		t.Errorf("%v\n%s", err, again)
	}
}

// TestRefused: what cannot be read is not changed.
func TestRefused(t *testing.T) {
	for _, bad := range []string{"[", "[]", "null", "1", `"x"`, "{", `{"hooks":[]}`, `{"hooks":null}`, `{"hooks":{"PreToolUse":{}}}`, `{"hooks":{"PreToolUse":[1]}}`,
		`{"hooks":{},"hooks":{}}`, `{"a":1,"a":2}`, `{"hooks":{"PreToolUse":[{"hooks":7}]}}`, "{} {}", "\xff"} {
		for _, h := range All {
			if _, err := h.Set([]byte(bad), command+h.Name, time.Minute); err == nil {
				t.Errorf("%s: %q is set", h.Name, bad)
			}
			if _, err := h.Remove([]byte(bad)); err == nil {
				t.Errorf("%s: %q is removed from", h.Name, bad)
			}
		}
	}
}

// TestBlocked: what each host takes for a block, as internal/hosttest shows with the hosts
// themselves.
func TestBlocked(t *testing.T) {
	deny := map[*Host]string{ClaudeCode: `{"hookSpecificOutput":{"permissionDecision":"deny"}}`, Codex: `{"hookSpecificOutput":{"permissionDecision":"deny"}}`,
		Gemini: `{"decision":"deny"}`, Cursor: `{"permission":"deny"}`}
	for _, c := range []struct {
		exit        int
		out, err    string
		claude      bool
		codex       bool
		gemini      bool
		cursor      bool
		insteadDeny bool // out is the host's denial
	}{
		{exit: 0},
		{exit: 1, err: "no"},
		{exit: 127, err: "not found"},
		{exit: 0, out: `{"decision":"allow"}`},
		{exit: 0, out: "{"},
		{exit: 2, err: "no", claude: true, codex: true, gemini: true, cursor: true},
		{exit: 2, claude: true, cursor: true},
		{exit: 2, out: `{"systemMessage":"x"}`, err: "no", claude: true, codex: true, cursor: true},
		{exit: 0, insteadDeny: true, claude: true, codex: true, gemini: true, cursor: true},
		{exit: 1, insteadDeny: true, gemini: true},
	} {
		for h, want := range map[*Host]bool{ClaudeCode: c.claude, Codex: c.codex, Gemini: c.gemini, Cursor: c.cursor} {
			out := c.out
			if c.insteadDeny {
				out = deny[h]
			}
			if got, _ := h.Blocked(c.exit, out, c.err); got != want {
				t.Errorf("%s, exit code %d, %q, %q: %t", h.Name, c.exit, out, c.err, got)
			}
		}
	}
}

// TestOurs: a hook of ours is this program with nothing around it.
func TestOurs(t *testing.T) {
	for line, want := range map[string]bool{
		"helm-ai-kernel hook codex":                  true,
		"'/a b/helm-ai-kernel' hook codex --wait 1s": true,
		"HELM_HOME=/x helm-ai-kernel hook codex":     true,
		"/opt/helm-ai-kernel.exe hook codex":         true,
		"helm-ai-kernel hook claude-code":            false,
		"helm-ai-kernel hook codex || true":          false,
		"helm-ai-kernel decide hook codex":           false,
		"echo helm-ai-kernel hook codex":             false,
		"":                                           false,
		"\"":                                         false,
		CommandLine("/it's/helm-ai-kernel", "hook", "codex", ""): true,
	} {
		if got := Codex.Ours(line); got != want {
			t.Errorf("%q: %t", line, got)
		}
	}
}

// comments are the letters of all comments, in order.
func comments(t *testing.T, file []byte) string {
	if len(file) == 0 {
		return ""
	}
	v, err := hujson.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	for v := range v.All() {
		all = append(append(all, v.BeforeExtra...), v.AfterExtra...)
		switch v := v.Value.(type) {
		case *hujson.Object:
			all = append(all, v.AfterExtra...)
		case *hujson.Array:
			all = append(all, v.AfterExtra...)
		}
	}
	slices.Sort(all)
	return strings.Trim(string(all), "\t\n\r ")
}

func FuzzSet(f *testing.F) {
	for _, file := range files {
		f.Add([]byte(file))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		for _, h := range All {
			set, err := h.Set(file, command+h.Name, time.Minute)
			if err != nil {
				continue
			}
			if again, err := h.Set(set, command+h.Name, time.Minute); err != nil || !bytes.Equal(set, again) {
				t.Fatalf("%s: set twice: %v\n%q\n%q", h.Name, err, set, again)
			}
			removed, err := h.Remove(set)
			if err != nil {
				t.Fatalf("%s: %v\n%q", h.Name, err, set)
			}
			if !reflect.DeepEqual(without(t, h, removed), without(t, h, file)) {
				t.Fatalf("%s: %q became %q", h.Name, file, removed)
			}
			if was, _ := h.Installed(file); len(was) == 0 && comments(t, removed) != comments(t, file) {
				t.Fatalf("%s: comments of %q became those of %q", h.Name, file, removed)
			}
		}
	})
}
