// Package access knows who may do what: the tokens of agents, operators and
// auditors, kept as SHA-256 hashes in a file of mode 0600 (docs/security-engineer.md).
package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/helm-ai-kernel/helm-ai-kernel"
)

// A Role says what a token's holder may do.
type Role string

// The roles. An operator may do everything that an auditor may.
const (
	Agent    Role = "agent"    // ask for decisions and report outcomes, as one agent
	Operator Role = "operator" // answer escalations, freeze, reload
	Auditor  Role = "auditor"  // read receipts, export packs
)

// A Token is a bearer token as it is kept: never the token itself.
type Token struct {
	Name   string `json:"name"`
	Role   Role   `json:"role"`
	Agent  string `json:"agent,omitzero"`  // the agent that an agent's token speaks for
	SHA256 string `json:"sha256,omitzero"` // "" of one that was taken back

	// An agent's token that was taken back stays listed: else taking back the last one
	// would let agents in without any.
	Revoked bool `json:"revoked,omitzero"`
}

// HomeOperator is the principal of the token in operator.token, which is in no tokens
// file: a receipt would else not tell the two apart.
const HomeOperator = "operator:operator"

// Principal is what receipts call the holder of the token.
func (t *Token) Principal() string { return string(t.Role) + ":" + t.Name }

// Check returns an error unless the token's description is whole.
func (t *Token) Check() error {
	if err := helm.CheckName("name", t.Name); err != nil {
		return err
	}
	if len(t.Principal()) > helm.MaxNameBytes {
		return fmt.Errorf("the name %q is too long for a principal", t.Name)
	}
	if t.Principal() == HomeOperator {
		return fmt.Errorf("%s is the holder of this home's operator.token: choose another name", HomeOperator)
	}
	switch t.Role {
	case Agent:
		return helm.CheckName("agent", t.Agent)
	case Operator, Auditor:
		if t.Agent != "" {
			return fmt.Errorf("only an agent's token names an agent, %s is an %s's", t.Name, t.Role)
		}
		return nil
	}
	return fmt.Errorf("the role %q is not agent, operator or auditor", t.Role)
}

// New makes a token of 256 random bits and its hash.
func New() (token, hash string) {
	var b [32]byte
	rand.Read(b[:])
	token = "helm_" + base64.RawURLEncoding.EncodeToString(b[:])
	return token, Hash(token)
}

// Hash is how a token is kept. Tokens are random, so a plain hash tells nothing.
func Hash(token string) string {
	h := sha256.Sum256([]byte(token))
	return hex.EncodeToString(h[:])
}

// A Tokens file is read again once a second, whatever its time and size say: a token
// that was taken back must not live on because two files look alike.
type Tokens struct {
	path string

	mu     sync.Mutex // guards the rest
	read   time.Time
	tokens []Token
	err    error
	agents bool // an agent had a token at some time
}

// Open reads a tokens file. One that does not exist holds no token.
func Open(path string) (*Tokens, error) {
	t := &Tokens{path: path}
	_, err := t.List()
	return t, err
}

// List are the tokens, as they are now.
func (t *Tokens) List() ([]Token, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Since(t.read) < time.Second && t.err == nil {
		return t.tokens, nil
	}
	t.read = time.Now()
	t.tokens, t.err = load(t.path)
	t.agents = t.agents || slices.ContainsFunc(t.tokens, func(t Token) bool { return t.Role == Agent })
	return t.tokens, t.err
}

