package access_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/helm-ai-kernel/helm-ai-kernel/access"
	"github.com/helm-ai-kernel/helm-ai-kernel/ledger"
)

// opened is a tokens file in a folder of its own.
func opened(t *testing.T) (*access.Tokens, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens.json")
	tokens, err := access.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return tokens, path
}

func add(t *testing.T, tokens *access.Tokens, tok access.Token) string {
	t.Helper()
	secret, err := tokens.Add(tok, ledger.WriteFile)
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// find is the principal of a secret's holder and the agent, or "".
func find(t *testing.T, tokens *access.Tokens, secret string) string {
	t.Helper()
	tok, err := tokens.Find(secret)
	if err != nil {
		t.Fatal(err)
	}
	if tok == nil {
		return ""
	}
	return strings.TrimSpace(tok.Principal() + " " + tok.Agent)
}

func TestTokens(t *testing.T) {
	tokens, path := opened(t)
	if has, err := tokens.HasAgents(); has || err != nil {
		t.Fatalf("without a file: HasAgents: %t, %v", has, err)
	}
	holders := map[string]string{}
	for _, tok := range []access.Token{
		{Name: "ana", Role: access.Operator},
		{Name: "eve", Role: access.Auditor},
		{Name: "ana", Role: access.Auditor}, // another role is another principal
	} {
		holders[add(t, tokens, tok)] = tok.Principal()
	}
	if has, err := tokens.HasAgents(); has || err != nil {
		t.Fatalf("without an agent's token: HasAgents: %t, %v", has, err)
	}
	holders[add(t, tokens, access.Token{Name: "ci", Role: access.Agent, Agent: "agent.build"})] = "agent:ci agent.build"
	if has, err := tokens.HasAgents(); !has || err != nil {
		t.Fatalf("with an agent's token: HasAgents: %t, %v", has, err)
	}

	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for secret, want := range holders {
		if got := find(t, tokens, secret); got != want {
			t.Errorf("the token of %s is found as %q", want, got)
		}
		random := strings.TrimPrefix(secret, "helm_")
		if b, err := base64.RawURLEncoding.DecodeString(random); err != nil || len(b) != 32 {
			t.Errorf("%s is not helm_ and 256 bits: %v", secret, err)
		}
		if strings.Contains(string(file), random) {
			t.Errorf("the file contains the token of %s", want)
		}
		if !strings.Contains(string(file), access.Hash(secret)) {
			t.Errorf("the file does not contain the hash of %s", want)
		}
		for _, other := range []string{"", " " + secret, secret + "\n", random, secret[:len(secret)-1], strings.ToUpper(secret), access.Hash(secret)} {
			if got := find(t, tokens, other); got != "" {
				t.Errorf("%q is found as %s", other, got)
			}
		}
	}
	if len(holders) != 4 {
		t.Errorf("two tokens are the same: %v", holders)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %v, %v", info.Mode(), err)
	}
}

func TestHash(t *testing.T) {
	// From sha256sum.
	const want = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	if got := access.Hash("abc"); got != want {
		t.Errorf("Hash(abc) is %s", got)
	}
}

// TestAddRefuses: what is refused leaves the file as it was.
func TestAddRefuses(t *testing.T) {
	tokens, path := opened(t)
	secret := add(t, tokens, access.Token{Name: "ci", Role: access.Agent, Agent: "a"})
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, want string
		tok        access.Token
	}{
		{"no name", "name", access.Token{Role: access.Auditor}},
		{"space in the name", "name", access.Token{Name: "a b", Role: access.Auditor}},
		{"name with a line break", "name", access.Token{Name: "a\nb", Role: access.Auditor}},
		{"name too long for a principal", "too long", access.Token{Name: strings.Repeat("x", 198), Role: access.Auditor}},
		{"no role", "the role \"\"", access.Token{Name: "x"}},
		{"unknown role", "the role \"root\"", access.Token{Name: "x", Role: "root"}},
		{"role in capitals", "the role \"Operator\"", access.Token{Name: "x", Role: "Operator"}},
		{"agent's token without an agent", "agent", access.Token{Name: "x", Role: access.Agent}},
		{"agent with a space", "agent", access.Token{Name: "x", Role: access.Agent, Agent: "a b"}},
		{"operator's token with an agent", "only an agent's token", access.Token{Name: "x", Role: access.Operator, Agent: "a"}},
		{"auditor's token with an agent", "only an agent's token", access.Token{Name: "x", Role: access.Auditor, Agent: "a"}},
		{"principal that has one", "agent:ci has a token already", access.Token{Name: "ci", Role: access.Agent, Agent: "other"}},
	} {
		got, err := tokens.Add(test.tok, ledger.WriteFile)
		if err == nil || got != "" || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %q, %v; want %q", test.name, got, err, test.want)
		}
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("the file was changed: %s, %v", after, err)
	}
	if got := find(t, tokens, secret); got != "agent:ci a" {
		t.Errorf("the token that was there is found as %q", got)
	}
}

