package cli_test

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel/receipt"
)

// TestRotateUnderLoad: two rotations at once while a server answers. Each replaces
// the key once; the server stops, and says why; whatever it answered is in the log.
func TestRotateUnderLoad(t *testing.T) {
	bin, dir := buildAll(t), t.TempDir()
	helm, home, file := filepath.Join(bin, "helm-ai-kernel"), filepath.Join(dir, "home"), filepath.Join(dir, "policy.toml")
	writePolicy(t, file, 1)
	d := launch(t, bin, home, "--policy", file)
	origin, first := logKey(t, bin, home)
	var mu sync.Mutex
	var all []held
	var load, rotations sync.WaitGroup
	for range 4 {
		load.Go(func() {
			for n := 0; ; n++ {
				h, err := d.decide("a", "s", n)
				if err != nil {
					return
				}
				mu.Lock()
				all = append(all, h)
				mu.Unlock()
			}
		})
	}
	time.Sleep(100 * time.Millisecond)
	for range 2 {
		rotations.Go(func() {
			if out, err := exec.Command(helm, "keys", "rotate", "--home", home).CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	rotations.Wait()
	load.Wait()
	select {
	case <-d.ended:
	case <-time.After(20 * time.Second):
		t.Fatal("the server goes on with the old key")
	}
	if !strings.Contains(d.log.String(), "the log's key was replaced") || d.cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("it ended with %v:\n%s", d.cmd.ProcessState, d.log.String())
	}
	out, err := exec.Command(helm, "keys", "show", "--json", "--home", home).Output()
	if err != nil {
		t.Fatal(err)
	}
	var shown struct {
		VKey     string
		Since    uint64
		Replaced []struct {
			VKey  string
			Since uint64
		}
	}
	if err := json.Unmarshal(out, &shown); err != nil {
		t.Fatal(err)
	}
	if len(shown.Replaced) != 2 || shown.Replaced[0].VKey != receipt.VKey(origin, first) || shown.VKey == shown.Replaced[1].VKey {
		t.Fatalf("the keys are %s", out)
	}
	for i := range all {
		if _, err := all[i].verify(first, origin); err != nil {
			t.Fatalf("receipt of entry %d: %v", all[i].Index, err)
		}
		if all[i].Index >= shown.Replaced[1].Since {
			t.Errorf("entry %d was answered with the key that entry %d replaced", all[i].Index, shown.Replaced[1].Since)
		}
	}
	next := launch(t, bin, home, "--policy", file)
	next.inLog(all)
	if h, err := next.decide("a", "s", 0); err != nil || h.Verdict != "ALLOW" {
		t.Errorf("after the change: %+v, %v", h, err)
	}
	next.stop()
	checkLog(t, bin, home)
	t.Logf("%d receipts before the change", len(all))
}
