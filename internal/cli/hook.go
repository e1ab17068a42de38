package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/boundary/hook"
	"github.com/helm-ai-kernel/helm-ai-kernel/boundary/httpapi"
)

// answerFor is what a hook may take beside the time that it waits for people. A host goes on
// with the call when its hook takes too long.
const answerFor = 10 * time.Second

// drainFor is how long a hook that blocks goes on reading what the host tells: some versions
// of Codex take one for failed that they cannot tell all.
const drainFor = time.Second

// What `hook HOST --help` says of each host, before what they have in common.
var hookHelp = map[string]string{
	hook.ClaudeCode.Name: `PreToolUse: an allowed call goes on (exit 0 and nothing said, so that Claude Code's own
permissions still hold); any other is blocked (exit 2), and standard error tells the agent why.
PostToolUse and PostToolUseFailure record the outcome. SessionEnd closes the session.`,
	hook.Codex.Name: `PreToolUse: an allowed call goes on (exit 0 and nothing said); any other is blocked (exit 2),
and standard error tells the agent why: do not redirect it.
PostToolUse records the outcome. SessionEnd closes the session.`,
	hook.Gemini.Name: `BeforeTool: an allowed call goes on (exit 0 and nothing said); any other is blocked (exit 2), and
both outputs tell the agent why, standard output as Gemini CLI's JSON.
AfterTool records the outcome. SessionEnd closes the session.`,
	hook.Cursor.Name: `The before hooks answer in Cursor's JSON: an allowed call goes on (exit 0), so that Cursor's own
approvals still hold; any other is denied (exit 2), and the agent is told why. Set failClosed.
The after hooks record the outcome. sessionEnd closes the session.`,
}

func (a *app) hookCmd() *cobra.Command {
	hooks := group("hook", "Answer the hooks of agents' hosts")
	hooks.RunE = func(*cobra.Command, []string) error {
		return usagef("hook takes the name of a host: see helm-ai-kernel hook --help")
	}
	hooks.Annotations = map[string]string{blocksFor: hook.Codex.Name} // exit 2 with a text, which all of them know
	for _, h := range hook.Hosts {
		hooks.AddCommand(a.hookHostCmd(h))
	}
	return hooks
}

func (a *app) hookHostCmd(h *hook.Host) *cobra.Command {
	var wait, most time.Duration
	var agent string
	var kernel asking
	cmd := &cobra.Command{Use: h.Name, Short: "Answer " + h.Title + "'s hooks", Args: exactly(0), Annotations: map[string]string{blocksFor: h.Name},
		Long: fmt.Sprintf(`Answer a hook of %[1]s: reads what it tells on standard input, and asks the server.

%[2]s
An ESCALATE waits for an answer as long as --wait says, and is blocked then: the agent is told
how it can be approved, and to make the same call again.

No server, bad input and whatever else goes wrong block the call. Give the hook more time in
%[1]s's settings than --wait and ten seconds.`, h.Title, hookHelp[h.Name]),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			defer recovered(&err)
			shortLived()
			if wait < 0 || wait > httpapi.MaxWait {
				return fmt.Errorf("--wait is %s: it must be from 0 to %s", wait, httpapi.MaxWait)
			}
			if most == 0 {
				most = wait + answerFor
			}
			ctx, stop := context.WithTimeout(cmd.Context(), most)
			defer stop()
			moment, err := a.answerHook(ctx, h, &kernel, agent, wait)
			if err == nil && !a.say(h.Allow(moment)) {
				err = errors.New("the answer could not be written, and the call is blocked")
			}
			return err
		}}
	cmd.Flags().DurationVar(&wait, "wait", defaultWait, "how long to wait for people, at most 1m")
	cmd.Flags().DurationVar(&most, "timeout", 0, "how long all of it may take, before the call is blocked; default: --wait and 10s")
	cmd.Flags().StringVar(&agent, "agent", "", "the agent's name; default: "+h.Name)
	kernel.flags(cmd)
	return cmd
}

