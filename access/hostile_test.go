package access_test

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel/access"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
)

// TestNoSecondHomeOperator: a file that somebody wrote gives the home operator's
// principal to nobody, as Add does not.
func TestNoSecondHomeOperator(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.json")
	file := `[{"name":"operator","role":"operator","sha256":"` + access.Hash("mine") + `"}]`
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := access.Open(path); err == nil || !strings.Contains(err.Error(), "operator.token") {
		t.Errorf("a file with another operator:operator: %v", err)
	}
	if _, err := access.Open(filepath.Join(t.TempDir(), "none")); err != nil {
		t.Errorf("no file: %v", err)
	}
}

// TestChangedByOthers: who can write the file can make himself an operator.
func TestChangedByOthers(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no such bits")
	}
	tokens, path := opened(t)
	add(t, tokens, access.Token{Name: "eve", Role: access.Auditor})
	for mode, refused := range map[os.FileMode]bool{0o602: true, 0o620: true, 0o666: true, 0o644: false, 0o600: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := access.Open(path); (err != nil) != refused {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
}

// TestFileVanishes: who let agents in by their tokens lets nobody in without one
// because the file is gone, or for the moment between two versions of it.
func TestFileVanishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens, path := opened(t)
		secret := add(t, tokens, access.Token{Name: "ci", Role: access.Agent, Agent: "a"})
		if has, err := tokens.HasAgents(); !has || err != nil {
			t.Fatalf("HasAgents: %t, %v", has, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if got := find(t, tokens, secret); got != "" {
			t.Errorf("the token is still %s", got)
		}
		if has, err := tokens.HasAgents(); !has || err != nil {
			t.Errorf("the file is gone, and agents need no token: %t, %v", has, err)
		}
	})
}

// TestAlikeFiles: another file of the same size and time is read all the same.
func TestAlikeFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens, path := opened(t)
		secret := add(t, tokens, access.Token{Name: "ana", Role: access.Operator})
		if got := find(t, tokens, secret); got != "operator:ana" {
			t.Fatalf("it is found as %q", got)
		}
		before, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		file = bytes.ReplaceAll(file, []byte(access.Hash(secret)), []byte(access.Hash("another")))
		if err := ledger.WriteFile(path, file); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, before.ModTime(), before.ModTime()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if got := find(t, tokens, secret); got != "" {
			t.Errorf("the token that was replaced is still %s", got)
		}
	})
}
