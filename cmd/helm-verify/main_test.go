package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestBinary builds helm-verify as it is released: it must stay small enough to be
// read and carried, and answer on a pack of spec/vectors.
func TestBinary(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds a binary")
	}
	bin := filepath.Join(t.TempDir(), "helm-verify")
	if out, err := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	info, err := os.Stat(bin)
	if err != nil {
		t.Fatal(err)
	}
	if limit := int64(4_000_000); info.Size() > limit {
		t.Errorf("the stripped binary has %d bytes: at most %d are allowed (go list -deps shows what came in)", info.Size(), limit)
	}
	out, err := exec.Command(bin, "../../spec/vectors/packs/good-session.tar").Output()
	if e, ok := err.(*exec.ExitError); !ok || e.ExitCode() != 3 || !strings.Contains(string(out), "[signer-unknown]") {
		t.Errorf("helm-verify: %v\n%s", err, out)
	}
}
