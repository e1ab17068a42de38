package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/boundary/httpapi"
	"github.com/helm-ai-kernel/helm-ai-kernel/boundary/mcp"
	"github.com/helm-ai-kernel/helm-ai-kernel/internal/bank"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

func (a *app) mcpCmd() *cobra.Command {
	return group("mcp", "Stand between agents and MCP servers", a.mcpWrapCmd(), a.mcpGatewayCmd(), a.mcpToolsCmd(), a.mcpExampleCmd())
}

// maxServerName leaves room for a tool's name behind it.
const maxServerName = 64

func (a *app) mcpWrapCmd() *cobra.Command {
	var name, agent string
	var wait time.Duration
	var k asking
	cmd := &cobra.Command{Use: "wrap [flags] -- COMMAND...", Short: "Put an MCP server behind the boundary", Args: command,
		Long: `Start an MCP server that speaks over its standard input and output, and stand between it
and the client: every tools/call is put to the kernel before the server is told, and its
result is the outcome. Everything else passes as it is. The tool is NAME.TOOL in policies.

A call that is not allowed is answered with a result that says why, for the model to act on.
An ESCALATE waits for people as long as --wait says. Without a server to ask, no call is made.

Exit codes: 0 the client ended the session, 1 the server ended before it, 2 wrong usage.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := nameOf(name, args)
			if err != nil {
				return err
			}
			if wait < 0 || wait > time.Hour {
				return usagef("--wait is %s: it must be from 0 to 1h", wait)
			}
			if err := helm.CheckName("--agent", agent); err != nil {
				return usagef("%w", err)
			}
			return a.wrap(cmd.Context(), &k, name, agent, wait, args)
		}}
	cmd.Flags().StringVar(&name, "name", "", "the server's name; default: from the command")
	cmd.Flags().StringVar(&agent, "agent", "mcp", "the agent's name")
	cmd.Flags().DurationVar(&wait, "wait", 50*time.Second, "how long a call waits for people: many clients give up after a minute")
	k.flags(cmd)
	return cmd
}

// mcpExampleCmd is an MCP server to try the boundary with.
func (a *app) mcpExampleCmd() *cobra.Command {
	return &cobra.Command{Use: "example", Short: "Be a small MCP server, to try the boundary with", Args: exactly(0),
		Long: `Be an MCP server over standard input and output, with the tools transfer and
close_account of a bank that is not there. It is a server as any other, and knows nothing of
the kernel: put it behind "mcp wrap --name pay -- helm-ai-kernel mcp example".`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := bank.Serve(cmd.Context(), io.NopCloser(a.in), writeCloser{a.out})
			if cmd.Context().Err() != nil {
				return nil
			}
			return err
		}}
}

var serverNames = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// command wants a command behind --.
func command(cmd *cobra.Command, args []string) error {
	if len(args) == 0 || cmd.ArgsLenAtDash() != 0 {
		return usagef("%s takes the server's command behind --: %s", cmd.Name(), cmd.UseLine())
	}
	return nil
}

// launchers are programs that start what their first argument names.
var launchers = map[string]bool{"npx": true, "bunx": true, "uvx": true, "node": true, "bun": true, "deno": true, "python": true, "python3": true, "uv": true, "pipx": true, "run": true}

// serverName is a name for a command: the program's, or that of what it starts. It is "" where
// that says nothing.
func serverName(args []string) string {
	for _, arg := range args {
		s := path.Base(strings.ReplaceAll(arg, `\`, "/"))
		if strings.HasPrefix(arg, "-") || launchers[strings.TrimSuffix(s, ".exe")] {
			continue
		}
		if i := strings.LastIndexByte(s, '@'); i > 0 {
			s = s[:i]
		}
		s = strings.TrimSuffix(s, path.Ext(s))
		for _, affix := range []string{"mcp-", "server-"} {
			s = strings.TrimPrefix(s, affix)
		}
		for _, affix := range []string{"-mcp", "-server"} {
			s = strings.TrimSuffix(s, affix)
		}
		switch s {
		case "index", "main", "cli", "server", "mcp", "app", "start":
			return ""
		}
		return s
	}
	return ""
}

// wrap is one session with a server that it starts.
func (a *app) wrap(ctx context.Context, asked *asking, name, agent string, wait time.Duration, args []string) (err error) {
	c, done, err := a.reach(context.WithoutCancel(ctx), asked) // outcomes are reported after a signal too
	if err != nil {
		return err
	}
	defer func() {
		if derr := done(); err == nil {
			err = derr
		}
	}()
	k := &mcpKernel{c, "mcp." + name, func(id string) string { return a.toApprove(asked, id) }}
	note := func(s string) { fmt.Fprintf(a.err, "helm-ai-kernel: mcp %s: %s\n", name, safeText(s)) }
	server, err := mcp.Start(args, a.err)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	defer server.End()
	begun := k.begin(note, fmt.Sprintf("every tools/call of one session with the MCP server %s (%.200s), over stdio; not what the server does of its own accord, its resources and prompts, and not what reaches it another way", name, strings.Join(args, " ")))
	r := &mcp.Relay{Name: name, Agent: agent, Session: mcp.NewSession(), Wait: wait, Kernel: k, Log: note}
	err = r.Run(ctx, mcp.NewLines(a.in, writeCloser{a.out}), server)
	if ended := server.End(); errors.Is(err, mcp.ErrServerEnded) {
		err = fmt.Errorf("%w, and with it the session: %v. Let the client start it again", err, ended)
	}
	begun("the session " + r.Session + " ended")
	return err
}

type writeCloser struct{ io.Writer }

func (writeCloser) Close() error { return nil }

// An mcpKernel puts to the server what a relay asks.
type mcpKernel struct {
	client   *client
	boundary string
	approve  func(id string) string // the command that approves a call
}

func (k *mcpKernel) Decide(ctx context.Context, call helm.Call, wait time.Duration) (*mcp.Decision, error) {
	var d httpapi.DecisionAnswer
	if err := k.client.ask(ctx, http.MethodPost, "/v1/decisions", waitFor(wait), httpapi.DecisionRequest{Agent: call.Agent, Session: call.Session, CallID: call.CallID,
		Tool: call.Tool, Arguments: jsontext.Value(call.Arguments), Context: jsontext.Value(call.Context)}, &d); err != nil {
		return nil, err
	}
	out := &mcp.Decision{ID: d.ID, Verdict: d.Verdict, Rule: d.Rule, Reason: d.Reason, Enforced: d.Enforced, Repeated: d.Repeated}
	if d.Approval != nil {
		out.Approval = &mcp.Approval{ID: d.Approval.ID, Expires: d.Approval.Expires, Approve: k.approve(d.Approval.ID), ByClient: d.Approval.Grade == receipt.GradeClient}
	}
	return out, nil
}

func (k *mcpKernel) Report(ctx context.Context, o mcp.Outcome) error {
	var got httpapi.OutcomeAnswer
	err := k.client.ask(ctx, http.MethodPost, "/v1/outcomes", nil, httpapi.OutcomeRequest{Agent: o.Agent, Session: o.Session, CallID: o.CallID, Status: o.Status,
		DurationMicros: uint64(o.Duration.Microseconds()), Result: jsontext.Value(o.Result)}, &got)
	if refused := (*problemError)(nil); errors.As(err, &refused) && (refused.Code == helm.BadRequest || refused.Code == helm.TooLarge) {
		return &mcp.UnfitError{Err: err}
	}
	return err
}

func (k *mcpKernel) List(ctx context.Context, server string, tools []mcp.Tool) error {
	req := httpapi.ListRequest{Boundary: k.boundary, Server: server, Tools: make([]httpapi.ToolListed, len(tools))}
	for i, t := range tools {
		req.Tools[i] = httpapi.ToolListed(t)
	}
	var got httpapi.ToolsAnswer
	err := k.client.ask(ctx, http.MethodPost, "/v1/tools", nil, req, &got)
	if refused := (*problemError)(nil); errors.As(err, &refused) && (refused.Code == helm.RateLimited || refused.Code == helm.Overloaded) {
		return &mcp.BusyError{Err: err}
	}
	return err
}

func (k *mcpKernel) Answer(ctx context.Context, approval string, approve bool) error {
	req := httpapi.ClientAnswerRequest{Answer: receipt.AnswerRefuse}
	if approve {
		req.Answer = receipt.AnswerApprove
	}
	var got httpapi.EntryAnswer
	return k.client.ask(ctx, http.MethodPost, "/v1/approvals/"+url.PathEscape(approval)+"/client", nil, req, &got)
}

// begin says in the log that the boundary stands, as soon as that can be recorded; until then
// no call is made either. The returned function says that it stands no more, and how it ended.
func (k *mcpKernel) begin(note func(string), covers string) (end func(how string)) {
	ended, stood := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stood)
		for first := true; ; first = false {
			err := k.say(receipt.BoundaryStart, covers)
			if err == nil {
				return
			}
			if first {
				note(fmt.Sprintf("that the boundary stands could not be recorded, and is tried again: %v", err))
			}
			select {
			case <-ended:
				return
			case <-time.After(5 * time.Second):
			}
		}
	}()
	return func(how string) {
		close(ended)
		<-stood
		if err := k.say(receipt.BoundaryStop, how); err != nil {
			note(fmt.Sprintf("that the boundary stands no more was not recorded: %v", err))
		}
	}
}

func (k *mcpKernel) say(event, covers string) error {
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	var got httpapi.EntryAnswer
	return k.client.ask(ctx, http.MethodPost, "/v1/boundary/events", nil, httpapi.EventRequest{Boundary: k.boundary, Event: event, Covers: strings.ToValidUTF8(covers, "?")}, &got)
}
