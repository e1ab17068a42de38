package cli_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

const crashPolicy = `[policy]
id = "crash"
version = %d
format = "helm.policy/v1"
mode = "enforce"

[[rule]]
id = "all"
verdict = "ALLOW"
tools = ["*"]

[[tool]]
name = "t.work"
args = { n = "int" }
`

// A daemon is a serve of the real binary.
type daemon struct {
	t        *testing.T
	cmd      *exec.Cmd
	address  string
	operator string
	log      bytes.Buffer
	ended    chan struct{}
}

// launch starts serve and waits until it is ready.
func launch(t *testing.T, bin, home string, args ...string) *daemon {
	t.Helper()
	// Of two servers of one home only the first is named in server.json.
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	d := &daemon{t: t, address: "http://" + ln.Addr().String(), ended: make(chan struct{})}
	d.cmd = exec.Command(filepath.Join(bin, "helm-ai-kernel"), append([]string{"serve", "--home", home, "--listen", ln.Addr().String()}, args...)...)
	d.cmd.Stderr = &d.log
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { d.cmd.Wait(); close(d.ended) }()
	t.Cleanup(d.kill)
	for began := time.Now(); isReady(d.address) != nil; time.Sleep(2 * time.Millisecond) {
		select {
		case <-d.ended:
			t.Fatalf("serve ended:\n%s", d.log.String())
		default:
		}
		if time.Since(began) > 30*time.Second {
			d.kill()
			t.Fatalf("serve does not listen:\n%s", d.log.String())
		}
	}
	b, err := os.ReadFile(filepath.Join(home, "operator.token"))
	if err != nil {
		t.Fatal(err)
	}
	d.operator = strings.TrimSpace(string(b))
	return d
}

func (d *daemon) kill() {
	d.cmd.Process.Kill()
	<-d.ended
}

// stop ends it as an operator would.
func (d *daemon) stop() {
	d.cmd.Process.Signal(syscall.SIGTERM)
	<-d.ended
}

func (d *daemon) send(method, path, body string, operator bool) ([]byte, error) {
	req, err := http.NewRequest(method, d.address+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if operator {
		req.Header.Set("Authorization", "Bearer "+d.operator)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, b)
	}
	return b, err
}

// A held is an answer that a client has in its hands.
type held struct {
	ID      string          `json:"id"`
	Index   uint64          `json:"index"`
	Verdict string          `json:"verdict"`
	Receipt json.RawMessage `json:"receipt"`
}

func (d *daemon) decide(agent, session string, n int) (h held, err error) {
	b, err := d.send(http.MethodPost, "/v1/decisions", fmt.Sprintf(`{"agent":%q,"session":%q,"tool":"t.work","arguments":{"n":%d}}`, agent, session, n), false)
	if err == nil {
		err = json.Unmarshal(b, &h)
	}
	return h, err
}

// verify verifies a held receipt as its holder would, with the log's key.
func (h *held) verify(key ed25519.PublicKey, origin string) (*receipt.Statement, error) {
	env, err := receipt.ParseEnvelope(h.Receipt)
	if err != nil {
		return nil, err
	}
	if !env.Signatures[0].Verify(key, env.Payload) {
		return nil, errors.New("the signature does not verify")
	}
	st, err := receipt.ParseStatement(env.Payload)
	if err != nil {
		return nil, err
	}
	p, err := receipt.ParseProof(env.Proof)
	if err != nil {
		return nil, err
	}
	c, err := receipt.VerifyCheckpoint(p.Checkpoint, origin, key)
	if err != nil {
		return nil, err
	}
	leaf := st.Leaf(env.Payload).Hash()
	if fmt.Sprintf("%x", leaf) != h.ID || st.Index != h.Index || p.Index != h.Index {
		return nil, fmt.Errorf("the receipt is of entry %d, %x, and the answer said %d, %s", st.Index, leaf, h.Index, h.ID)
	}
	return st, p.Includes(leaf, c)
}

