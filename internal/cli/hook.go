package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/boundary/hook"
	"github.com/helm-ai-kernel/helm-ai-kernel/boundary/httpapi"
)

// exitBlock is the only exit code at which Claude Code blocks a call. What the hook writes
// to standard error is told to the agent.
const exitBlock = 2

// answerFor is what a hook may take beside the time that it waits for people. A host goes on
// with the call when its hook takes too long.
const answerFor = 10 * time.Second

func (a *app) hookCmd() *cobra.Command {
	var wait, most time.Duration
	var agent string
	var kernel asking
	claude := &cobra.Command{Use: "claude-code", Short: "Answer Claude Code's hooks", Args: exactly(0),
		Long: `Answer a hook of Claude Code: reads what it tells on standard input, and asks the server.

PreToolUse: an allowed call goes on (exit 0 and nothing said, so that Claude Code's own
permissions still hold); any other is blocked (exit 2), and standard error tells the agent why.
An ESCALATE waits for an answer as long as --wait says, and is blocked then: the agent is told
how it can be approved, and to make the same call again.
PostToolUse and PostToolUseFailure record the outcome. SessionEnd closes the session.

No server, bad input and whatever else goes wrong block the call. Give the hook more time in
Claude Code's settings ("timeout", in seconds) than --wait and ten seconds.`,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			defer func() {
				if p := recover(); p != nil {
					err = fmt.Errorf("the hook failed: %v", p)
				}
				if err != nil {
					err = &exitError{exitBlock, errors.New(err.Error())} // and no other code of what is within
				}
			}()
			shortLived()
			if wait < 0 || wait > httpapi.MaxWait {
				return fmt.Errorf("--wait is %s: it must be from 0 to %s", wait, httpapi.MaxWait)
			}
			if most == 0 {
				most = wait + answerFor
			}
			ctx, stop := context.WithTimeout(cmd.Context(), most)
			defer stop()
			return a.answerHook(ctx, &kernel, hook.ReadClaude, agent, wait)
		}}
	claude.Flags().DurationVar(&wait, "wait", defaultWait, "how long to wait for people, at most 1m")
	claude.Flags().DurationVar(&most, "timeout", 0, "how long all of it may take, before the call is blocked; default: --wait and 10s")
	claude.Flags().StringVar(&agent, "agent", "", "the agent's name; default: claude-code")
	kernel.flags(claude)
	return group("hook", "Answer the hooks of agents' hosts", claude)
}

// shortLived keeps a process that ends in a moment from collecting what it leaves behind,
// which takes it a sixth longer, unless that is more than any call needs.
func shortLived() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(-1)
		debug.SetMemoryLimit(256 << 20)
	}
}

func (a *app) answerHook(ctx context.Context, kernel *asking, read func([]byte) (*hook.Event, error), agent string, wait time.Duration) (err error) {
	input, err := io.ReadAll(io.LimitReader(a.in, hook.MaxInput+1))
	if err != nil {
		return fmt.Errorf("read what the host tells: %w", err)
	}
	if len(input) > hook.MaxInput {
		return fmt.Errorf("the host tells more than %d bytes", hook.MaxInput)
	}
	e, err := read(input)
	if err != nil {
		return err
	}
	if agent != "" {
		e.Call.Agent = agent
	}
	c, end, err := a.reach(ctx, kernel)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	switch e.Moment {
	case hook.Before:
		return a.hookBefore(ctx, c, e, wait)
	case hook.After:
		return hookAfter(ctx, c, e)
	}
	var closed []byte
	err = c.ask(ctx, http.MethodPost, "/v1/sessions/close", nil, httpapi.CloseRequest{Agent: e.Call.Agent, Session: e.Call.Session}, &closed)
	if refused := (*problemError)(nil); errors.As(err, &refused) && (refused.Code == helm.NotFound || refused.Code == helm.Conflict) {
		return nil // it did nothing, or was closed already
	}
	return err
}

// hookBefore returns an error unless the call may go on.
func (a *app) hookBefore(ctx context.Context, c *client, e *hook.Event, wait time.Duration) error {
	var d httpapi.DecisionAnswer
	if err := c.ask(ctx, http.MethodPost, "/v1/decisions", waitFor(wait), httpapi.DecisionRequest{Agent: e.Call.Agent, Session: e.Call.Session, CallID: e.Call.CallID,
		Tool: e.Call.Tool, Arguments: jsontext.Value(e.Call.Arguments), Context: jsontext.Value(e.Call.Context)}, &d); err != nil {
		return fmt.Errorf("the call was not decided, and is blocked: %w", err)
	}
	switch {
	case d.Verdict == helm.Allow || d.Verdict.Valid() && !d.Enforced:
		return nil
	case d.Verdict == helm.Escalate && d.Approval != nil:
		return fmt.Errorf("ESCALATE by %s (%s): %s A person has to approve this very call, until %s: helm-ai-kernel approvals approve %s. When it is approved, make the same call again",
			d.Rule, d.Reason.Code, sentence(d.Reason.Message), d.Approval.Expires, d.Approval.ID)
	}
	return fmt.Errorf("%s by %s (%s): %s Receipt %s", d.Verdict, d.Rule, d.Reason.Code, sentence(d.Reason.Message), d.ID)
}

// sentence is a text that ends as one.
func sentence(s string) string {
	if s == "" || s[len(s)-1] == '.' {
		return s
	}
	return s + "."
}

func hookAfter(ctx context.Context, c *client, e *hook.Event) error {
	var o httpapi.OutcomeAnswer
	req := httpapi.OutcomeRequest{Agent: e.Call.Agent, Session: e.Call.Session, CallID: e.Call.CallID, Status: e.Status, Result: jsontext.Value(e.Result)}
	if err := c.ask(ctx, http.MethodPost, "/v1/outcomes", nil, req, &o); err != nil {
		return fmt.Errorf("the outcome was not recorded: %w", err)
	}
	return nil
}
