package interop

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestApprovalExample gives the example of an approval in spec/receipt.md to ssh-keygen.
func TestApprovalExample(t *testing.T) {
	page, err := os.ReadFile("../../spec/receipt.md")
	if err != nil {
		t.Fatal(err)
	}
	example := func(name string) string {
		_, rest, _ := strings.Cut(string(page), "<!-- example "+name+" -->\n```\n")
		text, _, ok := strings.Cut(rest, "```\n<!-- end -->")
		if !ok {
			t.Fatalf("there is no example %s", name)
		}
		return text
	}
	dir := t.TempDir()
	for file, name := range map[string]string{"signature": "signature", "signers": "signer"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(example(name)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	verify := func(text string) error {
		cmd := exec.Command("ssh-keygen", "-Y", "verify", "-n", "approval.v1@helm-ai-kernel", "-I", "ana@corp.example", "-f", "signers", "-s", "signature")
		cmd.Dir, cmd.Stdin = dir, strings.NewReader(text)
		out, err := cmd.CombinedOutput()
		t.Logf("%s", out)
		return err
	}
	if err := verify(example("approval")); err != nil {
		t.Error(err)
	}
	if err := verify(strings.Replace(example("approval"), " approve\n", " refuse\n", 1)); err == nil {
		t.Error("a refusal verifies with the signature of an approval")
	}
}