// load reads a tokens file, or nothing where none is.
func load(path string) ([]Token, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read tokens: %w", err)
	}
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read tokens: %w", err)
	}
	if perm := st.Mode().Perm(); perm&0o022 != 0 && runtime.GOOS != "windows" { // which has no such bits
		return nil, fmt.Errorf("read tokens of %s: others can change it (mode %04o) and give themselves any role: chmod 600 it", path, perm)
	}
	var all []Token
	if err := json.Unmarshal(b, &all, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("read tokens of %s: %w", path, err)
	}
	if all == nil {
		return nil, fmt.Errorf("read tokens of %s: it is null, no list", path)
	}
	names, hashes := map[string]bool{}, map[string]string{}
	for i := range all {
		if err := all[i].Check(); err != nil {
			return nil, fmt.Errorf("read tokens of %s: token %d: %w", path, i+1, err)
		}
		if p := all[i].Principal(); names[p] {
			return nil, fmt.Errorf("read tokens of %s: %s stands twice", path, p)
		} else {
			names[p] = true
		}
		if all[i].Revoked {
			if all[i].SHA256 != "" {
				return nil, fmt.Errorf("read tokens of %s: %s is revoked and has a hash", path, all[i].Principal())
			}
			continue
		}
		if len(all[i].SHA256) != 64 || strings.Trim(all[i].SHA256, "0123456789abcdef") != "" {
			return nil, fmt.Errorf("read tokens of %s: the hash of %s is not 64 hex digits", path, all[i].Name)
		}
		if other, ok := hashes[all[i].SHA256]; ok {
			return nil, fmt.Errorf("read tokens of %s: %s and %s have the same token: whose it is cannot be said", path, other, all[i].Principal())
		}
		hashes[all[i].SHA256] = all[i].Principal()
	}
	return all, nil
}

// Find is the token with that secret, or nil. It takes the same time whichever it
// is.
func (t *Tokens) Find(secret string) (*Token, error) {
	all, err := t.List()
	if err != nil {
		return nil, err
	}
	hash := []byte(Hash(secret))
	var found *Token
	for i := range all {
		if subtle.ConstantTimeCompare(hash, []byte(all[i].SHA256)) == 1 {
			found = &all[i]
		}
	}
	return found, nil
}

// HasAgents reports whether an agent has or had a token. Then every agent needs one,
// also when the file is gone.
func (t *Tokens) HasAgents() (bool, error) {
	_, err := t.List()
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.agents, err
}

// Add adds a token and returns its secret, which is kept nowhere. write replaces
// the file durably.
func (t *Tokens) Add(tok Token, write func(path string, content []byte) error) (secret string, err error) {
	if err := tok.Check(); err != nil {
		return "", err
	}
	secret, tok.SHA256 = New()
	err = t.change(write, func(all []Token) ([]Token, error) {
		all = slices.DeleteFunc(slices.Clone(all), func(t Token) bool { return t.Revoked && t.Principal() == tok.Principal() })
		for i := range all {
			if all[i].Principal() == tok.Principal() {
				return nil, fmt.Errorf("%s has a token already: remove it first", tok.Principal())
			}
		}
		return append(all, tok), nil
	})
	if err != nil {
		return "", err
	}
	return secret, nil
}

// Remove removes the token of a principal, such as "agent:build".
func (t *Tokens) Remove(principal string, write func(path string, content []byte) error) error {
	return t.change(write, func(all []Token) ([]Token, error) {
		i := slices.IndexFunc(all, func(t Token) bool { return t.Principal() == principal && !t.Revoked })
		if i < 0 {
			return nil, fmt.Errorf("there is no token of %s", principal)
		}
		left := slices.Clone(all)
		if left[i].Role != Agent {
			return slices.Delete(left, i, i+1), nil
		}
		left[i].SHA256, left[i].Revoked = "", true
		return left, nil
	})
}

// change edits the file, one process after the other.
func (t *Tokens) change(write func(string, []byte) error, edit func([]Token) ([]Token, error)) error {
	unlock, err := lock(t.path + ".lock")
	if err != nil {
		return err
	}
	defer unlock()
	t.forget()
	all, err := t.List()
	if err != nil {
		return err
	}
	if all, err = edit(all); err != nil {
		return err
	}
	b, err := json.Marshal(all, json.FormatNilSliceAsNull(false))
	if err != nil {
		return err
	}
	defer t.forget()
	return write(t.path, append(b, '\n'))
}

// forget has the file read at the next question.
func (t *Tokens) forget() {
	t.mu.Lock()
	t.read = time.Time{}
	t.mu.Unlock()
}

// lockWait is how long another process may take to change a file of a few lines.
const lockWait = 5 * time.Second

// lock makes a file that no two processes can make, and returns what removes it.
func lock(path string) (unlock func(), err error) {
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			f.Close()
			return func() { os.Remove(path) }, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("lock tokens: %w", err)
		}
		if time.Since(began) > lockWait {
			return nil, fmt.Errorf("lock tokens: another process has changed them for %s. If none runs any more, remove %s", lockWait, path)
		}
	}
}
