package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/helm-ai-kernel/helm-ai-kernel/boundary/httpapi"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

func unmarshal(b []byte, v any) error {
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("the server's answer cannot be read: %w. Is it a helm-ai-kernel server, and of this version?", httpapi.Misread(err))
	}
	return nil
}

// values are query parameters; those that are "" are left out.
func values(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			v.Set(pairs[i], pairs[i+1])
		}
	}
	return v
}

func flagValue(b bool) string {
	if b {
		return "true"
	}
	return ""
}

// tailLast is how many receipts a follower is shown first.
const tailLast = "20"

func (a *app) receiptsCmd() *cobra.Command {
	var agent, session, kind, verdict, after, last string
	filters := func(c *cobra.Command) {
		c.Flags().StringVar(&agent, "agent", "", "only this agent's")
		c.Flags().StringVar(&session, "session", "", "only this session of --agent")
		c.Flags().StringVar(&kind, "kind", "", "only entries of this kind: decision, outcome, approval, session, policy, ...")
		c.Flags().StringVar(&verdict, "verdict", "", "only decisions with this verdict: ALLOW, DENY or ESCALATE")
		c.Flags().StringVar(&after, "after", "", "only entries behind this index")
		c.Flags().StringVar(&last, "last", "", "only the last N, and what follows")
	}
	asked := func() url.Values {
		return values("agent", agent, "session", session, "kind", kind, "verdict", verdict, "after", after, "last", last)
	}

	var noFollow bool
	tail := &cobra.Command{Use: "tail", Short: "Print receipts as they come", Args: exactly(0),
		Long: "Print a line per receipt as it comes, first the last " + tailLast + ". With --json the lines are NDJSON.\nWith --no-follow, all that are there, and end.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client(true)
			if err != nil {
				return err
			}
			q := asked()
			if noFollow {
				return a.pages(cmd.Context(), c, q)
			}
			if after == "" && last == "" {
				q.Set("last", tailLast)
			}
			return a.tail(cmd.Context(), c, q)
		}}
	filters(tail)
	tail.Flags().BoolVar(&noFollow, "no-follow", false, "end after what is there")

	list := &cobra.Command{Use: "list", Short: "Print the receipts that are there", Args: exactly(0), RunE: func(cmd *cobra.Command, _ []string) error {
		c, err := a.client(true)
		if err != nil {
			return err
		}
		return a.pages(cmd.Context(), c, asked())
	}}
	filters(list)

	var out string
	var plain bool
	show := &cobra.Command{Use: "show ID", Short: "Print a receipt file with a fresh proof", Args: exactly(1),
		Long: "Print the receipt of an entry, by its id or index, or, of a call that waits\nfor an answer, by 8 or more of its id's first digits: a DSSE envelope with a proof of inclusion\nin the log as it is now. `helm-ai-kernel verify receipt FILE` verifies it.",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client(true)
			if err != nil {
				return err
			}
			id, err := c.openApproval(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			var raw []byte
			if err := c.ask(cmd.Context(), http.MethodGet, "/v1/receipts/"+url.PathEscape(id), nil, nil, &raw); err != nil {
				return err
			}
			if plain {
				if raw, err = statement(raw); err != nil {
					return err
				}
			}
			if out == "" {
				_, err = a.out.Write(raw)
				return err
			}
			return os.WriteFile(out, raw, 0o600)
		}}
	show.Flags().StringVarP(&out, "output", "o", "", "write to this file")
	show.Flags().BoolVar(&plain, "statement", false, "for reading: what was signed alone, indented; nothing verifies it")
	all := group("receipts", "Read the log", tail, list, show)
	all.SuggestFor = []string{"tail", "show", "list", "logs"}
	return all
}

// statement is what a receipt file says, for people.
func statement(file []byte) ([]byte, error) {
	e, err := receipt.ParseEnvelope(bytes.TrimSuffix(file, []byte("\n")))
	if err != nil {
		return nil, fmt.Errorf("read the receipt: %w", err)
	}
	plain := jsontext.Value(e.Payload)
	if err := plain.Indent(jsontext.WithIndent("  ")); err != nil {
		return nil, fmt.Errorf("read the statement: %w", err)
	}
	return append(plain, '\n'), nil
}

// pages prints everything that matches now.
func (a *app) pages(ctx context.Context, c *client, q url.Values) error {
	q.Set("limit", "1000")
	for {
		var list httpapi.ReceiptList
		if err := c.ask(ctx, http.MethodGet, "/v1/receipts", q, nil, &list); err != nil {
			return err
		}
		for i := range list.Receipts {
			if err := a.showReceipt(&list.Receipts[i]); err != nil {
				return err
			}
		}
		if list.Next == nil {
			return nil
		}
		q.Set("after", strconv.FormatUint(*list.Next, 10))
		q.Del("last")
	}
}

