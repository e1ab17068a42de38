package hosttest

import (
	"net/http"
	"path/filepath"
)

// A host is what is peculiar to one.
type host struct {
	agent   string // its name in the log
	tool    string // that of its tool for commands, as a policy has it, and the command's argument there
	arg     string
	failed  string // the outcome of a command that ran and failed
	program string // below the folder that it was installed in
	shell   func(command string) step
	slug    string                                                  // its model's name, where that matters
	note    string                                                  // the MCP server's tool, as the model calls it
	setUp   func(s *site)                                           // its settings, beside the hooks
	run     func(s *site, api string) (args, env []string)          // its command line
	speaks  func(m *model) func(http.ResponseWriter, *http.Request) // its model's API
}

var claudeCode = &host{
	agent: "claude-code", tool: "claude-code.Bash", arg: "command", failed: "error after",
	program: "node_modules/@anthropic-ai/claude-code-linux-x64/claude",
	shell: func(command string) step {
		return step{"Bash", obj{"command": command, "description": "a step"}}
	},
	note: "mcp__notes__note",
	setUp: func(s *site) {
		s.write(filepath.Join(s.user, "mcp.json"), text(obj{"mcpServers": obj{"notes": s.notes()}}))
	},
	run: func(s *site, api string) (args, env []string) {
		return []string{"-p", "do it", "--mcp-config", filepath.Join(s.user, "mcp.json"), "--permission-mode", "bypassPermissions", "--model", "claude-sonnet-4-5"},
			[]string{"ANTHROPIC_BASE_URL=" + api, "ANTHROPIC_API_KEY=sk-stand-in", "IS_SANDBOX=1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1", "DISABLE_AUTOUPDATER=1"}
	},
	speaks: func(m *model) func(http.ResponseWriter, *http.Request) { return m.messages },
}

var codex = &host{
	agent: "codex", tool: "codex.exec_command", arg: "cmd", failed: "ok after",
	program: "node_modules/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex",
	shell:   func(command string) step { return step{"exec_command", obj{"cmd": command}} },
	slug:    "stand-in",
	note:    "mcp__notes/note",
	setUp:   func(*site) {},
	run: func(s *site, api string) (args, env []string) {
		s.write(filepath.Join(s.user, ".codex/config.toml"), `model = "`+s.slug+`"
model_provider = "stand-in"
[model_providers.stand-in]
name = "stand-in"
base_url = "`+api+`/v1"
wire_api = "responses"
[mcp_servers.notes]
command = "node"
args = `+text(s.notes()["args"])+`
`)
		return []string{"exec", "--skip-git-repo-check", "--dangerously-bypass-hook-trust", "--dangerously-bypass-approvals-and-sandbox", "do it"}, nil
	},
	speaks: func(m *model) func(http.ResponseWriter, *http.Request) { return m.responses },
}

var gemini = &host{
	agent: "gemini", tool: "gemini.run_shell_command", arg: "command", failed: "ok after",
	program: "node_modules/.bin/gemini",
	shell: func(command string) step {
		return step{"run_shell_command", obj{"command": command, "description": "a step"}}
	},
	note: "mcp_notes_note",
	setUp: func(s *site) {
		s.write(filepath.Join(s.user, ".gemini/settings.json"), text(obj{"security": obj{"auth": obj{"selectedType": "gemini-api-key"}}, "mcpServers": obj{"notes": s.notes()}}))
	},
	run: func(s *site, api string) (args, env []string) {
		return []string{"--approval-mode", "yolo", "--model", "gemini-2.5-flash", "--prompt", "do it"},
			[]string{"GOOGLE_GEMINI_BASE_URL=" + api, "GEMINI_API_KEY=stand-in", "GEMINI_CLI_TRUST_WORKSPACE=true"}
	},
	speaks: func(m *model) func(http.ResponseWriter, *http.Request) { return m.generateContent },
}
