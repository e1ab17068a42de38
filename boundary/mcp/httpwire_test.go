package mcp

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// A server over HTTP by the SDK, whose tool slow ends only when it is cancelled.
func slowServer(t *testing.T) (url string, ended chan struct{}) {
	s := mcp.NewServer(&mcp.Implementation{Name: "slow", Version: "1"}, nil)
	ended = make(chan struct{})
	s.AddTool(&mcp.Tool{Name: "slow", InputSchema: map[string]any{"type": "object"}}, func(ctx context.Context, _ *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		<-ctx.Done()
		close(ended)
		return nil, ctx.Err()
	})
	srv := httptest.NewServer(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s }, nil))
	t.Cleanup(srv.CloseClientConnections)
	return srv.URL, ended
}

func read(t *testing.T, h *httpWire, want string) {
	t.Helper()
	got := make(chan string, 1)
	go func() {
		b, err := h.Read()
		got <- fmt.Sprint(string(b), err)
	}()
	select {
	case m := <-got:
		if !strings.Contains(m, want) {
			t.Fatalf("it says %s, want %s", m, want)
		}
	case <-time.After(5 * time.Second):
		t.Fatalf("it says nothing, want %s", want)
	}
}

func TestHTTPWire(t *testing.T) {
	url, ended := slowServer(t)
	h := newHTTPWire(url, nil)
	say := func(m string) {
		t.Helper()
		if err := h.Write([]byte(m)); err != nil {
			t.Fatal(err)
		}
	}
	say(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}`)
	read(t, h, `"protocolVersion":"2025-11-25"`)
	say(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	say(`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"slow","arguments":{}}}`)
	time.Sleep(200 * time.Millisecond)
	say(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}`)
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Fatal("the server was not told that the call is cancelled")
	}
	began := time.Now()
	h.Close()
	for {
		if _, err := h.Read(); err == io.EOF {
			break
		}
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %s to end", took)
	}
	if err := h.Write([]byte(`{"jsonrpc":"2.0","id":3,"method":"ping"}`)); err == nil {
		t.Error("it takes more")
	}
}

// Whatever a server over HTTP answers, a request has an answer.
func TestHTTPWireFails(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter)
		want   string
	}{
		"JSON": {func(w http.ResponseWriter) {
			say(w, 200, "application/json; charset=utf-8", ` {"jsonrpc":"2.0","id":2,"result":{}} `)
		}, `"result":{}`},
		"an event": {func(w http.ResponseWriter) {
			say(w, 200, "text/event-stream", "id: 1\r\n: comment\r\ndata: {\"jsonrpc\":\"2.0\",\r\ndata: \"id\":2,\"result\":{}}\r\n\r\n")
		}, `"result":{}`},
		"refused":   {func(w http.ResponseWriter) { say(w, 401, "text/plain", "who?") }, `it answered 401 Unauthorized`},
		"elsewhere": {func(w http.ResponseWriter) { w.Header().Set("Location", "http://127.0.0.1:1/"); say(w, 307, "", "") }, `it answered 307`},
		"nothing":   {func(w http.ResponseWriter) { say(w, 202, "", "") }, `broke off`},
		"no event":  {func(w http.ResponseWriter) { say(w, 200, "text/event-stream", "") }, `broke off`},
		"half an event": {func(w http.ResponseWriter) {
			say(w, 200, "text/event-stream", `data: {"jsonrpc":"2.0","id":2,"result":{}}`)
		}, `broke off`},
		"another's": {func(w http.ResponseWriter) { say(w, 200, "application/json", `{"jsonrpc":"2.0","id":3,"result":{}}`) }, `"id":3`},
		"an error's body": {func(w http.ResponseWriter) {
			say(w, 400, "application/json", `{"jsonrpc":"2.0","id":2,"error":{"code":-32602,"message":"no"}}`)
		}, `-32602`},
		"too much": {func(w http.ResponseWriter) {
			say(w, 200, "text/event-stream", "data: "+strings.Repeat("x", MaxMessage)+"\n\n")
		}, `more than`},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.answer(w) }))
			defer srv.Close()
			h := newHTTPWire(srv.URL, nil)
			if err := h.Write([]byte(`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"t"}}`)); err != nil {
				t.Fatal(err)
			}
			read(t, h, c.want)
			if name == "another's" {
				read(t, h, `broke off`)
			}
			h.Close()
		})
	}
	h := newHTTPWire("http://127.0.0.1:1/", nil)
	h.Write([]byte(`{"jsonrpc":"2.0","id":2,"method":"ping"}`))
	read(t, h, `cannot be reached`)
	h.Close()
}

func say(w http.ResponseWriter, status int, kind, body string) {
	if kind != "" {
		w.Header().Set("Content-Type", kind)
	}
	w.WriteHeader(status)
	io.WriteString(w, body)
}
