package hook

import (
	"encoding/json"
	"errors"
	"fmt"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/helm-ai-kernel/helm-ai-kernel"
)

const nameGemini = "gemini"

// Gemini CLI blocks a call when its hook's standard output is JSON that denies it, or, where
// that is empty, when standard error has a text and the exit code is 2. It goes on with one
// whose hook says nothing at all, whatever its exit code, or takes too long.
var Gemini = &Host{Name: nameGemini, Title: "Gemini CLI", Events: "BeforeTool, AfterTool and SessionEnd", read: readGemini, Allow: silence,
	Block: func(reason string) []Answer {
		return []Answer{{Out: line(map[string]any{"decision": "deny", "reason": reason}), Err: reason + "\n", Exit: exitBlock}}
	}}

type geminiInput struct {
	Event   string         `json:"hook_event_name"`
	Session string         `json:"session_id"`
	Cwd     string         `json:"cwd"`
	Tool    string         `json:"tool_name"`
	Input   jsontext.Value `json:"tool_input"`
	MCP     struct {
		Server string `json:"server_name"`
		Tool   string `json:"tool_name"`
	} `json:"mcp_context"`
	Response jsontext.Value `json:"tool_response"` // AfterTool
}

func readGemini(h *Host, input []byte, _ string) (*Event, error) {
	var in geminiInput
	if err := h.unmarshal(input, &in); err != nil {
		return nil, err
	}
	if in.Session == "" {
		return nil, fmt.Errorf("what %s told has no session_id", h.Title)
	}
	e := &Event{Call: helm.Call{Agent: h.Name, Session: helm.Name(in.Session), Tool: helm.Name(h.Name + "." + in.Tool)}}
	switch in.Event {
	case "BeforeTool":
		e.Moment = Before
	case "AfterTool":
		e.Moment, e.Result = After, json.RawMessage(in.Response)
		var err error
		if e.Status, err = geminiStatus(in.Response); err != nil {
			return nil, err
		}
	case "SessionEnd":
		e.Moment = Ended
		return e, nil
	default:
		return nil, h.notOurs(in.Event)
	}
	if in.Tool == "" {
		return nil, fmt.Errorf("what %s told of %s has no tool_name", h.Title, in.Event)
	}
	if in.MCP.Server != "" {
		e.Call.Tool = mcpName(h.Name, in.Tool, in.MCP.Server, in.MCP.Tool)
	}
	var err, cerr, merr error
	e.Call.Arguments, err = object("tool_input", in.Input)
	e.Call.Context, cerr = callContext(map[string]string{"cwd": in.Cwd})
	if err == nil {
		e.Match, merr = match(e.Call.Tool, e.Call.Arguments)
	}
	return e, errors.Join(err, cerr, merr)
}

// geminiStatus: a tool that failed has an error in its response. A command that ran and
// failed has none.
func geminiStatus(response jsontext.Value) (helm.OutcomeStatus, error) {
	r, err := object("tool_response", response)
	if err != nil {
		return "", err
	}
	var v struct {
		Error jsontext.Value `json:"error"`
	}
	if err := jsonv2.Unmarshal(r, &v); err != nil {
		return "", fmt.Errorf("tool_response cannot be read: %w", err)
	}
	if len(v.Error) > 0 && v.Error.Kind() != 'n' {
		return helm.OutcomeError, nil
	}
	return helm.OutcomeOK, nil
}
