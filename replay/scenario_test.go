package replay

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/helm-ai-kernel/helm-ai-kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/kernel"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/sshsig/sshsign"
)

const factsPolicy = `[policy]
id = "facts"
version = 1
format = "helm.policy/v1"
[lists]
hosts = ["example.com", "*.corp.example", "8.8.8.8"]
dirs = ["/srv/app"]
commands = ["ls", "cat", "git status", "go test"]
[[tool]]
name = "f.path"
args = { path = "path" }
[[tool]]
name = "f.host"
args = { host = "host" }
[[tool]]
name = "f.url"
args = { url = "url" }
[[tool]]
name = "f.shell"
args = { command = "command" }
[[rule]]
id = "path"
verdict = "ALLOW"
tools = ["f.path"]
when = "facts.path.under(lists.dirs)"
[[rule]]
id = "path-opaque"
verdict = "DENY"
reason = "OPAQUE"
tools = ["f.path"]
when = "facts.path.opaque"
[[rule]]
id = "host"
verdict = "ALLOW"
tools = ["f.host"]
when = "facts.host.within(lists.hosts)"
[[rule]]
id = "host-private"
verdict = "DENY"
reason = "PRIVATE"
tools = ["f.host"]
when = "facts.host.private"
[[rule]]
id = "host-metadata"
verdict = "DENY"
reason = "METADATA"
tools = ["f.host"]
when = "facts.host.metadata"
[[rule]]
id = "url"
verdict = "ALLOW"
tools = ["f.url"]
when = "facts.host.within(lists.hosts) && !facts.url.userinfo && facts.url.list.all(u, u.port == 443 || u.port == 80)"
[[rule]]
id = "url-opaque"
verdict = "DENY"
reason = "OPAQUE"
tools = ["f.url"]
when = "facts.url.opaque"
[[rule]]
id = "shell"
verdict = "ALLOW"
tools = ["f.shell"]
when = "facts.shell.only(lists.commands)"
[[rule]]
id = "shell-rm"
verdict = "DENY"
reason = "RM"
tools = ["f.shell"]
when = "facts.shell.runs(['rm'])"
[[rule]]
id = "shell-opaque"
verdict = "ESCALATE"
tools = ["f.shell"]
when = "facts.shell.opaque"
`

