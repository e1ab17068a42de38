package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// An office is a server that asks ana.
type office struct {
	victim // for its programs and its home
	t      *testing.T
	dir    string
	server *daemon
}

func newOffice(t *testing.T) *office {
	o := &office{t: t, dir: t.TempDir()}
	o.bin, o.home, o.policy = buildAll(t), filepath.Join(o.dir, "home"), filepath.Join(o.dir, "p.toml")
	o.keygen("", "-q", "-t", "ed25519", "-N", "", "-f", "ana")
	o.keygen("", "-q", "-t", "ed25519", "-N", "", "-f", "bo")
	o.write("p.toml", o.rules(1, ""))
	o.server = launch(t, o.bin, o.home, "--policy", o.policy)
	return o
}

func (o *office) rules(version int, more string) string {
	text := strings.Replace(victimPolicy, "version = 1", fmt.Sprintf("version = %d", version), 1)
	text = strings.Replace(text, "reason = \"ASK_FIRST\"\n", "reason = \"ASK_FIRST\"\napprovers = { any_of = [\"ana\"] }\n", 1)
	return text + fmt.Sprintf("[[approver]]\nname = \"ana\"\nkey = %q\n%s\n", strings.TrimSpace(o.read("ana.pub")), more)
}

func (o *office) keygen(stdin string, args ...string) string {
	o.t.Helper()
	cmd := exec.Command("ssh-keygen", args...)
	cmd.Dir, cmd.Stdin = o.dir, strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		o.t.Fatalf("ssh-keygen %v: %v: %s", args, err, out)
	}
	return string(out)
}

func (o *office) path(name string) string { return filepath.Join(o.dir, name) }

func (o *office) write(name, text string) {
	o.t.Helper()
	if err := os.WriteFile(o.path(name), []byte(text), 0o600); err != nil {
		o.t.Fatal(err)
	}
}

func (o *office) read(name string) string {
	o.t.Helper()
	b, err := os.ReadFile(o.path(name))
	if err != nil {
		o.t.Fatal(err)
	}
	return string(b)
}

// ask has a call escalated, and returns the approval's id.
func (o *office) ask(n int) string {
	o.t.Helper()
	var d struct{ ID, Verdict string }
	b, err := o.server.send(http.MethodPost, "/v1/decisions", fmt.Sprintf(`{"agent":"a","session":"s1","tool":"t.ask","arguments":{"n":%d}}`, n), false)
	if err == nil {
		err = json.Unmarshal(b, &d)
	}
	if err != nil || d.Verdict != "ESCALATE" {
		o.t.Fatalf("%s: %v", b, err)
	}
	return d.ID
}

// TestWithSSHKeygen: what the program signs is what the real ssh-keygen verifies, under
// the allowed signers that the policy prints; and what ssh-keygen signs is an answer.
func TestWithSSHKeygen(t *testing.T) {
	o := newOffice(t)
	o.write("signers", o.must(t, "policy", "approvers", o.policy, "--allowed-signers"))
	last := func() (*receipt.Statement, *receipt.Approval) {
		t.Helper()
		b := []byte(o.must(t, "receipts", "list", "--kind", "approval", "--last", "1", "--json", "--home", o.home, "--server", o.server.address))
		var e struct{ Statement json.RawMessage }
		if err := json.Unmarshal(b, &e); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		st, err := receipt.ParseStatement(e.Statement)
		if err != nil {
			t.Fatal(err)
		}
		return st, st.Body.(*receipt.Approval)
	}
	for n, command := range map[int]string{1: "approve", 2: "deny"} {
		o.must(t, "approvals", command, o.ask(n), "--key", o.path("ana"), "--home", o.home, "--server", o.server.address)
		st, a := last()
		o.write("sig", a.Signature)
		text := receipt.ApprovalText(a.Answer, st.Origin, st.Subject.SHA256, a.Input, a.Expires, a.Approver)
		said := o.keygen(string(text), "-Y", "verify", "-f", "signers", "-I", "ana", "-n", receipt.ApprovalNamespace, "-s", "sig")
		if !strings.HasPrefix(said, "Good ") {
			t.Fatal(said)
		}
	}
	id := o.ask(3)
	st := o.escalation(id)
	d := st.Body.(*receipt.Decision)
	o.write("text", string(receipt.ApprovalText(receipt.AnswerApprove, st.Origin, o.hash(id), st.Subject.SHA256, d.Escalation.Expires, "ana")))
	o.keygen("", "-Y", "sign", "-n", receipt.ApprovalNamespace, "-f", "ana", "text")
	body, err := json.Marshal(map[string]string{"answer": "approve", "approver": "ana", "signature": o.read("text.sig")})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := o.server.send(http.MethodPost, "/v1/approvals/"+id, string(body), true); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
}

