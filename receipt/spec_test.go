package receipt_test

import (
	"bytes"
	"crypto/ed25519"
	"os"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/sshsig/sshsign"
)

// TestSpecExamples holds the examples of spec/receipt.md and spec/log.md, each between
// "<!-- example NAME -->" and "<!-- end -->", to what the code makes of the sample log;
// -update rewrites them.
func TestSpecExamples(t *testing.T) {
	l := newSampleLog()
	e := l.entry("decision-escalate")
	var lines strings.Builder
	for i := range e.payload.lines {
		lines.Write(append(e.payload.lines[i].Append(nil), '\n'))
	}
	d := receipt.Disclose(e.statement.Index, &e.payload.secret, e.payload.lines)
	for i := range d.Lines {
		if d.Lines[i].Line.Pointer == "/arguments/to" {
			d.Close(i)
			break
		}
	}
	l.key = oldKey
	proof := l.proof(5, 7)
	asked := l.entry("decision-escalate")
	ana := must(ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte("a"), 32))))
	text := receipt.ApprovalText(receipt.AnswerApprove, l.origin, receipt.StatementHash(asked.bytes), asked.statement.Subject.SHA256,
		asked.statement.Body.(*receipt.Decision).Escalation.Expires, "ana@corp.example")
	examples := map[string]map[string]string{
		"../spec/receipt.md": {
			"statement":  wrap(string(e.bytes)),
			"fields":     string(receipt.FieldsFile(&e.payload.secret, e.payload.lines)),
			"lines":      lines.String(),
			"leaf":       string(e.leaf),
			"approval":   string(text),
			"signature":  must(sshsign.Sign(receipt.ApprovalNamespace, text, ana)),
			"signer":     `ana@corp.example namespaces="` + receipt.ApprovalNamespace + `" ` + string(ssh.MarshalAuthorizedKey(ana.PublicKey())),
			"disclosure": wrap(string(must(d.Marshal()))),
		},
		"../spec/log.md": {
			"checkpoint": proof.Checkpoint,
			"proof":      proof.Marshal(),
			"vkey":       receipt.VKey(l.origin, public(oldKey)) + "\n",
			"policy":     "log " + receipt.VKey(l.origin, public(oldKey)) + "\nquorum none\n",
		},
	}
	for path, of := range examples {
		text := string(must(os.ReadFile(path)))
		want := text
		for name, example := range of {
			begin, end := "<!-- example "+name+" -->\n", "<!-- end -->"
			head, rest, ok := strings.Cut(want, begin)
			_, tail, ok2 := strings.Cut(rest, end)
			if !ok || !ok2 {
				t.Errorf("%s has no example %s", path, name)
				continue
			}
			want = head + begin + "```\n" + example + "```\n" + end + tail
		}
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		} else if text != want {
			t.Errorf("%s: its examples are not what the code makes: go test ./receipt -update", path)
		}
	}
}

// wrap breaks a long line for people.
func wrap(s string) string {
	var b strings.Builder
	for len(s) > 100 {
		b.WriteString(s[:100] + "\n")
		s = s[100:]
	}
	return b.String() + s + "\n"
}
