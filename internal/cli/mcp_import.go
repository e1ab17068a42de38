package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/helm-ai-kernel/helm-ai-kernel/boundary/mcp"
)

// maxToolName is how long the name of a declared tool may be: policies say so.
const maxToolName = 195

func (a *app) importMCPCmd() *cobra.Command {
	var name string
	c := &cobra.Command{Use: "import-mcp [flags] -- COMMAND...", Short: "Print a policy to start from, for an MCP server's tools", Args: command,
		Long: `Start an MCP server, ask what tools it has, and print a policy to start from: a [[tool]] for each, by
its input schema, an ALLOW for those of which the server says that they change nothing, and an ESCALATE
for the others. What a server says of itself is checked by nobody: read it, and change it.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := nameOf(name, args)
			if err != nil {
				return err
			}
			ctx, stop := context.WithTimeout(cmd.Context(), inspectFor)
			defer stop()
			tools, err := mcp.Inspect(ctx, args, a.err)
			if err != nil {
				return err
			}
			if len(tools) == 0 {
				return &exitError{exitNo, fmt.Errorf("%s has no tools", name)}
			}
			a.printf("%s", starterPolicy(name, tools))
			return nil
		}}
	c.Flags().StringVar(&name, "name", "", "the server's name; default: from the command")
	return c
}

// starterPolicy is a policy file for a server's tools.
func starterPolicy(server string, tools []mcp.Listed) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Tools of the MCP server %s, by the input schemas that it listed. Types of arguments that carry facts, such as path and url, are\n"+
		"# guessed from their names. Read it, and change it: what a server says of itself is checked by nobody.\n\n"+
		"[policy]\nid = %s\nversion = 1\nformat = \"helm.policy/v1\"\n", server, tomlString("mcp-"+server))
	var reads, others []string
	seen := map[string]bool{}
	for i := range tools {
		t := &tools[i]
		full := server + "." + t.Name
		fmt.Fprintf(&b, "\n%s", comment(t.Description))
		if len(full) > maxToolName || strings.Contains(full, "*") || seen[full] {
			fmt.Fprintf(&b, "# %s cannot be declared: its name is longer than %d bytes, has a *, or is another's too. Its calls are denied.\n", full, maxToolName)
			continue
		}
		seen[full] = true
		args, extra := arguments(t.Schema)
		fmt.Fprintf(&b, "[[tool]]\nname = %s\n", tomlString(full))
		if len(args) > 0 {
			fmt.Fprintf(&b, "args = { %s }\n", strings.Join(args, ", "))
		}
		if extra {
			b.WriteString("extra = true\n")
		}
		if t.ReadOnly {
			reads = append(reads, tomlString(full))
		} else {
			others = append(others, tomlString(full))
		}
	}
	if len(reads) > 0 {
		fmt.Fprintf(&b, "\n# The server says that these change nothing.\n[[rule]]\nid = \"reads\"\nverdict = \"ALLOW\"\ntools = [%s]\n", strings.Join(reads, ", "))
	}
	if len(others) > 0 {
		fmt.Fprintf(&b, "\n# A person is asked about the others. With approvers = { grade = \"client\" } the client's user may answer.\n[[rule]]\nid = \"others\"\nverdict = \"ESCALATE\"\ntools = [%s]\n", strings.Join(others, ", "))
	}
	return b.String()
}

// comment is the first line of a text as a comment, such that it is seen.
func comment(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	if line = strings.ReplaceAll(strings.TrimSpace(mcp.Visible(line)), "\t", " "); line == "" {
		return ""
	}
	if r := []rune(line); len(r) > 120 {
		line = string(r[:120]) + "..."
	}
	return "# " + line + "\n"
}

// A schema is what is read of a JSON Schema. What it says otherwise is not held.
type schema struct {
	Type                 any                        `json:"type"`
	Format               string                     `json:"format"`
	Properties           map[string]json.RawMessage `json:"properties"`
	Required             []string                   `json:"required"`
	AdditionalProperties any                        `json:"additionalProperties"`
}

// arguments are the types of a schema's properties, and whether it takes others too.
func arguments(src []byte) (args []string, extra bool) {
	var s schema
	if json.Unmarshal(src, &s) != nil {
		return nil, true
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		var of schema
		kind := "any"
		if json.Unmarshal(s.Properties[name], &of) == nil {
			kind = argumentType(name, &of)
		}
		if !slices.Contains(s.Required, name) {
			kind += "?"
		}
		args = append(args, tomlKey(name)+` = "`+kind+`"`)
	}
	_, more := s.AdditionalProperties.(map[string]any)
	return args, more || s.AdditionalProperties == true
}

var (
	pathNames    = regexp.MustCompile(`(?i)^(path|file|filename|dir|directory|folder|cwd|source|destination)$|(?i:_path|_file|_dir)$|[a-z](Path|File|Dir)$`)
	commandNames = regexp.MustCompile(`(?i)^(command|cmd|shell_command)$`)
	urlNames     = regexp.MustCompile(`(?i)^(url|uri)$|_url$|[a-z]Url$|[a-z]URL$`)
	hostNames    = regexp.MustCompile(`(?i)^(host|hostname|domain)$`)
)

func argumentType(name string, s *schema) string {
	switch s.Type {
	case "string":
		switch {
		case commandNames.MatchString(name):
			return "command"
		case urlNames.MatchString(name) || s.Format == "uri":
			return "url"
		case hostNames.MatchString(name) || s.Format == "hostname":
			return "host"
		case pathNames.MatchString(name):
			return "path"
		}
		return "string"
	case "integer":
		return "int"
	case "number":
		return "double"
	case "boolean":
		return "bool"
	case "array":
		return "list"
	case "object":
		return "map"
	}
	return "any"
}

var bareKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func tomlKey(s string) string {
	if bareKey.MatchString(s) {
		return s
	}
	return tomlString(s)
}

// tomlString is a TOML basic string, with all escaped that a person would not see.
func tomlString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range strings.ToValidUTF8(s, "\uFFFD") {
		switch {
		case c == '"' || c == '\\':
			b.WriteRune('\\')
			b.WriteRune(c)
		case c == '\n' || c == '\t' || mcp.Visible(string(c)) != string(c):
			fmt.Fprintf(&b, `\U%08X`, c)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
