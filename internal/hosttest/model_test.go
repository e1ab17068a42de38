// Package hosttest runs real hosts of agents against a scripted stand-in for their model,
// with the kernel's hooks between. make test-hosts installs them.
package hosttest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"
)

type obj = map[string]any

// A step is what the model does: a tool call, or, without a tool, its last word. A function
// among the arguments is none: it is called before the step.
type step struct {
	tool  string
	input obj
}

// A found is an argument that is found in what the model was told last, by its one group.
type found string

func (f found) in(s string) string {
	if got := regexp.MustCompile(string(f)).FindStringSubmatch(s); got != nil {
		return got[1]
	}
	return ""
}

// A model plays steps to a host, and keeps what it is told of each.
type model struct {
	mu      sync.Mutex
	steps   []step
	results []string // of tool calls, as they came back
	below   *model   // of the subagent whose task is subtask
}

const subtask = "This is for a subagent."

// next is the step after those of which the model was told, in a conversation that began with
// those words.
func (m *model) next(began string, told []string) step {
	if m.below != nil && strings.Contains(began, subtask) {
		return m.below.next("", told)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(told) > len(m.results) {
		m.results = told
	}
	if len(told) >= len(m.steps) {
		return step{}
	}
	s := m.steps[len(told)]
	last := ""
	if len(told) > 0 {
		last = told[len(told)-1]
	}
	for arg, v := range s.input {
		switch v := v.(type) {
		case func():
			delete(s.input, arg)
			v()
		case found:
			s.input[arg] = json.Number(v.in(last))
		case []found:
			s.input[arg] = []string{v[0].in(last)}
		}
	}
	return s
}

func (m *model) told() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.results...)
}

// messages speaks Anthropic's Messages API, streamed.
func (m *model) messages(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, "/v1/messages") {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"input_tokens":1}`)
		return
	}
	var req struct {
		Tools    []struct{ Name string }
		Messages []struct{ Content json.RawMessage }
	}
	read(r, &req)
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
	s := step{} // of a title, or something else beside the task
	if len(req.Tools) > 0 {
		s = m.next(string(req.Messages[0].Content), told)
	}
	event := stream(w)
	event("message_start", obj{"message": obj{"id": "msg_1", "type": "message", "role": "assistant", "model": "stand-in", "content": []any{}, "stop_reason": nil, "stop_sequence": nil,
		"usage": obj{"input_tokens": 1, "output_tokens": 1}}})
	stop := "end_turn"
	if s.tool == "" {
		event("content_block_start", obj{"index": 0, "content_block": obj{"type": "text", "text": ""}})
		event("content_block_delta", obj{"index": 0, "delta": obj{"type": "text_delta", "text": "That is all."}})
	} else {
		stop = "tool_use"
		event("content_block_start", obj{"index": 0, "content_block": obj{"type": "tool_use", "id": fmt.Sprintf("toolu_%d", time.Now().UnixNano()), "name": s.tool, "input": obj{}}})
		event("content_block_delta", obj{"index": 0, "delta": obj{"type": "input_json_delta", "partial_json": text(s.input)}})
	}
	event("content_block_stop", obj{"index": 0})
	event("message_delta", obj{"delta": obj{"stop_reason": stop, "stop_sequence": nil}, "usage": obj{"output_tokens": 1}})
	event("message_stop", obj{})
}

// responses speaks OpenAI's Responses API, streamed.
func (m *model) responses(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, "/responses") {
		http.NotFound(w, r)
		return
	}
	var req struct {
		Input []struct {
			Type    string
			Content json.RawMessage
			Output  json.RawMessage
		}
	}
	read(r, &req)
	var told []string
	began := ""
	for _, in := range req.Input {
		if in.Type == "message" {
			began += string(in.Content)
		}
		if in.Type == "function_call_output" || in.Type == "custom_tool_call_output" {
			told = append(told, string(in.Output))
		}
	}
	s := m.next(began, told)
	event := stream(w)
	id := fmt.Sprintf("resp_%d", len(told))
	event("response.created", obj{"response": obj{"id": id}})
	if s.tool == "" {
		event("response.output_item.done", obj{"item": obj{"type": "message", "role": "assistant", "id": "msg_1", "content": []any{obj{"type": "output_text", "text": "That is all."}}}})
	} else {
		item := obj{"type": "function_call", "name": s.tool, "arguments": text(s.input), "call_id": fmt.Sprintf("call_%02d", len(told)+1)}
		if space, tool, ok := strings.Cut(s.tool, "/"); ok {
			item["namespace"], item["name"] = space, tool
		}
		if s.tool == "apply_patch" { // it has a text for its arguments
			item["type"], item["input"] = "custom_tool_call", s.input["input"]
			delete(item, "arguments")
		}
		event("response.output_item.done", obj{"item": item})
	}
	event("response.completed", obj{"response": obj{"id": id, "usage": obj{"input_tokens": 1, "input_tokens_details": nil, "output_tokens": 1, "output_tokens_details": nil, "total_tokens": 2}}})
}

// generateContent speaks Google's Gemini API, streamed or not.
func (m *model) generateContent(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, "enerateContent") {
		http.NotFound(w, r)
		return
	}
	var req struct {
		Tools    []json.RawMessage
		Contents []struct {
			Parts []struct {
				Text             string
				FunctionResponse struct{ Response json.RawMessage }
			}
		}
	}
	read(r, &req)
	var told []string
	began := ""
	for _, c := range req.Contents {
		for _, p := range c.Parts {
			began += p.Text
			if p.FunctionResponse.Response != nil {
				told = append(told, string(p.FunctionResponse.Response))
			}
		}
	}
	s := step{}
	if len(req.Tools) > 0 {
		s = m.next(began, told)
	}
	part := obj{"text": "That is all."}
	if s.tool != "" {
		part = obj{"functionCall": obj{"name": s.tool, "args": s.input}}
	}
	answer := text(obj{"candidates": []any{obj{"content": obj{"role": "model", "parts": []any{part}}, "finishReason": "STOP", "index": 0}},
		"usageMetadata": obj{"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}, "modelVersion": "stand-in"})
	if strings.Contains(r.URL.Path, ":stream") {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "data: %s\n\n", answer)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, answer)
}

func read(r *http.Request, v any) {
	body, _ := io.ReadAll(r.Body)
	json.Unmarshal(body, v)
}

func text(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

// stream returns what writes one event.
func stream(w http.ResponseWriter) func(kind string, v obj) {
	w.Header().Set("Content-Type", "text/event-stream")
	return func(kind string, v obj) {
		v["type"] = kind
		fmt.Fprintf(w, "event: %s\ndata: %s\n\n", kind, text(v))
	}
}
