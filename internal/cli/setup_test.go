package cli_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestSetupByAnotherName: a program that would not know its hook again sets none up. It would
// set up another one each time, and neither doctor nor --remove would find them.
func TestSetupByAnotherName(t *testing.T) {
	other, project := filepath.Join(t.TempDir(), "helm"), t.TempDir()
	if err := os.Link(filepath.Join(buildAll(t), "helm-ai-kernel"), other); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(other, "setup", "claude-code")
	cmd.Dir = project
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "let this program be called helm-ai-kernel") {
		t.Errorf("%v: %s", err, out)
	}
	if _, err := os.Stat(filepath.Join(project, ".claude")); err == nil {
		t.Error("something was written")
	}
}