// escalation is the statement of an ESCALATE.
func (o *office) escalation(id string) *receipt.Statement {
	st, err := receipt.ParseStatement(o.payload(id))
	if err != nil {
		o.t.Fatal(err)
	}
	return st
}

func (o *office) hash(id string) receipt.Hash { return receipt.StatementHash(o.payload(id)) }

func (o *office) payload(id string) []byte {
	o.t.Helper()
	b, err := o.server.send(http.MethodGet, "/v1/receipts/"+id, "", true)
	if err != nil {
		o.t.Fatal(err)
	}
	env, err := receipt.ParseEnvelope(bytes.TrimSuffix(b, []byte("\n")))
	if err != nil {
		o.t.Fatal(err)
	}
	return env.Payload
}

// TestServerThatLies: a server that shows another call than its log holds gets no
// signature, whatever it changes of its answer.
func TestServerThatLies(t *testing.T) {
	o := newOffice(t)
	real, err := url.Parse(o.server.address)
	if err != nil {
		t.Fatal(err)
	}
	asked, other := o.ask(1), o.ask(2)
	var mu sync.Mutex // the handler runs in goroutines of its own
	var lie func(map[string]json.RawMessage)
	answers := 0
	tell := func(next func(map[string]json.RawMessage)) {
		mu.Lock()
		defer mu.Unlock()
		lie = next
	}
	given := func() int {
		mu.Lock()
		defer mu.Unlock()
		return answers
	}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u := *real
		u.Path = r.URL.Path
		if r.Method == http.MethodPost {
			mu.Lock()
			answers++
			mu.Unlock()
		}
		req, _ := http.NewRequest(r.Method, u.String(), r.Body)
		req.Header = r.Header
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		var answer map[string]json.RawMessage
		if r.Method == http.MethodGet && json.Unmarshal(b, &answer) == nil {
			mu.Lock()
			lie(answer)
			mu.Unlock()
			b, _ = json.Marshal(answer)
		}
		w.WriteHeader(resp.StatusCode)
		w.Write(b)
	}))
	defer proxy.Close()
	of := func(id string) (m map[string]json.RawMessage) {
		b, err := o.server.send(http.MethodGet, "/v1/approvals/"+id, "", true)
		if err == nil {
			err = json.Unmarshal(b, &m)
		}
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	approve := func() (int, string) {
		return o.helm(t, "helm-ai-kernel", "approvals", "approve", asked, "--key", o.path("ana"), "--home", o.home,
			"--server", proxy.URL, "--token-file", filepath.Join(o.home, "operator.token"))
	}
	for name, c := range map[string]struct {
		lie  func(map[string]json.RawMessage)
		says string
	}{
		"other arguments":    {func(m map[string]json.RawMessage) { m["input"] = []byte(`{"arguments":{"n":2}}`) }, "is about another call"},
		"another writing":    {func(m map[string]json.RawMessage) { m["input"] = []byte(`{"arguments":{"n":1.0}}`) }, "is about another call"},
		"a context":          {func(m map[string]json.RawMessage) { m["input"] = []byte(`{"arguments":{"n":1},"context":{}}`) }, "is about another call"},
		"more than the call": {func(m map[string]json.RawMessage) { m["input"] = []byte(`{"arguments":{"n":1},"note":"safe"}`) }, "cannot be verified"},
		"two arguments":      {func(m map[string]json.RawMessage) { m["input"] = []byte(`{"arguments":{"n":9},"arguments":{"n":1}}`) }, "cannot read: duplicate object member"},
		"no input":           {func(m map[string]json.RawMessage) { delete(m, "input") }, "was erased"},
		"another opening":    {func(m map[string]json.RawMessage) { m["opening"] = of(other)["opening"] }, "is about another call"},
		"another receipt":    {func(m map[string]json.RawMessage) { m["receipt"] = of(other)["receipt"] }, "is about another call"},
		"another approval": {func(m map[string]json.RawMessage) {
			clear(m)
			for k, v := range of(other) {
				m[k] = v
			}
		}, "was asked for, and the server shows entry"},
		"another call's id on it": {func(m map[string]json.RawMessage) {
			clear(m)
			for k, v := range of(other) {
				m[k] = v
			}
			m["id"] = []byte(`"` + asked + `"`)
		}, "was asked for, and the server shows entry"},
		"a receipt that says so": {func(m map[string]json.RawMessage) { m["receipt"] = edited(t, m["receipt"], "t.ask", "t.asq") }, "NOT SIGNED"},
		"a proof of another size": {func(m map[string]json.RawMessage) {
			m["receipt"] = bytes.Replace(m["receipt"], []byte(`index `), []byte(`index 1`), 1)
		}, "NOT SIGNED"},
		"no receipt": {func(m map[string]json.RawMessage) { delete(m, "receipt") }, "cannot be verified"},
	} {
		tell(c.lie)
		code, out := approve()
		if code != 1 || !strings.Contains(out, c.says) {
			t.Errorf("%s: exit %d, without %q: %s", name, code, c.says, out)
		}
	}
	if n := given(); n != 0 {
		t.Fatalf("%d answers were given to the server that lies", n)
	}
	// What is not signed deceives nobody: the call is shown from the receipt.
	tell(func(m map[string]json.RawMessage) {
		m["tool"], m["agent"], m["requires"] = []byte(`"t.harmless"`), []byte(`"nobody"`), []byte(`[]`)
	})
	if code, out := approve(); code != 0 || strings.Contains(strings.Split(out, "approved by")[0], "harmless") || !strings.Contains(out, "t.ask by a in s1") {
		t.Fatalf("exit %d: %s", code, out)
	}
}

