package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// beMCP is an MCP server with one tool, which does nothing.
func beMCP() error {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var m struct {
			ID     json.RawMessage `json:"id"`
			Method string          `json:"method"`
		}
		if err := json.Unmarshal(in.Bytes(), &m); err != nil {
			return err
		}
		result := `{"content":[{"type":"text","text":"transferred"}]}`
		switch {
		case m.ID == nil:
			continue
		case m.Method == "initialize":
			result = `{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"bench","version":"1"}}`
		case m.Method == "tools/list":
			result = `{"tools":[{"name":"transfer","inputSchema":{"type":"object"}}]}`
		}
		fmt.Printf("{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":%s}\n", m.ID, result)
	}
	return in.Err()
}

// overMCP compares calls of an MCP server over stdio with the same behind mcp wrap, less the
// decision itself.
func overMCP(ctx context.Context, dir string) error {
	s, err := open(ctx, filepath.Join(dir, "mcp"))
	if err != nil {
		return err
	}
	defer s.close()
	address, stop, err := serve(s)
	if err != nil {
		return err
	}
	defer stop()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	server := []string{self, "-mcp"}
	wrapped := append([]string{filepath.Join(dir, "helm-ai-kernel"), "mcp", "wrap", "--home", filepath.Join(dir, "mcp", "home"), "--server", address, "--name", "pay", "--"}, server...)
	var decision time.Duration
	added, err := median(func() (float64, error) {
		r, err := runLoad(ctx, address, 1, 2000)
		if err != nil {
			return 0, err
		}
		direct, err := mcpCalls(ctx, server)
		if err != nil {
			return 0, err
		}
		through, err := mcpCalls(ctx, wrapped)
		decision = r.P50
		return float64(through - direct - r.P50), err
	})
	if err != nil {
		return err
	}
	got := time.Duration(added).Round(10 * time.Microsecond)
	row("an MCP call through mcp wrap, beyond its decision, p50", fmt.Sprintf("%s, beyond %s", got, decision.Round(10*time.Microsecond)), "<= 1ms", got <= time.Millisecond)
	return nil
}

// mcpCalls is the p50 of calls one after another.
func mcpCalls(ctx context.Context, command []string) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return 0, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	lines := bufio.NewReader(out)
	ask := func(id int, method, params string) (string, error) {
		if _, err := fmt.Fprintf(in, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":%q,\"params\":%s}\n", id, method, params); err != nil {
			return "", err
		}
		return lines.ReadString('\n')
	}
	took, err := func() (took []time.Duration, err error) {
		if _, err := ask(0, "initialize", `{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}`); err != nil {
			return nil, err
		}
		for i := range 2000 {
			began := time.Now()
			got, err := ask(i+1, "tools/call", fmt.Sprintf(`{"name":"transfer","arguments":%s}`, benchArguments(i)))
			if err != nil {
				return nil, err
			}
			if want := fmt.Sprintf("{\"jsonrpc\":\"2.0\",\"id\":%d,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"transferred\"}]}}\n", i+1); got != want {
				return nil, fmt.Errorf("call %d is answered %s", i+1, got)
			}
			took = append(took, time.Since(began))
		}
		return took, nil
	}()
	in.Close()
	if err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		return 0, err
	}
	if _, err := io.Copy(io.Discard, lines); err != nil {
		return 0, err
	}
	return quantile(took, 0.5), cmd.Wait()
}
