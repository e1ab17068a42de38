package policy

import (
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
