package cli

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/boundary/httpapi"
	"github.com/helm-ai-kernel/helm-ai-kernel/boundary/mcp"
)

// inspectFor is how long a server has to start and to say what tools it has: the first start
// by npx installs it.
const inspectFor = 2 * time.Minute

func (a *app) mcpToolsCmd() *cobra.Command {
	var name string
	var full bool
	list := &cobra.Command{Use: "list [flags] -- COMMAND...", Short: "What tools an MCP server has, and whether they are pinned", Args: command,
		Long: `Start an MCP server, ask what tools it has, and ask the kernel which definitions are pinned.
Nothing is pinned by looking. What a person would not see in a description, such as characters without
a width and escape sequences, is shown as \u{XXXX}, and counted.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := nameOf(name, args)
			if err != nil {
				return err
			}
			return a.listTools(cmd.Context(), name, args, full)
		}}
	list.Flags().StringVar(&name, "name", "", "the server's name; default: from the command")
	list.Flags().BoolVar(&full, "full", false, "also each definition whole")
	var sha string
	accept := &cobra.Command{Use: "accept SERVER.TOOL", Short: "Pin the definition that a changed tool has now", Args: exactly(1),
		Long: `Pin the definition of a tool as it was listed last: its calls are decided again. Look at it first
with "mcp tools list"; --sha256 accepts the definition that was looked at, and no other.`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.acceptTool(cmd.Context(), args[0], sha) }}
	accept.Flags().StringVar(&sha, "sha256", "", "the definition's SHA-256, or the first 8 or more of its digits")
	return group("tools", "The tools of MCP servers, and their pins", list, accept)
}

// nameOf is a server's name: the one that was given, or that of its command.
func nameOf(name string, args []string) (string, error) {
	name = cmp.Or(name, serverName(args))
	if !serverNames.MatchString(name) || len(name) > maxServerName {
		return "", usagef("the server's name %q is not 1 to %d letters, digits, - and _: give one with --name", name, maxServerName)
	}
	return name, nil
}

// A toolShown is a tool in the output of mcp tools list.
type toolShown struct {
	Name        string `json:"name"`
	State       string `json:"state"` // or not pinned, or unknown where the kernel was not asked
	SHA256      string `json:"sha256"`
	Pinned      string `json:"pinned,omitzero"`
	Hidden      int    `json:"hidden"` // characters that a person would not see
	Description string `json:"description"`
	Definition  string `json:"definition,omitzero"`
}

func (a *app) listTools(ctx context.Context, name string, args []string, full bool) error {
	ctx, stop := context.WithTimeout(ctx, inspectFor)
	defer stop()
	tools, err := mcp.Inspect(ctx, args, a.err)
	if err != nil {
		return err
	}
	c, err := a.client(true)
	var pins httpapi.ToolsAnswer
	if err == nil {
		err = c.ask(ctx, http.MethodGet, "/v1/tools/"+url.PathEscape(name), nil, nil, &pins)
	}
	unasked := err != nil
	if unasked {
		fmt.Fprintf(a.err, "helm-ai-kernel: what is pinned is not known: %s\n", safeText(err.Error()))
	}
	shown := map[string]bool{}
	out := []toolShown{}
	for i := range tools {
		t := &tools[i]
		shown[t.Name] = true
		one := toolShown{Name: name + "." + t.Name, State: "not pinned", SHA256: t.SHA256, Description: mcp.Visible(t.Description), Hidden: mcp.Hidden(t.Definition)}
		if full {
			one.Definition = mcp.Visible(t.Definition)
		}
		if unasked {
			one.State = "unknown"
		}
		for _, p := range pins.Tools {
			if p.Name == t.Name {
				one.Pinned, one.State = p.Pinned, httpapi.ToolPinned
				if p.Pinned != t.SHA256 {
					one.State = httpapi.ToolChanged
				}
			}
		}
		out = append(out, one)
	}
	for _, p := range pins.Tools {
		if !shown[p.Name] {
			out = append(out, toolShown{Name: name + "." + p.Name, State: httpapi.ToolVanished, Pinned: p.Pinned})
		}
	}
	if a.json {
		return a.printJSON(map[string]any{"server": name, "tools": out})
	}
	for _, t := range out {
		a.printf("%s  %s", t.Name, t.State)
		if t.SHA256 != "" {
			a.printf("  %s", t.SHA256[:16])
		}
		if t.State == httpapi.ToolChanged {
			a.printf(", pinned is %s: helm-ai-kernel mcp tools accept %s --sha256 %s", t.Pinned[:16], t.Name, t.SHA256[:16])
		}
		a.printf("\n")
		if t.Hidden > 0 {
			a.printf("  HIDES %d characters that a person would not see\n", t.Hidden)
		}
		for line := range strings.Lines(t.Description) {
			a.printf("  %s\n", safeText(strings.TrimRight(line, "\n")))
		}
		if t.Definition != "" {
			a.printf("  %s\n", safeText(t.Definition))
		}
	}
	if len(out) == 0 {
		a.printf("%s has no tools\n", name)
	}
	return nil
}

var hexStart = regexp.MustCompile(`^[0-9a-f]{8,64}$`)

func (a *app) acceptTool(ctx context.Context, full, sha string) error {
	server, tool, ok := strings.Cut(full, ".")
	if !ok || server == "" || tool == "" {
		return usagef("%q is not SERVER.TOOL", full)
	}
	if sha != "" && !hexStart.MatchString(sha) {
		return usagef("--sha256 is %q: it must be 8 to 64 hexadecimal digits, a to f in lower case", sha)
	}
	c, err := a.client(true)
	if err != nil {
		return err
	}
	path := "/v1/tools/" + url.PathEscape(server)
	var pins httpapi.ToolsAnswer
	if err := c.ask(ctx, http.MethodGet, path, nil, nil, &pins); err != nil {
		return err
	}
	for _, p := range pins.Tools {
		if p.Name != tool {
			continue
		}
		switch {
		case p.Listed == p.Pinned:
			return &exitError{exitNo, fmt.Errorf("%s has the definition that is pinned: there is nothing to accept", full)}
		case !strings.HasPrefix(p.Listed, sha):
			return &exitError{exitNo, fmt.Errorf("the definition of %s that was listed last is %s, and not %s: look at it again", full, p.Listed, sha)}
		}
		var got httpapi.EntryAnswer
		if err := c.ask(ctx, http.MethodPost, path+"/accept", nil, httpapi.AcceptRequest{Name: tool, SHA256: p.Listed}, &got); err != nil {
			return err
		}
		if a.json {
			return a.printJSON(got)
		}
		a.printf("%s is pinned to %s: entry %d, %s\n", full, p.Listed, got.Index, got.ID)
		return nil
	}
	return &exitError{exitNo, fmt.Errorf("%s: no server has listed %s", helm.NotFound, full)}
}