// reading records calls with every text of the tables of spec/facts.md, and with commands.
func reading(t *testing.T) *site {
	s := newSite(t)
	s.activateSource([]byte(factsPolicy))
	page, err := os.ReadFile("../spec/facts.md")
	if err != nil {
		t.Fatal(err)
	}
	put := func(tool, arg, text string) {
		if !strings.Contains(text, "\xff") { // JSON holds no such text
			if _, err := s.k.Decide(t.Context(), helm.Call{Agent: "a", Session: tool, Tool: tool, Principal: "none", Boundary: "test",
				Arguments: fmt.Appendf(nil, "{%q:%s}", arg, quoted(text)), Context: []byte(`{"cwd":"/srv/app"}`)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	table := ""
	for line := range strings.Lines(string(page)) {
		cell, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " |")
		switch {
		case !strings.HasPrefix(line, "| "):
			if !strings.HasPrefix(line, "|--") {
				table = ""
			}
		case table == "":
			table = cell
		default:
			text, err := strconv.Unquote(`"` + strings.ReplaceAll(strings.Trim(cell, "`"), `"`, `\"`) + `"`)
			if tool := map[string][2]string{"path": {"f.path", "path"}, "host": {"f.host", "host"}, "URL": {"f.url", "url"}}[table]; tool[0] != "" && err == nil {
				put(tool[0], tool[1], text)
			}
		}
	}
	for _, command := range []string{"ls -la", "cat a | cat", "rm x", "sudo rm x", "sh -c 'rm x'", "echo rm", "ls; $x", "$(rm x)", "ls > out", "git status", "git -C . status", "go test ./...",
		"find . -exec rm {} +", "xargs rm < list", "ls 'unclosed", "a=1 ls", "cat <<E\nrm\nE", "time ls", "./ls", "l\\s", "eval ls", "true && ls || cat x", "for i in 1 2; do ls; done", "f() { rm x; }; f", "\u006cs"} {
		put("f.shell", "command", command)
	}
	return s
}

func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20:
			fmt.Fprintf(&b, "\\u%04x", r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// signing records what approvals that people sign lead to.
func signing(t *testing.T) *site {
	s := newSite(t)
	people := map[string]ssh.Signer{}
	src := "[policy]\nid = \"signed\"\nversion = 1\nformat = \"helm.policy/v1\"\n[[tool]]\nname = \"pay.transfer\"\nargs = { amount = \"int\", to = \"string\" }\n"
	for i, name := range []string{"ana", "bo", "cy"} {
		signer, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(i + 1)}, 32)))
		if err != nil {
			t.Fatal(err)
		}
		people[name] = signer
		src += fmt.Sprintf("[[approver]]\nname = %q\ngroups = [\"g\"]\nkey = %q\n", name, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))))
	}
	src += "[[rule]]\nid = \"two\"\nverdict = \"ESCALATE\"\ntools = [\"*\"]\napprovers = { any_of = [\"group:g\"], count = 2, expires = \"1h\" }\n" +
		"[[rule]]\nid = \"large\"\nverdict = \"ESCALATE\"\ntools = [\"*\"]\nwhen = \"args.amount > 100\"\napprovers = { all_of = [\"ana\"] }\n"
	s.activateSource([]byte(src))
	answer := func(d *kernel.Decision, name, how string) {
		t.Helper()
		st, err := receipt.ParseStatement(d.Statement)
		if err != nil {
			t.Fatal(err)
		}
		text := receipt.ApprovalText(how, st.Origin, receipt.StatementHash(d.Statement), st.Subject.SHA256, st.Body.(*receipt.Decision).Escalation.Expires, name)
		sig, err := sshsign.Sign(receipt.ApprovalNamespace, text, people[name])
		if err == nil {
			_, err = s.k.Answer(t.Context(), kernel.Answer{ID: d.ID, Approve: how == receipt.AnswerApprove, Approver: name, Signature: sig, Principal: "auditor:x", Boundary: "test"})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	small, large := `{"amount":5,"to":"x"}`, `{"amount":500,"to":"x"}`
	d := s.decide("", small, helm.Escalate, "ESCALATED_BY_RULE")
	answer(d, "ana", receipt.AnswerApprove)
	s.decide("", small, helm.Escalate, "ESCALATED_BY_RULE") // one of two
	answer(d, "cy", receipt.AnswerApprove)
	s.decide("", small, helm.Allow, helm.Approved)
	d = s.decide("c", large, helm.Escalate, "ESCALATED_BY_RULE")
	answer(d, "bo", receipt.AnswerApprove)
	answer(d, "cy", receipt.AnswerApprove)
	s.decide("", large, helm.Escalate, "ESCALATED_BY_RULE") // two, and not ana
	answer(d, "ana", receipt.AnswerApprove)
	s.decide("c", large, helm.Allow, helm.Approved)
	d = s.decide("", large, helm.Escalate, "ESCALATED_BY_RULE")
	answer(d, "bo", receipt.AnswerRefuse)
	s.decide("", large, helm.Deny, helm.ApprovalRefused)
	return s
}

// TestScenarios: all that is recorded agrees.
func TestScenarios(t *testing.T) {
	for name, make := range scenarios {
		t.Run(name, func(t *testing.T) {
			s := make(t)
			totals, err := Run(s.pack(), s.exported, nil, func(d *Decision) error {
				if d.Answer != Agree {
					t.Errorf("entry %d, recorded %s: %s, %s", d.Index, d.Recorded, d.Answer, d.Why)
				}
				return nil
			})
			if err != nil || totals.Agree == 0 {
				t.Errorf("%+v, %v", totals, err)
			}
		})
	}
}