// shortLived keeps a process that ends in a moment from collecting what it leaves behind,
// which takes it a sixth longer, unless that is more than any call needs.
func shortLived() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(-1)
		debug.SetMemoryLimit(256 << 20)
	}
}

// blocksFor is the annotation of a command whose every error is told to a host, in the way by
// which it blocks the call.
const blocksFor = "blocks-for"

// block ends such a command with an error: what was wrong with its flags and its panic too.
func (a *app) block(name, reason string) int {
	a.drain()
	exit := exitUsage
	for _, h := range hook.Hosts {
		if h.Name != name {
			continue
		}
		for _, answer := range h.Block("helm-ai-kernel: " + safeText(reason)) {
			if exit = answer.Exit; a.say(answer) {
				break
			}
		}
	}
	return exit
}

// say writes an answer, and reports whether it arrived: a part of it at least, or there is
// none.
func (a *app) say(answer hook.Answer) bool {
	signal.Ignore(syscall.SIGPIPE) // which would end the program with a code that blocks nothing
	said := answer.Out == "" && answer.Err == ""
	for _, part := range []struct {
		w    io.Writer
		text string
	}{{a.out, answer.Out}, {a.err, answer.Err}} {
		if part.text != "" {
			_, err := io.WriteString(part.w, part.text)
			said = said || err == nil && !a.unheard(part.w)
		}
	}
	return said
}

// unheard reports whether what is written to w reaches no host, though it can be written:
// an output that was closed, or sent to the null device, and standard error that the hook's
// command line sends to a file.
func (a *app) unheard(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	is, err := f.Stat()
	null, nerr := os.Stat(os.DevNull)
	return err != nil || nerr == nil && os.SameFile(is, null) || w == a.err && is.Mode().IsRegular()
}

// drain reads the rest of what the host tells.
func (a *app) drain() {
	ctx, stop := context.WithTimeout(context.Background(), drainFor)
	defer stop()
	within(ctx, func() (int64, error) { return io.Copy(io.Discard, a.in) })
}

// oneAtATime is a reader for several goroutines.
type oneAtATime struct {
	mu  sync.Mutex
	r   io.Reader // guarded by mu
	err error     // its end; guarded by mu
}

func (o *oneAtATime) Read(p []byte) (n int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return 0, o.err
	}
	n, o.err = o.r.Read(p)
	return n, o.err
}

// within is what f returns, or an error when it does not in time. Reading cannot be ended.
func within[T any](ctx context.Context, f func() (T, error)) (v T, err error) {
	done := make(chan struct{})
	var got T
	var failed error
	go func() {
		defer close(done)
		defer recovered(&failed)
		got, failed = f()
	}()
	select {
	case <-done:
		return got, failed
	case <-ctx.Done():
		return v, ctx.Err()
	}
}

func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("the hook failed: %v", p)
	}
}

// answerHook returns an error unless the call may go on.
func (a *app) answerHook(ctx context.Context, h *hook.Host, kernel *asking, agent string, wait time.Duration) (moment hook.Moment, err error) {
	a.in = &oneAtATime{r: a.in} // what is not read in time is still being read when the rest is drained
	input, err := within(ctx, func() ([]byte, error) { return io.ReadAll(io.LimitReader(a.in, hook.MaxInput+1)) })
	if err != nil {
		return 0, fmt.Errorf("read what the host tells: %w", err)
	}
	if len(input) > hook.MaxInput {
		return 0, fmt.Errorf("the host tells more than %d bytes", hook.MaxInput)
	}
	here, err := os.Getwd()
	if err != nil {
		return 0, err
	}
	e, err := h.Read(input, here)
	if err != nil {
		return 0, err
	}
	if agent != "" {
		e.Call.Agent = agent
	}
	c, end, err := a.reach(ctx, kernel)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, end()) }()
	calls, err := openCalls(e)
	if err != nil {
		return 0, err
	}
	switch e.Moment {
	case hook.Before:
		err = hookBefore(ctx, c, e, calls, wait, func(id string) string { return a.toApprove(kernel, id) })
	case hook.After:
		err = hookAfter(ctx, c, e, calls)
	case hook.Ended:
		err = hookEnded(ctx, c, e, calls)
	}
	return e.Moment, err
}