func logKey(t *testing.T, bin, home string) (string, ed25519.PublicKey) {
	t.Helper()
	out, err := exec.Command(filepath.Join(bin, "helm-ai-kernel"), "keys", "show", "--format", "vkey", "--home", home).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	origin, key, err := receipt.ParseVKey(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	return origin, key
}

func writePolicy(t *testing.T, path string, version int) {
	t.Helper()
	if err := os.WriteFile(path, fmt.Appendf(nil, crashPolicy, version), 0o600); err != nil {
		t.Fatal(err)
	}
}

func checkLog(t *testing.T, bin, home string, args ...string) {
	t.Helper()
	out, err := exec.Command(filepath.Join(bin, "helm-ai-kernel"), append([]string{"log", "check", "--home", home}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("log check: %v: %s", err, out)
	}
}

// inLog checks that every held receipt is in the log, at its index.
func (d *daemon) inLog(all []held) {
	d.t.Helper()
	at := map[uint64]string{}
	for after := ""; ; {
		b, err := d.send(http.MethodGet, "/v1/receipts?limit=1000"+after, "", true)
		if err != nil {
			d.t.Fatal(err)
		}
		var page struct {
			Receipts []held
			Next     *uint64
		}
		if err := json.Unmarshal(b, &page); err != nil {
			d.t.Fatal(err)
		}
		for _, r := range page.Receipts {
			at[r.Index] = r.ID
		}
		if page.Next == nil {
			break
		}
		after = fmt.Sprintf("&after=%d", *page.Next)
	}
	for _, h := range all {
		if at[h.Index] != h.ID {
			d.t.Fatalf("a client holds the receipt %s of entry %d, and the log has %q there", h.ID, h.Index, at[h.Index])
		}
	}
}

// TestCrash kills the server at random moments under load. Whatever a client was
// answered is in the log afterwards, and the log checks.
func TestCrash(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: it kills a server 50 times")
	}
	const kills = 50
	bin, dir := buildAll(t), t.TempDir()
	home, file := filepath.Join(dir, "home"), filepath.Join(dir, "policy.toml")
	writePolicy(t, file, 1)
	var all []held
	for round := range kills {
		d := launch(t, bin, home, "--policy", file)
		var mu sync.Mutex
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				for n := 0; ; n++ {
					h, err := d.decide(fmt.Sprintf("agent-%d", w), fmt.Sprintf("session-%d", round), n)
					if err != nil {
						return // it was killed
					}
					mu.Lock()
					all = append(all, h)
					mu.Unlock()
					time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
				}
			})
		}
		time.Sleep(time.Duration(20+rand.IntN(60)) * time.Millisecond)
		d.kill()
		wg.Wait()
	}
	origin, key := logKey(t, bin, home)
	for i := range all {
		if _, err := all[i].verify(key, origin); err != nil {
			t.Fatalf("receipt of entry %d: %v", all[i].Index, err)
		}
	}
	d := launch(t, bin, home, "--policy", file)
	d.inLog(all)
	d.stop()
	checkLog(t, bin, home)
	t.Logf("%d receipts over %d kills", len(all), kills)
	if len(all) < kills {
		t.Fatalf("only %d receipts came out of %d rounds", len(all), kills)
	}
}

// TestTwoProcesses: two servers on one file under load, with a reload and a freeze
// in between. There is one history, and both obey it.
func TestTwoProcesses(t *testing.T) {
	bin, dir := buildAll(t), t.TempDir()
	home, file := filepath.Join(dir, "home"), filepath.Join(dir, "policy.toml")
	writePolicy(t, file, 1)
	a := launch(t, bin, home, "--policy", file)
	b := launch(t, bin, home, "--policy", file)

	var mu sync.Mutex
	var all []held
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 8 {
		d := []*daemon{a, b}[w%2]
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				h, err := d.decide(fmt.Sprintf("agent-%d", w%4), "s", n)
				if err != nil {
					t.Errorf("server %d: %v", w%2, err)
					return
				}
				mu.Lock()
				all = append(all, h)
				mu.Unlock()
			}
		})
	}
	pause := func() { time.Sleep(400 * time.Millisecond) }
	entry := func(d *daemon, path, body string) uint64 {
		t.Helper()
		out, err := d.send(http.MethodPost, path, body, true)
		if err != nil {
			t.Fatal(err)
		}
		var h held
		if err := json.Unmarshal(out, &h); err != nil {
			t.Fatal(err)
		}
		return h.Index
	}
	pause()
	writePolicy(t, file, 2)
	if _, err := a.send(http.MethodPost, "/v1/policy/reload", "{}", true); err != nil {
		t.Fatal(err)
	}
	pause()
	frozen := entry(b, "/v1/boundary/freeze", `{"reason":"test"}`)
	pause()
	thawed := entry(a, "/v1/boundary/unfreeze", `{"reason":"test"}`)
	pause()
	close(stop)
	wg.Wait()

	origin, key := logKey(t, bin, home)
	versions := map[uint64]int{}
	for i := range all {
		st, err := all[i].verify(key, origin)
		if err != nil {
			t.Fatalf("receipt of entry %d: %v", all[i].Index, err)
		}
		dec := st.Body.(*receipt.Decision)
		versions[dec.Policy.Version]++
		want := "ALLOW"
		if h := all[i].Index; h > frozen && h < thawed {
			want = "DENY"
		}
		if string(dec.Verdict) != want {
			t.Errorf("entry %d is %s: freeze is entry %d, unfreeze entry %d", all[i].Index, dec.Verdict, frozen, thawed)
		}
	}
	if versions[1] == 0 || versions[2] == 0 {
		t.Errorf("decisions by policy version: %v", versions)
	}
	a.inLog(all)
	a.stop()
	b.stop()
	checkLog(t, bin, home)
	t.Logf("%d receipts of two servers, %v by policy version", len(all), versions)
}
