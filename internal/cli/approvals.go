package cli

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"
	"golang.org/x/term"

	"github.com/helm-ai-kernel/helm-ai-kernel/boundary/httpapi"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/sshsig/sshsign"
)

func (a *app) approvalsCmd() *cobra.Command {
	var all bool
	list := &cobra.Command{Use: "list", Short: "Calls that wait for an answer", Args: exactly(0), RunE: func(cmd *cobra.Command, _ []string) error {
		c, err := a.client(true)
		if err != nil {
			return err
		}
		var got struct {
			Approvals []httpapi.ApprovalAnswer `json:"approvals"`
		}
		if err := c.ask(cmd.Context(), http.MethodGet, "/v1/approvals", values("all", flagValue(all)), nil, &got); err != nil {
			return err
		}
		if a.json {
			return a.printJSON(got)
		}
		for i := range got.Approvals {
			a.showApproval(&got.Approvals[i])
		}
		switch {
		case len(got.Approvals) > 0:
		case all:
			a.printf("there are no approvals\n")
		default:
			a.printf("nothing waits for an answer\n")
		}
		return nil
	}}
	list.Flags().BoolVar(&all, "all", false, "also those that are answered, and the newest 1000 that are used, expired or void")
	cmds := group("approvals", "Answer escalated calls", list, a.watchCmd(),
		a.answerCmd("approve", "Approve a call", receipt.AnswerApprove, "approved"),
		a.answerCmd("deny", "Refuse a call", receipt.AnswerRefuse, "refused"))
	cmds.SuggestFor = []string{"approve", "deny"}
	return cmds
}

