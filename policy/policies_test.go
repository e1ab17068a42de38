package policy

import (
	"crypto/sha256"
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"
)

// The policies that the repository offers load, and their own tests pass.
func TestPolicies(t *testing.T) {
	files, err := filepath.Glob("../policies/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatal("there are none", err)
	}
	root, err := filepath.Glob("../*.toml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, root...) {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Compile(filepath.Base(file), src); err != nil {
			t.Errorf("%v", err)
		}
	}
}

// TestExampleApprovers: nobody has the private half of the keys that the policies here
// come with: each is the SHA-256 of a text.
func TestExampleApprovers(t *testing.T) {
	files, _ := filepath.Glob("../policies/*.toml")
	root, _ := filepath.Glob("../*.toml")
	n := 0
	for _, file := range append(files, root...) {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Compile(filepath.Base(file), src)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range p.approvers {
			sum := sha256.Sum256([]byte("helm-ai-kernel example approver " + a.Name))
			blob := append([]byte("\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20"), sum[:]...)
			if want := "ssh-ed25519 " + base64.StdEncoding.EncodeToString(blob); a.Key != want {
				t.Errorf("%s: the key of %s is %s, and must be %s", file, a.Name, a.Key, want)
			}
			n++
		}
	}
	if n == 0 {
		t.Error("no policy has approvers")
	}
}
