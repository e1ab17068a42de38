package hosts

import (
	"encoding/json"
	"fmt"
	"strings"
)

// CanaryTool is a tool that no host has and no policy has a reason to allow.
const CanaryTool = "helm_doctor_canary"

// Canary is what the host would tell its hook of a call of CanaryTool.
func (h *Host) Canary(id, folder string) []byte {
	in := map[string]any{"session_id": "doctor-" + id, "cwd": folder, "hook_event_name": h.Before, "tool_name": CanaryTool,
		"tool_input": map[string]string{"says": "this call is never made"}, "tool_use_id": "canary-" + id}
	if h.flat {
		in["conversation_id"], in["generation_id"], in["workspace_roots"] = in["session_id"], "canary-"+id, []string{folder}
	}
	b, err := json.Marshal(in)
	if err != nil {
		panic(err) // strings
	}
	return append(b, '\n')
}

// Blocked says whether the host takes what came of a hook for a block, and if not, why it
// would go on with the call. internal/hosttest holds the hosts themselves against it.
func (h *Host) Blocked(exit int, stdout, stderr string) (bool, string) {
	denies := h.denies(stdout)
	switch h {
	case ClaudeCode:
		denies = exit == 2 || exit == 0 && denies
	case Codex:
		denies = exit == 2 && strings.TrimSpace(stderr) != "" || exit == 0 && denies
	case Gemini: // what its hook prints goes before the exit code
		denies = denies || exit == 2 && !json.Valid([]byte(stdout)) && strings.TrimSpace(stdout+stderr) != ""
	case Cursor:
		denies = exit == 2 || exit == 0 && denies
	}
	if denies {
		return true, ""
	}
	return false, fmt.Sprintf("it ended with exit code %d and no denial that %s takes for one", exit, h.Title)
}

// denies reports whether a hook's standard output denies in the host's JSON.
func (h *Host) denies(stdout string) bool {
	var out struct {
		Decision   string `json:"decision"`
		Permission string `json:"permission"`
		Specific   struct {
			Decision string `json:"permissionDecision"`
		} `json:"hookSpecificOutput"`
	}
	if json.Unmarshal([]byte(stdout), &out) != nil {
		return false
	}
	switch h {
	case Cursor:
		return out.Permission == "deny"
	case Gemini:
		return out.Decision == "deny" || out.Decision == "block"
	}
	return out.Specific.Decision == "deny"
}