func (a *app) answerCmd(use, short, answer, done string) *cobra.Command {
	var key, trust string
	var yes bool
	c := &cobra.Command{Use: use + " ID [--key FILE]", Short: short, Args: exactly(1),
		Long: short + `. The ID is that of "approvals list", or the first 8 or more of its digits,
or the index of the entry.

With --key the answer is signed with an SSH key that the policy names: a private key
file, or a .pub file of a key that an ssh-agent holds. FIDO keys sign through the agent,
and ask for touch. First the receipt of the call is verified with the key of the log in
trust.policy (of the home, or --trust), and what is shown is held to what it commits to.
Without --key the operator's token answers.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client(true)
			if err != nil {
				return err
			}
			id, err := c.openApproval(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			path := "/v1/approvals/" + url.PathEscape(id)
			if key == "" && a.json {
				return a.record(cmd, path, httpapi.AnswerRequest{Answer: answer}, "")
			}
			var w httpapi.ApprovalAnswer
			if err := c.ask(cmd.Context(), http.MethodGet, path, nil, nil, &w); err != nil {
				return err
			}
			req, by := httpapi.AnswerRequest{Answer: answer}, "with an operator's token"
			if key == "" { // nobody answers what he was not shown
				a.showApproval(&w)
			} else if req, err = a.sign(&w, id, answer, key, trust, yes); err != nil {
				return err
			} else {
				by = "by " + req.Approver
			}
			if err := a.record(cmd, path, req, done+" "+by); err != nil || a.json {
				return err
			}
			if err := c.ask(cmd.Context(), http.MethodGet, path, nil, nil, &w); err != nil {
				return err
			}
			if w.State == ledger.ApprovalPending {
				a.printf("it waits for others too:\n")
				a.table(a.requirementRows(&w))
			}
			return nil
		}}
	c.Flags().StringVar(&key, "key", "", "sign with this SSH key: a private key file, or a .pub file of one in ssh-agent")
	c.Flags().StringVar(&trust, "trust", "", "trust file that names the log's key (default trust.policy of the home)")
	c.Flags().BoolVar(&yes, "yes", false, "sign without asking on the terminal")
	return c
}

// sign verifies what the server says, shows it to the person, and signs the answer.
func (a *app) sign(w *httpapi.ApprovalAnswer, id, answer, keyFile, trustFile string, yes bool) (req httpapi.AnswerRequest, err error) {
	trust, err := a.trustFile(trustFile)
	if err != nil {
		return req, err
	}
	e, err := openEscalation(w, id, trust)
	if err != nil {
		return req, err
	}
	signer, err := a.loadSigner(keyFile)
	if err != nil {
		return req, err
	}
	req.Answer = answer
	if req.Approver, err = e.approver(ssh.FingerprintSHA256(signer.PublicKey())); err != nil {
		return req, err
	}
	a.showEscalation(e)
	if err := a.confirm(answer, req.Approver, yes); err != nil {
		return req, err
	}
	req.Signature, err = sshsign.Sign(receipt.ApprovalNamespace, e.text(answer, req.Approver), signer)
	return req, err
}

// showEscalation shows a call as its receipt has it, on standard error where standard
// output is for programs.
func (a *app) showEscalation(e *escalation) {
	rows := [][]string{{"  log", safeText(fmt.Sprintf("%s, entry %d: its receipt is verified, and commits to this input", e.st.Origin, e.st.Index))},
		{"  call", safeText(e.Tool + " by " + e.Agent + " in " + e.Session + ", principal " + e.Principal)},
		{"  why", safeText(e.Rule + ": " + string(e.Reason.Code) + ": " + e.Reason.Message)},
		{"  when", receipt.FormatTime(e.st.Time) + ", expires " + receipt.FormatTime(e.Escalation.Expires)}}
	for _, r := range e.Escalation.Requires {
		rows = append(rows, []string{"  asks", safeText(asks(&r))})
	}
	to := *a
	if a.json {
		to.out = a.err
	}
	to.printf("%s\n", to.paint(bold, e.id))
	to.table(append(rows, []string{"  input", safeText(e.input)}))
}

// asks says in words what a requirement asks for.
func asks(r *receipt.Requirement) string {
	if r.Count == 0 {
		return r.Rule + ": an operator"
	}
	var names []string
	for _, k := range r.Keys {
		names = append(names, k.Name)
	}
	slices.Sort(names)
	return fmt.Sprintf("%s: %d of %s", r.Rule, r.Count, strings.Join(names, ", "))
}

// confirm asks on a terminal, where there is one to ask at.
func (a *app) confirm(answer, approver string, yes bool) error {
	in, ok := a.in.(*os.File)
	if yes || !ok || !term.IsTerminal(int(in.Fd())) {
		return nil
	}
	fmt.Fprintf(a.err, "Sign as %s, to %s this? Type yes: ", safeText(approver), answer)
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != "yes" {
		return fmt.Errorf("nothing was signed")
	}
	return nil
}

var idPrefix = regexp.MustCompile("^[0-9a-f]{8,63}$")

// openApproval is the whole id of the one call that waits for an answer and whose id
// begins so. What is no beginning of an id is left to the server.
func (c *client) openApproval(ctx context.Context, id string) (string, error) {
	if !idPrefix.MatchString(id) {
		return id, nil
	}
	var got struct {
		Approvals []httpapi.ApprovalAnswer `json:"approvals"`
	}
	if err := c.ask(ctx, http.MethodGet, "/v1/approvals", nil, nil, &got); err != nil {
		return "", err
	}
	var found []string
	for _, w := range got.Approvals {
		if strings.HasPrefix(w.ID, id) || fmt.Sprint(w.Index) == id { // an index can have 8 digits
			found = append(found, w.ID)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0 && strings.ContainsAny(id, "abcdef"):
		return "", fmt.Errorf("no call that waits for an answer has an id that begins with %s. Give an entry's whole id, or its index", id)
	case len(found) == 0:
		return id, nil // an index
	}
	return "", usagef("%s is the beginning of %d ids: %s. Give more of its digits", id, len(found), strings.Join(found, ", "))
}

func (a *app) showApproval(w *httpapi.ApprovalAnswer) {
	a.printf("%s\n", a.paint(bold, w.ID))
	rows := [][]string{{"  state", w.State + ", opened " + w.Opened + ", expires " + w.Expires},
		{"  call", safeText(w.Tool + " by " + w.Agent + " in " + w.Session + ", principal " + w.Principal)},
		{"  why", safeText(w.Rule + ": " + string(w.Reason.Code) + ": " + w.Reason.Message)}}
	rows = append(rows, a.requirementRows(w)...)
	input := "erased"
	if len(w.Input) > 0 {
		input = safeText(string(w.Input))
	}
	a.table(append(rows, []string{"  input", input}))
}

// requirementRows are what an approval asks for, and how much of it is there.
func (a *app) requirementRows(w *httpapi.ApprovalAnswer) (rows [][]string) {
	for _, r := range w.Requires {
		one := receipt.Requirement{Rule: r.Rule, Count: r.Count}
		for _, k := range r.Keys {
			one.Keys = append(one.Keys, receipt.ApproverKey{Name: k.Name, Fingerprint: k.Fingerprint})
		}
		rows = append(rows, []string{"  asks", safeText(fmt.Sprintf("%s; %d approved", asks(&one), r.Given))})
	}
	return rows
}