// TestRevoked: a token that was taken back is nobody's, at once here and within a
// second in another process; the others stay.
func TestRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens, path := opened(t)
		bad := add(t, tokens, access.Token{Name: "ci", Role: access.Agent, Agent: "a"})
		good := add(t, tokens, access.Token{Name: "eve", Role: access.Auditor})
		other, err := access.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, none := range []string{"auditor:ci", "ci", ""} {
			if err := tokens.Remove(none, ledger.WriteFile); err == nil || !strings.Contains(err.Error(), "there is no token of "+none) {
				t.Errorf("remove %q: %v", none, err)
			}
		}
		if err := tokens.Remove("agent:ci", ledger.WriteFile); err != nil {
			t.Fatal(err)
		}
		if got := find(t, tokens, bad); got != "" {
			t.Errorf("where it was taken back it is still %s", got)
		}
		time.Sleep(time.Second)
		if got := find(t, other, bad); got != "" {
			t.Errorf("a second later it is still %s in another process", got)
		}
		for _, p := range []*access.Tokens{tokens, other} {
			if got := find(t, p, good); got != "auditor:eve" {
				t.Errorf("the other token is found as %q", got)
			}
		}
		// The name is free again, and the old token stays nobody's.
		if again := add(t, tokens, access.Token{Name: "ci", Role: access.Agent, Agent: "a"}); again == bad {
			t.Error("the same token was made twice")
		}
		if got := find(t, tokens, bad); got != "" {
			t.Errorf("the token that was taken back is %s again", got)
		}
		for _, p := range []string{"agent:ci", "auditor:eve"} {
			if err := tokens.Remove(p, ledger.WriteFile); err != nil {
				t.Fatal(err)
			}
		}
		all, err := tokens.List()
		if err != nil || len(all) != 1 || all[0] != (access.Token{Name: "ci", Role: access.Agent, Agent: "a", Revoked: true}) {
			t.Errorf("after the last was taken back: %v, %v", all, err)
		}
		if has, err := tokens.HasAgents(); !has || err != nil {
			t.Errorf("taking back the last agent's token lets agents in without one: %t, %v", has, err)
		}
		if got := find(t, tokens, ""); got != "" {
			t.Errorf("no token is %s", got)
		}
	})
}

// TestReadAgain: a file that another process changes counts within a second, and one
// that is gone holds no token.
func TestReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens, path := opened(t)
		other, err := access.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		secret := add(t, other, access.Token{Name: "eve", Role: access.Auditor})
		time.Sleep(time.Second)
		if got := find(t, tokens, secret); got != "auditor:eve" {
			t.Fatalf("a second after it was made it is found as %q", got)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if got := find(t, tokens, secret); got != "" {
			t.Fatalf("the file is gone, and it is found as %q", got)
		}
	})
}

// TestDamagedWhileRunning: a file that cannot be read any more holds nobody's token,
// neither old nor new, and says so until it can be read again.
func TestDamagedWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens, path := opened(t)
		secret := add(t, tokens, access.Token{Name: "ana", Role: access.Operator})
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := find(t, tokens, secret); got == "" {
			t.Fatal("it is not found")
		}
		refused := func(when string) {
			t.Helper()
			time.Sleep(time.Second)
			for range 2 {
				if tok, err := tokens.Find(secret); tok != nil || err == nil || !strings.Contains(err.Error(), path) {
					t.Errorf("%s: %v, %v", when, tok, err)
				}
			}
			if has, err := tokens.HasAgents(); has || err == nil {
				t.Errorf("%s: HasAgents: %t, %v", when, has, err)
			}
			if got, err := tokens.Add(access.Token{Name: "x", Role: access.Operator}, ledger.WriteFile); err == nil {
				t.Errorf("%s: a token was added: %s", when, got)
			}
		}
		if err := os.WriteFile(path, good[:len(good)-5], 0o600); err != nil {
			t.Fatal(err)
		}
		refused("cut off")
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := find(t, tokens, secret); got != "operator:ana" {
			t.Errorf("after the file was mended it is found as %q", got)
		}

		// Nothing is wrong with the file, but for a while nobody can get at it.
		dir := filepath.Dir(path)
		if err := os.Rename(dir, dir+".away"); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		refused("out of reach")
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(dir+".away", dir); err != nil {
			t.Fatal(err)
		}
		if got := find(t, tokens, secret); got != "operator:ana" {
			t.Errorf("after the file was in reach again it is found as %q", got)
		}
	})
}

