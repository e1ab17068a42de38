// Package bank is a small MCP server of a bank that is not there, and a client of it: what
// the boundary can be tried with. It knows nothing of the kernel.
package bank

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

type transferArgs struct {
	Amount int64  `json:"amount" jsonschema:"whole units"`
	To     string `json:"to" jsonschema:"the account that gets them"`
	Memo   string `json:"memo,omitempty"`
}

type closeArgs struct {
	Account string `json:"account"`
}

// Serve answers a client over in and out until it goes.
func Serve(ctx context.Context, in io.ReadCloser, out io.WriteCloser) error {
	var mu sync.Mutex
	balance := int64(5000)
	s := mcp.NewServer(&mcp.Implementation{Name: "example-bank", Version: "1"}, nil)
	mcp.AddTool(s, &mcp.Tool{Name: "transfer", Description: "Transfer money from acct_1."}, func(_ context.Context, _ *mcp.CallToolRequest, in transferArgs) (*mcp.CallToolResult, any, error) {
		mu.Lock()
		defer mu.Unlock()
		if in.Amount > balance {
			return nil, nil, fmt.Errorf("acct_1 has %d", balance)
		}
		balance -= in.Amount
		return text(fmt.Sprintf("%d went to %s, and acct_1 has %d", in.Amount, in.To, balance)), nil, nil
	})
	mcp.AddTool(s, &mcp.Tool{Name: "close_account", Description: "Close an account for good."}, func(_ context.Context, _ *mcp.CallToolRequest, in closeArgs) (*mcp.CallToolResult, any, error) {
		return text(in.Account + " is closed"), nil, nil
	})
	return s.Run(ctx, &mcp.IOTransport{Reader: in, Writer: out})
}

func text(s string) *mcp.CallToolResult {
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: s}}}
}

// A Client is a session with a server that was started.
type Client struct{ session *mcp.ClientSession }

// Dial starts a server and greets it.
func Dial(ctx context.Context, command *exec.Cmd) (*Client, error) {
	s, err := mcp.NewClient(&mcp.Implementation{Name: "demo", Version: "1"}, nil).Connect(ctx, &mcp.CommandTransport{Command: command}, nil)
	if err != nil {
		return nil, fmt.Errorf("start the MCP server: %w", err)
	}
	return &Client{s}, nil
}

// Close ends the session.
func (c *Client) Close() error { return c.session.Close() }

// Tools are the names of the server's tools.
func (c *Client) Tools(ctx context.Context) (names []string, err error) {
	for tool, err := range c.session.Tools(ctx, nil) {
		if err != nil {
			return nil, err
		}
		names = append(names, tool.Name)
	}
	return names, nil
}

// Call calls a tool, and returns what it says and whether that is an error.
func (c *Client) Call(ctx context.Context, tool string, args map[string]any) (said string, failed bool, err error) {
	res, err := c.session.CallTool(ctx, &mcp.CallToolParams{Name: tool, Arguments: args})
	if err != nil {
		return "", false, err
	}
	var parts []string
	for _, part := range res.Content {
		if t, ok := part.(*mcp.TextContent); ok {
			parts = append(parts, t.Text)
		}
	}
	return strings.Join(parts, "\n"), res.IsError, nil
}
