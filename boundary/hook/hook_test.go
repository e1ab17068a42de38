package hook

import (
	"fmt"
	"strings"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel"
)

func TestReadClaude(t *testing.T) {
	const common = `"session_id":"abc-1","transcript_path":"/t.jsonl","cwd":"/srv/app","permission_mode":"default"`
	for _, c := range []struct{ in, want string }{
		{`{` + common + `,"hook_event_name":"PreToolUse","tool_name":"Bash","tool_input":{"command":"ls","timeout":1e3},"tool_use_id":"toolu_1"}`,
			`0 abc-1 toolu_1 claude-code.Bash {"command":"ls","timeout":1e3} {"cwd":"/srv/app","permission_mode":"default"}`},
		{`{` + common + `,"hook_event_name":"PreToolUse","tool_name":"mcp__github__merge_pull_request","tool_input":{"n":9007199254740993},"tool_use_id":"toolu_1","agent_id":"a7","agent_type":"Explore"}`,
			`0 abc-1 toolu_1 github.merge_pull_request {"n":9007199254740993} {"cwd":"/srv/app","permission_mode":"default","subagent":"a7","subagent_type":"Explore"}`},
		{`{` + common + `,"hook_event_name":"PreToolUse","tool_name":"mcp__claude-code__Bash","tool_input":{},"tool_use_id":"t"}`, `0 abc-1 t claude-code.mcp__claude-code__Bash {} {"cwd":"/srv/app","permission_mode":"default"}`},
		{`{` + common + `,"hook_event_name":"PreToolUse","tool_name":"mcp__x","tool_input":null,"tool_use_id":"t"}`, `0 abc-1 t claude-code.mcp__x {} {"cwd":"/srv/app","permission_mode":"default"}`},
		{`{"session_id":"a b","hook_event_name":"PreToolUse","tool_name":"Bäsh","tool_input":{},"tool_use_id":"100%"}`, `0 a%20b 100%25 claude-code.B%C3%A4sh {} {}`},
		{`{` + common + `,"hook_event_name":"PostToolUse","tool_name":"Bash","tool_input":{"command":"ls"},"tool_use_id":"toolu_1","tool_response":{"stdout":"x","interrupted":false}}`,
			`1 abc-1 toolu_1 claude-code.Bash {"command":"ls"} {"cwd":"/srv/app","permission_mode":"default"} ok {"stdout":"x","interrupted":false}`},
		{`{` + common + `,"hook_event_name":"PostToolUseFailure","tool_name":"Bash","tool_input":{},"tool_use_id":"t","error":"it broke","is_interrupt":true}`,
			`1 abc-1 t claude-code.Bash {} {"cwd":"/srv/app","permission_mode":"default"} error "it broke"`},
		{`{` + common + `,"hook_event_name":"SessionEnd","reason":"clear"}`, `2 abc-1  claude-code.  `},
	} {
		e, err := ReadClaude([]byte(c.in))
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		got := fmt.Sprintf("%d %s %s %s %s %s", e.Moment, e.Call.Session, e.Call.CallID, e.Call.Tool, e.Call.Arguments, e.Call.Context)
		if e.Moment == After {
			got += fmt.Sprintf(" %s %s", e.Status, e.Result)
		}
		if got != c.want {
			t.Errorf("%s\nis read as %s\nand not    %s", c.in, got, c.want)
		}
	}
	for _, c := range []struct{ in, says string }{
		{``, "cannot be read"}, {`{`, "cannot be read"}, {`[]`, "cannot be read"}, {`{} {}`, "cannot be read"}, {`null`, "no session_id"},
		{`{"session_id":"a","session_id":"b"}`, "cannot be read"}, {`{"session_id":7}`, "cannot be read"}, {"{\"session_id\":\"\xff\"}", "cannot be read"},
		{`{"hook_event_name":"PreToolUse"}`, "no session_id"},
		{`{"session_id":"a","hook_event_name":"PreToolUse","tool_name":"Bash","tool_input":{}}`, "no tool_use_id"},
		{`{"session_id":"a","hook_event_name":"PreToolUse","tool_input":{},"tool_use_id":"t"}`, "no tool_name"},
		{`{"session_id":"a","hook_event_name":"PreToolUse","tool_name":"Bash","tool_input":"ls","tool_use_id":"t"}`, "tool_input is no object"},
		{`{"session_id":"a","hook_event_name":"UserPromptSubmit"}`, `the event "UserPromptSubmit" is none`},
		{`{"session_id":"a","hook_event_name":"preToolUse","tool_name":"Bash","tool_input":{},"tool_use_id":"t"}`, `the event "preToolUse" is none`},
		{`{"session_id":"a"}`, `the event "" is none`},
	} {
		if e, err := ReadClaude([]byte(c.in)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %+v, %v, want %q", c.in, e, err, c.says)
		}
	}
}

func TestName(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, s := range []string{"a", "a b", long, long + "y", strings.Repeat("\x00", 100), "%20"} {
		if err := helm.CheckName("name", name(s)); err != nil {
			t.Errorf("%.20q: %v", s, err)
		}
	}
	if name(long) == name(long+"y") || name("a b") == name("a%20b") {
		t.Error("two names became one")
	}
}

// What is read can be asked for: it has names, and an object for arguments.
func FuzzReadClaude(f *testing.F) {
	f.Add([]byte(`{"session_id":"a","hook_event_name":"PreToolUse","tool_name":"mcp__a__b","tool_input":{"a":[1,2]},"tool_use_id":"t","cwd":"/x"}`))
	f.Add([]byte(`{"session_id":"a","hook_event_name":"PostToolUse","tool_name":"Bash","tool_input":null,"tool_use_id":"t","tool_response":"x"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ReadClaude(b)
		if err != nil || e.Moment == Ended {
			return
		}
		for what, s := range map[string]string{"session": e.Call.Session, "call_id": e.Call.CallID, "tool": e.Call.Tool, "agent": e.Call.Agent} {
			if err := helm.CheckName(what, s); err != nil {
				t.Error(err)
			}
		}
		if len(e.Call.Arguments) == 0 || e.Call.Arguments[0] != '{' {
			t.Errorf("arguments are %s", e.Call.Arguments)
		}
	})
}
