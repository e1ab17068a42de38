package cli_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// An MCP server for scripts: its tools echo what they are told, fail, sleep, and end the
// server. The file description has that of echo, and tools.json more tools. With an
// address it serves Streamable HTTP there, to who sends the right X-Key.
func mcpServer() {
	s := mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	description := "Echoes"
	if b, err := os.ReadFile("description"); err == nil {
		description = string(b)
	}
	schema := json.RawMessage(`{"type":"object"}`)
	add := func(name, description string, f mcp.ToolHandler) {
		s.AddTool(&mcp.Tool{Name: name, Description: description, InputSchema: schema}, f)
	}
	text := func(s string) *mcp.CallToolResult {
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: s}}}
	}
	add("echo", description, func(_ context.Context, r *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return text(string(r.Params.Arguments)), nil
	})
	add("fail", "Fails", func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		res := text("it failed")
		res.IsError = true
		return res, nil
	})
	add("slow", "Takes its time", func(ctx context.Context, _ *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Minute):
			return text("done"), nil
		}
	})
	add("crash", "Ends the server", func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		os.Exit(7)
		return nil, nil
	})
	if b, err := os.ReadFile("tools.json"); err == nil {
		var more []*mcp.Tool
		if err := json.Unmarshal(b, &more); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		for _, t := range more {
			s.AddTool(t, func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) { return text("done"), nil })
		}
	}
	fmt.Fprintln(os.Stderr, "test server: up")
	if len(os.Args) > 1 {
		h := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s }, nil)
		err := http.ListenAndServe(os.Args[1], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Key") != "k1" {
				http.Error(w, "no key", http.StatusUnauthorized)
				return
			}
			h.ServeHTTP(w, r)
		}))
		fmt.Fprintln(os.Stderr, err)
		return
	}
	if err := s.Run(context.Background(), &mcp.StdioTransport{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// An MCP client for scripts: mcp-client [--elicit ACTION] [--version V] [--token T] STEP... -- COMMAND... or URL.
// A step is list, or a tool's name and its arguments.
func mcpClient() {
	if err := beClient(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "mcp-client:", err)
		os.Exit(1)
	}
}

func beClient(args []string) error {
	opts := &mcp.ClientOptions{}
	token := ""
	version := &mcp.ClientSessionOptions{}
	for len(args) > 1 && strings.HasPrefix(args[0], "--") && args[0] != "--" {
		switch args[0] {
		case "--elicit":
			action := args[1]
			opts.ElicitationHandler = func(_ context.Context, r *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
				fmt.Println("asked:", strings.ReplaceAll(r.Params.Message, "\n", " | "))
				return &mcp.ElicitResult{Action: action}, nil
			}
		case "--token":
			token = args[1]
		case "--version":
			version.ProtocolVersion = args[1]
		}
		args = args[2:]
	}
	opts.ProgressNotificationHandler = func(_ context.Context, r *mcp.ProgressNotificationClientRequest) {
		fmt.Println("progress:", r.Params.Message)
	}
	at := slices.Index(args, "--")
	cmd := exec.Command(args[at+1], args[at+2:]...)
	cmd.Stderr = os.Stderr
	transport := mcp.Transport(&mcp.CommandTransport{Command: cmd})
	if strings.HasPrefix(args[at+1], "http") {
		transport = &mcp.StreamableClientTransport{Endpoint: args[at+1], HTTPClient: &http.Client{Transport: bearer(token)}, MaxRetries: -1}
	}
	ctx := context.Background()
	s, err := mcp.NewClient(&mcp.Implementation{Name: "script", Version: "1"}, opts).Connect(ctx, transport, version)
	if err != nil {
		return err
	}
	defer s.Close()
	for i, step := range args[:at] {
		name, arguments, _ := strings.Cut(step, " ")
		if name == "list" {
			for t, err := range s.Tools(ctx, nil) {
				if err != nil {
					return err
				}
				fmt.Println("tool:", t.Name)
			}
			continue
		}
		ctx, stop := context.WithCancel(ctx)
		if cut, ok := strings.CutPrefix(arguments, "cancel "); ok {
			arguments = cut
			time.AfterFunc(300*time.Millisecond, stop)
		}
		if arguments == "" {
			arguments = "{}"
		}
		params := &mcp.CallToolParams{Name: name, Arguments: json.RawMessage(arguments)}
		params.SetProgressToken(i)
		res, err := s.CallTool(ctx, params)
		stop()
		switch {
		case errors.Is(err, context.Canceled):
			fmt.Println("cancelled")
			continue
		case err != nil:
			return err
		}
		fmt.Printf("%s: error=%t %s\n", name, res.IsError, res.Content[0].(*mcp.TextContent).Text)
	}
	return nil
}

// A bearer sends a token.
type bearer string

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if b != "" {
		r.Header.Set("Authorization", "Bearer "+string(b))
	}
	return http.DefaultTransport.RoundTrip(r)
}
