// Package hook reads what agents' hosts tell their hooks, and writes what they understand
// as an answer. It decides nothing. A host goes on with a call when its hook fails in a way
// that it does not know, so every way in which this can end is one of the host's own.
package hook

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/helm-ai-kernel/helm-ai-kernel"
)

// MaxInput is how much a host may tell: a call's arguments and a result, and room for
// what stands around them.
const MaxInput = 4 << 20

// A Host is a program that runs an agent, and calls a hook before and after its tools.
type Host struct {
	Name   string // in agents, tools and commands
	Title  string
	Events string // the host's own names of the moments

	read func(h *Host, input []byte, here string) (*Event, error)

	// Allow is the answer by which a call goes on, and Block those by which it does not, in
	// the order in which they are tried: the next where one could not be written.
	Allow func(Moment) Answer
	Block func(reason string) []Answer
}

// Read reads what the host tells. Here is the hook's own working folder.
func (h *Host) Read(input []byte, here string) (*Event, error) { return h.read(h, input, here) }

// Hosts are the hosts that are known here.
var Hosts = []*Host{ClaudeCode, Codex, Gemini, Cursor}

// An Answer is what a hook writes, and the code it ends with. Where it writes to both
// outputs, either is enough.
type Answer struct {
	Out, Err string
	Exit     int
}

// exitBlock is the exit code that blocks a call: the only one, of most hosts.
const exitBlock = 2

// silence is the answer of a hook that has nothing against a call. The host's own
// permissions still hold.
func silence(Moment) Answer { return Answer{} }

// A Moment is when a hook is called.
type Moment int

// The moments.
const (
	Before Moment = iota // a call waits for the hook
	After                // it ran, well or not
	Ended                // the session ended
)

// An Event is what a host told.
type Event struct {
	Moment Moment
	Call   helm.Call          // without principal and boundary
	Match  string             // of a call that the host gives no id: what it tells of it before and after (see Calls)
	Status helm.OutcomeStatus // After
	Result json.RawMessage    // After: what came of it
}

func (h *Host) unmarshal(input []byte, v any) error {
	if err := jsonv2.Unmarshal(input, v); err != nil {
		return fmt.Errorf("what %s told cannot be read: %w", h.Title, err)
	}
	return nil
}

func (h *Host) notOurs(event string) error {
	return fmt.Errorf("the event %.40q is none that this hook is for: %s are", event, h.Events)
}

// toolName is a tool's full name: of the host's own its host's, and SERVER.TOOL of an MCP
// server's, which Claude Code and Codex call mcp__SERVER__TOOL.
func toolName(host, s string) string {
	if rest, ok := strings.CutPrefix(s, "mcp__"); ok {
		if server, tool, ok := strings.Cut(rest, "__"); ok {
			return mcpName(host, s, server, tool)
		}
	}
	return helm.Name(host + "." + s)
}

// mcpName is SERVER.TOOL, or what the host calls it where that could be another's: a server
// named as a host is, whose tools would be taken for that host's own, or with a dot, which
// would be taken for a server of a shorter name.
func mcpName(host, s, server, tool string) string {
	if slices.Contains([]string{nameClaudeCode, nameCodex, nameGemini, nameCursor}, server) || strings.Contains(server, ".") {
		server = ""
	}
	if server == "" || tool == "" {
		return helm.Name(host + "." + s)
	}
	return helm.Name(server + "." + tool)
}

// object is a value that must be an object, {} where it is absent or null.
func object(what string, v jsontext.Value) (json.RawMessage, error) {
	switch {
	case len(v) == 0 || v.Kind() == 'n':
		return json.RawMessage(`{}`), nil
	case v.Kind() != '{':
		return nil, fmt.Errorf("%s is no object", what)
	}
	return json.RawMessage(v), nil
}

// callContext is what is known around a call; what is empty is left out.
func callContext(known map[string]string) (json.RawMessage, error) {
	said := map[string]string{}
	for key, v := range known {
		if v != "" {
			said[key] = v
		}
	}
	return jsonv2.Marshal(said, jsonv2.Deterministic(true))
}

// TooLarge stands for a result that is too large for the log: its length and its hash.
func TooLarge(result json.RawMessage) json.RawMessage {
	return fmt.Appendf(nil, `{"too_large":{"bytes":%d,"sha256":"%x"}}`, len(result), sha256.Sum256(result))
}

// line is a value as one line of JSON.
func line(v any) string {
	b, err := jsonv2.Marshal(v, jsonv2.Deterministic(true), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		panic(err) // strings
	}
	return string(b) + "\n"
}
