package cli_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const budgetPolicy = `[policy]
id = "budgets"
version = 1
format = "helm.policy/v1"

[[tool]]
name = "t.work"
args = { n = "int" }

[[rule]]
id = "all"
verdict = "ALLOW"
tools = ["*"]

[[budget]]
id = "calls"
tools = ["*"]
per = "all"
limit = 100
window = "8784h"

[[budget]]
id = "sum"
tools = ["t.work"]
per = "agent"
sum = "n"
limit = 1000
window = "8784h"
`

// TestBudgetTwoServers: 64 callers at two servers of one home, one of which is killed on
// the way and started again: never one call too many, and in the end none too few. The pack
// verifies, and every decision is made again.
func TestBudgetTwoServers(t *testing.T) {
	bin, dir := buildAll(t), t.TempDir()
	home, file := filepath.Join(dir, "home"), filepath.Join(dir, "policy.toml")
	if err := os.WriteFile(file, []byte(budgetPolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	a, b := launch(t, bin, home, "--policy", file), launch(t, bin, home, "--policy", file)
	round := func(decide ...func(agent string, n int) (held, error)) (answered map[string]int) {
		answered = map[string]int{}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				h, err := decide[i%len(decide)](fmt.Sprint("agent-", i%8), 2+i%3)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					answered[h.Verdict]++
				}
			})
		}
		wg.Wait()
		return answered
	}
	by := func(d *daemon) func(string, int) (held, error) {
		return func(agent string, n int) (held, error) { return d.decide(agent, "s", n) }
	}
	sofar := 0
	killing := sync.OnceFunc(func() { b.cmd.Process.Kill() })
	got := round(by(a), by(b), by(a), func(agent string, n int) (held, error) {
		killing()
		return b.decide(agent, "s", n)
	})
	<-b.ended
	sofar += got["ALLOW"]
	b = launch(t, bin, home, "--policy", file)
	for range 3 {
		got = round(by(a), by(b))
		if got["ALLOW"]+got["DENY"] != 64 {
			t.Fatalf("%v", got)
		}
		sofar += got["ALLOW"]
	}
	allowed, spent := 0, 0 // entries
	cmd := exec.Command(filepath.Join(bin, "helm-ai-kernel"), "evidence", "export", "--all", "--home", home, "--server", a.address, "--output", filepath.Join(dir, "pack.tar"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := exec.Command(filepath.Join(bin, "helm-ai-kernel"), "replay", filepath.Join(dir, "pack.tar"), "--home", home, "--json").Output()
	if err != nil {
		t.Fatalf("replay: %v: %s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		var d struct {
			Index    uint64
			Answer   string
			Recorded struct{ Verdict, Rule string }
		}
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			t.Fatal(err)
		}
		if d.Answer != "" && d.Answer != "agree" {
			t.Errorf("entry %d: %s", d.Index, d.Answer)
		}
		switch {
		case d.Recorded.Verdict == "ALLOW":
			allowed++
		case d.Recorded.Rule == "budget:calls":
			spent++
		}
	}
	// The server that was killed may have recorded what it did not answer.
	if allowed != 100 || sofar > 100 || spent == 0 {
		t.Errorf("%d were allowed, %d of them were told; the budget has room for 100", allowed, sofar)
	}
	a.stop()
	b.stop()
	checkLog(t, bin, home)
}
