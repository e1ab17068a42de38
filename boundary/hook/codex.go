package hook

import (
	"encoding/json"
	"errors"
	"fmt"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const nameCodex = "codex"

// Codex blocks a call at exit code 2 with a text on standard error, and only with one, or
// at exit code 0 with a denial on standard output. It takes everything else, an "ask" and a
// bare "allow" among it, for a hook that failed, and goes on with the call.
var Codex = &Host{Name: nameCodex, Title: "Codex", Events: "PreToolUse, PostToolUse and SessionEnd",
	read: readCodex, Allow: silence,
	Block: func(reason string) []Answer {
		return []Answer{
			{Err: reason + "\n", Exit: exitBlock},
			{Out: line(map[string]any{"hookSpecificOutput": map[string]any{
				"hookEventName": "PreToolUse", "permissionDecision": "deny", "permissionDecisionReason": reason}})},
		}
	}}

func readCodex(h *Host, input []byte, here string) (*Event, error) {
	var in claudeInput
	if err := h.unmarshal(input, &in); err != nil {
		return nil, err
	}
	if in.Event == "PostToolUseFailure" {
		return nil, h.notOurs(in.Event) // it has none: a command that failed is told as one that ran
	}
	if in.AgentID != "" && in.CallID != "" {
		in.CallID = in.AgentID + "/" + in.CallID // its session is its parent's, and ids come from the model of each
	}
	if in.Tool == "Bash" {
		if err := in.shell(here); err != nil {
			return nil, err
		}
	}
	return in.event(h)
}

// shell makes exec_command's call of what Codex tells of a shell command. It calls each tool
// that runs one Bash, with the command alone, and the folder that the agent wants to run it
// in as the hook's cwd. The session's own folder is that in which the hook runs.
func (in *claudeInput) shell(here string) error {
	args := map[string]jsontext.Value{}
	if in.Input.Kind() == '{' {
		if err := jsonv2.Unmarshal(in.Input, &args); err != nil {
			return fmt.Errorf("tool_input cannot be read: %w", err)
		}
	}
	if args["command"] == nil || args["cmd"] != nil || args["workdir"] != nil {
		return errors.New("tool_input of Bash is not a command and no cmd and no workdir, as Codex tells it")
	}
	args["cmd"] = args["command"]
	delete(args, "command")
	if here != "" && in.Cwd != "" && in.Cwd != here {
		folder, err := json.Marshal(in.Cwd)
		if err != nil {
			return err
		}
		args["workdir"], in.Cwd = folder, here
	}
	var err error
	in.Tool = "exec_command"
	in.Input, err = jsonv2.Marshal(args, jsonv2.Deterministic(true))
	return err
}
