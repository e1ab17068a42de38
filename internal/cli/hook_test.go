package cli_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel/internal/cli"
)

const hookInput = `{"session_id":"s","cwd":"/srv","hook_event_name":"PreToolUse","tool_name":"Bash","tool_input":{"command":"ls"},"tool_use_id":"t1"}`

// TestHookBlocks: whatever a server answers that is no ALLOW of the kernel blocks the call,
// with Claude Code's one exit code for that, and in time.
func TestHookBlocks(t *testing.T) {
	gone := make(chan struct{})
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"verdict":"ALLOW","enforced":true}`) }))
	defer elsewhere.Close()
	for name, answer := range map[string]http.HandlerFunc{
		"hangs": func(w http.ResponseWriter, r *http.Request) { <-gone },
		"hangs halfway": func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, `{"verdict":"AL`)
			w.(http.Flusher).Flush()
			<-gone
		},
		"drips": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				fmt.Fprint(w, " ")
				w.(http.Flusher).Flush()
				time.Sleep(10 * time.Millisecond)
			}
		},
		"says nothing":             func(http.ResponseWriter, *http.Request) {},
		"says an empty object":     func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{}`) },
		"says another verdict":     func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"verdict":"allow"}`) },
		"says no verdict":          func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"enforced":false}`) },
		"denies":                   func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"verdict":"DENY","enforced":true}`) },
		"escalates":                func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"verdict":"ESCALATE","enforced":true}`) },
		"is a web page":            func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `<html>ALLOW</html>`) },
		"fails":                    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500); fmt.Fprint(w, `{"verdict":"ALLOW"}`) },
		"has no such page":         func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) },
		"breaks off":               func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) },
		"sends the call elsewhere": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) },
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(answer)
			defer server.Close()
			defer server.CloseClientConnections()
			t.Setenv("HELM_HOME", t.TempDir())
			var out, errs bytes.Buffer
			began := time.Now()
			code := cli.Main([]string{"hook", "claude-code", "--server", server.URL, "--timeout", "300ms", "--wait", "0"}, strings.NewReader(hookInput), &out, &errs)
			if code != 2 || out.Len() > 0 || errs.Len() == 0 {
				t.Errorf("exit %d, %q, %q", code, out.String(), errs.String())
			}
			if d := time.Since(began); d > 5*time.Second {
				t.Errorf("it took %s", d)
			}
			if strings.Contains(name, "hangs") {
				select {
				case gone <- struct{}{}:
				case <-time.After(5 * time.Second):
				}
			}
		})
	}
}
