package cli

import (
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/spf13/cobra"

	"github.com/helm-ai-kernel/helm-ai-kernel/access"
	"github.com/helm-ai-kernel/helm-ai-kernel/boundary/httpapi"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
)

func (a *app) boundaryCmd() *cobra.Command {
	status := &cobra.Command{Use: "status", Short: "What is so, asked of the server", Args: exactly(0), RunE: func(cmd *cobra.Command, _ []string) error {
		c, err := a.client(true)
		if err != nil {
			return err
		}
		var st httpapi.BoundaryAnswer
		var raw []byte
		if err := c.ask(cmd.Context(), http.MethodGet, "/v1/boundary", nil, nil, &raw); err != nil {
			var e *exitError
			if errors.As(err, &e) && e.code == exitNoServer {
				return a.down(err)
			}
			return err
		}
		if a.json {
			_, err := a.out.Write(raw)
			return err
		}
		if err := unmarshal(raw, &st); err != nil {
			return err
		}
		a.showStatus(&st)
		return nil
	}}
	change := func(use, short, path, done string) *cobra.Command {
		var reason string
		c := &cobra.Command{Use: use + " --reason R", Short: short, Args: exactly(0), RunE: func(cmd *cobra.Command, _ []string) error {
			if reason == "" {
				return usagef("%s needs --reason: it is signed into the log", use)
			}
			return a.record(cmd, path, map[string]string{"reason": reason}, done)
		}}
		c.Flags().StringVar(&reason, "reason", "", "why, for whoever reads the log")
		return c
	}
	all := group("boundary", "See and freeze the boundary", status,
		change("freeze", "Deny every call from now on", "/v1/boundary/freeze", "frozen"),
		change("unfreeze", "End a freeze", "/v1/boundary/unfreeze", "no longer frozen"))
	all.SuggestFor = []string{"status", "freeze", "unfreeze"}
	return all
}

// down prints that there is no server.
func (a *app) down(err error) error {
	if a.json {
		if perr := a.printJSON(map[string]string{"status": "down", "server": a.server, "error": err.Error()}); perr != nil {
			return perr
		}
		return &exitError{exitNoServer, nil}
	}
	a.printf("%s  %s\n", a.paint(red, "down"), safeText(err.Error()))
	return &exitError{exitNoServer, nil}
}

// record sends an operator's request and prints the entry that it became.
func (a *app) record(cmd *cobra.Command, path string, body any, done string) error {
	c, err := a.client(true)
	if err != nil {
		return err
	}
	var e httpapi.EntryAnswer
	if err := c.ask(cmd.Context(), http.MethodPost, path, nil, body, &e); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(e)
	}
	a.printf("%s: entry %d, %s\n", done, e.Index, e.ID)
	return nil
}

// maxBoundaries is how many boundaries a status lists.
const maxBoundaries = 20

func (a *app) showStatus(st *httpapi.BoundaryAnswer) {
	colour := green
	if st.State != "up" {
		colour = red
	}
	rows := [][]string{{"status", a.paint(colour, st.State)}}
	add := func(name, format string, args ...any) {
		rows = append(rows, []string{name, safeText(fmt.Sprintf(format, args...))})
	}
	if st.Error != "" {
		add("", "%s", st.Error)
	}
	if st.Degraded != "" {
		add("", "%s", st.Degraded)
	}
	if f := st.Frozen; f != nil {
		add("frozen", "since %s, entry %d, by %s: %s", f.Since, f.Index, f.Principal, f.Reason)
	}
	add("mode", "%s", st.Mode)
	if p := st.Policy; p != nil {
		add("policy", "%s version %d, sha256 %s", p.ID, p.Version, p.SHA256)
		add("", "active since %s, entry %d, %s", p.Since, p.Index, p.Engine)
	} else {
		add("policy", "none: nothing is decided")
	}
	if p := st.Policy; p != nil && p.SHA256 != st.Process.PolicySHA256 {
		add("", "NOT that of this process's file %s: another process activated it", st.Process.PolicyFile)
	}
	if st.Process.PolicyError != "" {
		add("", "the file %s was not taken: %s", st.Process.PolicyFile, st.Process.PolicyError)
	}
	for i, line := range shadowLines(st) {
		add([]string{"shadow", ""}[min(i, 1)], "%s", line)
	}
	add("log", "%d entries, last at %s", st.Log.Size, st.Log.LastEntry)
	add("", "origin %s", st.Log.Origin)
	add("", "fingerprint %s", st.Log.Fingerprint)
	add("", "root %s", st.Log.Root)
	add("", "key %s", st.Log.KeyID)
	add("store", "%s", st.Process.Store)
	for _, l := range st.Process.Listeners {
		who := "agents need a token"
		if l.Anonymous {
			who = "agents need no token"
		}
		add("listener", "%s %s (%s)", l.Boundary, l.Address, who)
		add("", "covers %s", l.Covers)
	}
	for i, b := range st.Boundaries {
		if i == maxBoundaries {
			add("", "%d more boundaries: see --json", len(st.Boundaries)-i)
			break
		}
		add([]string{"boundary", ""}[min(i, 1)], "%s, last said: %s, by %s at %s, entry %d", b.Boundary, b.Event, b.Principal, b.Time, b.Index)
		add("", "%s", b.Covers)
	}
	if n := st.Process.Announcing; n != nil {
		add("announced", "%d approvals; %d attempts failed; %d expired first; %d wait", n.Delivered, n.Failed, n.Expired, n.Waiting)
		if n.LastError != "" {
			add("", "last error: %s", n.LastError)
		}
	}
	n := st.Counts
	add("decisions", "%d ALLOW, %d DENY, %d ESCALATE; %d outcomes", n.Allow, n.Deny, n.Escalate, n.Outcomes)
	add("waiting", "%d approvals pending, %d sessions open", n.ApprovalsPending, n.SessionsOpen)
	audit := fmt.Sprintf("%s: %d of %d entries that were there at the start are checked", st.Audit.Result, st.Audit.Checked, st.Audit.Of)
	if st.Audit.Newest > 0 {
		audit += fmt.Sprintf(", and the newest %d before listening", st.Audit.Newest)
	}
	add("audit", "%s", audit)
	add("process", "pid %d, version %s, since %s", st.Process.PID, st.Process.Version, st.Process.Started)
	add("note", "%s", st.Caveat)
	a.table(rows)
}

