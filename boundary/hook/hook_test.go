package hook

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel"
)

func TestReadClaudeCode(t *testing.T) {
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
		e, err := ClaudeCode.Read([]byte(c.in), "")
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
		if e, err := ClaudeCode.Read([]byte(c.in), ""); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %+v, %v, want %q", c.in, e, err, c.says)
		}
	}
}

func TestName(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, s := range []string{"a", "a b", long, long + "y", strings.Repeat("\x00", 100), "%20"} {
		if err := helm.CheckName("name", helm.Name(s)); err != nil {
			t.Errorf("%.20q: %v", s, err)
		}
	}
	if helm.Name(long) == helm.Name(long+"y") || helm.Name("a b") == helm.Name("a%20b") {
		t.Error("two names became one")
	}
}

var update = flag.Bool("update", false, "write the golden files")

// TestGolden reads what each host tells (testdata/HOST/NAME.json), and holds what is read of
// it, and each host's answers, against the golden files beside.
func TestGolden(t *testing.T) {
	for _, h := range Hosts {
		inputs, err := filepath.Glob(filepath.Join("testdata", h.Name, "*.json"))
		if err != nil || len(inputs) == 0 {
			t.Fatalf("%s has no inputs: %v", h.Name, err)
		}
		for _, file := range inputs {
			input, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, strings.TrimSuffix(file, "json")+"golden", shown(h.Read(input, "/srv/app")))
		}
		var b strings.Builder
		for moment, what := range []string{"before", "after", "ended"} {
			fmt.Fprintf(&b, "allow, %s: %s", what, answer(h.Allow(Moment(moment))))
		}
		for _, a := range h.Block("helm-ai-kernel: <no> \"so\"") {
			fmt.Fprintf(&b, "block: %s", answer(a))
		}
		golden(t, filepath.Join("testdata", h.Name, "answers.golden"), b.String())
	}
}

func shown(e *Event, err error) string {
	if err != nil {
		return "refused: " + err.Error() + "\n"
	}
	s := fmt.Sprintf("%s, agent %s, session %s", []string{"before", "after", "ended"}[e.Moment], e.Call.Agent, e.Call.Session)
	if e.Moment == Ended {
		return s + "\n"
	}
	s += fmt.Sprintf("\ncall_id %s\ntool %s\narguments %s\ncontext %s\n", e.Call.CallID, e.Call.Tool, e.Call.Arguments, e.Call.Context)
	if e.Match != "" {
		s += fmt.Sprintf("matched by %q\n", e.Match)
	}
	if e.Moment == After {
		s += fmt.Sprintf("outcome %s %s\n", e.Status, e.Result)
	}
	return s
}

func answer(a Answer) string {
	return fmt.Sprintf("exit %d, standard output %q, standard error %q\n", a.Exit, a.Out, a.Err)
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || string(want) != got {
		t.Errorf("%s: %v\n%sis not as it was:\n%s", file, err, got, want)
	}
}

// What is read can be asked for: it has names, and an object for arguments.
func FuzzRead(f *testing.F) {
	for i, h := range Hosts {
		inputs, _ := filepath.Glob(filepath.Join("testdata", h.Name, "*.json"))
		for _, file := range inputs {
			if b, err := os.ReadFile(file); err == nil {
				f.Add(i, b)
			}
		}
	}
	f.Fuzz(func(t *testing.T, i int, b []byte) {
		if i < 0 || i >= len(Hosts) {
			return
		}
		e, err := Hosts[i].Read(b, "/srv/app")
		if err != nil {
			return
		}
		names := map[string]string{"session": e.Call.Session, "agent": e.Call.Agent}
		if e.Moment != Ended {
			names["tool"] = e.Call.Tool
			if len(e.Call.Arguments) == 0 || e.Call.Arguments[0] != '{' {
				t.Errorf("arguments are %s", e.Call.Arguments)
			}
		}
		if e.Call.CallID != "" {
			names["call_id"] = e.Call.CallID
		}
		for what, s := range names {
			if err := helm.CheckName(what, s); err != nil {
				t.Error(err)
			}
		}
		if e.Moment == After && !e.Status.Valid() {
			t.Errorf("the outcome is %q", e.Status)
		}
	})
}
