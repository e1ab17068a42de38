// Package hosttest runs real hosts of agents against a scripted stand-in for their model,
// with the kernel's hooks between. make test-hosts installs them.
package hosttest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// A step is what the model does: a tool call, or, without a tool, its last word.
type step struct {
	tool  string
	input map[string]any
}

// A model plays steps to Claude Code, and keeps what it is told of each.
type model struct {
	mu      sync.Mutex
	steps   []step
	results []string // of tool calls, as they came back
}

func (m *model) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if !strings.HasSuffix(r.URL.Path, "/v1/messages") {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"input_tokens":1}`)
		return
	}
	var req struct {
		Stream   bool `json:"stream"`
		Tools    []struct{ Name string }
		Messages []struct {
			Role    string
			Content json.RawMessage
		}
	}
	json.Unmarshal(body, &req)
	if len(req.Tools) == 0 { // a title, or something else beside the task
		m.answer(w, 0, step{})
		return
	}
	var told []string // of the tool calls that this conversation has had
	for _, msg := range req.Messages {
		var blocks []struct {
			Type    string
			Content json.RawMessage
			IsError bool `json:"is_error"`
		}
		json.Unmarshal(msg.Content, &blocks)
		for _, b := range blocks {
			if b.Type == "tool_result" {
				told = append(told, fmt.Sprintf("error=%t %s", b.IsError, b.Content))
			}
		}
	}
	m.mu.Lock()
	if len(told) > len(m.results) {
		m.results = told
	}
	m.mu.Unlock()
	next := step{}
	if len(told) < len(m.steps) {
		next = m.steps[len(told)]
	}
	m.answer(w, len(told)+1, next)
}

func (m *model) told() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.results...)
}

// answer streams a message, as the Messages API does.
func (m *model) answer(w http.ResponseWriter, n int, s step) {
	w.Header().Set("Content-Type", "text/event-stream")
	event := func(kind string, v map[string]any) {
		v["type"] = kind
		b, _ := json.Marshal(v)
		fmt.Fprintf(w, "event: %s\ndata: %s\n\n", kind, b)
	}
	type obj = map[string]any
	event("message_start", obj{"message": obj{"id": "msg_1", "type": "message", "role": "assistant", "model": "stand-in", "content": []any{}, "stop_reason": nil, "stop_sequence": nil,
		"usage": obj{"input_tokens": 1, "output_tokens": 1}}})
	stop := "end_turn"
	if s.tool == "" {
		event("content_block_start", obj{"index": 0, "content_block": obj{"type": "text", "text": ""}})
		event("content_block_delta", obj{"index": 0, "delta": obj{"type": "text_delta", "text": "That is all."}})
	} else {
		stop = "tool_use"
		b, _ := json.Marshal(s.input)
		id := fmt.Sprintf("toolu_%02d", n)
		event("content_block_start", obj{"index": 0, "content_block": obj{"type": "tool_use", "id": id, "name": s.tool, "input": obj{}}})
		event("content_block_delta", obj{"index": 0, "delta": obj{"type": "input_json_delta", "partial_json": string(b)}})
	}
	event("content_block_stop", obj{"index": 0})
	event("message_delta", obj{"delta": obj{"stop_reason": stop, "stop_sequence": nil}, "usage": obj{"output_tokens": 1}})
	event("message_stop", obj{})
}