// edited is a receipt whose statement says something else.
func edited(t *testing.T, file []byte, from, to string) []byte {
	t.Helper()
	env, err := receipt.ParseEnvelope(file)
	if err != nil {
		t.Fatal(err)
	}
	env.Payload = bytes.ReplaceAll(env.Payload, []byte(from), []byte(to))
	b, err := env.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSignedTwoServers: two servers of one log, one approval, used by both at once.
func TestSignedTwoServers(t *testing.T) {
	o := newOffice(t)
	second := launch(t, o.bin, o.home, "--policy", o.policy)
	id := o.ask(1)
	o.must(t, "approvals", "approve", id, "--key", o.path("ana"), "--home", o.home, "--server", second.address, "--token-file", filepath.Join(o.home, "operator.token"))
	verdicts := make(chan string)
	for i := range 16 {
		go func() {
			var d struct{ Verdict string }
			b, err := []*daemon{o.server, second}[i%2].send(http.MethodPost, "/v1/decisions", `{"agent":"a","session":"s1","tool":"t.ask","arguments":{"n":1}}`, false)
			if err == nil {
				err = json.Unmarshal(b, &d)
			}
			if err != nil {
				d.Verdict = err.Error()
			}
			verdicts <- d.Verdict
		}()
	}
	count := map[string]int{}
	for range 16 {
		count[<-verdicts]++
	}
	if count["ALLOW"] != 1 || count["ESCALATE"] != 15 {
		t.Fatalf("%v", count)
	}
}

// TestPolicyMeanwhile: what is signed for the call that one policy asked about does not
// answer under the next, which may have revoked the key; and one file gives a key one name.
func TestPolicyMeanwhile(t *testing.T) {
	o := newOffice(t)
	signed, open := o.ask(1), o.ask(2)
	approve := func(id string) (int, string) {
		return o.helm(t, "helm-ai-kernel", "approvals", "approve", id, "--key", o.path("ana"), "--home", o.home, "--server", o.server.address)
	}
	if code, out := approve(signed); code != 0 {
		t.Fatal(out)
	}
	bo := fmt.Sprintf("[[approver]]\nname = \"bo\"\nkey = %q\n", strings.TrimSpace(o.read("bo.pub")))
	o.write("two.toml", o.rules(2, strings.Replace(bo, strings.Fields(o.read("bo.pub"))[1], strings.Fields(o.read("ana.pub"))[1], 1)))
	if code, out := o.helm(t, "helm-ai-kernel", "policy", "check", o.path("two.toml")); code != 1 || !strings.Contains(out, `of "bo" is that of "ana" too: one key answers under one name`) {
		t.Fatalf("exit %d: %s", code, out)
	}
	o.write("p.toml", strings.Replace(o.rules(2, "revoked = true\n"+bo), `["ana"]`, `["bo"]`, 1))
	o.must(t, "policy", "reload", "--home", o.home, "--server", o.server.address)
	if code, out := approve(open); code != 1 || !strings.Contains(out, "another policy is active since the call was escalated") {
		t.Fatalf("exit %d: %s", code, out)
	}
	again := o.ask(1) // the approval is void
	if code, out := approve(again); code != 1 || !strings.Contains(out, "none of those that can answer: bo SHA256:") {
		t.Fatalf("exit %d: %s", code, out)
	}
}