// openCalls are the calls that run, of a host that gives them no ids; nil of any other.
func openCalls(e *hook.Event) (*hook.Calls, error) {
	dir, err := os.UserCacheDir()
	switch {
	case e.Match == "" && (e.Moment != hook.Ended || err != nil): // a session that ends does not say which it was
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("there is no folder to keep the call's id in: %w", err)
	}
	return &hook.Calls{Dir: filepath.Join(dir, "helm-ai-kernel", "calls")}, nil
}

// hookBefore returns an error unless the call may go on. approve is the command that approves one.
func hookBefore(ctx context.Context, c *client, e *hook.Event, calls *hook.Calls, wait time.Duration, approve func(id string) string) (err error) {
	if calls != nil {
		if err := calls.Begin(e); err != nil {
			return err
		}
		defer func() {
			if err != nil {
				calls.Drop(e)
			}
		}()
	}
	var d httpapi.DecisionAnswer
	if err := c.ask(ctx, http.MethodPost, "/v1/decisions", waitFor(wait), httpapi.DecisionRequest{Agent: e.Call.Agent, Session: e.Call.Session, CallID: e.Call.CallID,
		Tool: e.Call.Tool, Arguments: jsontext.Value(e.Call.Arguments), Context: jsontext.Value(e.Call.Context)}, &d); err != nil {
		return fmt.Errorf("the call was not decided, and is blocked: %w", err)
	}
	switch {
	case d.Verdict == helm.Allow || d.Verdict.Valid() && !d.Enforced:
		return nil
	case d.Verdict == helm.Escalate && d.Approval != nil:
		return fmt.Errorf("ESCALATE by %s (%s): %s A person has to approve this very call, until %s: %s. When it is approved, make the same call again, with each argument word for word",
			d.Rule, d.Reason.Code, sentence(d.Reason.Message), d.Approval.Expires, approve(d.Approval.ID))
	case d.Reason.Code == helm.DefaultDeny: // the policy's author has to know the name, and the host has another
		return fmt.Errorf("%s by %s (%s): %s Policies name its tool %s. Receipt %s", d.Verdict, d.Rule, d.Reason.Code, sentence(d.Reason.Message), e.Call.Tool, d.ID)
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

func hookAfter(ctx context.Context, c *client, e *hook.Event, calls *hook.Calls) error {
	if calls != nil {
		if err := calls.End(e); err != nil {
			return fmt.Errorf("the outcome was not recorded: %w", err)
		}
	}
	var o httpapi.OutcomeAnswer
	req := httpapi.OutcomeRequest{Agent: e.Call.Agent, Session: e.Call.Session, CallID: e.Call.CallID, Status: e.Status, Result: jsontext.Value(e.Result)}
	err := c.ask(ctx, http.MethodPost, "/v1/outcomes", nil, req, &o)
	if refused := (*problemError)(nil); errors.As(err, &refused) && refused.Code == helm.TooLarge {
		req.Result = jsontext.Value(hook.TooLarge(e.Result))
		err = c.ask(ctx, http.MethodPost, "/v1/outcomes", nil, req, &o)
	}
	if err != nil {
		return fmt.Errorf("the outcome was not recorded: %w", err)
	}
	return nil
}

func hookEnded(ctx context.Context, c *client, e *hook.Event, calls *hook.Calls) error {
	if calls != nil {
		if err := calls.Forget(e); err != nil {
			return err
		}
	}
	var closed []byte
	err := c.ask(ctx, http.MethodPost, "/v1/sessions/close", nil, httpapi.CloseRequest{Agent: e.Call.Agent, Session: e.Call.Session}, &closed)
	if refused := (*problemError)(nil); errors.As(err, &refused) && (refused.Code == helm.NotFound || refused.Code == helm.Conflict) {
		return nil // it did nothing, or was closed already
	}
	return err
}
