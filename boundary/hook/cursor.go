package hook

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/helm-ai-kernel/helm-ai-kernel"
)

const nameCursor = "cursor"

// Cursor blocks a call at exit code 2, and when its hook's standard output is JSON that
// denies it; older versions know only the second. Otherwise it goes on, unless the hook's
// settings say failClosed: then a hook that says nothing blocks too, so that an allowed call
// needs an answer. Its own approvals still hold.
var Cursor = &Host{Name: nameCursor, Title: "Cursor", read: readCursor,
	Events: "preToolUse, postToolUse, postToolUseFailure, beforeShellExecution, afterShellExecution, beforeMCPExecution, afterMCPExecution, " +
		"beforeReadFile, beforeTabFileRead and sessionEnd",
	Allow: func(m Moment) Answer {
		if m != Before {
			return Answer{Out: "{}\n"}
		}
		return Answer{Out: line(map[string]any{"permission": "allow"})}
	},
	Block: func(reason string) []Answer {
		return []Answer{{Out: line(map[string]any{"permission": "deny", "user_message": reason, "agent_message": reason}), Err: reason + "\n", Exit: exitBlock}}
	}}

// cursorInput has the members of all events; each has some.
type cursorInput struct {
	Event        string         `json:"hook_event_name"`
	Conversation string         `json:"conversation_id"`
	Session      string         `json:"session_id"` // the same; at the end of a session it need not have the other
	Generation   string         `json:"generation_id"`
	Roots        []string       `json:"workspace_roots"`
	Cwd          string         `json:"cwd"`
	Tool         string         `json:"tool_name"`
	Input        jsontext.Value `json:"tool_input"` // a string with JSON, of an MCP server's tool
	CallID       string         `json:"tool_use_id"`
	Command      string         `json:"command"` // of a shell, and the one that started an MCP server
	URL          string         `json:"url"`     // of an MCP server
	File         string         `json:"file_path"`

	Output      jsontext.Value `json:"tool_output"` // postToolUse
	ShellOutput jsontext.Value `json:"output"`      // afterShellExecution
	MCPResult   jsontext.Value `json:"result_json"` // afterMCPExecution
	Error       jsontext.Value `json:"error_message"`
	Failure     string         `json:"failure_type"`
}

var cursorMoments = map[string]Moment{
	"preToolUse": Before, "postToolUse": After, "postToolUseFailure": After,
	"beforeShellExecution": Before, "afterShellExecution": After,
	"beforeMCPExecution": Before, "afterMCPExecution": After,
	"beforeReadFile": Before, "beforeTabFileRead": Before, // of which nothing is told after
	"sessionEnd": Ended,
}

func readCursor(h *Host, input []byte, _ string) (*Event, error) {
	var in cursorInput
	if err := h.unmarshal(input, &in); err != nil {
		return nil, err
	}
	moment, ok := cursorMoments[in.Event]
	session := cmp.Or(in.Conversation, in.Session)
	switch {
	case session == "":
		return nil, fmt.Errorf("what %s told has no conversation_id", h.Title)
	case !ok:
		return nil, h.notOurs(in.Event)
	}
	e := &Event{Moment: moment, Call: helm.Call{Agent: h.Name, Session: helm.Name(session), CallID: helm.Name(in.CallID)}}
	if moment == Ended {
		return e, nil
	}
	var err, cerr error
	if in.Tool, e.Call.Arguments, err = in.call(); err != nil {
		return nil, fmt.Errorf("what %s told of %s: %w", h.Title, in.Event, err)
	}
	e.Call.Tool = helm.Name(h.Name + "." + in.Tool)
	if in.CallID == "" && in.File == "" {
		if e.Match, err = match(in.Tool, e.Call.Arguments, in.Generation); err != nil {
			return nil, err
		}
	}
	switch {
	case moment == After:
		e.Status, e.Result = in.outcome()
	case in.Tool == "Shell":
		e.Call.Arguments, err = in.inFolder(e.Call.Arguments)
	}
	e.Call.Context, cerr = callContext(map[string]string{"cwd": in.root(), "mcp_url": in.mcp(in.URL), "mcp_command": in.mcp(in.Command)})
	return e, errors.Join(err, cerr)
}

// call is the tool that is called, and its arguments.
func (in *cursorInput) call() (tool string, arguments json.RawMessage, err error) {
	switch in.Event {
	case "beforeShellExecution", "afterShellExecution":
		if in.Command == "" {
			return "", nil, errors.New("there is no command")
		}
		arguments, err = jsonv2.Marshal(map[string]string{"command": in.Command})
		return "Shell", arguments, err
	case "beforeReadFile", "beforeTabFileRead": // what is in the file is no argument
		if in.File == "" {
			return "", nil, errors.New("there is no file_path")
		}
		arguments, err = jsonv2.Marshal(map[string]string{"file_path": in.File})
		return map[bool]string{true: "Read", false: "TabRead"}[in.Event == "beforeReadFile"], arguments, err
	}
	in.File = ""
	if in.Tool == "" {
		return "", nil, errors.New("there is no tool_name")
	}
	tool = in.Tool
	if strings.HasSuffix(in.Event, "MCPExecution") {
		tool = "MCP:" + tool // as it is called by preToolUse
		if in.Input.Kind() == '"' {
			var s string
			if err := jsonv2.Unmarshal(in.Input, &s); err != nil {
				return "", nil, err
			}
			if in.Input = jsontext.Value(s); !in.Input.IsValid() {
				return "", nil, errors.New("tool_input is a string that is no JSON")
			}
		}
	}
	arguments, err = object("tool_input", in.Input)
	return tool, arguments, err
}

func (in *cursorInput) outcome() (helm.OutcomeStatus, json.RawMessage) {
	status, result := helm.OutcomeOK, in.Output
	switch in.Event {
	case "afterShellExecution":
		result = in.ShellOutput
	case "afterMCPExecution":
		result = in.MCPResult
	case "postToolUseFailure":
		status, result = helm.OutcomeError, in.Error
		switch in.Failure {
		case "timeout":
			status = helm.OutcomeTimeout
		case "permission_denied":
			status = helm.OutcomeNotExecuted
		}
	}
	if len(result) == 0 {
		return status, nil
	}
	return status, json.RawMessage(result)
}

// root is the session's folder: the workspace's, and the call's own where there is none.
func (in *cursorInput) root() string {
	if len(in.Roots) > 0 {
		return in.Roots[0]
	}
	return in.Cwd
}

// inFolder adds the folder that a command runs in where that is not the session's: who asks
// chooses it.
func (in *cursorInput) inFolder(arguments json.RawMessage) (json.RawMessage, error) {
	args := map[string]jsontext.Value{}
	if err := jsonv2.Unmarshal(arguments, &args); err != nil {
		return nil, err
	}
	if in.Cwd == "" || in.Cwd == in.root() || args["working_directory"] != nil {
		return arguments, nil
	}
	var err error
	if args["working_directory"], err = jsonv2.Marshal(in.Cwd); err != nil {
		return nil, err
	}
	return jsonv2.Marshal(args, jsonv2.Deterministic(true))
}

// mcp is what is known of an MCP server, and nothing of any other tool.
func (in *cursorInput) mcp(s string) string {
	if strings.HasSuffix(in.Event, "MCPExecution") {
		return s
	}
	return ""
}
