package httpapi

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/helm-ai-kernel/helm-ai-kernel/access"
	"github.com/helm-ai-kernel/helm-ai-kernel/policy"
	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
	"github.com/helm-ai-kernel/helm-ai-kernel/sshsig/sshsign"
	"github.com/helm-ai-kernel/helm-ai-kernel/strictjson"
)

// TestSignedAnswer: what one approval says is enough to check what is signed; the
// signature authorises the answer, whoever hands it in, and nothing else does.
func TestSignedAnswer(t *testing.T) {
	f := newFixture(t, nil)
	signer, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	key := bytes.TrimSpace(ssh.MarshalAuthorizedKey(signer.PublicKey()))
	p, err := policy.Compile("test.toml", fmt.Appendf(nil, "%sapprovers = { any_of = [\"ana\"] }\n[[approver]]\nname = \"ana\"\nkey = %q\n", testPolicy, key))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.kernel.Activate(t.Context(), p, "operator:test"); err != nil {
		t.Fatal(err)
	}
	asked := f.decide(9007199254740993, "")
	path := "/v1/approvals/" + asked.ID
	auditor, agent := f.token(access.Auditor, "eve", ""), f.token(access.Agent, "a", "a")

	status, b, _ := f.do("GET", path, auditor, "")
	var got ApprovalAnswer
	if err := json.Unmarshal(b, &got); err != nil || status != 200 {
		t.Fatalf("%d %s: %v", status, b, err)
	}
	env, err := receipt.ParseEnvelope(got.Receipt)
	if err != nil {
		t.Fatal(err)
	}
	if !env.Signatures[0].Verify(f.kernel.Log().Key(), env.Payload) {
		t.Fatal("the receipt is not signed by the log")
	}
	st, err := receipt.ParseStatement(env.Payload)
	if err != nil {
		t.Fatal(err)
	}
	var opening receipt.Secret
	secret, err := base64.StdEncoding.DecodeString(got.Opening)
	if err != nil || copy(opening[:], secret) != len(opening) {
		t.Fatalf("the opening is %q: %v", got.Opening, err)
	}
	v, err := strictjson.Parse(got.Input)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := receipt.Flatten(v)
	if err != nil || receipt.Commit(&opening, lines) != st.Subject.SHA256 {
		t.Fatalf("the input %s is not what the receipt commits to: %v", got.Input, err)
	}
	if len(got.Requires) != 1 || got.Requires[0].Count != 1 || got.Requires[0].Given != 0 || got.Requires[0].Keys[0] != (ApproverKeyAnswer{"ana", ssh.FingerprintSHA256(signer.PublicKey()), false}) {
		t.Fatalf("it requires %+v", got.Requires)
	}

	sig, err := sshsign.Sign(receipt.ApprovalNamespace, receipt.ApprovalText(receipt.AnswerApprove, st.Origin, receipt.StatementHash(env.Payload), st.Subject.SHA256,
		st.Body.(*receipt.Decision).Escalation.Expires, "ana"), signer)
	if err != nil {
		t.Fatal(err)
	}
	request := func(answer, approver, signature string) string {
		b, err := json.Marshal(AnswerRequest{answer, approver, signature})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	signed := request("approve", "ana", sig)
	for _, c := range []struct {
		name, token, body string
		status            int
		code              string
	}{
		{"nobody", "", signed, 401, "UNAUTHENTICATED"},
		{"an agent", agent, signed, 403, "FORBIDDEN"},
		{"an auditor by himself", auditor, `{"answer":"approve"}`, 403, "FORBIDDEN"},
		{"an auditor, refusing by himself", auditor, `{"answer":"refuse"}`, 403, "FORBIDDEN"},
		{"an operator, for a person", f.operator, `{"answer":"approve"}`, 403, "FORBIDDEN"},
		{"a name without a signature", f.operator, `{"answer":"approve","approver":"ana"}`, 400, "BAD_REQUEST"},
		{"a signature without a name", f.operator, request("approve", "", sig), 400, "BAD_REQUEST"},
		{"a signature of the other answer", auditor, request("refuse", "ana", sig), 403, "FORBIDDEN"},
		{"a signature that is none", auditor, request("approve", "ana", "x"), 403, "FORBIDDEN"},
	} {
		status, b, h := f.do("POST", path, c.token, c.body)
		t.Log(c.name)
		f.problem(status, b, h, c.status, c.code)
	}
	if status, b, _ := f.do("POST", path, auditor, signed); status != 200 {
		t.Fatalf("%d %s", status, b)
	}
	if _, b, _ := f.do("GET", path, auditor, ""); !bytes.Contains(b, []byte(`"state":"approved"`)) || !bytes.Contains(b, []byte(`"approved":true`)) {
		t.Fatalf("%s", b)
	}
}
