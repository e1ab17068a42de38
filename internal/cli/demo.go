package cli

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/boundary/httpapi"
	"github.com/helm-ai-kernel/helm-ai-kernel/internal/bank"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/verify/verifycmd"
)

//go:embed demo.toml
var demoPolicy []byte

const demoAgent = "agent.demo.exec"

func (a *app) demoCmd() *cobra.Command {
	var out string
	cmd := &cobra.Command{Use: "demo", Short: "The five-minute proof", Args: exactly(0),
		Long: `An agent does real work in a temporary folder, each call through the kernel: some are
allowed and carried out, some are denied, one is escalated, approved and carried out.
Then its evidence is exported, verified, changed by one byte, and verified again.

Without --server it starts a server and a home of its own.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			own := !cmd.Flags().Changed("server")
			if own {
				stop, err := a.ownServer(ctx)
				if err != nil {
					return err
				}
				defer stop()
			}
			return a.demo(ctx, out, own)
		}}
	cmd.Flags().StringVarP(&out, "output", "o", "evidence-pack.tar", "the pack to write")
	return cmd
}

// ownServer starts a server with a home that goes away.
func (a *app) ownServer(ctx context.Context) (stop func(), err error) {
	dir, err := os.MkdirTemp("", "helm-demo-home-*")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "demo.toml")
	if err := os.WriteFile(file, demoPolicy, 0o600); err != nil {
		return nil, err
	}
	s, err := start(ctx, serveConfig{home: home{dir: filepath.Join(dir, "home")}, policy: file, listen: "127.0.0.1:0",
		log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	run, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { s.run(run); close(done) }()
	a.server, a.home = s.address, s.home.dir
	return func() {
		cancel()
		<-done
		os.RemoveAll(dir)
	}, nil
}

// A demoRun is a demo that plays.
type demoRun struct {
	*app
	agent    *client // sends no token
	operator *client
	session  string
	dir      string // where the agent works
	service  string // address of the small HTTP service that it calls
	step     int
	own      bool   // the server is the demo's own
	flags    string // of commands that a reader can run
	seen     map[helm.Verdict]int
}

func (a *app) demo(ctx context.Context, out string, own bool) error {
	d := &demoRun{app: a, own: own, seen: map[helm.Verdict]int{}, flags: " --server " + a.server}
	if own {
		d.flags += " --home " + a.home
	}
	var err error
	if d.agent, err = a.client(false); err != nil {
		return err
	}
	if d.operator, err = a.client(true); err != nil {
		return err
	}
	if d.operator.token == "" {
		return fmt.Errorf("the demo answers an escalation and exports evidence, and has no operator's token for %s: %s. Give one with --token-file, "+
			"or run it where that server's home is (--home)", a.server, d.operator.noToken)
	}
	var b [4]byte
	rand.Read(b[:])
	d.session = "demo-" + hex.EncodeToString(b[:])
	if d.dir, err = os.MkdirTemp("", "helm-demo-*"); err != nil {
		return err
	}
	defer os.RemoveAll(d.dir)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	service := &http.Server{Handler: service(), ReadHeaderTimeout: 10 * time.Second}
	go service.Serve(ln)
	defer service.Close()
	d.service = "http://" + ln.Addr().String()
	return d.play(ctx, out)
}

// service is the small HTTP service that the demo's agent calls.
func service() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /balance", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, `{"acct_1":5000}`) })
	mux.HandleFunc("POST /transfer", func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
		if err != nil {
			return
		}
		fmt.Fprintf(w, "{\"done\":%s}\n", b)
	})
	return mux
}

func (d *demoRun) play(ctx context.Context, out string) error {
	if d.own {
		d.printf("The server and the home of this demo end with it. To run its commands by hand, start a server with\n`helm-ai-kernel serve --policy release.high_risk.v3.toml`, and then `helm-ai-kernel demo --server http://%s`.\n\n", defaultListen)
	}
	d.printf("%s works in %s, session %s, under the kernel at %s.\n", d.paint(bold, demoAgent), d.dir, d.session, d.server)
	notes := filepath.Join(d.dir, "notes.txt")

	d.say("It works on its own files: allowed, carried out, and the outcome recorded")
	calls := []struct {
		tool string
		args map[string]any
		want helm.Verdict
	}{
		{"fs.write", map[string]any{"path": notes, "content": "rent\nfood\nbooks\n"}, helm.Allow},
		{"fs.read", map[string]any{"path": notes}, helm.Allow},
		{"shell.exec", map[string]any{"command": "sort notes.txt | head -n 2"}, helm.Allow},
		{"http.get", map[string]any{"url": d.service + "/balance"}, helm.Allow},
		{"pay.transfer", map[string]any{"amount": 40, "to": "acct_9", "memo": "books"}, helm.Allow},
	}
	for _, c := range calls {
		if _, err := d.call(ctx, c.tool, c.args, c.want); err != nil {
			return err
		}
	}

	d.say("It reaches for what is not its own: denied, and not carried out")
	denied := []struct {
		tool string
		args map[string]any
	}{
		{"fs.read", map[string]any{"path": "/root/.ssh/id_rsa"}},
		{"fs.write", map[string]any{"path": d.dir + "/../../etc/cron.d/job", "content": "x"}},
		{"shell.exec", map[string]any{"command": "sudo sh -c 'rm -rf /'"}},
		{"http.get", map[string]any{"url": "http://2852039166/latest/meta-data/"}}, // 169.254.169.254
	}
	for _, c := range denied {
		if _, err := d.call(ctx, c.tool, c.args, helm.Deny); err != nil {
			return err
		}
	}

	d.say("A large payment is escalated; a person answers; the same call is then allowed, once")
	pay := map[string]any{"amount": 1001, "to": "acct_9", "memo": "rent"}
	asked, err := d.call(ctx, "pay.transfer", pay, helm.Escalate)
	if err != nil {
		return err
	}
	if err := d.answer(ctx, asked, receipt.AnswerApprove); err != nil {
		return err
	}
	if _, err := d.call(ctx, "pay.transfer", pay, helm.Allow); err != nil {
		return err
	}
	if asked, err = d.call(ctx, "pay.transfer", pay, helm.Escalate); err != nil {
		return err
	}
	if err := d.answer(ctx, asked, receipt.AnswerRefuse); err != nil {
		return err
	}
	if _, err := d.call(ctx, "pay.transfer", pay, helm.Deny); err != nil {
		return err
	}

	if err := d.overMCP(ctx); err != nil {
		return err
	}

	d.say("The session is closed, and its evidence exported and verified")
	var e httpapi.EntryAnswer
	if err := d.agent.ask(ctx, http.MethodPost, "/v1/sessions/close", nil, httpapi.CloseRequest{Agent: demoAgent, Session: d.session}, &e); err != nil {
		return err
	}
	d.hint("receipts tail --no-follow --agent " + demoAgent)
	d.hint(fmt.Sprintf("evidence export --agent %s --session %s -o %s", demoAgent, d.session, out))
	return d.evidence(ctx, out)
}

