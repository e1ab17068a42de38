package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/boundary/httpapi"
)

// A recordedCall is one line of a file of recorded calls.
type recordedCall struct {
	Agent     string             `json:"agent"`
	Session   string             `json:"session"`
	CallID    string             `json:"call_id,omitzero"`
	Tool      string             `json:"tool"`
	Arguments jsontext.Value     `json:"arguments"`
	Context   jsontext.Value     `json:"context,omitzero"`
	Result    jsontext.Value     `json:"result,omitzero"`
	Status    helm.OutcomeStatus `json:"status,omitzero"` // of the result; default: ok
}

// totals are what decide counts.
type totals struct {
	Calls    int `json:"calls"`
	Allow    int `json:"allow"`
	Deny     int `json:"deny"`
	Escalate int `json:"escalate"`
	Outcomes int `json:"outcomes"`
	Failed   int `json:"failed"`
}

func (a *app) decideCmd() *cobra.Command {
	var file string
	var wait time.Duration
	cmd := &cobra.Command{Use: "decide --file CALLS.ndjson", Short: "Put recorded calls to the kernel", Args: exactly(0),
		Long: `Put recorded calls to the kernel, one a line: {"agent","session","tool","arguments"}, and
call_id or context where the host has them. Where a line has a "result" and the call
was allowed, its outcome is reported too. Prints a decision a line, and totals.

Exit code 1: a call could not be put to the kernel. A DENY is an answer, not a failure.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return usagef("decide needs --file: a file of calls, or - for standard input")
			}
			in := a.in
			if file != "-" {
				f, err := os.Open(file)
				if err != nil {
					return &exitError{exitUsage, err}
				}
				defer f.Close()
				in = f
			}
			c, err := a.client(false)
			if err != nil {
				return err
			}
			if wait < 0 || wait > httpapi.MaxWait {
				return usagef("--wait is %s: it must be from 0 to %s", wait, httpapi.MaxWait)
			}
			return a.decideAll(cmd.Context(), c, file, in, wait)
		}}
	cmd.Flags().StringVar(&file, "file", "", "the recorded calls, NDJSON; - is standard input")
	cmd.Flags().DurationVar(&wait, "wait", 0, "how long to wait for the answer to an ESCALATE, at most 1m")
	return cmd
}

func (a *app) decideAll(ctx context.Context, c *client, name string, in io.Reader, wait time.Duration) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 2*httpapi.MaxBody)
	var t totals
	progress := isTerminal(a.err) && !isTerminal(a.out)
	n := 0
	for lines.Scan() {
		n++
		if strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		if err := a.decideOne(ctx, c, lines.Bytes(), wait, &t); err != nil {
			var e *exitError
			if errors.As(err, &e) || ctx.Err() != nil {
				return err // no server: the other lines would fare no better
			}
			t.Failed++
			fmt.Fprintf(a.err, "helm-ai-kernel: %s:%d: %s\n", safeText(name), n, safeText(err.Error()))
		}
		if progress && n%100 == 0 {
			fmt.Fprintf(a.err, "\r%d calls", n)
		}
	}
	if progress {
		fmt.Fprintf(a.err, "\r%d calls\n", n)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s:%d: %w", name, n+1, err)
	}
	if a.json {
		b, err := json.Marshal(map[string]totals{"totals": t})
		if err != nil {
			return err
		}
		a.out.Write(append(b, '\n'))
	} else {
		a.printf("%d calls: %d ALLOW, %d DENY, %d ESCALATE; %d outcomes recorded; %d failed\n", t.Calls, t.Allow, t.Deny, t.Escalate, t.Outcomes, t.Failed)
	}
	if t.Failed > 0 {
		return &exitError{exitNo, nil}
	}
	return nil
}

func (a *app) decideOne(ctx context.Context, c *client, line []byte, wait time.Duration, t *totals) error {
	var call recordedCall
	if err := json.Unmarshal(line, &call, json.RejectUnknownMembers(true)); err != nil {
		return fmt.Errorf("it is no recorded call: %w", httpapi.Misread(err))
	}
	var d httpapi.DecisionAnswer
	req := httpapi.DecisionRequest{Agent: call.Agent, Session: call.Session, CallID: call.CallID, Tool: call.Tool, Arguments: call.Arguments, Context: call.Context}
	if err := c.ask(ctx, http.MethodPost, "/v1/decisions", waitFor(wait), req, &d); err != nil {
		return err
	}
	t.Calls++
	switch d.Verdict {
	case helm.Allow:
		t.Allow++
	case helm.Deny:
		t.Deny++
	case helm.Escalate:
		t.Escalate++
	}
	if err := a.showDecision(&call, &d); err != nil {
		return err
	}
	if call.Result == nil || d.Verdict != helm.Allow || d.Repeated {
		return nil
	}
	if call.Status == "" {
		call.Status = helm.OutcomeOK
	}
	var o httpapi.OutcomeAnswer
	if err := c.ask(ctx, http.MethodPost, "/v1/outcomes", nil, httpapi.OutcomeRequest{Decision: d.ID, Status: call.Status, Result: call.Result}, &o); err != nil {
		return fmt.Errorf("its outcome: %w", err)
	}
	t.Outcomes++
	return nil
}

// waitFor is the parameter that has a server wait, or none.
func waitFor(d time.Duration) url.Values {
	if d == 0 {
		return nil
	}
	return values("wait", d.String())
}

func (a *app) showDecision(call *recordedCall, d *httpapi.DecisionAnswer) error {
	if a.json {
		b, err := json.Marshal(d)
		if err == nil {
			_, err = a.out.Write(append(b, '\n'))
		}
		return err
	}
	_, err := fmt.Fprintf(a.out, "%6d %s %s\n", d.Index, a.verdict(string(d.Verdict)),
		safeText(fmt.Sprintf("%s/%s %s  %s %s", call.Agent, call.Session, call.Tool, d.Rule, d.Reason.Code)))
	return err
}