// TestStrictFile: whatever Add would not write is refused, with the file's name and
// the place.
func TestStrictFile(t *testing.T) {
	const h1, h2 = "1111111111111111111111111111111111111111111111111111111111111111", "2222222222222222222222222222222222222222222222222222222222222222"
	one := `{"name":"a","role":"auditor","sha256":"` + h1 + `"}`
	for _, test := range []struct{ name, file, want string }{
		{"empty", "", "EOF"},
		{"no list", one, "object"},
		{"unknown member", `[{"name":"a","role":"auditor","sha256":"` + h1 + `","expires":"never"}]`, "expires"},
		{"member in capitals", `[{"Name":"a","role":"auditor","sha256":"` + h1 + `"}]`, "Name"},
		{"member twice", `[{"name":"a","name":"b","role":"auditor","sha256":"` + h1 + `"}]`, `"name" within "/0"`},
		{"number for a name", `[{"name":1,"role":"auditor","sha256":"` + h1 + `"}]`, "/0/name"},
		{"cut off", "[" + one, "EOF"},
		{"more behind the list", "[" + one + "]]", "after"},
		{"invalid UTF-8", "[{\"name\":\"a\xff\"}]", "UTF-8"},
		{"null", "null", "no list"},
		{"null in the list", "[" + one + ",null]", "token 2"},
		{"unknown role", "[" + one + `,{"name":"b","role":"admin","sha256":"` + h2 + `"}]`, `token 2: the role "admin"`},
		{"agent's token without an agent", `[{"name":"b","role":"agent","sha256":"` + h2 + `"}]`, "token 1: agent"},
		{"operator's token with an agent", `[{"name":"b","role":"operator","agent":"a","sha256":"` + h2 + `"}]`, "token 1: only an agent's"},
		{"no hash", `[{"name":"b","role":"auditor"}]`, "the hash of b"},
		{"short hash", `[{"name":"b","role":"auditor","sha256":"` + h1[1:] + `"}]`, "the hash of b"},
		{"hash in capitals", `[{"name":"b","role":"auditor","sha256":"` + strings.Repeat("AB", 32) + `"}]`, "the hash of b"},
		{"principal twice", "[" + one + `,{"name":"a","role":"auditor","sha256":"` + h2 + `"}]`, "auditor:a stands twice"},
		{"token twice", "[" + one + `,{"name":"b","role":"operator","sha256":"` + h1 + `"}]`, "auditor:a and operator:b have the same token"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "tokens.json")
			if err := os.WriteFile(path, []byte(test.file), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := access.Open(path)
			if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("%v; want %q", err, test.want)
			}
			t.Log(err)
		})
	}
}

// TestWriteFails: a token whose hash was not written is not handed out.
func TestWriteFails(t *testing.T) {
	tokens, _ := opened(t)
	full := func(string, []byte) error { return os.ErrPermission }
	if secret, err := tokens.Add(access.Token{Name: "eve", Role: access.Auditor}, full); err == nil || secret != "" {
		t.Errorf("add: %q, %v", secret, err)
	}
	secret := add(t, tokens, access.Token{Name: "eve", Role: access.Auditor})
	if err := tokens.Remove("auditor:eve", full); err == nil {
		t.Error("remove: no error")
	}
	if got := find(t, tokens, secret); got != "auditor:eve" {
		t.Errorf("a token that could not be taken back is found as %q", got)
	}
}

// TestManyAtOnce changes one file through as many readers as there would be processes:
// no token is lost.
func TestManyAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.json")
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			tokens, err := access.Open(path)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := tokens.Add(access.Token{Role: access.Auditor, Name: fmt.Sprint("eve", i)}, slowly); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	tokens, err := access.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if all, err := tokens.List(); err != nil || len(all) != 20 {
		t.Errorf("%d tokens of 20 are there, %v", len(all), err)
	}
	if _, err := os.Stat(path + ".lock"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the lock is left: %v", err)
	}
}

// slowly replaces a file after the others have had time to read it.
func slowly(path string, content []byte) error {
	time.Sleep(5 * time.Millisecond)
	return ledger.WriteFile(path, content)
}

func TestHomeOperatorIsTaken(t *testing.T) {
	tokens, err := access.Open(filepath.Join(t.TempDir(), "tokens.json"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tokens.Add(access.Token{Role: access.Operator, Name: "operator"}, slowly); err == nil || !strings.Contains(err.Error(), "operator.token") {
		t.Errorf("a second operator:operator: %v", err)
	}
}
