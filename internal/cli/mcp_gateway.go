package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/cobra"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/boundary/mcp"
)

const defaultGateway = "127.0.0.1:7715"

// A gatewayConfig is the file of mcp gateway (spec/mcp.md, section 6).
type gatewayConfig struct {
	Listen string   `toml:"listen"`
	Hosts  []string `toml:"hosts"`
	Server []struct {
		Name    string            `toml:"name"`
		Prefix  *string           `toml:"prefix"`
		Command []string          `toml:"command"`
		URL     string            `toml:"url"`
		Headers map[string]string `toml:"headers"`
	} `toml:"server"`
	Agent []struct {
		Name        string `toml:"name"`
		TokenFile   string `toml:"token_file"`
		KernelToken string `toml:"kernel_token_file"`
	} `toml:"agent"`
}

func (a *app) mcpGatewayCmd() *cobra.Command {
	var file string
	var wait time.Duration
	c := &cobra.Command{Use: "gateway --config FILE", Short: "Put several MCP servers behind one Streamable HTTP endpoint", Args: exactly(0),
		Long: `Serve several MCP servers, started here or reached over Streamable HTTP, at one Streamable HTTP endpoint, /mcp.
Every tools/call is put to the kernel before its server is told, as SERVER.TOOL; clients see the tool as SERVER__TOOL.
Each session of a client has servers of its own. With [[agent]] tables each agent needs its token.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return usagef("gateway needs --config: a TOML file that names the servers")
			}
			if wait < 0 || wait > time.Hour {
				return usagef("--wait is %s: it must be from 0 to 1h", wait)
			}
			return a.gateway(cmd.Context(), file, wait)
		}}
	c.Flags().StringVar(&file, "config", "", "the servers and agents")
	c.Flags().DurationVar(&wait, "wait", 50*time.Second, "how long a call waits for people: many clients give up after a minute")
	return c
}

// readGateway reads and checks a gateway's configuration. Files that it names stand beside it.
func (a *app) readGateway(file string) (*gatewayConfig, *mcp.Gateway, map[string]*client, error) {
	src, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, nil, &exitError{exitUsage, err}
	}
	bad := func(format string, args ...any) (*gatewayConfig, *mcp.Gateway, map[string]*client, error) {
		return nil, nil, nil, usagef("%s: %w", file, fmt.Errorf(format, args...))
	}
	conf := &gatewayConfig{Listen: defaultGateway}
	if err := toml.NewDecoder(bytes.NewReader(src)).DisallowUnknownFields().Decode(conf); err != nil {
		if unknown := (*toml.StrictMissingError)(nil); errors.As(err, &unknown) {
			return bad("there is no such key:\n%s", unknown.String())
		}
		return bad("%w", err)
	}
	g := &mcp.Gateway{Agent: "mcp", Agents: map[string][sha256.Size]byte{}, Hosts: conf.Hosts, Stderr: a.err}
	seen := map[string]bool{}
	for i, s := range conf.Server {
		u := mcp.Upstream{Name: s.Name, Prefix: s.Name + "__", Command: s.Command, URL: s.URL, Header: http.Header{}}
		if s.Prefix != nil {
			u.Prefix = *s.Prefix
		}
		for k, v := range s.Headers {
			u.Header.Set(k, v)
		}
		switch {
		case !serverNames.MatchString(s.Name) || len(s.Name) > maxServerName:
			return bad("server %d: the name %q is not 1 to %d letters, digits, - and _", i+1, s.Name, maxServerName)
		case seen[s.Name]:
			return bad("there are two servers %s", s.Name)
		case (len(s.Command) == 0) == (s.URL == ""):
			return bad("server %s: it needs either command or url", s.Name)
		case s.URL == "" && len(s.Headers) > 0:
			return bad("server %s: headers belong to url", s.Name)
		}
		if at, err := url.Parse(s.URL); s.URL != "" && (err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https") {
			return bad("server %s: the url %q is not an address such as https://example.com/mcp", s.Name, s.URL)
		}
		seen[s.Name] = true
		g.Servers = append(g.Servers, u)
	}
	if len(g.Servers) == 0 {
		return bad("it names no [[server]]")
	}
	clients := map[string]*client{}
	tokens := map[[sha256.Size]byte]string{}
	for i, one := range conf.Agent {
		if err := helm.CheckName("name", one.Name); err != nil {
			return bad("agent %d: %w", i+1, err)
		}
		if _, twice := g.Agents[one.Name]; twice {
			return bad("there are two agents %s", one.Name)
		}
		if one.TokenFile == "" {
			return bad("agent %s: it has no token_file", one.Name)
		}
		token, err := readToken(beside(file, one.TokenFile))
		if err != nil {
			return bad("agent %s: %w", one.Name, err)
		}
		if len(token) < 16 {
			return bad("agent %s: its token has fewer than 16 characters", one.Name)
		}
		sum := sha256.Sum256([]byte(token))
		if other := tokens[sum]; other != "" {
			return bad("the agents %s and %s have one token", other, one.Name)
		}
		tokens[sum], g.Agents[one.Name] = one.Name, sum
		if one.KernelToken != "" {
			of := *a
			of.token = beside(file, one.KernelToken)
			if clients[one.Name], err = of.client(false); err != nil {
				return bad("agent %s: %w", one.Name, err)
			}
		}
	}
	host, _, err := net.SplitHostPort(conf.Listen)
	if err != nil {
		return bad("listen is %q: it must be an address and a port, such as %s", conf.Listen, defaultGateway)
	}
	if !loopback(host) && (len(g.Agents) == 0 || len(g.Hosts) == 0) {
		return bad("%s is no loopback address: agents need tokens, and hosts must say what names it is reached by", conf.Listen)
	}
	return conf, g, clients, nil
}

func beside(file, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(file), name)
}

func (a *app) gateway(ctx context.Context, file string, wait time.Duration) error {
	conf, g, clients, err := a.readGateway(file)
	if err != nil {
		return err
	}
	common, err := a.client(false)
	if err != nil {
		return err
	}
	note := func(s string) { fmt.Fprintf(a.err, "helm-ai-kernel: mcp gateway: %s\n", safeText(s)) }
	g.Wait, g.Log = wait, note
	approve := func(id string) string { return a.toApprove(&asking{}, id) }
	g.Kernel = func(agent, server string) mcp.Kernel {
		c := clients[agent]
		if c == nil {
			c = common
		}
		return &mcpKernel{c, "mcp." + server, approve}
	}
	ln, err := net.Listen("tcp", conf.Listen)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	var ends []func(string)
	for _, s := range g.Servers {
		from := strings.Join(s.Command, " ") + s.URL
		k := &mcpKernel{common, "mcp." + s.Name, approve}
		ends = append(ends, k.begin(note, fmt.Sprintf("every tools/call to the MCP server %s (%.200s) through the gateway at %s; not what the server does of its own accord, its resources and prompts, and not what reaches it another way", s.Name, from, ln.Addr())))
	}
	mux := http.NewServeMux()
	mux.Handle("/mcp", g.Handler())
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	a.printf("listening at http://%s/mcp\n", ln.Addr())
	select {
	case <-ctx.Done():
		err = nil
	case err = <-failed:
	}
	srv.Close()
	g.Close()
	for _, end := range ends {
		end("the gateway ended")
	}
	return err
}
