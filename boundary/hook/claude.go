package hook

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/helm-ai-kernel/helm-ai-kernel"
)

const nameClaudeCode = "claude-code"

// ClaudeCode blocks a call at exit code 2, and tells the agent what stands on standard error.
var ClaudeCode = &Host{Name: nameClaudeCode, Title: "Claude Code", Events: "PreToolUse, PostToolUse, PostToolUseFailure and SessionEnd",
	read: readClaude, Allow: silence,
	Block: func(reason string) []Answer { return []Answer{{Err: reason + "\n", Exit: exitBlock}} }}

// claudeInput is what Claude Code writes to a hook's standard input, and Codex, which
// follows it. It has more members, and gets others with its versions.
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

func readClaude(h *Host, input []byte, _ string) (*Event, error) {
	var in claudeInput
	if err := h.unmarshal(input, &in); err != nil {
		return nil, err
	}
	return in.event(h)
}

func (in *claudeInput) event(h *Host) (*Event, error) {
	e := &Event{Call: helm.Call{Agent: h.Name, Session: helm.Name(in.Session), CallID: helm.Name(in.CallID), Tool: toolName(h.Name, in.Tool)}}
	if in.Session == "" {
		return nil, fmt.Errorf("what %s told has no session_id", h.Title)
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
		return nil, h.notOurs(in.Event)
	}
	if in.Tool == "" || in.CallID == "" {
		return nil, fmt.Errorf("what %s told of %s has no tool_name or no tool_use_id", h.Title, in.Event)
	}
	var err, cerr error
	if len(e.Result) == 0 {
		e.Result = nil
	}
	e.Call.Arguments, err = object("tool_input", in.Input)
	e.Call.Context, cerr = callContext(map[string]string{"cwd": in.Cwd, "permission_mode": in.PermissionMode, "subagent": in.AgentID, "subagent_type": in.AgentType})
	return e, errors.Join(err, cerr)
}