// tail follows the stream. A connection that breaks is made again, from where it
// broke.
func (a *app) tail(ctx context.Context, c *client, q url.Values) error {
	q.Set("follow", "true")
	for wait := time.Second; ; wait = min(2*wait, 30*time.Second) {
		began := false
		err := a.stream(ctx, c, q, func() { began = true })
		if ctx.Err() != nil {
			return nil // it was told to stop
		}
		var p *problemError
		if errors.As(err, &p) && p.Status < 500 && p.Status != http.StatusTooManyRequests {
			return err
		}
		if began {
			wait = time.Second
		} else if q.Get("after") == "" {
			return err // it never worked
		}
		fmt.Fprintf(a.err, "helm-ai-kernel: the stream broke, and is taken up again: %s\n", safeText(fmt.Sprint(err)))
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
	}
}

var errStreamEnd = errors.New("the server ended it")

func (a *app) stream(ctx context.Context, c *client, q url.Values, began func()) error {
	resp, err := c.send(ctx, http.MethodGet, "/v1/receipts", q, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	began()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if len(lines.Bytes()) == 0 {
			continue // a heartbeat
		}
		var l httpapi.ReceiptLine
		if err := unmarshal(lines.Bytes(), &l); err != nil {
			return err
		}
		if err := a.showReceipt(&l); err != nil {
			return err
		}
		q.Set("after", strconv.FormatUint(l.Index, 10))
		q.Del("last")
	}
	if lines.Err() != nil {
		return lines.Err()
	}
	return errStreamEnd
}

// showReceipt prints one line.
func (a *app) showReceipt(l *httpapi.ReceiptLine) error {
	if a.json {
		b, err := json.Marshal(l)
		if err != nil {
			return err
		}
		_, err = a.out.Write(append(b, '\n'))
		return err
	}
	st, err := receipt.ParseStatement(l.Statement)
	if err != nil {
		return fmt.Errorf("entry %d: %w", l.Index, err)
	}
	_, err = fmt.Fprintf(a.out, "%s %s %s\n", a.paint(faint, fmt.Sprintf("%6d %s", l.Index, receipt.FormatTime(st.Time))), a.paint(faint, l.ID[:8]), a.describe(st))
	return err
}

// describe is what an entry says, on one line.
func (a *app) describe(st *receipt.Statement) string {
	kind := func(format string, args ...any) string {
		return fmt.Sprintf("%-8s ", st.Body.Kind()) + safeText(strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " "))
	}
	switch b := st.Body.(type) {
	case *receipt.Decision:
		s := fmt.Sprintf("%s/%s %s  %s %s: %s", b.Agent, b.Session, b.Tool, b.Rule, b.Reason.Code, b.Reason.Message)
		if !b.Enforced {
			s += "  (not enforced)"
		}
		if b.Shadow != nil {
			s += fmt.Sprintf("  (shadow policy %s version %d: %s %s %s)", b.Shadow.Policy.ID, b.Shadow.Policy.Version, b.Shadow.Verdict, b.Shadow.Rule, b.Shadow.Code)
		}
		return a.verdict(string(b.Verdict)) + " " + safeText(strings.ReplaceAll(s, "\n", " "))
	case *receipt.Outcome:
		s := kind("%s/%s %s  %s after %s, of entry %d", b.Agent, b.Session, b.Tool, b.Status, time.Duration(b.DurationMicros)*time.Microsecond, b.Decision.Index)
		if b.Conflict != nil {
			s += a.paint(red, fmt.Sprintf("  conflicts with entry %d", b.Conflict.Index))
		}
		return s
	case *receipt.Approval:
		return kind("%s/%s  %s of entry %d by %s, %s", b.Agent, b.Session, b.Answer, b.Escalation.Index, b.Approver, b.Grade)
	case *receipt.Session:
		return kind("%s/%s  closed (%s)", b.Agent, b.Session, b.Cause)
	case *receipt.Policy:
		return kind("%s version %d, %s, sha256 %x", b.Policy.ID, b.Policy.Version, b.Mode, b.Policy.SHA256[:8])
	case *receipt.Boundary:
		return kind("%s %s: %s", b.Boundary, b.Event, b.Covers)
	case *receipt.Freeze:
		return kind("by %s: %s", b.Principal, b.Reason)
	case *receipt.Unfreeze:
		return kind("by %s: %s", b.Principal, b.Reason)
	case *receipt.Genesis:
		return kind("%s", st.Origin)
	}
	return kind("")
}