// overMCP has an MCP server of payments behind the boundary: a process of its own, that knows
// nothing of it, and a client that knows nothing of it either.
func (d *demoRun) overMCP(ctx context.Context) error {
	d.say("An MCP server, started through `mcp wrap`: what is allowed reaches it, and what is not gets an answer for the model")
	program, err := exec.LookPath(os.Args[0])
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	args := []string{"mcp", "wrap", "--name", "pay", "--agent", demoAgent, "--server", d.server, "--home", d.home, "--", program, "mcp", "example"}
	d.printf("     %s\n", d.paint(faint, "$ helm-ai-kernel "+strings.Join(args[:6], " ")+" -- helm-ai-kernel mcp example"))
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stderr = d.err
	c, err := bank.Dial(ctx, cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	names, err := c.Tools(ctx)
	if err != nil {
		return err
	}
	d.printf("     its tools are pinned: %s\n", safeText(strings.Join(names, ", ")))
	for _, call := range []struct {
		tool   string
		args   map[string]any
		denied bool
	}{{"transfer", map[string]any{"amount": 25, "to": "acct_9", "memo": "tea"}, false}, {"close_account", map[string]any{"account": "acct_1"}, true}} {
		said, failed, err := c.Call(ctx, call.tool, call.args)
		if err != nil {
			return err
		}
		raw, err := json.Marshal(call.args, json.Deterministic(true))
		if err != nil {
			return err
		}
		d.printf("  %s %s\n           %s\n", call.tool, raw, safeText(said))
		if failed != call.denied {
			return fmt.Errorf("%s was answered so, and not as expected: the server runs under a policy that the demo was not made for", call.tool)
		}
	}
	return c.Close()
}

// answer answers an escalation as an operator.
func (d *demoRun) answer(ctx context.Context, asked *httpapi.DecisionAnswer, answer string) error {
	if asked.Approval == nil {
		return errors.New("the escalation opened no approval")
	}
	d.hint("approvals list")
	if answer == receipt.AnswerApprove {
		d.hint("approvals approve " + asked.Approval.ID)
	} else {
		d.hint("approvals deny " + asked.Approval.ID)
	}
	var e httpapi.EntryAnswer
	if err := d.operator.ask(ctx, http.MethodPost, "/v1/approvals/"+asked.Approval.ID, nil, map[string]string{"answer": answer}, &e); err != nil {
		return err
	}
	d.printf("     %s, with the operator's token: entry %d\n", answer, e.Index)
	return nil
}

// say prints the heading of a step.
func (d *demoRun) say(text string) {
	d.step++
	d.printf("\n%s\n", d.paint(bold, fmt.Sprintf("%d. %s.", d.step, text)))
}

// hint prints a command that a reader can run by hand.
func (d *demoRun) hint(command string) {
	d.printf("     %s\n", d.paint(faint, "$ helm-ai-kernel "+command+d.flags))
}

// call puts a call to the kernel, carries it out where it is allowed, and reports
// the outcome.
func (d *demoRun) call(ctx context.Context, tool string, args map[string]any, want helm.Verdict) (*httpapi.DecisionAnswer, error) {
	raw, err := json.Marshal(args, json.Deterministic(true))
	if err != nil {
		return nil, err
	}
	where, err := json.Marshal(map[string]string{"cwd": d.dir})
	if err != nil {
		return nil, err
	}
	var dec httpapi.DecisionAnswer
	if err := d.agent.ask(ctx, http.MethodPost, "/v1/decisions", nil,
		httpapi.DecisionRequest{Agent: demoAgent, Session: d.session, Tool: tool, Arguments: raw, Context: where}, &dec); err != nil {
		return nil, err
	}
	d.seen[dec.Verdict]++
	d.printf("  %s %s %s\n", d.verdict(string(dec.Verdict)), tool, safeText(strings.ReplaceAll(string(raw), d.dir, "$DIR")))
	d.printf("           entry %d, %s\n", dec.Index, safeText(dec.Rule+": "+string(dec.Reason.Code)))
	if dec.Verdict != want {
		return nil, fmt.Errorf("%s was answered %s, and %s was expected: the server runs under a policy that the demo was not made for", tool, dec.Verdict, want)
	}
	if dec.Verdict != helm.Allow {
		return &dec, nil
	}
	began := time.Now()
	result, rerr := d.carryOut(ctx, tool, args)
	status := helm.OutcomeOK
	if rerr != nil {
		status, result = helm.OutcomeError, rerr.Error()
	}
	rawResult, err := json.Marshal(result)
	if err != nil {
		return nil, err
	}
	var o httpapi.OutcomeAnswer
	if err := d.agent.ask(ctx, http.MethodPost, "/v1/outcomes", nil, httpapi.OutcomeRequest{Decision: dec.ID, Status: status,
		DurationMicros: uint64(time.Since(began).Microseconds()), Result: rawResult}, &o); err != nil {
		return nil, err
	}
	d.printf("           carried out: entry %d, %s: %s\n", o.Index, status, safeText(strings.ReplaceAll(strings.TrimSpace(result), "\n", " ")))
	return &dec, nil
}

// carryOut does what a call says.
func (d *demoRun) carryOut(ctx context.Context, tool string, args map[string]any) (string, error) {
	text := func(name string) string { s, _ := args[name].(string); return s }
	switch tool {
	case "fs.write":
		return "written", os.WriteFile(text("path"), []byte(text("content")), 0o600)
	case "fs.read":
		b, err := os.ReadFile(text("path"))
		return string(b), err
	case "shell.exec":
		cmd := exec.CommandContext(ctx, "sh", "-c", text("command"))
		cmd.Dir = d.dir
		b, err := cmd.CombinedOutput()
		return string(b), err
	case "http.get":
		return d.fetch(ctx, http.MethodGet, text("url"), nil)
	case "pay.transfer":
		return d.fetch(ctx, http.MethodPost, d.service+"/transfer", args)
	}
	return "", fmt.Errorf("the demo has no tool %s", tool)
}

func (d *demoRun) fetch(ctx context.Context, method, url string, body map[string]any) (string, error) {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body, json.Deterministic(true))
		if err != nil {
			return "", err
		}
		r = strings.NewReader(string(b))
	}
	req, err := http.NewRequestWithContext(ctx, method, url, r)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	return string(b), err
}

