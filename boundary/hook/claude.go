package hook

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/helm-ai-kernel/helm-ai-kernel"
)

// ClaudeCode is Claude Code's name, in agents, tools and commands.
const ClaudeCode = "claude-code"

// claudeInput is what Claude Code writes to a hook's standard input. It has more members,
// and gets others with its versions.
type claudeInput struct {
	Event          string         `json:"hook_event_name"`
	Session        string         `json:"session_id"`
	Cwd            string         `json:"cwd"`
	PermissionMode string         `json:"permission_mode"`
	AgentID        string         `json:"agent_id"`   // of a subagent
	AgentType      string         `json:"agent_type"` // of a subagent
	Tool           string         `json:"tool_name"`
	Input          jsontext.Value `json:"tool_input"`
	CallID         string         `json:"tool_use_id"`
	Response       jsontext.Value `json:"tool_response"` // PostToolUse
	Error          jsontext.Value `json:"error"`         // PostToolUseFailure
}

// ReadClaude reads what Claude Code tells.
func ReadClaude(input []byte) (*Event, error) {
	var in claudeInput
	if err := jsonv2.Unmarshal(input, &in); err != nil {
		return nil, fmt.Errorf("what Claude Code told cannot be read: %w", err)
	}
	e := &Event{Call: helm.Call{Agent: ClaudeCode, Session: name(in.Session), CallID: name(in.CallID), Tool: claudeTool(in.Tool)}}
	if in.Session == "" {
		return nil, errors.New("what Claude Code told has no session_id")
	}
	switch in.Event {
	case "PreToolUse":
		e.Moment = Before
	case "PostToolUse":
		e.Moment, e.Status, e.Result = After, helm.OutcomeOK, json.RawMessage(in.Response)
	case "PostToolUseFailure":
		e.Moment, e.Status, e.Result = After, helm.OutcomeError, json.RawMessage(in.Error)
	case "SessionEnd":
		e.Moment = Ended
		return e, nil
	default:
		return nil, fmt.Errorf("the event %.40q is none that this hook is for: PreToolUse, PostToolUse, PostToolUseFailure and SessionEnd are", in.Event)
	}
	if in.Tool == "" || in.CallID == "" {
		return nil, fmt.Errorf("what Claude Code told of %s has no tool_name or no tool_use_id", in.Event)
	}
	var err error
	if e.Call.Arguments, err = object("tool_input", in.Input); err != nil {
		return nil, err
	}
	if len(e.Result) == 0 {
		e.Result = nil
	}
	context := map[string]string{}
	for key, v := range map[string]string{"cwd": in.Cwd, "permission_mode": in.PermissionMode, "subagent": in.AgentID, "subagent_type": in.AgentType} {
		if v != "" {
			context[key] = v
		}
	}
	e.Call.Context, err = jsonv2.Marshal(context, jsonv2.Deterministic(true))
	return e, err
}

// claudeTool is a tool's full name: of an MCP server's tool its server's, which Claude Code
// calls mcp__SERVER__TOOL, and of its own tools claude-code.
func claudeTool(s string) string {
	if rest, ok := strings.CutPrefix(s, "mcp__"); ok {
		if server, tool, ok := strings.Cut(rest, "__"); ok && server != "" && tool != "" && server != ClaudeCode {
			return name(server + "." + tool)
		}
	}
	return name(ClaudeCode + "." + s)
}
