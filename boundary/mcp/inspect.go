package mcp

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/helm-ai-kernel/helm-ai-kernel"
)

// A Listed tool is what a server says of one of its tools.
type Listed struct {
	Name        string // escaped, without the server's
	SHA256      string // of the definition
	Description string
	Definition  string // as JSON, in the form that the hash is of
	Schema      jsontext.Value
	ReadOnly    bool // it says that it changes nothing
}

// Inspect starts a server, asks what tools it has, and ends it.
func Inspect(ctx context.Context, args []string, stderr io.Writer) ([]Listed, error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = stderr
	tap := &tap{Transport: &mcp.CommandTransport{Command: cmd}}
	s, err := mcp.NewClient(&mcp.Implementation{Name: "helm-ai-kernel", Version: "1"}, nil).Connect(ctx, tap, nil)
	if err != nil {
		return nil, fmt.Errorf("the MCP server cannot be asked: %w", err)
	}
	defer s.Close()
	if s.InitializeResult() == nil || s.InitializeResult().Capabilities.Tools == nil {
		return nil, nil
	}
	var out []Listed
	params := &mcp.ListToolsParams{}
	for range maxPages {
		res, err := s.ListTools(ctx, params)
		if err != nil {
			return nil, fmt.Errorf("the MCP server does not list its tools: %w", err)
		}
		tools, err := tap.tools()
		if err != nil {
			return nil, err
		}
		for i, tool := range tools {
			l, err := listed(tool)
			if err != nil {
				return nil, fmt.Errorf("tool %d: %w", len(out)+i+1, err)
			}
			out = append(out, *l)
		}
		if res.NextCursor == "" {
			return out, nil
		}
		params.Cursor = res.NextCursor
	}
	return nil, fmt.Errorf("the MCP server's list of tools has more than %d pages", maxPages)
}

func listed(tool jsontext.Value) (*Listed, error) {
	name, canonical, err := Definition(tool)
	if err != nil {
		return nil, err
	}
	l := &Listed{Name: helm.Name(name), SHA256: fmt.Sprintf("%x", sha256.Sum256(canonical)), Definition: string(canonical)}
	return l, members(tool, lenient, func(member string, v jsontext.Value) error {
		switch member {
		case "description":
			l.Description, _ = text(member, v)
		case "inputSchema":
			l.Schema = v
		case "annotations":
			var says struct {
				ReadOnlyHint bool `json:"readOnlyHint"`
			}
			l.ReadOnly = json.Unmarshal(v, &says) == nil && says.ReadOnlyHint
		}
		return nil
	})
}

// A tap is a transport that keeps the last result as it was sent: the SDK's types would lose
// what they do not know of a definition.
type tap struct {
	mcp.Transport
	last jsontext.Value
}

type tapped struct {
	mcp.Connection
	tap *tap
}

func (t *tap) Connect(ctx context.Context) (mcp.Connection, error) {
	c, err := t.Transport.Connect(ctx)
	return &tapped{c, t}, err
}

func (c *tapped) Read(ctx context.Context) (jsonrpc.Message, error) {
	m, err := c.Connection.Read(ctx)
	if r, ok := m.(*jsonrpc.Response); ok && r.Result != nil {
		c.tap.last = jsontext.Value(r.Result)
	}
	return m, err
}

// tools are those of the last result.
func (t *tap) tools() (list []jsontext.Value, err error) {
	if t.last == nil {
		return nil, errors.New("the MCP server answered nothing")
	}
	err = members(t.last, lenient, func(name string, v jsontext.Value) (err error) {
		if name == "tools" {
			list, err = elements(v)
		}
		return err
	})
	return list, err
}