// evidence exports the session, verifies the pack, and shows that a changed one
// does not verify.
func (d *demoRun) evidence(ctx context.Context, out string) error {
	resp, err := d.operator.send(ctx, http.MethodGet, "/v1/evidence", values("agent", demoAgent, "session", d.session), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := d.save(out, resp.Body); err != nil {
		return err
	}
	beside := strings.TrimSuffix(out, ".tar")
	trust, changed := beside+".trust", beside+".changed.tar"
	if err := d.trustFile(ctx, trust); err != nil {
		return err
	}
	check := func(file string) int {
		d.printf("     %s\n", d.paint(faint, "$ helm-ai-kernel verify --trust "+trust+" "+file))
		return verifycmd.Run(verifycmd.Command{Name: "helm-ai-kernel verify", Args: []string{"--trust", trust, file}, Stdout: d.out, Stderr: d.err})
	}
	if code := check(out); code != exitDone {
		return fmt.Errorf("%s did not verify: exit code %d", out, code)
	}

	d.say("One byte of a copy is changed, and the verifier says where")
	b, err := os.ReadFile(out)
	if err != nil {
		return err
	}
	at := strings.LastIndex(string(b), `{"payload":"`) // pack.json's; the entry before it is changed
	at = strings.LastIndex(string(b[:at]), `{"payload":"`) + 400
	if b[at] == 'A' {
		b[at] = 'B'
	} else {
		b[at] = 'A'
	}
	if err := os.WriteFile(changed, b, 0o600); err != nil {
		return err
	}
	if code := check(changed); code != exitNo {
		return fmt.Errorf("the changed copy was answered with exit code %d, and 1 was expected", code)
	}
	d.printf("\n%s %s is the evidence of session %s: %d ALLOW, %d DENY, %d ESCALATE.\n", d.paint(green, "Done."), out, d.session,
		d.seen[helm.Allow], d.seen[helm.Deny], d.seen[helm.Escalate])
	return nil
}

// trustFile writes a trust file with the key of the server's log: what an auditor
// has from another channel.
func (d *demoRun) trustFile(ctx context.Context, path string) error {
	var st httpapi.BoundaryAnswer
	if err := d.operator.ask(ctx, http.MethodGet, "/v1/boundary", nil, nil, &st); err != nil {
		return err
	}
	return os.WriteFile(path, []byte("log "+st.Log.Key+"\nquorum none\n"), 0o600)
}