func (a *app) sessionsCmd() *cobra.Command {
	var agent, session string
	cl := &cobra.Command{Use: "close --agent A --session S", Short: "Mark the end of a session", Args: exactly(0), RunE: func(cmd *cobra.Command, _ []string) error {
		if agent == "" || session == "" {
			return usagef("sessions close needs --agent and --session")
		}
		c, err := a.client(false) // an agent's request
		if err != nil {
			return err
		}
		var e httpapi.EntryAnswer
		if err := c.ask(cmd.Context(), http.MethodPost, "/v1/sessions/close", nil, httpapi.CloseRequest{Agent: agent, Session: session}, &e); err != nil {
			return err
		}
		if a.json {
			return a.printJSON(e)
		}
		a.printf("closed: entry %d, %s\n", e.Index, e.ID)
		return nil
	}}
	cl.Flags().StringVar(&agent, "agent", "", "the agent")
	cl.Flags().StringVar(&session, "session", "", "its session")
	return group("sessions", "Mark ends of sessions", cl)
}

func (a *app) tokensCmd() *cobra.Command {
	var t access.Token
	var role string
	add := &cobra.Command{Use: "add --role R --name N", Short: "Make a token; it is printed once and kept as a hash", Args: exactly(0), RunE: func(*cobra.Command, []string) error {
		t.Role = access.Role(role)
		if t.Role == access.Agent && t.Agent == "" {
			return usagef("an agent's token needs --agent: the name that it speaks for")
		}
		if err := os.MkdirAll(a.home, 0o700); err != nil {
			return err
		}
		tokens, err := access.Open((&home{dir: a.home}).tokens())
		if err != nil {
			return err
		}
		secret, err := tokens.Add(t, ledger.WriteFile)
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(map[string]string{"principal": t.Principal(), "token": secret})
		}
		a.printf("%s\n", secret)
		fmt.Fprintf(a.err, "%s: it is shown only this once. A server that runs takes it within about a second.\n", safeText(t.Principal()))
		return nil
	}}
	add.Flags().StringVar(&role, "role", "", "agent, auditor or operator")
	add.Flags().StringVar(&t.Name, "name", "", "who holds it")
	add.Flags().StringVar(&t.Agent, "agent", "", "the agent that an agent's token speaks for")
	list := &cobra.Command{Use: "list", Short: "Who has a token", Args: exactly(0), RunE: func(*cobra.Command, []string) error {
		tokens, err := access.Open((&home{dir: a.home}).tokens())
		if err != nil {
			return err
		}
		all, err := tokens.List()
		if err != nil {
			return err
		}
		rows := [][]string{{"PRINCIPAL", "AGENT", ""}}
		out := []map[string]any{}
		for _, t := range all {
			state := ""
			if t.Revoked {
				state = "revoked"
			}
			rows = append(rows, []string{t.Principal(), t.Agent, state})
			out = append(out, map[string]any{"principal": t.Principal(), "role": string(t.Role), "name": t.Name, "agent": t.Agent, "revoked": t.Revoked})
		}
		if a.json {
			return a.printJSON(map[string]any{"tokens": out})
		}
		a.table(rows)
		return nil
	}}
	remove := &cobra.Command{Use: "remove PRINCIPAL", Short: "Take a token back, such as agent:build", Args: exactly(1), RunE: func(_ *cobra.Command, args []string) error {
		tokens, err := access.Open((&home{dir: a.home}).tokens())
		if err != nil {
			return err
		}
		return tokens.Remove(args[0], ledger.WriteFile)
	}}
	return group("tokens", "Make and take back tokens of this home", add, list, remove)
}
